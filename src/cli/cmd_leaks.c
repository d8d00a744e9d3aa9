/*
 * cmd_leaks.c - `firstalloc leaks PID`: blocks of a running process that nothing points to.
 *
 * In this order: which trace has its blocks; the process stands still, its registers and memory are copied, it goes
 * on; the trace is brought up to that moment; the blocks that were live then. A block that is freed later was no leak,
 * whatever the copy says: it is left out.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "analysis/live.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/reading.h"
#include "client/stopped.h"
#include "report/leaks.h"

enum { RUN_FLUSH_SECONDS = 15, STALE_STACK = 128 };

static struct {
	uint32_t pid;
	const char *name;
	const char *trace;
	const char *by;
	struct fa_option_list show;
	uint64_t fail_above;
} options = {.fail_above = UINT64_MAX};

struct job {
	struct fa_reading reading;
	int32_t pid;
	char path[4096];
	uint64_t session; /* that writes the trace, 0: none of firstallocd's */
	struct fa_stopped stopped;
	uint64_t stamp; /* when the process stood still */
	struct fa_replay *replay;
	const struct fa_process *process; /* of which `block` is */
	struct fa_block *block;
	size_t count, cap;
	int error;
	struct fa_memory *memory;
	struct fa_memory_range *out;
	struct fa_reached *reached;
	struct fa_leaks leaks;
};

/* ---- which process ---- */

static bool runs(const char *pid, const char *name)
{
	char path[300], exe[4096];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	const char *base = fa_base_name(exe);
	size_t len = strlen(name);

	return strncmp(base, name, len) == 0 &&
	       (base[len] == '\0' || strcmp(base + len, " (deleted)") == 0);
}

static int find_by_name(struct job *job)
{
	const struct dirent *e;
	int found = 0;
	DIR *proc = opendir("/proc");

	while (proc != NULL && (e = readdir(proc)) != NULL) {
		uint32_t pid;

		if (!isdigit((unsigned char)e->d_name[0]) || fa_parse_u32(e->d_name, &pid) < 0 ||
		    !runs(e->d_name, options.name))
			continue;
		job->pid = (int32_t)pid;
		found++;
	}
	if (proc != NULL)
		(void)closedir(proc);
	if (found == 1)
		return FA_EXIT_OK;
	return found == 0 ? fa_fail(FA_EXIT_NOT_FOUND, "leaks: no '%s' runs that you may look at",
				    options.name)
			  : fa_fail(FA_EXIT_USAGE, "leaks: %d of '%s' run: which one? (--pid)",
				    found, options.name);
}

/* ---- which trace ---- */

static bool holds_everything(const struct fa_status_session *s)
{
	return s->state == FA_SESSION_RUNNING &&
	       !(s->log_file_mode & (FA_LOG_CIRCULAR | FA_LOG_BUFFERING)) && s->file[0] == '/';
}

static bool take_session(struct job *job, const struct fa_client_status *status)
{
	for (uint32_t i = 0; i < status->h.processes; i++) {
		const struct fa_status_process *p = &status->process[i];

		for (uint32_t k = 0; p->pid == job->pid && k < status->h.sessions; k++) {
			const struct fa_status_session *s = &status->session[k];

			if (!(p->sessions >> s->index & 1) || !holds_everything(s))
				continue;
			(void)snprintf(job->path, sizeof(job->path), "%s", s->file);
			job->session = s->id;
			return true;
		}
	}
	return false;
}

static int find_session(struct job *job)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(job->reading.cli->root);
	struct fa_client_status status = {0};
	struct fa_control_reply reply;
	int r;

	if (sock < 0)
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "leaks: no firstallocd is running that could know the blocks of %d; "
			       "--trace FILE names the trace of `firstalloc run`",
			       job->pid);
	r = fa_client_status(sock, false, &reply, &status);
	if (r < 0 || reply.error != 0)
		return r < 0 ? fa_client_fail(job->reading.cli, r) : fa_client_fail_reply(&reply);
	bool found = take_session(job, &status);

	fa_client_status_done(&status);
	if (found)
		return FA_EXIT_OK;
	return fa_fail(
		FA_EXIT_NOT_FOUND,
		"leaks: no session has process %d in a file that keeps everything; enable it and "
		"start it anew under a session, or `firstalloc start NAME --pid %d` (then older "
		"blocks are not known)",
		job->pid, job->pid);
}

/* ---- up to the moment ---- */

static int flush(struct job *job)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(job->reading.cli->root);
	struct fa_control_request request = {.verb = FA_CONTROL_FLUSH, .session_id = job->session};
	struct fa_control_reply reply;
	int r = sock < 0 ? sock : fa_client_ask(sock, &request, -1, &reply, NULL);

	if (r < 0)
		return fa_client_fail(job->reading.cli, r);
	return reply.error != 0 ? fa_client_fail_reply(&reply) : FA_EXIT_OK;
}

