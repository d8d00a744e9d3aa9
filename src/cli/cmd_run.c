/*
 * cmd_run.c - `firstalloc run -- CMD`: trace one command and what it starts, without root, without a
 * daemon, without an installed shim.
 *
 * We are the collector: the command gets the shim by LD_PRELOAD and the name of a folder in which
 * each of its processes makes an arena (collector/rundir.h); we read them while it runs
 * (collector/families.h) and write the trace. All in one thread around one poll().
 *
 * Signals. SIGINT and SIGTERM that are sent to us go on to the command; those that the terminal sends
 * reach it anyway. A second one ends the trace without waiting for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/run_child.h"
#include "cli/run_starts.h"
#include "cli/run_wish.h"
#include "cli/words.h"
#include "collector/families.h"
#include "collector/unseen.h"
#include "format/arena_format.h"
#include "format/index_format.h"
#include "trace/repack.h"
#include "trace/writer.h"

static struct {
	const char *output;
	uint32_t depth;
	const char *flags;
	const char *stacks;
	const char *stamp;
	struct fa_option_list only;
	bool record_args;
	uint64_t block_size;
	const char *compress;
	const char *shim;
	bool wait;
	bool verbose;
} options = {.depth = FA_DEPTH_DEFAULT, .block_size = FA_TRACE_DEFAULT_BLOCK};

/* One run, from the folder to the status. */
struct run {
	struct fa_rundir *dir;
	struct fa_families *families;
	struct fa_run_starts *starts;
	uint64_t not_come; /* programs that it started and that are not traced */
	struct fa_trace_writer *writer;
	struct fa_sink sink;
	struct fa_run_child child;
	sigset_t old_mask;
	int signals; /* signalfd */
	int exe_fd;  /* the command's executable, -1: not known */
	char exe[1024];
	int file;
	char *path;      /* of the trace */
	int status;      /* wait status of the command */
	bool ended;      /* it is valid */
	int interrupted; /* signals that wanted us to end */
	int last_signal;
	int trace_error;   /* what ended the trace before its time */
	uint64_t clock_ns; /* of the last CLOCK record */
	uint64_t bytes;    /* of the file, when it is finished */
	bool pack_later;   /* it is written as it comes, and compressed when it is finished */
	bool progress;     /* may be shown */
	bool progress_shown;
};

static int write_record(void *ctx, unsigned tag, const void *head, size_t head_len,
			const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct run *run = ctx;

	return fa_trace_write(run->writer, tag, head, head_len, tail, tail_len, tail2, tail2_len);
}

/* --- what the user asked for -------------------------------------------------------------- */

/* For the shim. 0 or an exit status, told. */
static int shim_options(const struct fa_cli *cli, char *buf, size_t size)
{
	const struct fa_run_wish wish = {options.flags, options.stacks, options.stamp,
					 options.depth, options.record_args};

	if (options.block_size < 4096 || options.block_size > FA_BLOCK_MAX)
		return fa_usage(cli, "--block-size must be 4K to 4M");
	return fa_run_wish_text(cli, &wish, buf, size);
}

/* --- the trace ---------------------------------------------------------------------------- */

static int write_session(struct run *run, char **argv)
{
	struct fa_rec_session s = {
		.start_real = fa_real_ns(),
		.uid = getuid(),
		.buffer_size = FA_BUFFER_SIZE,
		.flush_timer = 1,
		.policy = FA_POLICY_WAIT,
	};
	struct fa_buf text = {0};
	int r;

	fa_buf_add(&text, "run", 4); /* with its NUL */
	for (int i = 0; argv[i] != NULL && (i == 0 || options.record_args); i++)
		fa_buf_printf(&text, "%s%s", i > 0 ? " " : "", argv[i]);
	r = text.error;
	if (r == 0)
		r = write_record(run, FA_TAG_SESSION, &s, sizeof(s), text.data, text.len + 1, NULL,
				 0);
	fa_buf_done(&text);
	return r;
}

/*
 * What compressing costs is more than all else that we do, and on a busy machine it is the program's time:
 * so it waits until the program has ended. Only a file can be written a second time.
 */
static bool may_pack_later(int file)
{
	struct stat st;

	return (options.compress == NULL || strcmp(options.compress, "auto") == 0) &&
	       fstat(file, &st) == 0 && S_ISREG(st.st_mode);
}

