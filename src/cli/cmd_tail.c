/*
 * cmd_tail.c - `firstalloc tail NAME`: the events of a session while they happen. A customer of the C library
 * (fa_trace_open_live()), so that what it shows is what any program can have.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/rules.h"
#include "firstalloc.h"
#include "format/control_format.h"
#include "format/event_format.h"

static struct {
	struct fa_option_list pids;
	struct fa_option_list images;
	const char *events;
	const char *size;
	bool stacks;
	uint64_t count;
	uint64_t for_ns;
} given;

static const struct fa_option options[] = {
	{'p', "pid", "PID", FA_OPT_LIST, &given.pids, "only processes with this pid; may come several times",
	 NULL},
	{0, "image", "NAME", FA_OPT_LIST, &given.images,
	 "only processes of this image; may come several times", NULL},
	{0, "events", "KIND,...", FA_OPT_STRING, &given.events,
	 "only these: alloc, realloc, free, process, thread, mark, space, wait, loader, extents", NULL},
	{0, "size", "A,B", FA_OPT_STRING, &given.size,
	 "only blocks of A up to B bytes: 4K,1M; frees have no size and are left out", NULL},
	{0, "stacks", NULL, FA_OPT_FLAG, &given.stacks, "the frames of each stack, too", NULL},
	{'n', "count", "N", FA_OPT_U64, &given.count, "end after N events", NULL},
	{0, "for", "TIME", FA_OPT_DURATION, &given.for_ns, "end after this time", NULL},
	{0}};

enum { FRAMES = 512, GROUPS = 10, AGAIN_MS = 5000 };

static const struct {
	const char *name;
	uint32_t kinds; /* bits of enum fa_trace_event_kind */
} groups[GROUPS] = {
	{"alloc", 1u << FA_EVENT_ALLOC},
	{"realloc", 1u << FA_EVENT_REALLOC},
	{"free", 1u << FA_EVENT_FREE},
	{"process", 1u << FA_EVENT_PROCESS_START | 1u << FA_EVENT_PROCESS_END},
	{"thread", 1u << FA_EVENT_THREAD_START | 1u << FA_EVENT_THREAD_END},
	{"mark", 1u << FA_EVENT_MARK},
	{"space", 1u << FA_EVENT_SPACE},
	{"wait", 1u << FA_EVENT_WAIT},
	{"loader", 1u << FA_EVENT_LOAD | 1u << FA_EVENT_UNLOAD},
	{"extents", 1u << FA_EVENT_EXTENTS},
};

static const char *const kind_names[] = {NULL,          "alloc",       "realloc", "free",
					 "process",     "process-end", "lost",    "mark",
					 "thread",      "thread-end",  "space",   "wait",
					 "load",        "unload",      "extents"};

struct tail {
	const struct fa_cli *cli;
	struct fa_trace *trace;
	struct fa_trace_info info;
	struct fa_json j;
	uint32_t kinds;
	uint64_t size_lo, size_hi;
	int32_t pids[64];
	uint32_t process; /* whose image this is */
	char image[256];
	uint64_t shown, lost;
	uint64_t until_ns; /* 0: no limit */
	bool filtered;
	struct fa_live_filter filter; /* what firstallocd can leave out */
};

/* ---- what is asked for ---- */

static int read_kinds(const struct fa_cli *cli, uint32_t *ret)
{
	const char *p = given.events;

	/* Those come every second, of each process. */
	*ret = p == NULL ? ~(1u << FA_EVENT_EXTENTS) : 1u << FA_EVENT_LOST;
	while (p != NULL && *p != '\0') {
		size_t len = strcspn(p, ","), i = 0;

		while (i < GROUPS && (strlen(groups[i].name) != len || strncmp(groups[i].name, p, len) != 0))
			i++;
		if (i == GROUPS)
			return fa_usage(cli, "--events: there is no kind '%.*s'", (int)len, p);
		*ret |= groups[i].kinds;
		p += len + (p[len] == ',');
	}
	return 0;
}