/* `firstalloc run` writes its trace out once a second. */
static int await_trace(struct job *job, struct fa_trace_clock *ret)
{
	uint64_t until = fa_mono_ns() + RUN_FLUSH_SECONDS * (uint64_t)1000000000;
	int r;

	while ((r = fa_replay_clock(job->path, ret)) == 0 &&
	       fa_trace_clock_mono_ns(ret, ret->last.stamp) < job->stopped.at_ns) {
		if (fa_mono_ns() > until) {
			fa_warn("%s: it does not go on: what was allocated since its last second "
				"may "
				"be missing",
				job->path);
			return FA_EXIT_OK;
		}
		(void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	return r < 0 ? fa_reading_failed(job->path, r) : FA_EXIT_OK;
}

static void life(void *ctx, const struct fa_process *p, const struct fa_block *block,
		 uint64_t freed)
{
	struct job *job = ctx;

	if (job->process != p) {
		/* Another had this pid before: the last one is meant. */
		if (job->process != NULL && job->process->id > p->id)
			return;
		job->process = p;
		job->count = 0;
	}
	if (freed != UINT64_MAX || block->stamp >= job->stamp)
		return;
	if (job->count == job->cap) {
		size_t cap = job->cap == 0 ? 1024 : job->cap * 2;
		struct fa_block *bigger = reallocarray(job->block, cap, sizeof(*bigger));

		if (bigger == NULL) {
			job->error = -ENOMEM;
			return;
		}
		job->block = bigger;
		job->cap = cap;
	}
	job->block[job->count++] = *block;
}

static int by_address(const void *a, const void *b)
{
	const struct fa_block *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Nothing of it is live, or was: then life() was not called for it. */
static void find_process(struct job *job)
{
	const struct fa_model *m = &job->replay->model;

	for (size_t i = 0; i < m->process_count; i++)
		if (m->processes[i]->selected && m->processes[i] != job->process &&
		    (job->process == NULL || m->processes[i]->id > job->process->id)) {
			job->process = m->processes[i];
			job->count = 0;
		}
}

static int read_blocks(struct job *job)
{
	struct fa_trace_clock clock;
	uint64_t start;
	int status = job->session != 0 ? flush(job) : FA_EXIT_OK, r;

	if (status == FA_EXIT_OK)
		status = await_trace(job, &clock);
	if (status != FA_EXIT_OK)
		return status;
	start = fa_trace_clock_mono_ns(&clock, clock.first.stamp);
	job->stamp = fa_replay_stamp_at(
		&clock, job->stopped.at_ns > start ? job->stopped.at_ns - start : 0);
	job->reading.pids[0] = job->pid;
	job->reading.filter.pids = job->reading.pids;
	job->reading.filter.pid_count = 1;
	job->reading.filter.life = life;
	job->reading.filter.life_ctx = job;
	fa_reading_begin(&job->reading);
	r = fa_replay_run(job->path, &job->reading.filter, &job->replay);
	fa_reading_end(&job->reading);
	if (r == 0)
		r = job->error;
	if (r < 0)
		return fa_reading_failed(job->path, r);
	find_process(job);
	if (job->process == NULL)
		return fa_fail(FA_EXIT_NOT_FOUND, "%s: process %d is not in this trace", job->path,
			       job->pid);
	if (job->process->ended)
		return fa_fail(FA_EXIT_NOT_FOUND, "%s: process %d has ended", job->path, job->pid);
	if (job->count != 0)
		qsort(job->block, job->count, sizeof(*job->block), by_address);
	return FA_EXIT_OK;
}

/* ---- the scan ---- */

static int by_lo(const void *a, const void *b)
{
	const struct fa_memory_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* What lies below the stack pointers, within their mappings, is what returned functions left. */
static size_t below_stacks(const struct job *job, struct fa_memory_range *out)
{
	const struct fa_stopped *s = &job->stopped;
	size_t n = 0;

	for (size_t t = 0; t < s->threads; t++)
		for (size_t i = 0; i < s->count; i++) {
			uint64_t sp = s->stack_pointer[t];

			if (sp < s->range[i].lo + STALE_STACK || sp >= s->range[i].hi)
				continue;
			/* The red zone is in use. */
			out[n++] = (struct fa_memory_range){
				.lo = s->range[i].lo, .hi = (sp - STALE_STACK) & ~(uint64_t)7};
		}
	qsort(out, n, sizeof(*out), by_lo);
	return n;
}

/* May there be blocks that are not known? */
static bool knows_not_all(const struct fa_process *p)
{
	return p->older || p->inherit_failed || p->lost_unknown || fa_process_lost(p) != 0;
}

static int find_leaks(struct job *job)
{
	const struct fa_stopped *s = &job->stopped;
	struct fa_reach_input in = {.block = job->block,
				    .count = job->count,
				    .word = s->word,
				    .word_count = s->words,
				    .heap_is_root = knows_not_all(job->process)};

	job->memory = calloc(s->count + 1, sizeof(*job->memory));
	job->out = calloc(s->threads + 1, sizeof(*job->out));
	job->reached = calloc(job->count + 1, sizeof(*job->reached));
	if (job->memory == NULL || job->out == NULL || job->reached == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++)
		if (s->range[i].copied)
			job->memory[in.memory_count++] =
				(struct fa_memory){.lo = s->range[i].lo,
						   .hi = s->range[i].hi,
						   .bytes = s->range[i].bytes,
						   .heap = s->range[i].kind == FA_STOPPED_HEAP};
	in.memory = job->memory;
	in.out = job->out;
	in.out_count = below_stacks(job, job->out);
	return fa_reach(&in, job->reached);
}

/* ---- the run ---- */

static int read_show(const struct fa_cli *cli, unsigned *ret)
{
	*ret = options.show.count == 0 ? 1u << FA_DEFINITE | 1u << FA_POSSIBLE : 0;
	for (int i = 0; i < options.show.count; i++) {
		unsigned c = 0;

		while (c < FA_REACHES && strcmp(options.show.item[i], fa_reach_names[c]) != 0)
			c++;
		if (c == FA_REACHES)
			return fa_usage(cli,
					"--show: '%s' is none of definite, indirect, possible, "
					"reachable",
					options.show.item[i]);
		*ret |= 1u << c;
	}
	return FA_EXIT_OK;
}

/* What was found, with find_leaks() done. */
static int show(struct job *job)
{
	const struct fa_cli *cli = job->reading.cli;
	const struct fa_leaks_look look = {
		.process = job->process,
		.replay = job->replay,
		.block = job->block,
		.reached = job->reached,
		.count = job->count,
		.threads = job->stopped.threads,
		.paused_ns = job->stopped.paused_ns,
		.copied_bytes = job->stopped.bytes,
		.heap_was_root = knows_not_all(job->process),
	};
	const struct fa_report style = {.resolver = job->reading.resolver,
					.by_function = options.by != NULL &&
						       strcmp(options.by, "function") == 0,
					.top = fa_reading_options.top,
					.width = fa_terminal_width(),
					.color = cli->color};
	unsigned kinds;
	int status = read_show(cli, &kinds), r;

	if (status != FA_EXIT_OK)
		return status;
	r = fa_leaks_new(&look, style.resolver, style.by_function, kinds, &job->leaks);
	if (r == 0)
		r = cli->json ? fa_leaks_json(&style, &look, &job->leaks, stdout)
			      : fa_leaks_text(&style, &look, &job->leaks, stdout);
	return r < 0 ? fa_fail(fa_exit_of(r), "leaks: %s", fa_strerror(r)) : FA_EXIT_OK;
}

static int stop_failed(int32_t pid, int error)
{
	if (error == -EPERM || error == -EACCES)
		return fa_fail(FA_EXIT_DENIED,
			       "leaks: process %d may not be stopped by you, or a debugger has it "
			       "(ptrace; "
			       "see also /proc/sys/kernel/yama/ptrace_scope)",
			       pid);
	if (error == -ESRCH)
		return fa_fail(FA_EXIT_NOT_FOUND, "leaks: there is no process %d", pid);
	if (error == -EOPNOTSUPP)
		return fa_fail(FA_EXIT_FAILED, "leaks: %d is a program of 32 bits: not done yet",
			       pid);
	if (error == -ETIMEDOUT)
		return fa_fail(
			FA_EXIT_FAILED,
			"leaks: a thread of %d sleeps in the kernel and cannot be stopped; try "
			"again",
			pid);
	return fa_fail(fa_exit_of(error), "leaks: process %d: %s", pid, fa_strerror(error));
}

static int look(struct job *job)
{
	int status = FA_EXIT_OK, r;

	if (options.name != NULL)
		status = find_by_name(job);
	if (status == FA_EXIT_OK && options.trace != NULL)
		(void)snprintf(job->path, sizeof(job->path), "%s", options.trace);
	else if (status == FA_EXIT_OK)
		status = find_session(job);
	if (status != FA_EXIT_OK)
		return status;
	/* Before anything is stopped. */
	if (access(job->path, R_OK) < 0)
		return fa_reading_failed(job->path, -errno);
	r = fa_stopped_read(job->pid, &job->stopped);
	if (r < 0)
		return stop_failed(job->pid, r);
	status = read_blocks(job);
	if (status != FA_EXIT_OK)
		return status;
	r = find_leaks(job);
	return r < 0 ? fa_fail(fa_exit_of(r), "leaks: %s", fa_strerror(r)) : show(job);
}

static int final_status(const struct job *job)
{
	const struct fa_amount *of = job->leaks.of;
	int status = fa_reading_status(job->replay);

	if (status == FA_EXIT_OK &&
	    of[FA_DEFINITE].bytes + of[FA_INDIRECT].bytes > options.fail_above)
		return FA_EXIT_GROWN;
	return status;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct job job = {0};
	int status;

	if (argc > 1 || (argc == 1) + (options.name != NULL) + (options.pid != 0) != 1)
		return fa_usage(cli, "which process? (PID, or --name NAME)");
	if (argc == 1 && fa_parse_u32(argv[0], &options.pid) < 0)
		return fa_usage(cli, "'%s' is no process id", argv[0]);
	job.pid = (int32_t)options.pid;
	status = fa_reading_init(&job.reading, cli);
	if (status == FA_EXIT_OK)
		status = look(&job);
	if (status == FA_EXIT_OK)
		status = final_status(&job);
	fa_leaks_done(&job.leaks);
	free(job.memory);
	free(job.out);
	free(job.reached);
	free(job.block);
	fa_replay_free(job.replay);
	fa_stopped_done(&job.stopped);
	fa_reading_done(&job.reading);
	return status;
}

static const struct fa_option leaks_options[] = {
	{0, "pid", "PID", FA_OPT_U32, &options.pid, "the process", NULL},
	{0, "name", "NAME", FA_OPT_STRING, &options.name,
	 "the process that runs this program, when there is one", NULL},
	{0, "trace", "FILE", FA_OPT_STRING, &options.trace,
	 "the trace that it is recorded into (default: asks firstallocd)", NULL},
	{0, "show", "KIND", FA_OPT_LIST, &options.show,
	 "definite and possible (default), indirect, reachable; may come several times",
	 "definite|indirect|possible|reachable"},
	{0, "by", "WHAT", FA_OPT_CHOICE, &options.by, "a row for each stack (default) or function",
	 "stack|function"},
	{0, "top", "N", FA_OPT_U32, &fa_reading_options.top, "show N rows (text 20, JSON all)",
	 NULL},
	{0, "fail-above", "SIZE", FA_OPT_SIZE, &options.fail_above,
	 "exit with 6 when more than SIZE is definitely or indirectly lost", NULL},
	FA_READING_STACKS,
	{0},
};

const struct fa_command fa_cmd_leaks = {
	.name = "leaks",
	.group = "Traces",
	.summary = "find blocks of a running process that nothing points to",
	.synopsis =
		"PID | --name NAME [--trace FILE] [--show KIND] [--by stack|function] [--top N]",
	.description =
		"Stops the process with ptrace, with your own rights, for as long as it takes to "
		"copy its "
		"registers and the memory that it has written (about a second for a gigabyte; "
		"it "
		"says how long), and lets it go on. Then it looks in the copy for pointers to the "
		"blocks that were live at that moment, which the trace tells: that of a session of "
		"firstallocd (sequential or append), or with --trace that of 'firstalloc run' or "
		"of any "
		"session that still records.\n\n"
		"Reachable is what a root leads to: a register, a stack, a global variable, memory "
		"that "
		"is not from malloc. Possible: only a pointer into its middle leads there. "
		"Definite: "
		"nothing does. Indirect: only a definite leak does. These are valgrind's words. "
		"The scan "
		"is conservative: a number that looks like an address hides a leak, and what a "
		"function left on a stack or in a register may. A pointer that is kept in disguise "
		"makes up a leak. A "
		"block that is freed while this command still reads is no leak.\n\n"
		"Where the trace began behind the program, or events were lost, not all blocks are "
		"known; memory of the allocator that may be one of those counts as a root, and "
		"leaks may "
		"be hidden; this is said. What glibc's malloc keeps of freed blocks is known not "
		"to be "
		"a pointer of the program; of other allocators it is not.\n\n"
		"A system call that a stop interrupts may return EINTR, as with a debugger "
		"(epoll_wait, "
		"for one; see signal(7)). The exit status is 0 whatever leaks, 3 when events were "
		"lost, "
		"4 when the kernel does not let you, 5 when there is no such process or trace, 6 "
		"when "
		"--fail-above says so.",
	.examples =
		"firstalloc leaks --name nginx # in the session that traces it\n"
		"firstalloc leaks 4711 --by function --top 5 # the worst functions\n"
		"firstalloc leaks 4711 --trace t.falloc --json # under firstalloc run -o t.falloc\n"
		"firstalloc leaks 4711 --fail-above 0 # for a test: 6 if anything is lost",
	.options = leaks_options,
	.run = run,
};