static uint32_t codec_to_use(bool pack_later)
{
	if (options.compress != NULL && strcmp(options.compress, "lz4") == 0)
		return FA_CODEC_LZ4;
	if (options.compress != NULL && strcmp(options.compress, "none") == 0)
		return FA_CODEC_RAW;
	return pack_later ? FA_CODEC_RAW : FA_CODEC_ZSTD;
}

/* Opens run->path and writes what stands first in a trace. 0 or -errno. */
static int open_trace(struct run *run, char **argv)
{
	struct fa_trace_writer_options o = {.block_size = (uint32_t)options.block_size};
	int r;

	run->file = open(run->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	if (run->file < 0)
		return -errno;
	run->pack_later = may_pack_later(run->file);
	/* Whoever runs a command does not wait for the disk at its end; close() says what went wrong. */
	o.unsynced = true;
	o.codec = codec_to_use(run->pack_later);
	r = fa_trace_writer_open(run->file, &o, &run->writer);
	if (r == 0)
		r = fa_drain_write_machine(&run->sink, fa_drain_clock_source());
	if (r == 0)
		r = write_session(run, argv);
	if (r == 0)
		r = fa_drain_write_clock(&run->sink, fa_drain_clock_source());
	if (r == 0) /* a full disk shall be known before the command runs */
		r = fa_trace_writer_flush(run->writer);
	run->clock_ns = fa_mono_ns();
	return r;
}

static int name_trace(struct run *run, const char *command)
{
	if (options.output != NULL)
		run->path = strdup(options.output);
	else if (asprintf(&run->path, "firstalloc.%s.%d.falloc", fa_base_name(command),
			  (int)run->child.pid) < 0)
		run->path = NULL;
	return run->path == NULL ? -ENOMEM : 0;
}

/* Once a second: the clocks, and what is gathered goes to the file. */
static int refresh_trace(struct run *run)
{
	uint64_t now = fa_mono_ns();
	int r;

	if (now - run->clock_ns < 1000000000)
		return 0;
	run->clock_ns = now;
	r = fa_drain_write_clock(&run->sink, fa_drain_clock_source());
	if (r == 0)
		r = fa_trace_writer_flush(run->writer);
	if (r == 0)
		fa_trace_writer_sync(run->writer);
	return r;
}

/* A trace that cannot be written ends here; the command goes on without it. */
static void give_trace_up(struct run *run, int error)
{
	run->trace_error = error;
	fa_families_detach(run->families);
}

/*
 * The command itself, when nothing came of it. Its file is opened as long as it runs. Of what it starts
 * those that load the shim and refuse leave a note, and of the others the kernel tells (run_starts.h).
 */
static void remember_command(struct run *run)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)run->child.pid);
	n = readlink(path, run->exe, sizeof(run->exe) - 1);
	if (n > 0) /* else it has ended already: it was what we found before */
		run->exe[n] = '\0';
	run->exe_fd = open(n > 0 ? path : run->exe, O_RDONLY | O_CLOEXEC);
}

static uint32_t why_not_traced(const struct run *run)
{
	uint32_t r =
		run->exe_fd < 0 ? FA_REASON_UNKNOWN : fa_unseen_reason(run->exe_fd, run->child.pid);

	/* It was in LD_PRELOAD: what kept it from loading, or it from tracing, is not to be seen. */
	return r == FA_REASON_NOT_LOADED ? FA_REASON_UNKNOWN : r;
}

static bool command_is_wanted(const struct run *run)
{
	for (int i = 0; i < options.only.count; i++)
		if (strcmp(fa_base_name(run->exe), options.only.item[i]) == 0)
			return true;
	return options.only.count == 0;
}

static int write_coverage(struct run *run)
{
	struct fa_rec_coverage c = {.pid = run->child.pid, .uid = geteuid()};
	const char *image = fa_base_name(run->exe);
	bool told;

	if (fa_families_came(run->families) || !command_is_wanted(run))
		return 0;
	c.reason = fa_families_refusal(run->families);
	told = c.reason != 0;
	if (!told)
		c.reason = why_not_traced(run);
	if (options.verbose || isatty(STDERR_FILENO))
		fa_warn("%s was not traced: %s", image, fa_reason_text(c.reason));
	if (told) /* written when it came */
		return 0;
	return run->sink.record(run->sink.ctx, FA_TAG_COVERAGE, &c, sizeof(c), image,
				strlen(image) + 1, NULL, 0);
}