static int read_filters(const struct fa_cli *cli, struct tail *t)
{
	t->size_hi = UINT64_MAX;
	if (given.size != NULL && fa_parse_range(given.size, fa_parse_size, &t->size_lo, &t->size_hi) < 0)
		return fa_usage(cli, "--size: '%s' is no range: two sizes, the smaller first, with a comma",
				given.size);
	for (int i = 0; i < given.pids.count; i++) {
		uint32_t pid;

		if (fa_parse_u32(given.pids.item[i], &pid) < 0 || pid > INT32_MAX)
			return fa_usage(cli, "--pid: '%s' is no process id", given.pids.item[i]);
		t->pids[i] = (int32_t)pid;
	}
	return read_kinds(cli, &t->kinds);
}

/* Of more images than it can be told of it gives all, and we leave out. */
static void make_filter(struct tail *t)
{
	t->filtered = given.pids.count != 0 || given.images.count != 0 || given.events != NULL || given.size != NULL;
	t->filter = (struct fa_live_filter){
		.size = sizeof(t->filter),
		.kinds = t->kinds,
		.bytes_from = t->size_lo,
		.bytes_to = given.size != NULL ? t->size_hi : 0,
		.pids = t->pids,
		.pid_count = (uint32_t)given.pids.count,
	};
	if (given.images.count <= FA_SESSION_IMAGES) {
		t->filter.images = given.images.item;
		t->filter.image_count = (uint32_t)given.images.count;
	}
}

static int open_live(struct tail *t, const char *name)
{
	return fa_trace_open_live_filtered(0, name, t->filtered ? &t->filter : NULL, &t->trace);
}

/* The image of its process, kept for the next event. */
static void find_image(struct tail *t, uint32_t process)
{
	struct fa_process_info p = {.size = sizeof(p)};
	uint32_t i = 0;

	if (process == t->process)
		return;
	t->process = process;
	t->image[0] = '\0';
	while (fa_trace_get_process(t->trace, i++, &p) == FA_OK)
		if (p.process == process) {
			(void)snprintf(t->image, sizeof(t->image), "%s", p.image);
			fa_clean_text(t->image);
			return;
		}
}

static bool is_heap(const struct fa_trace_event *e)
{
	return e->kind == FA_EVENT_ALLOC || e->kind == FA_EVENT_REALLOC || e->kind == FA_EVENT_FREE;
}

static bool is_wanted(struct tail *t, const struct fa_trace_event *e)
{
	bool found = given.pids.count == 0;

	if (!(t->kinds >> e->kind & 1))
		return false;
	for (int i = 0; i < given.pids.count; i++)
		found |= t->pids[i] == e->pid;
	if (!found && e->kind != FA_EVENT_MARK)
		return false;
	if (is_heap(e) && given.size != NULL &&
	    (e->kind == FA_EVENT_FREE || e->bytes < t->size_lo || e->bytes >= t->size_hi))
		return false;
	find_image(t, e->process);
	found = given.images.count == 0 || e->kind == FA_EVENT_MARK;
	for (int i = 0; i < given.images.count; i++)
		found |= strcmp(given.images.item[i], t->image) == 0;
	return found;
}

/* ---- what is shown ---- */

static const char *function_name(uint32_t function)
{
	switch (function) {
	case FA_CALL_REALLOC:
		return "realloc";
	case FA_CALL_REALLOCARRAY:
		return "reallocarray";
	case FA_CALL_FREE:
		return "free";
	case FA_WAIT_MUTEX:
		return "mutex";
	case FA_WAIT_READ:
		return "rwlock, to read";
	case FA_WAIT_WRITE:
		return "rwlock, to write";
	case FA_LOADER_DLOPEN:
		return "dlopen";
	case FA_LOADER_DLMOPEN:
		return "dlmopen";
	case FA_LOADER_DLCLOSE:
		return "dlclose";
	case FA_LOADER_FOUND:
		return "found";
	default:
		return function >= FA_SPACE_MMAP ? fa_call_name(function - FA_SPACE_MMAP + FA_CALL_MMAP)
						 : fa_alloc_function_name(function);
	}
}

