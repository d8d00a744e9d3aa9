/* cmd_start.c - begin a session: open its trace file as the caller, hand it to firstallocd. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/paths.h"
#include "cli/append.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/pids.h"
#include "cli/words.h"
#include "client/attach.h"
#include "registry/registry.h"

static struct {
	const char *output;
	struct fa_option_list images;
	const char *policy;
	uint64_t buffer_size;
	uint32_t minimum_buffers;
	uint32_t maximum_buffers;
	uint64_t flush_timer_ns;
	uint64_t max_file_size;
	uint64_t min_free;
	const char *mode;
	bool preallocate;
	uint64_t ring_size;
	bool real_time;
	bool user;
	struct fa_option_list pids;
	const char *stacks;
	const char *compress;
	uint32_t file_max;
} given = {.min_free = ~0ull};

static const struct fa_option options[] = {
	{'o', "output", "FILE", FA_OPT_STRING, &given.output,
	 "the trace file (default NAME.falloc here); never overwritten", NULL},
	{0, "image", "NAME", FA_OPT_LIST, &given.images,
	 "only processes of this image; may come several times", NULL},
	{0, "mode", "MODE", FA_OPT_CHOICE, &given.mode,
	 "what becomes of the file (default sequential): see below",
	 "sequential|circular|append|newfile|buffering"},
	{0, "file-max", "N", FA_OPT_U32, &given.file_max,
	 "mode newfile: so many files in turn, 2 to 16 (default 16)", NULL},
	{0, "preallocate", NULL, FA_OPT_FLAG, &given.preallocate,
	 "reserve --max-file-size bytes of the disk at once", NULL},
	{0, "real-time", NULL, FA_OPT_FLAG, &given.real_time,
	 "for 'firstalloc tail' and 'top'; without -o and --mode there is no file at all", NULL},
	{0, "ring-size", "SIZE", FA_OPT_SIZE, &given.ring_size,
	 "mode buffering: of the ring in memory, 1M to 1G (default 16M)", NULL},
	{'p', "pid", "PID", FA_OPT_LIST, &given.pids,
	 "only this running process, from its next heap call on; several: again, or with commas; 0: "
	 "the flagged ones, too",
	 NULL},
	{0, "stacks", "EVENTS", FA_OPT_STRING, &given.stacks,
	 "which events carry stacks: alloc, realloc, free, with commas, all, none (default: as each program's rule "
	 "says)",
	 NULL},
	{0, "policy", "POLICY", FA_OPT_CHOICE, &given.policy,
	 "when no buffer is free: wait (default), or lose events and count them", "wait|count"},
	{0, "compress", "HOW", FA_OPT_CHOICE, &given.compress,
	 "auto (default): with zstd when it is stopped, which costs the programs nothing, or with LZ4 while it is recorded, "
	 "where the mode or --max-file-size bounds the file; lz4: always the latter",
	 "auto|lz4"},
	{0, "buffer-size", "SIZE", FA_OPT_SIZE, &given.buffer_size,
	 "of a block of the trace, 4K to 1M (default 64K); see 'firstalloc query' for what was taken", NULL},
	{0, "minimum-buffers", "N", FA_OPT_U32, &given.minimum_buffers,
	 "so many buffer sizes a program's arena has from the first, not only when it is short of room", NULL},
	{0, "maximum-buffers", "N", FA_OPT_U32, &given.maximum_buffers,
	 "a program's arena grows to at most so many buffer sizes (default: no limit)", NULL},
	{0, "flush-timer", "TIME", FA_OPT_DURATION, &given.flush_timer_ns,
	 "write out at least so often (default 1s)", NULL},
	{0, "max-file-size", "SIZE", FA_OPT_SIZE, &given.max_file_size,
	 "end the session at this size, or what the mode does (default: no limit)", NULL},
	{0, "min-free", "SIZE", FA_OPT_SIZE, &given.min_free,
	 "end it when less is free on the disk (default: the larger of 5% and 1G; 0: never)", NULL},
	{0, "user", NULL, FA_OPT_FLAG, &given.user, "only processes of the caller's own user",
	 NULL},
	{0}};

static int fill_mode(const struct fa_cli *cli, struct fa_session_options *o)
{
	uint64_t buffer = o->buffer_size ? o->buffer_size : FA_DEFAULT_BUFFER_SIZE;
	const char *fault;

	o->log_file_mode = fa_log_mode_of(given.mode != NULL ? given.mode : "sequential");
	if (given.real_time && given.mode == NULL && given.output == NULL)
		o->log_file_mode = 0;
	o->log_file_mode |= given.real_time ? FA_LOG_REAL_TIME : 0;
	if (given.preallocate)
		o->log_file_mode |= FA_LOG_PREALLOCATE;
	if (given.ring_size != 0 && (o->log_file_mode & FA_LOG_BUFFERING) == 0)
		return fa_usage(cli, "--ring-size is for --mode buffering");
	if (given.ring_size != 0 && given.minimum_buffers != 0)
		return fa_usage(cli, "--ring-size is --minimum-buffers * --buffer-size: give one");
	if (given.ring_size > FA_RING_MAX)
		return fa_usage(cli, "--ring-size: at most 1G");
	if (given.ring_size != 0)
		o->minimum_buffers = (uint32_t)((given.ring_size + buffer - 1) / buffer);
	if (given.output != NULL && (o->log_file_mode & FA_LOG_BUFFERING) != 0)
		return fa_usage(cli, "a session that buffers has no file: 'firstalloc save' writes one");
	fault = fa_session_mode_fault(o);
	return fault != NULL ? fa_usage(cli, "%s", fault) : 0;
}

static struct fa_pids pids;

static int fill_options(const struct fa_cli *cli, const char *name, struct fa_session_options *o)
{
	const char *what = "name";
	int e;

	if (!fa_session_name_ok(name))
		return fa_usage(cli,
				"'%s' is no session name: letters, digits and . _ - @ +, at "
				"most %d, not starting with a dot or dash",
				name, FA_SESSION_NAME - 1);
	(void)snprintf(o->name, sizeof(o->name), "%s", name);
	if (given.images.count > FA_SESSION_IMAGES)
		return fa_usage(cli, "at most %d images", FA_SESSION_IMAGES);
	for (int i = 0; i < given.images.count; i++) {
		if (strlen(given.images.item[i]) >= FA_IMAGE_NAME)
			return fa_usage(cli, "the image name is too long");
		(void)snprintf(o->image[i], sizeof(o->image[i]), "%s", given.images.item[i]);
	}
	o->image_count = (uint32_t)given.images.count;
	o->policy = given.policy != NULL && strcmp(given.policy, "count") == 0 ? FA_POLICY_COUNT
									       : FA_POLICY_WAIT;
	o->flags |= given.user ? FA_SESSION_USER : 0;
	o->flags |= given.compress == NULL || strcmp(given.compress, "auto") == 0 ? FA_SESSION_PACK_LATER : 0;
	o->minimum_buffers = given.minimum_buffers;
	o->maximum_buffers = given.maximum_buffers;
	o->flush_timer = (uint32_t)((given.flush_timer_ns + 999999999u) / 1000000000u);
	o->maximum_file_size = given.max_file_size;
	/* On the wire 0 is "default" and ~0 "never"; for a user, 0 is "never". */
	o->minimum_free = given.min_free == ~0ull ? 0
			  : given.min_free == 0   ? ~0ull
						  : given.min_free;
	if (fa_pids_parse(cli, &given.pids, &pids) != 0)
		return FA_EXIT_USAGE;
	o->flags |= pids.flagged ? 0 : FA_SESSION_PIDS;
	if (given.stacks != NULL && fa_words_stacks(given.stacks, &o->stacks) < 0)
		return fa_usage(cli, "--stacks: '%s' is not made of alloc, realloc, free, all, none", given.stacks);
	if (given.buffer_size > 4u << 20)
		return fa_usage(cli, "--buffer-size: at most 4M");
	o->buffer_size = (uint32_t)given.buffer_size;
	if (given.max_file_size != 0 && given.max_file_size < 65536)
		return fa_usage(cli, "--max-file-size: at least 64K");
	e = fill_mode(cli, o);
	if (e != 0)
		return e;
	if (fa_session_options_check(o, &what) < 0)
		return fa_usage(cli, "%s is out of its range", what);
	return 0;
}