/* The command itself is write_coverage()'s, when it did not come. */
static int write_starts(struct run *run)
{
	pid_t but = fa_families_came(run->families) ? 0 : run->child.pid;
	int64_t n = fa_run_starts_finish(run->starts, but, options.only.item, options.only.count,
					 &run->sink);

	run->not_come = n > 0 ? (uint64_t)n : 0;
	return n < 0 ? (int)n : 0;
}

static void end_trace(struct run *run)
{
	struct fa_families_totals t;
	struct fa_rec_end end;
	int r = run->trace_error;

	if (r == 0)
		r = fa_families_finish(run->families);
	if (r == 0)
		r = write_coverage(run);
	if (r == 0)
		r = write_starts(run);
	if (r == 0)
		r = fa_drain_write_clock(&run->sink, fa_drain_clock_source());
	t = fa_families_total(run->families);
	end = (struct fa_rec_end){
		.stamp = fa_drain_stamp(fa_drain_clock_source()),
		.events = t.events,
		.lost = t.lost,
		.reason = r == 0         ? 4
			  : r == -E2BIG  ? 1
			  : r == -ENOSPC ? 2
					 : 3,
		.error = (uint32_t)-r,
	};
	r = fa_trace_writer_end(run->writer, &end,
				r < 0        ? fa_strerror(r)
				: run->ended ? "the command ended"
					     : "interrupted");
	if (run->trace_error == 0)
		run->trace_error = r;
}

/* Another signal, and the trace stays as it is: it is whole. */
static bool go_on_packing(void *ctx, uint64_t done, uint64_t size)
{
	struct run *run = ctx;
	struct signalfd_siginfo s;

	while (read(run->signals, &s, sizeof(s)) == (ssize_t)sizeof(s))
		if (s.ssi_signo != SIGCHLD)
			return false;
	if (run->progress && size != 0) {
		(void)fprintf(stderr, "\rcompressing %3llu %%",
			      (unsigned long long)(done / (size / 100 + 1)));
		run->progress_shown = true;
	}
	return true;
}

/* A trace that was written as it came is made small; when that fails, it stays, and all is well. */
static void pack_trace(struct run *run)
{
	run->bytes = fa_trace_writer_bytes(run->writer);
	if (!run->pack_later || run->trace_error != 0)
		return;
	int r = fa_trace_repack(run->path, run->file, go_on_packing, run, &run->bytes);

	if (run->progress_shown)
		(void)fputs("\r                 \r", stderr);
	if (r < 0 && r != -ENODATA && options.verbose)
		fprintf(stderr, "firstalloc: %s: not compressed: %s\n", run->path, fa_strerror(r));
}

/* A file system on another machine may say only now that it could not write. */
static void close_trace(struct run *run)
{
	if (close(run->file) < 0 && errno != EINTR && run->trace_error == 0)
		run->trace_error = -errno;
	run->file = -1;
}

/* --- the loop ----------------------------------------------------------------------------- */

static void reap_command(struct run *run)
{
	int status;

	if (run->ended || waitpid(run->child.pid, &status, WNOHANG) != run->child.pid)
		return;
	run->status = status;
	run->ended = true;
	fa_families_exited(run->families, run->child.pid, status);
}