static void put_clean(const char *s)
{
	for (; *s != '\0'; s++)
		putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void text_frame(const struct fa_stack_frame *f)
{
	const char *slash = f->module != NULL ? strrchr(f->module, '/') : NULL;
	const char *module = slash != NULL ? slash + 1 : f->module;

	fputs("        ", stdout);
	if (f->function != NULL)
		put_clean(f->function);
	else
		printf("0x%" PRIx64, f->offset);
	if (f->file != NULL) {
		fputs("  ", stdout);
		slash = strrchr(f->file, '/');
		put_clean(slash != NULL ? slash + 1 : f->file);
		printf(":%u", f->line);
	}
	if (module != NULL) {
		fputs("  [", stdout);
		put_clean(module);
		putchar(']');
	}
	putchar('\n');
}

static uint32_t frames_of(struct tail *t, const struct fa_trace_event *e, struct fa_stack_frame *f)
{
	uint32_t n = 0;

	if (!given.stacks || e->stack == 0 ||
	    fa_trace_stack(t->trace, e->process, e->stack, 0, f, FRAMES, &n) != FA_OK)
		return 0;
	return n;
}

/* Of the day, as the clock on the wall shows it. */
static void text_time(uint64_t real_ns)
{
	time_t s = (time_t)(real_ns / 1000000000u);
	char text[16] = "?";
	struct tm tm;

	if (localtime_r(&s, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%06u", text, (unsigned)(real_ns % 1000000000u / 1000));
}

static bool is_call(const struct fa_trace_event *e)
{
	return e->kind >= FA_EVENT_SPACE && e->kind <= FA_EVENT_UNLOAD;
}

static void text_call(const struct fa_trace_event *e)
{
	printf("/%d %s 0x%" PRIx64, (int)e->tid, function_name(e->function), e->address);
	if (e->bytes != 0)
		printf(" %" PRIu64 " bytes", e->bytes);
	if (e->kind == FA_EVENT_WAIT)
		printf(" %" PRIu64 " ns%s", e->duration_ns,
		       e->flags & FA_EVENT_TIMED_OUT ? ", given up" : "");
	if (e->owner_tid != 0)
		printf(", %d had it", (int)e->owner_tid);
	if (e->text[0] != '\0')
		putchar(' ');
	put_clean(e->text);
	if (e->stack != 0)
		printf(" stack %u", e->stack);
}

static void text_event(struct tail *t, const struct fa_trace_event *e, uint64_t real_ns)
{
	static struct fa_stack_frame f[FRAMES];

	text_time(real_ns);
	printf(" %-11s", kind_names[e->kind]);
	if (e->process != 0)
		printf(" %s[%d]", t->image, (int)e->pid);
	if (is_heap(e)) {
		printf("/%d %s", (int)e->tid, function_name(e->function));
		if (e->kind == FA_EVENT_REALLOC)
			printf(" 0x%" PRIx64 " ->", e->old_address);
		printf(" 0x%" PRIx64, e->address);
		if (e->kind != FA_EVENT_FREE)
			printf(" %" PRIu64 " bytes", e->bytes);
		if (e->stack != 0)
			printf(" stack %u", e->stack);
	} else if (is_call(e)) {
		text_call(e);
	} else if (e->kind == FA_EVENT_EXTENTS) {
		printf(" %" PRIu64 " reserved, %" PRIu64 " committed, %" PRIu64 " resident",
		       e->reserved, e->committed, e->resident);
	} else if (e->kind == FA_EVENT_THREAD_START || e->kind == FA_EVENT_THREAD_END) {
		printf("/%d", (int)e->tid);
	} else if (e->kind == FA_EVENT_LOST) {
		printf(" %" PRIu64 " events", e->bytes);
	} else if (e->kind == FA_EVENT_PROCESS_END && e->status != -1) {
		printf(" status %d", e->status);
	} else if (e->kind == FA_EVENT_MARK) {
		putchar(' ');
		put_clean(e->text);
	}
	putchar('\n');
	for (uint32_t i = 0, n = frames_of(t, e, f); i < n; i++)
		text_frame(&f[i]);
}

static void json_frames(struct tail *t, const struct fa_trace_event *e)
{
	static struct fa_stack_frame f[FRAMES];
	uint32_t n = frames_of(t, e, f);

	fa_json_array(&t->j, "frames");
	for (uint32_t i = 0; i < n; i++) {
		fa_json_object(&t->j, NULL);
		fa_json_string(&t->j, "function", f[i].function);
		fa_json_string(&t->j, "file", f[i].file);
		fa_json_u64(&t->j, "line", f[i].line);
		fa_json_string(&t->j, "module", f[i].module);
		fa_json_u64(&t->j, "offset", f[i].offset);
		fa_json_end_object(&t->j);
	}
	fa_json_end_array(&t->j);
}

static void json_address(struct fa_json *j, const char *key, uint64_t address)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "0x%" PRIx64, address);
	fa_json_string(j, key, text);
}

static void json_call(struct tail *t, const struct fa_trace_event *e)
{
	struct fa_json *j = &t->j;

	fa_json_string(j, "function", function_name(e->function));
	json_address(j, "address", e->address);
	if (e->old_address != 0)
		json_address(j, "old_address", e->old_address);
	if (e->kind != FA_EVENT_WAIT)
		fa_json_u64(j, "size", e->bytes);
	if (e->kind == FA_EVENT_WAIT) {
		fa_json_u64(j, "wait_ns", e->duration_ns);
		fa_json_i64(j, "owner_tid", e->owner_tid);
		fa_json_bool(j, "given_up", e->flags & FA_EVENT_TIMED_OUT);
	}
	if (e->text[0] != '\0')
		fa_json_string(j, "module", e->text);
	fa_json_u64(j, "stack", e->stack);
	if (given.stacks)
		json_frames(t, e);
}

static void json_event(struct tail *t, const struct fa_trace_event *e, uint64_t real_ns)
{
	struct fa_json *j = &t->j;

	fa_json_object(j, NULL);
	fa_json_string(j, "event", kind_names[e->kind]);
	fa_json_u64(j, "real_ns", real_ns);
	fa_json_i64(j, "pid", e->pid);
	if (e->process != 0) {
		fa_json_u64(j, "process", e->process);
		fa_json_string(j, "image", t->image);
	}
	if (e->tid != 0)
		fa_json_i64(j, "tid", e->tid);
	if (is_heap(e)) {
		fa_json_string(j, "function", function_name(e->function));
		json_address(j, "address", e->address);
		if (e->kind == FA_EVENT_REALLOC)
			json_address(j, "old_address", e->old_address);
		if (e->kind != FA_EVENT_FREE)
			fa_json_u64(j, "size", e->bytes);
		fa_json_u64(j, "stack", e->stack);
		if (given.stacks)
			json_frames(t, e);
	} else if (is_call(e)) {
		json_call(t, e);
	} else if (e->kind == FA_EVENT_EXTENTS) {
		fa_json_u64(j, "reserved", e->reserved);
		fa_json_u64(j, "committed", e->committed);
		fa_json_u64(j, "resident", e->resident);
	} else if (e->kind == FA_EVENT_LOST) {
		fa_json_u64(j, "events", e->bytes);
	} else if (e->kind == FA_EVENT_PROCESS_END) {
		fa_json_i64(j, "status", e->status);
	} else if (e->kind == FA_EVENT_MARK) {
		fa_json_string(j, "text", e->text);
	}
	fa_json_end_object(j);
	fa_json_newline(j);
}

static void show(struct tail *t, const struct fa_trace_event *e)
{
	uint64_t real_ns = t->info.start_real_ns + (uint64_t)e->time_ns;

	if (t->cli->json)
		json_event(t, e, real_ns);
	else
		text_event(t, e, real_ns);
}

/* ---- the loop ---- */

static int fail(int error)
{
	int status = error == FA_ERROR_NO_SUCH_SESSION || error == FA_ERROR_NO_DAEMON ? FA_EXIT_NOT_FOUND
		     : error == FA_ERROR_ACCESS_DENIED				       ? FA_EXIT_DENIED
										       : FA_EXIT_FAILED;

	return fa_fail(status, "%s", fa_error_message());
}

static bool over(const struct tail *t)
{
	return (given.count != 0 && t->shown >= given.count) ||
	       (t->until_ns != 0 && fa_mono_ns() >= t->until_ns);
}

/* All that is there now. FA_OK, or what fa_trace_next() said, but FA_ERROR_NO_MORE. */
static int show_all(struct tail *t)
{
	struct fa_trace_event e = {.size = sizeof(e)};
	int r = FA_OK;

	while (!over(t) && (r = fa_trace_next(t->trace, &e)) == FA_OK) {
		if (e.kind == FA_EVENT_LOST)
			t->lost += e.bytes;
		if (t->info.start_real_ns == 0)
			(void)fa_trace_get_info(t->trace, &t->info);
		if (e.kind > FA_EVENT_EXTENTS || !is_wanted(t, &e))
			continue;
		show(t, &e);
		t->shown += e.kind != FA_EVENT_LOST;
	}
	(void)fflush(stdout);
	return r == FA_ERROR_NO_MORE ? FA_OK : r;
}

static int follow(struct tail *t)
{
	int r = FA_OK;

	while (r == FA_OK && !over(t) && !ferror(stdout)) {
		int wait_ms = -1;

		if (t->until_ns != 0) {
			uint64_t now = fa_mono_ns();

			wait_ms = now < t->until_ns ? (int)((t->until_ns - now) / 1000000u % 3600000u) + 1 : 0;
		}
		r = fa_trace_wait(t->trace, wait_ms);
		if (r == FA_OK || r == FA_ERROR_NO_MORE) {
			int shown = show_all(t);

			r = shown != FA_OK ? shown : r;
		}
	}
	return r;
}

/* A collector that was killed is followed by another, which goes on with the session. */
static int open_again(struct tail *t, const char *name)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	int r = FA_ERROR_NO_DAEMON;

	fa_warn("%s; reading along again, what happened in between is not shown", fa_error_message());
	fa_trace_close(t->trace);
	t->trace = NULL;
	t->process = 0;
	t->info.start_real_ns = 0;
	for (int ms = 0; r != FA_OK && ms < AGAIN_MS; ms += 100) {
		(void)nanosleep(&pause, NULL);
		r = open_live(t, name);
	}
	return r;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct tail t = {.cli = cli, .info.size = sizeof(t.info)};
	char count[32];
	int r;

	if (argc != 1)
		return fa_usage(cli, "one session name is needed");
	r = read_filters(cli, &t);
	if (r != 0)
		return r;
	t.until_ns = given.for_ns != 0 ? fa_mono_ns() + given.for_ns : 0;
	fa_json_init(&t.j, stdout, false);
	(void)fa_set_root(cli->root);
	make_filter(&t);
	r = open_live(&t, argv[0]);
	while (r == FA_OK) {
		r = follow(&t);
		if (r == FA_ERROR_NO_DAEMON)
			r = open_again(&t, argv[0]);
		else if (r == FA_OK)
			break; /* as many as were wanted */
	}
	fa_trace_close(t.trace);
	if (r != FA_OK && r != FA_ERROR_NO_MORE)
		return fail(r);
	if (t.lost == 0)
		return FA_EXIT_OK;
	return fa_fail(FA_EXIT_LOST, "%s events are missing here: lost by the programs, or because this reader was too slow",
		       fa_format_count(count, sizeof(count), t.lost));
}