static int fail_to_open(const char *path, int e)
{
	if (e == -EEXIST)
		return fa_fail(FA_EXIT_FAILED,
			       "%s exists already; a trace is never overwritten: "
			       "name another file with -o",
			       path);
	return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
}

static bool has_file(const struct fa_session_options *o)
{
	return (o->log_file_mode & FA_LOG_BUFFERING) == 0 && !fa_session_real_time_only(o);
}

/* What is written to, and is to go again if the session does not begin. */
struct files {
	char path[600]; /* newfile: with %d */
	int fd[FA_FILES_MAX];
	unsigned count;
	bool made;
};

/* 0, or the exit status after a line that says why. No file: there is none in this mode. */
static int open_files(struct files *f, struct fa_session_options *o)
{
	char path[4096];
	int e;

	memset(f->fd, -1, sizeof(f->fd));
	if (!has_file(o))
		return 0;
	f->count = 1;
	if ((o->log_file_mode & FA_LOG_APPEND) != 0) {
		f->fd[0] = open(f->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (f->fd[0] >= 0)
			return fa_append_check(f->path, f->fd[0], &o->first_id);
	}
	if ((o->log_file_mode & FA_LOG_NEWFILE) != 0) {
		f->count = given.file_max != 0 ? given.file_max : FA_FILES_MAX;
		e = fa_client_open_files(f->path, f->count, f->fd, path, sizeof(path));
	} else {
		(void)snprintf(path, sizeof(path), "%s", f->path);
		e = fa_client_open_trace(path, &f->fd[0]);
	}
	f->made = e == 0;
	return e < 0 ? fail_to_open(path, e) : 0;
}

static void drop_files(struct files *f)
{
	if (!f->made)
		return;
	if (f->count > 1)
		fa_client_drop_files(f->path, f->count, f->fd);
	else
		fa_client_drop_trace(f->path, f->fd[0]);
}

/* The name of the file, or its pattern. */
static int name_files(const struct fa_cli *cli, const struct fa_session_options *o, struct files *f)
{
	bool newfile = (o->log_file_mode & FA_LOG_NEWFILE) != 0;

	(void)snprintf(f->path, sizeof(f->path), newfile ? "%s-%%d.falloc" : "%s.falloc", o->name);
	if (given.output != NULL)
		(void)snprintf(f->path, sizeof(f->path), "%s", given.output);
	if (newfile && !fa_client_is_pattern(f->path))
		return fa_usage(cli, "newfile needs one %%d in the name of the file, and no other %%");
	if (given.file_max != 0 && !newfile)
		return fa_usage(cli, "--file-max is for --mode newfile");
	if (given.file_max == 1 || given.file_max > FA_FILES_MAX)
		return fa_usage(cli, "--file-max: 2 to %d", FA_FILES_MAX);
	return 0;
}

/* Connected, after having started a firstallocd where none was running. */
static int connect_or_start(const struct fa_cli *cli, const char **how)
{
	int sock = fa_client_connect(cli->root);
	int e;

	if (sock != -ENOENT && sock != -ECONNREFUSED)
		return sock;
	e = fa_client_start_daemon(cli->root, how);
	return e < 0 ? e : fa_client_connect(cli->root);
}

static int fail_to_connect(const struct fa_cli *cli, int e)
{
	switch (e) {
	case -EPERM:
		return fa_fail(FA_EXIT_DENIED, "no firstallocd is running, and only root can start "
					       "one: 'sudo firstallocd', or 'firstalloc run'");
	case -ENOENT:
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "the program firstallocd was found neither beside "
			       "firstalloc nor in /usr/sbin");
	case -ECHILD:
		return fa_fail(FA_EXIT_FAILED,
			       "firstallocd did not start; its log is %s" FA_DIR_LOG
			       "/firstallocd.log",
			       cli->root);
	default:
		return fa_client_fail(cli, e);
	}
}

