/* control_format.c - checks of what comes through the control socket. Pure: no I/O, no memory. */
#include "format/control_format.h"
#include "format/index_format.h"

#include <errno.h>
#include <string.h>

static int terminated(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

int fa_session_name_ok(const char *name)
{
	static const char good[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@+";
	size_t len = strlen(name);

	return len > 0 && len < FA_SESSION_NAME && name[0] != '.' && name[0] != '-' &&
	       strspn(name, good) == len;
}

static int images_ok(const struct fa_session_options *o)
{
	if (o->image_count > FA_SESSION_IMAGES)
		return 0;
	for (uint32_t i = 0; i < o->image_count; i++)
		if (!terminated(o->image[i], FA_IMAGE_NAME) || o->image[i][0] == '\0' ||
		    strchr(o->image[i], '/') != NULL)
			return 0;
	return 1;
}

static int buffer_size_ok(uint32_t size)
{
	return size == 0 || (size >= 4096 && size <= 4u << 20);
}

static int stacks_ok(uint32_t stacks)
{
	return stacks == 0 || ((stacks & FA_SESSION_STACKS) != 0 &&
			       (stacks & ~(FA_SESSION_STACKS | FA_STACK_ALLOC | FA_STACK_REALLOC |
					   FA_STACK_FREE)) == 0);
}

static unsigned char small_letter(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

int fa_session_name_same(const char *a, const char *b)
{
	size_t i = 0;

	while (i < FA_SESSION_NAME && a[i] != '\0' && small_letter((unsigned char)a[i]) == small_letter((unsigned char)b[i]))
		i++;
	return i == FA_SESSION_NAME || (a[i] == '\0' && b[i] == '\0');
}

uint64_t fa_session_buffer_bytes(const struct fa_session_options *o)
{
	if (o->buffer_size == 0)
		return FA_DEFAULT_BUFFER_SIZE;
	return o->buffer_size < FA_BUFFER_SIZE_MAX ? o->buffer_size : FA_BUFFER_SIZE_MAX;
}

/* Of MaximumBuffers, at least 1; 0: no limit. */
static unsigned most_segments(const struct fa_session_options *o, uint32_t size0)
{
	unsigned most = fa_arena_most_segments(size0), n = 1;

	if (o->maximum_buffers == 0)
		return 0;
	while (n < most && fa_arena_segment_at(size0, n + 1) <= o->maximum_buffers * fa_session_buffer_bytes(o))
		n++;
	return n;
}

unsigned fa_session_minimum_segments(const struct fa_session_options *o, uint32_t size0)
{
	unsigned limit = most_segments(o, size0), most = limit != 0 ? limit : fa_arena_most_segments(size0), n = 1;

	if ((o->log_file_mode & FA_LOG_BUFFERING) != 0) /* there they are the ring */
		return 1;
	while (n < most && fa_arena_segment_at(size0, n) < o->minimum_buffers * fa_session_buffer_bytes(o))
		n++;
	return n;
}

uint32_t fa_session_minimum_buffers(const struct fa_session_options *o)
{
	return (uint32_t)(fa_arena_segment_at(FA_ARENA_MAX0, fa_session_minimum_segments(o, FA_ARENA_MAX0)) /
			  fa_session_buffer_bytes(o));
}

uint32_t fa_session_maximum_buffers(const struct fa_session_options *o)
{
	return (uint32_t)(fa_arena_segment_at(FA_ARENA_MAX0, most_segments(o, FA_ARENA_MAX0)) /
			  fa_session_buffer_bytes(o));
}

int fa_mark_text_ok(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return 0;
	return len > 0 && len < FA_MARK_TEXT;
}

static const struct {
	uint32_t mode;
	const char *name;
} mode_names[] = {
	{FA_LOG_SEQUENTIAL, "sequential"}, {FA_LOG_CIRCULAR, "circular"},
	{FA_LOG_APPEND, "append"},         {FA_LOG_NEWFILE, "newfile"},
	{FA_LOG_BUFFERING, "buffering"},
};

enum { MODES = sizeof(mode_names) / sizeof(mode_names[0]) };

int fa_session_real_time_only(const struct fa_session_options *o)
{
	return (o->log_file_mode & FA_LOG_REAL_TIME) != 0 && (o->log_file_mode & FA_LOG_MODES) == 0;
}

const char *fa_log_mode_name(uint32_t log_file_mode)
{
	if ((log_file_mode & FA_LOG_REAL_TIME) != 0 && (log_file_mode & FA_LOG_MODES) == 0)
		return "real-time";
	for (int i = 1; i < MODES; i++)
		if ((log_file_mode & mode_names[i].mode) != 0)
			return mode_names[i].name;
	return mode_names[0].name;
}

uint32_t fa_log_mode_of(const char *name)
{
	for (int i = 0; i < MODES; i++)
		if (strcmp(mode_names[i].name, name) == 0)
			return mode_names[i].mode;
	return 0;
}

uint64_t fa_session_ring_size(const struct fa_session_options *o)
{
	uint64_t buffer = o->buffer_size ? o->buffer_size : FA_DEFAULT_BUFFER_SIZE;

	return o->minimum_buffers == 0 ? FA_RING_DEFAULT : o->minimum_buffers * buffer;
}

static const char *buffering_fault(const struct fa_session_options *o)
{
	if ((o->log_file_mode & FA_LOG_PREALLOCATE) != 0)
		return "preallocation is of a file, and buffering has none";
	if (o->maximum_file_size != 0)
		return "MaximumFileSize is of a file, and buffering has none: MinimumBuffers "
		       "buffers are its ring";
	if (fa_session_ring_size(o) < FA_RING_MIN || fa_session_ring_size(o) > FA_RING_MAX)
		return "the ring of a session that buffers (MinimumBuffers * BufferSize) has 1 MB "
		       "to 1 GB";
	return NULL;
}

const char *fa_session_mode_fault(const struct fa_session_options *o)
{
	uint32_t mode = o->log_file_mode & FA_LOG_MODES;

	if ((o->log_file_mode & ~(uint32_t)(FA_LOG_MODES | FA_LOG_PREALLOCATE | FA_LOG_REAL_TIME)) != 0)
		return "there is no such LogFileMode";
	if ((mode & (mode - 1)) != 0)
		return "sequential, circular, append, newfile and buffering exclude each other";
	if (fa_session_real_time_only(o))
		return o->maximum_file_size != 0 || (o->log_file_mode & FA_LOG_PREALLOCATE) != 0
			       ? "MaximumFileSize and preallocation are of a file, and real time alone has none"
			       : NULL;
	if (mode == FA_LOG_BUFFERING)
		return buffering_fault(o);
	if (mode == FA_LOG_CIRCULAR && o->maximum_file_size < FA_CIRCULAR_MIN)
		return "circular needs a MaximumFileSize of at least 1 MB";
	if (mode == FA_LOG_NEWFILE && o->maximum_file_size < FA_NEWFILE_MIN)
		return "newfile needs a MaximumFileSize of at least 1 MB";
	if ((o->log_file_mode & FA_LOG_PREALLOCATE) != 0 && mode == FA_LOG_APPEND)
		return "a file that is appended to is not preallocated";
	if ((o->log_file_mode & FA_LOG_PREALLOCATE) != 0 && o->maximum_file_size == 0)
		return "preallocation needs a MaximumFileSize";
	return NULL;
}

int fa_session_options_check(const struct fa_session_options *o, const char **ret_what)
{
	const char *what = NULL;

	if (!terminated(o->name, sizeof(o->name)) || !fa_session_name_ok(o->name))
		what = "name";
	else if (!buffer_size_ok(o->buffer_size))
		what = "BufferSize";
	else if (o->maximum_buffers != 0 && o->minimum_buffers > o->maximum_buffers)
		what = "MinimumBuffers";
	else if (o->flush_timer > 3600)
		what = "FlushTimer";
	else if ((what = fa_session_mode_fault(o)) != NULL)
		; /* that says it */
	else if (o->first_id > FA_FIRST_ID_MAX)
		what = "first_id";
	else if (!stacks_ok(o->stacks))
		what = "stacks";
	else if (o->policy > FA_POLICY_COUNT)
		what = "policy";
	else if ((o->flags & ~(uint32_t)(FA_SESSION_USER | FA_SESSION_PACK_LATER | FA_SESSION_AUTOLOGGER |
				      FA_SESSION_PIDS)) != 0)
		what = "flags";
	else if (!images_ok(o))
		what = "image";
	if (what == NULL)
		return 0;
	*ret_what = what;
	return -EINVAL;
}

static int names_session(const struct fa_control_request *r)
{
	return r->session_id != 0 || (terminated(r->session.name, sizeof(r->session.name)) &&
				      fa_session_name_ok(r->session.name));
}

static int attach_check(const struct fa_control_request *r, const char **ret_what)
{
	const struct fa_attach *a = &r->attach;
	const char *what = NULL;

	if (!terminated(r->session.name, sizeof(r->session.name)) ||
	    ((a->flags & FA_ATTACH_FLAG) == 0 && r->session_id == 0 &&
	     !fa_session_name_ok(r->session.name)))
		what = "name";
	else if (a->block == 0 || a->block % 8 != 0 || a->block >> 47 != 0)
		what = "address";
	else if ((a->flags & ~(uint32_t)FA_ATTACH_FLAG) != 0)
		what = "flags";
	else if (a->depth < 1 || a->depth > FA_DEPTH_MAX)
		what = "depth";
	if (what == NULL)
		return 0;
	*ret_what = what;
	return -EINVAL;
}

/* The values themselves are checked together with those that stay. */
static int update_check(const struct fa_control_request *r, const char **ret_what)
{
	const char *what = NULL;

	if (!names_session(r))
		what = "name";
	else if (r->changes == 0 || (r->changes & ~(uint32_t)FA_UPDATE_ALL) != 0 ||
		 ((r->changes & FA_UPDATE_PIDS_BEGIN) != 0 && r->changes != FA_UPDATE_PIDS_BEGIN))
		what = "changes";
	if (what == NULL)
		return 0;
	*ret_what = what;
	return -EINVAL;
}

static int tail_check(const struct fa_control_request *r, const char **ret_what)
{
	const char *what = NULL;

	if (!names_session(r))
		what = "name";
	else if (!images_ok(&r->session))
		what = "image";
	else if (r->tail.pid_count > FA_TAIL_PIDS)
		what = "pid";
	if (what == NULL)
		return 0;
	*ret_what = what;
	return -EINVAL;
}

int fa_control_check(const struct fa_control_request *r, size_t len, const char **ret_what)
{
	if (len != sizeof(*r) || r->magic != FA_CONTROL_MAGIC)
		return -EPROTO;
	if (r->version != FA_CONTROL_VERSION)
		return -EPROTONOSUPPORT;
	switch (r->verb) {
	case FA_CONTROL_PING:
	case FA_CONTROL_STATUS:
		return 0;
	case FA_CONTROL_SNAPSHOT:
	case FA_CONTROL_RELEASE:
		*ret_what = r->pid < 0 ? "pid" : "image";
		return r->pid > 0 || (r->pid == 0 && r->verb == FA_CONTROL_RELEASE &&
				      terminated(r->text, sizeof(r->text)) && r->text[0] != '\0')
			       ? 0
			       : -EINVAL;
	case FA_CONTROL_SNAPSHOT_INTO:
		*ret_what = r->pid <= 0 ? "pid" : "name";
		return r->pid > 0 && names_session(r) ? 0 : -EINVAL;
	case FA_CONTROL_ATTACH:
		return attach_check(r, ret_what);
	case FA_CONTROL_MARK:
		if (!terminated(r->text, sizeof(r->text)) || !fa_mark_text_ok(r->text)) {
			*ret_what = "text";
			return -EINVAL;
		}
		/* fall through */
	case FA_CONTROL_STOP:
	case FA_CONTROL_FLUSH:
	case FA_CONTROL_SAVE:
		if ((r->all && r->verb != FA_CONTROL_SAVE) || names_session(r))
			return 0;
		*ret_what = "name";
		return -EINVAL;
	case FA_CONTROL_TAIL:
		return tail_check(r, ret_what);
	case FA_CONTROL_UPDATE:
		return update_check(r, ret_what);
	case FA_CONTROL_START:
		return fa_session_options_check(&r->session, ret_what);
	}
	return -EPROTO;
}

int fa_status_check(const void *bytes, size_t len)
{
	struct fa_status_header h;
	size_t want = sizeof(h);

	if (len < sizeof(h))
		return -EPROTO;
	memcpy(&h, bytes, sizeof(h));
	if (h.magic != FA_CONTROL_MAGIC || h.version != FA_CONTROL_VERSION ||
	    h.sessions > FA_STATUS_MAX || h.processes > FA_STATUS_MAX || h.coverage > FA_STATUS_MAX ||
	    h.consumers > FA_STATUS_MAX || h.threads > FA_STATUS_MAX)
		return -EPROTO;
	want += h.sessions * sizeof(struct fa_status_session);
	want += h.processes * sizeof(struct fa_status_process);
	want += h.coverage * sizeof(struct fa_status_coverage);
	want += h.consumers * sizeof(struct fa_status_consumer);
	want += h.threads * sizeof(struct fa_status_thread);
	return len == want ? 0 : -EPROTO;
}

const char *fa_end_reason_text(unsigned reason)
{
	static const char *const text[] = {
		"stopped",
		"its size limit was reached",
		"too little space is left on the disk",
		"the file could not be written",
		"its target ended",
		"its user's limit for written bytes was reached (WrittenPerUser)",
		"saved while the session went on",
		"the session went on in another file",
		"its StopAt was reached",
	};

	return reason < sizeof(text) / sizeof(text[0]) ? text[reason] : "?";
}