const struct fa_command fa_cmd_tail = {
	.name = "tail",
	.group = "Sessions",
	.summary = "show the events of a session while they happen",
	.synopsis = "NAME [--pid PID]... [--image NAME]... [--events KIND,...] [--stacks] [--count N] [--for TIME]",
	.description =
		"Reads along with a session of any mode, from now on, until it ends: a line for each event, "
		"with its time of day, kind, process, thread, function, address, size and the number "
		"of its stack; --stacks adds the frames of it. With --json each line is an object. "
		"Processes that run already are named first.\n"
		"\n"
		"Who may stop a session may read along, several at once. Nobody waits for them: neither "
		"the traced programs nor the session's file become slower because of a reader. "
		"What a reader is too slow for (a terminal, when a program allocates millions of blocks a second) "
		"is lost for it alone; a line 'lost' says how many events that were, 'firstalloc query' "
		"counts them for each reader, and the exit status is 3 then. What --pid, --image, --events and --size leave "
		"out is not sent: a narrow look at a busy session loses nothing for it.\n"
		"\n"
		"A free has no time of its own as a rule: the one that is shown is of the event before "
		"it in its thread. When firstallocd's collector is replaced, reading along begins anew.",
	.examples = "firstalloc start now --real-time # a session without a file\n"
		    "firstalloc tail now --events alloc --size 1M, --stacks # who allocates more than a megabyte\n"
		    "firstalloc tail now --json --count 1000 # for a program\n",
	.options = options,
	.run = run,
};