/* Returns how many of the processes that were named could not be had. */
static unsigned print_started(const struct fa_cli *cli, int sock,
			      const struct fa_control_reply *reply,
			      const struct fa_session_options *o, const char *path, const char *how)
{
	unsigned failed;
	struct fa_json j;

	if (cli->json) {
		fa_json_init(&j, stdout, true);
		fa_json_object(&j, NULL);
		fa_json_string(&j, "session", o->name);
		fa_json_string(&j, "mode", fa_log_mode_name(o->log_file_mode));
		fa_json_string(&j, "file", has_file(o) ? path : NULL);
		fa_json_u64(&j, "joined", reply->pending_families);
		fa_json_string(&j, "daemon_started", how);
		fa_json_array(&j, "pids");
		failed = fa_pids_attach(&pids, sock, reply->session_id, &j);
		fa_json_end_array(&j);
		fa_json_end_object(&j);
		fa_json_newline(&j);
		return failed;
	}
	if (how != NULL)
		printf("firstallocd started %s.\n", how);
	if ((o->log_file_mode & FA_LOG_BUFFERING) != 0)
		path = "memory: 'firstalloc save' writes them to a file, 'stop' does not";
	if (fa_session_real_time_only(o))
		path = "no file: 'firstalloc tail' and 'firstalloc top' show them as they come";
	if (pids.flagged)
		printf("session %s: flagged programs%s that start now are traced into %s\n", o->name,
		       geteuid() == 0 && !given.user ? "" : " of yours", path);
	else
		printf("session %s: traced into %s\n", o->name, path);
	if (reply->pending_families > 0)
		printf("%u running already joined.\n", reply->pending_families);
	if (reply->woken > 0)
		printf("%u running %s woken.\n", reply->woken, reply->woken == 1 ? "was" : "were");
	if (reply->text[0] != '\0')
		fa_warn("%s", reply->text);
	return fa_pids_attach(&pids, sock, reply->session_id, NULL);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_control_request request = {.verb = FA_CONTROL_START};
	FA_CLEANUP(fa_close) int sock = -1;
	int got[FA_FILES_MAX];
	struct fa_control_reply reply;
	static struct files files;
	const char *how = NULL;
	unsigned failed;
	int e;

	if (argc != 1)
		return fa_usage(cli, "one session name is needed");
	e = fill_options(cli, argv[0], &request.session);
	if (e != 0)
		return e;
	e = name_files(cli, &request.session, &files);
	if (e != 0)
		return e;
	sock = connect_or_start(cli, &how);
	if (sock < 0)
		return fail_to_connect(cli, sock);
	e = open_files(&files, &request.session);
	if (e != 0)
		return e;
	e = fa_client_ask_files(sock, &request, files.fd, FA_FILES_MAX, &reply, got);
	if (e < 0 || reply.error != 0) {
		drop_files(&files);
		return e < 0 ? fa_client_fail(cli, e) : fa_client_fail_reply(&reply);
	}
	if ((request.session.flags & FA_SESSION_PIDS) == 0)
		reply.woken += fa_attach_flagged(sock, cli->root);
	failed = print_started(cli, sock, &reply, &request.session, files.path, how);
	if (fa_registry_off(cli->root) != 0)
		fa_warn("tracing is switched off: nothing comes into it ('firstalloc status' says "
			"how)");
	return failed != 0 ? FA_EXIT_USAGE : FA_EXIT_OK;
}

