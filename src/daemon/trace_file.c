/* trace_file.c - what a client may hand over as a trace: the collector must not come to hang at it, nor pay for it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/paths.h"
#include "daemon/collector.h"

/* Is it a user that serves this kind of file system, or the kernel that invents it? */
static bool is_odd_type(const char *type)
{
	static const char *const odd[] = {"proc",    "sysfs",   "cgroup",  "cgroup2",
					  "debugfs", "tracefs", "configfs"};

	if (strncmp(type, "fuse", 4) == 0)
		return true;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (strcmp(type, odd[i]) == 0)
			return true;
	return false;
}

/*
 * A file of a user who might want to hold us in a write for ever: it must lie on a file system that is
 * mounted where we are, too, so that root mounted it. What users mount in namespaces of their own (FUSE,
 * an overlay over FUSE) is not. Asks the file system nothing that it could keep back its answer to.
 */
const char *refuse_mount(const struct statx *x)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	const char *what = "the trace file is on a file system that only its user has mounted";
	char line[4096], type[64];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		const char *dash = strstr(line, " - ");
		unsigned id, major, minor;

		if (dash == NULL || sscanf(line, "%u %*u %u:%u ", &id, &major, &minor) != 3 ||
		    sscanf(dash, " - %63s ", type) != 1)
			continue;
		if (id != x->stx_mnt_id && (major != x->stx_dev_major || minor != x->stx_dev_minor))
			continue;
		what = is_odd_type(type)
			       ? "the trace file is on a file system of a user (FUSE) or of the "
				 "kernel"
			       : NULL;
		break;
	}
	if (f != NULL)
		(void)fclose(f);
	return what;
}

bool mount_is_trusted(int fd)
{
	struct statx x;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID,
		     &x) == 0 &&
	       refuse_mount(&x) == NULL;
}

/* NULL: the file may be written to; else what is wrong with it. */
const char *refuse_file(const struct client *cl, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct statx x;
	const char *what = NULL;

	if (flags < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
			       STATX_BASIC_STATS | STATX_MNT_ID, &x) < 0)
		return "no trace file came along";
	if (!S_ISREG(x.stx_mode) && !S_ISFIFO(x.stx_mode))
		return "the trace file is neither a file nor a pipe";
	if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) != 0)
		return "the trace file is not open for writing";
	if (!cl->system) {
		/* Who keeps the same open pipe can make it block again after we made it not to. */
		if (!S_ISREG(x.stx_mode))
			return "a pipe is for root and members of the group " FA_GROUP;
		/* Memory (memfd, an unlinked file in a tmpfs) would be charged to us. */
		if (x.stx_nlink == 0)
			return "the trace file has no name";
		if ((flags & O_DSYNC) != 0)
			return "the trace file is open for synchronous writing";
		what = refuse_mount(&x);
	}
	return what;
}

/* The same, for what is to be done with it. */
const char *refuse_start_file(const struct collector *c, const struct client *cl,
				     const struct fa_session_options *o, int fd)
{
	const char *what;
	struct stat st, other;

	if ((o->log_file_mode & FA_LOG_BUFFERING) != 0)
		return fd < 0 ? NULL : "a session that buffers has no file";
	if (fa_session_real_time_only(o))
		return fd < 0 ? NULL : "a session in real time alone has no file";
	what = refuse_file(cl, fd);
	if (what != NULL || fstat(fd, &st) < 0)
		return what;
	if (!S_ISREG(st.st_mode))
		return (o->log_file_mode & ~(uint32_t)(FA_LOG_SEQUENTIAL | FA_LOG_REAL_TIME)) != 0
			       ? "a pipe takes a sequential trace only"
			       : NULL;
	if (st.st_size != 0 && (o->log_file_mode & FA_LOG_APPEND) == 0)
		return "the trace file is not empty";
	for (unsigned i = 0; i < FA_SESSIONS_MAX * FA_FILES_MAX; i++) {
		const struct session *s = &c->session[i / FA_FILES_MAX];

		if (s->used && s->files[i % FA_FILES_MAX] >= 0 &&
		    fstat(s->files[i % FA_FILES_MAX], &other) == 0 && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino)
			return "another session writes into that file";
	}
	return NULL;
}

static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

const char *refuse_start_files(const struct collector *c, const struct client *cl,
			       const struct fa_session_options *o, const int files[FA_FILES_MAX])
{
	const char *what = refuse_start_file(c, cl, o, files[0]);

	if ((o->log_file_mode & FA_LOG_NEWFILE) != 0 && files[1] < 0)
		return "newfile needs two files at least";
	for (int i = 1; i < FA_FILES_MAX && files[i] >= 0 && what == NULL; i++) {
		what = refuse_start_file(c, cl, o, files[i]);
		for (int k = 0; k < i && what == NULL; k++)
			if (is_same_file(files[i], files[k]))
				what = "one trace file came along twice";
	}
	return what;
}

/* Rings are our own memory: NULL, or why this caller gets no more of it. */
const char *refuse_ring(const struct collector *c, const struct client *cl,
			       const struct fa_session_options *o)
{
	uint64_t sum = 0;

	if ((o->log_file_mode & FA_LOG_BUFFERING) == 0 || cl->system)
		return NULL;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		const struct session *s = &c->session[i];

		if (s->used && s->uid == cl->uid && (s->o.log_file_mode & FA_LOG_BUFFERING) != 0)
			sum += fa_session_ring_size(&s->o);
	}
	return sum + fa_session_ring_size(o) > FA_RING_USER_MAX
		       ? "the rings of one user's sessions have at most 64 MB together"
		       : NULL;
}