static void take_signals(struct run *run)
{
	struct signalfd_siginfo s;

	while (read(run->signals, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
		if (s.ssi_signo == SIGCHLD)
			continue;
		run->interrupted++;
		run->last_signal = (int)s.ssi_signo;
		/* SI_KERNEL: from the terminal, which has sent it to the command as well. */
		if (!run->ended && s.ssi_code != SI_KERNEL)
			(void)kill(run->child.pid, (int)s.ssi_signo);
	}
	reap_command(run);
}

static bool is_done(const struct run *run)
{
	if (run->interrupted > 1)
		return true;
	if (!run->ended)
		return false;
	return !options.wait || run->trace_error != 0 || fa_families_empty(run->families) ||
	       run->interrupted > 0;
}

static void collect(struct run *run)
{
	struct pollfd fds[] = {
		{.fd = run->signals, .events = POLLIN},
		{.fd = fa_rundir_poll_fd(run->dir), .events = POLLIN},
	};

	while (!is_done(run)) {
		int wait_ms = -1, r;

		if (run->trace_error == 0) {
			wait_ms = fa_families_turn(run->families);
			fa_run_starts_turn(run->starts); /* behind it: who came need not be looked at */
			r = wait_ms < 0 ? wait_ms : refresh_trace(run);
			if (r < 0) {
				give_trace_up(run, r);
				wait_ms = -1;
			}
		}
		if (poll(fds, run->trace_error == 0 && wait_ms != 1 ? 2 : 1, wait_ms) != 0)
			take_signals(run);
	}
}

static void tell_summary(const struct run *run)
{
	struct fa_families_totals t = fa_families_total(run->families);
	char events[32], lost[32], size[32], refusing[64] = "";

	if (t.refusing + run->not_come != 0)
		(void)snprintf(refusing, sizeof(refusing), ", %llu not traced",
			       (unsigned long long)(t.refusing + run->not_come));
	if (!options.verbose && !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "firstalloc: %s events, %s lost, %llu process%s%s, %s: %s\n",
		fa_format_count(events, sizeof(events), t.events),
		fa_format_count(lost, sizeof(lost), t.lost), (unsigned long long)t.processes,
		t.processes == 1 ? "" : "es", refusing, run->path,
		fa_format_size(size, sizeof(size), run->bytes));
}

/* --- start and end ------------------------------------------------------------------------ */

static void free_run(struct run *run)
{
	fa_families_free(run->families);
	fa_run_starts_free(run->starts);
	fa_trace_writer_free(run->writer);
	fa_rundir_free(run->dir);
	fa_close(&run->signals);
	fa_close(&run->file);
	fa_close(&run->exe_fd);
	free(run->path);
}

/* Everything until the command waits for our word. 0 or an exit status, told. */
static int prepare(struct run *run, const char *library, const char *shim_opts, char **argv)
{
	int r = fa_rundir_new(&run->dir);

	if (r < 0)
		return fa_fail(RUN_FAILED,
			       "no folder for the command's arenas in /dev/shm, "
			       "$XDG_RUNTIME_DIR or /tmp: %s",
			       fa_strerror(r));
	r = fa_families_new(run->dir, &run->sink, options.only.item, options.only.count,
			    &run->families);
	if (r == 0)
		r = fa_run_set_environment(library, fa_rundir_path(run->dir), shim_opts);
	if (r == 0)
		r = fa_run_signals(&run->old_mask, &run->signals);
	if (r == 0)
		r = fa_run_child_fork(argv, &run->old_mask, &run->child);
	if (r == 0) {
		fa_families_expect(run->families, run->child.pid);
		run->starts = fa_run_starts_new();
		fa_run_starts_watch(run->starts, run->child.pid);
		if (run->starts != NULL)
			fa_families_tell(run->families, fa_run_starts_came, run->starts);
	}
	if (r < 0)
		return fa_fail(RUN_FAILED, "cannot start %s: %s", argv[0], fa_strerror(r));
	r = name_trace(run, argv[0]);
	if (r == 0)
		r = open_trace(run, argv);
	if (r < 0) {
		fa_run_child_cancel(&run->child);
		return fa_fail(RUN_FAILED, "%s: %s", run->path != NULL ? run->path : "trace",
			       fa_strerror(r));
	}
	return 0;
}

static int exec_failed(struct run *run, const char *command, int error)
{
	(void)unlink(run->path); /* a trace of nothing */
	return fa_fail(error == -ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE, "%s: %s", command,
		       fa_strerror(error));
}

static int exit_status(const struct run *run)
{
	if (run->trace_error != 0)
		return fa_fail(RUN_FAILED, "%s: %s; the command was traced only until then",
			       run->path, fa_strerror(run->trace_error));
	if (!run->ended)
		return 128 + run->last_signal;
	return WIFSIGNALED(run->status) ? 128 + WTERMSIG(run->status) : WEXITSTATUS(run->status);
}

static int run_command(const struct fa_cli *cli, int argc, char **argv)
{
	struct run run = {.signals = -1, .file = -1, .exe_fd = -1};
	char library[4096], shim_opts[64];
	int r;

	run.sink = (struct fa_sink){write_record, &run};
	run.progress = cli->progress;
	if (argc == 0)
		return fa_usage(cli, "no command to run");
	r = shim_options(cli, shim_opts, sizeof(shim_opts));
	if (r == 0)
		r = fa_run_library(options.shim, library, sizeof(library));
	if (r != 0)
		return r;
	r = fa_run_find_program(argv[0], run.exe, sizeof(run.exe));
	if (r < 0)
		return fa_fail(r == -ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE, "%s: %s", argv[0],
			       r == -ENOENT ? "command not found" : fa_strerror(r));
	r = prepare(&run, library, shim_opts, argv);
	if (r == 0) {
		r = fa_run_child_go(&run.child);
		if (r < 0) {
			r = exec_failed(&run, argv[0], r);
		} else {
			remember_command(&run);
			collect(&run);
			end_trace(&run);
			pack_trace(&run);
			close_trace(&run);
			tell_summary(&run);
			r = exit_status(&run);
		}
	}
	free_run(&run);
	return r;
}

static const struct fa_option run_options[] = {
	{'o', "output", "FILE", FA_OPT_STRING, &options.output,
	 "write the trace to FILE (default firstalloc.CMD.PID.falloc)", NULL},
	{0, "depth", "N", FA_OPT_U32, &options.depth, "frames of a stack, 1 to 512 (default 64)",
	 NULL},
	{'f', "flags", "FLAGS", FA_OPT_STRING, &options.flags,
	 "what to trace: heap, lock, loader, vm (default heap), see firstalloc-enable(1)", NULL},
	{0, "stacks", "EVENTS", FA_OPT_STRING, &options.stacks,
	 "which events carry stacks (default alloc,realloc)", "alloc|realloc|free|all|none"},
	{0, "stamp", "MODE", FA_OPT_CHOICE, &options.stamp,
	 "which events are stamped with the time (default alloc; of a single thread one in eight)", "alloc|all|none"},
	{0, "only", "IMAGE", FA_OPT_LIST, &options.only,
	 "record only processes of this executable name (may come again)", NULL},
	{0, "record-args", NULL, FA_OPT_FLAG, &options.record_args,
	 "write the arguments of processes into the trace", NULL},
	{0, "wait", NULL, FA_OPT_FLAG, &options.wait,
	 "go on until all traced processes have ended, not only CMD", NULL},
	{0, "block-size", "SIZE", FA_OPT_SIZE, &options.block_size,
	 "bytes of a block of the trace (default 64K)", NULL},
	{0, "compress", "HOW", FA_OPT_CHOICE, &options.compress,
	 "how the trace is compressed (default auto)", "auto|zstd|lz4|none"},
	{0, "library", "FILE", FA_OPT_STRING, &options.shim, "the libfirstalloc_preload.so to use",
	 NULL},
	{'v', "verbose", NULL, FA_OPT_FLAG, &options.verbose,
	 "tell what was recorded at the end, also where stderr is no terminal", NULL},
	{0},
};

const struct fa_command fa_cmd_run = {
	.name = "run",
	.group = "Sessions",
	.summary = "run a command and trace its heap, without root or daemon",
	.synopsis = "[-o FILE] [--depth N] [--only IMAGE]... [--] CMD [ARG]...",
	.description =
		"Runs CMD with the shim preloaded and writes what it and the processes that it "
		"starts do on the heap into a trace, from the first allocation on. Needs neither "
		"root nor an installed firstalloc nor firstallocd.\n"
		"\n"
		"The trace ends with CMD; processes that it leaves behind are traced until then, "
		"with --wait until they end. Programs that change their user, are statically "
		"linked, or drop LD_PRELOAD from their environment are not traced. CMD itself is "
		"then in the trace with the reason, and so is every program that it starts: the "
		"reason is unknown for one that had ended before it was looked at. Of the latter "
		"only those are known that load the shim and refuse (a sanitizer, an allocator of "
		"its own) where the kernel does not tell us of starts: without root before Linux "
		"6.6, and in containers.\n"
		"\n"
		"The trace is written as it comes, so that as little as possible is taken from "
		"CMD's time, and compressed with zstd when CMD has ended, into a file beside it "
		"that then takes its name (SIGINT, or too little space, leaves it as it is). What "
		"is no regular file is compressed while it is written. --compress zstd and lz4 do "
		"that always: for sessions of hours, or little space. none: never, for two to "
		"three times the size.\n"
		"\n"
		"SIGINT and SIGTERM are passed on to CMD; a second one ends the trace without "
		"waiting for it.\n"
		"\n"
		"The exit status is that of CMD, 128+N when signal N killed it, 125 when "
		"firstalloc "
		"itself failed, 126 when CMD cannot be executed, 127 when it is not found; 2 for a "
		"wrong use of run itself.",
	.examples = "firstalloc run -o ls.falloc -- ls -l # trace one program\n"
		    "firstalloc run --only cc1 -- make # of a build only the compiler",
	.options = run_options,
	.flags = FA_CMD_STOP_AT_OPERAND,
	.run = run_command,
};