const struct fa_command fa_cmd_start = {
	.name = "start",
	.group = "Sessions",
	.summary = "start a session that collects the events of flagged programs",
	.synopsis = "NAME [-o FILE] [--image NAME]... [--pid PID]... [--policy wait|count]",
	.description =
		"A session collects the heap events of flagged programs into one trace file until "
		"it "
		"is stopped. Programs that start after the command has returned are in it from "
		"their "
		"first allocation; those that another session traces already join it, and flagged "
		"programs that run without being traced are woken.\n"
		"\n"
		"With --pid the session has the processes that are named, flagged or not, and no "
		"others (fork children come along, and processes that share a recording with "
		"one that is named). They are traced from their next heap call on: no debugger, no signal, "
		"no stop. A line says for each what came of it; with one that cannot be had the "
		"others go on, and the exit status is 2. Root may name any process, a user those "
		"that he could ptrace: the kernel decides, and where kernel.yama.ptrace_scope is 1 or 2 "
		"only root may, with 3 nobody. What was allocated before is not "
		"known; its frees are counted (preexisting_frees) and are no errors. --pid 0 "
		"stands for the flagged programs.\n"
		"\n"
		"--stacks holds from a few milliseconds after a program has come into the session; until then "
		"its rule does. Sessions that share a program have the stacks of all events of which one of "
		"them wants them.\n"
		"\n"
		"The file is opened by the caller, with mode 0600, and handed to firstallocd, so "
		"nothing is written where the caller could not write. An existing file is never "
		"overwritten. Root and members of the group firstalloc collect from programs of "
		"all "
		"users; everybody else from own programs only, and --user says so explicitly.\n"
		"\n"
		"Modes. sequential: the file grows, and at --max-file-size the session ends. circular: at "
		"--max-file-size (at least 1M) the oldest events are written over; what the others need, "
		"stacks and modules above all, is kept. append: an existing trace of this machine and this "
		"boot goes on; its END is replaced. newfile: at --max-file-size (at least 1M) it goes on in the next "
		"file, from %d = 1 to --file-max, and then in the first again, which is emptied; each is complete in "
		"itself. All are made at the start, and 'stop' removes those that were not needed. buffering: the newest events are kept in memory, "
		"--ring-size bytes of them, until 'firstalloc save' writes them to a file. With --preallocate "
		"the disk cannot become too full for a file; what was not used is given back at the end. All of them "
		"outlive a firstallocd whose collector is killed. With --real-time alone nothing is kept: the events "
		"are for whoever reads along (firstalloc tail, firstalloc top), which any session allows. Programs whose earlier events were written over are said to have run "
		"before the trace began; frees of blocks from that time are counted, and are no errors.\n"
		"\n"
		"When no firstallocd is running, root's 'start' starts one: its systemd unit where "
		"there is one, else a process in the background.",
	.examples =
		"firstalloc start daily -o daily.falloc # trace all flagged programs from now on\n"
		"firstalloc start web --image nginx --max-file-size 2G # one program, bounded\n"
		"firstalloc start now --pid 4711,4712 # two processes that run\n"
		"firstalloc start last --mode circular --max-file-size 1G # the newest gigabyte, for weeks\n"
		"firstalloc start now --real-time # no file: for 'firstalloc tail now'\n"
		"firstalloc start parts --mode newfile --max-file-size 256M -o 'part-%d.falloc' # the newest 4 gigabytes\n"
		"firstalloc start flight --mode buffering --ring-size 64M # the newest, in memory\n",
	.options = options,
	.run = run,
};
