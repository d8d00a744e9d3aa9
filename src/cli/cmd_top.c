/*
 * cmd_top.c - `firstalloc top`: the hottest stacks of a session, or of a command, drawn anew each second.
 *
 * A session is read along (daemon/consumers.c); a command is run by `firstalloc run`, and the trace that it writes
 * is read while it grows, and punched out behind us. Either way records go through the replay of reports as they come.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <fcntl.h>
#include <limits.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/top.h"
#include "trace/live.h"

static struct {
	const char *sort;
	uint32_t rows;
	uint64_t interval_ns;
	uint32_t count;
	bool once;
} given;

static const struct fa_option options[] = {
	{0, "sort", "KEY", FA_OPT_CHOICE, &given.sort,
	 "largest first: bytes a second (default), calls a second, outstanding bytes, transient",
	 "bytes|calls|outstanding|transient"},
	{0, "rows", "N", FA_OPT_U32, &given.rows, "at most N stacks (default: as the terminal has room for, else 20)",
	 NULL},
	{0, "interval", "TIME", FA_OPT_DURATION, &given.interval_ns, "time between two tables (default 1s)", NULL},
	{'n', "count", "N", FA_OPT_U32, &given.count, "end after N tables", NULL},
	{0, "once", NULL, FA_OPT_FLAG, &given.once, "one table, as --count 1", NULL},
	{0}};

struct run {
	const struct fa_cli *cli;
	const char *title;
	struct fa_trace_live *live;
	struct fa_replay_live *replay;
	struct top table;
	enum top_key by;
	bool drawn;    /* on a terminal: keys, ANSI */
	bool over;     /* nothing more will come */
	bool ended;    /* properly */
	bool came;     /* events, since the last table */
	bool quit;
	uint32_t printed;
	pid_t child;   /* 0: none */
	int status;    /* of it */
	char path[PATH_MAX]; /* of its trace, "": it has none any more */
	uint64_t looked_ns;
	struct termios before;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

/* ---- where records come from ---- */

static int fail_live(const struct fa_cli *cli, int e)
{
	if (e == -EBADMSG || e == -EPROTONOSUPPORT)
		return fa_fail(FA_EXIT_FAILED, "what came is no trace that this version can read");
	return fa_client_fail(cli, e);
}

static int open_session(struct run *r, const char *name)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(r->cli->root);
	struct fa_control_request everything = {0};
	struct fa_control_reply reply;
	int e = sock < 0 ? sock : fa_client_tail(sock, name, 0, &everything, &reply);

	if (e < 0)
		return fa_client_fail(r->cli, e);
	if (reply.error != 0)
		return fa_client_fail_reply(&reply);
	r->title = name;
	e = fa_trace_live_open(fa_take_fd(&sock), &r->live);
	return e < 0 ? fail_live(r->cli, e) : 0;
}

/* The one session that runs. */
static int open_only_session(struct run *r, char name[FA_SESSION_NAME])
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(r->cli->root);
	FA_CLEANUP(fa_client_status_done) struct fa_client_status st = {0};
	struct fa_control_reply reply;
	const char *found = NULL;
	uint32_t n = 0;
	int e = sock < 0 ? sock : fa_client_status(sock, false, &reply, &st);

	if (e < 0)
		return fa_client_fail(r->cli, e);
	if (reply.error != 0)
		return fa_client_fail_reply(&reply);
	for (uint32_t i = 0; i < st.h.sessions; i++)
		if (st.session[i].state == FA_SESSION_RUNNING && n++ == 0)
			found = st.session[i].name;
	if (n != 1)
		return fa_usage(r->cli, n == 0 ? "no session is running: name a command, 'top -- CMD'"
					       : "several sessions are running: name one");
	(void)snprintf(name, FA_SESSION_NAME, "%.*s", FA_SESSION_NAME - 1, found);
	return open_session(r, name);
}

static _Noreturn void be_command(struct run *r, char **argv, int argc)
{
	char **words = calloc((size_t)argc + 9, sizeof(*words));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), n = 0;

	if (words == NULL)
		_exit(125);
	words[n++] = (char *)(uintptr_t)"firstalloc";
	words[n++] = (char *)(uintptr_t)"run";
	words[n++] = (char *)(uintptr_t)"--compress=none";
	words[n++] = (char *)(uintptr_t)"--block-size=4K"; /* what happens rarely is to be seen soon, too */
	words[n++] = (char *)(uintptr_t)"-o";
	words[n++] = r->path;
	words[n++] = (char *)(uintptr_t)"--";
	for (int i = 0; i < argc; i++)
		words[n++] = argv[i];
	/* The table is on the screen, or in stdout: what the command prints goes where it spoils neither. */
	if (r->drawn && null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	(void)dup2(r->drawn && null >= 0 ? null : STDERR_FILENO, STDOUT_FILENO);
	execv("/proc/self/exe", words);
	_exit(125);
}

static int open_command(struct run *r, char **argv, int argc)
{
	FA_CLEANUP(fa_close) int fd = -1;
	const char *folder = getenv("TMPDIR");
	int e;

	if (argc == 0)
		return fa_usage(r->cli, "no command to run");
	if (folder == NULL || folder[0] == '\0')
		folder = "/tmp";
	e = fa_path_join(r->path, sizeof(r->path), folder, "/firstalloc-top.XXXXXX");
	if (e == 0) {
		fd = mkostemp(r->path, O_CLOEXEC);
		e = fd < 0 ? -errno : 0;
	}
	if (e < 0) {
		r->path[0] = '\0'; /* there is nothing to be removed */
		return fa_fail((int)fa_exit_of(e), "%s: %s", folder, fa_strerror(e));
	}
	r->title = argv[0];
	e = fa_trace_live_open(fa_take_fd(&fd), &r->live);
	if (e == 0)
		r->child = fork();
	if (r->child == 0 && e == 0)
		be_command(r, argv, argc);
	if (e < 0 || r->child < 0)
		return fa_fail(FA_EXIT_FAILED, "cannot run %s", argv[0]);
	return 0;
}

/* The command has opened it, or never will: the name has done its work. */
static void drop_path(struct run *r)
{
	if (r->path[0] != '\0')
		(void)unlink(r->path);
	r->path[0] = '\0';
}

/* ---- records ---- */

static int take_all(struct run *r)
{
	struct fa_trace_record rec;
	int e = 0;

	while (e == 0 && fa_trace_live_next(r->live, &rec) == 1) {
		e = fa_replay_live_take(r->replay, &rec);
		r->came |= rec.tag == FA_TAG_EVENTS;
		r->over |= rec.tag == FA_TAG_END;
		r->ended |= rec.tag == FA_TAG_END;
		if (r->child != 0)
			drop_path(r);
	}
	if (e == 0 && fa_trace_live_damage(r->live).damaged)
		e = -EBADMSG;
	return e;
}

/* Has the command ended? What it left in its trace is read once more. */
static void look_after_child(struct run *r)
{
	if (r->child <= 0 || r->over || waitpid(r->child, &r->status, WNOHANG) != r->child)
		return;
	r->child = -1;
}

/* ---- keys and screen ---- */

static void leave_screen(struct run *r)
{
	if (!r->drawn)
		return;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &r->before);
	(void)fputs("\033[?25h", stdout);
	(void)fflush(stdout);
}

static void enter_screen(struct run *r)
{
	struct sigaction a = {.sa_handler = on_signal};
	struct termios raw;

	(void)sigaction(SIGINT, &a, NULL);
	(void)sigaction(SIGTERM, &a, NULL);
	r->drawn = !r->cli->json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) &&
		   tcgetattr(STDIN_FILENO, &r->before) == 0;
	if (!r->drawn)
		return;
	raw = r->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	(void)fputs("\033[?25l", stdout);
}

static bool take_key(struct run *r, char key)
{
	const char *keys = "bcot", *at = strchr(keys, key);

	if (key == 'q')
		r->quit = true;
	if (key == '\0' || at == NULL)
		return false;
	r->by = (enum top_key)(at - keys);
	return true;
}

static void draw(struct run *r)
{
	struct winsize w = {0};
	size_t rows = given.rows != 0 ? given.rows : 20;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	if (given.rows == 0 && w.ws_row > 6)
		rows = (size_t)w.ws_row - 5;
	(void)fputs("\033[H", stdout);
	top_print(&r->table, stdout, r->title, r->by, rows, w.ws_col > 1 ? w.ws_col - 1u : 79, "\033[K\n");
	(void)fputs("keys: b bytes, c calls, o outstanding, t transient, q quit\033[K\033[J", stdout);
}

static int show(struct run *r)
{
	uint64_t now = fa_mono_ns();
	double seconds = (double)(now - r->looked_ns) / 1e9;
	size_t rows = given.rows != 0 ? given.rows : 20;
	int e = r->came ? 0 : fa_replay_live_settle(r->replay);

	/* At the end nothing is on its way either. */
	if (e == 0 && r->over)
		e = fa_replay_live_settle(r->replay);
	if (e == 0)
		e = top_look(&r->table, fa_replay_live_now(r->replay), seconds > 0 ? seconds : 1e-9, r->by);
	if (e < 0)
		return e;
	r->looked_ns = now;
	r->came = false;
	r->printed++;
	if (r->cli->json)
		top_print_json(&r->table, stdout, r->title, fa_real_ns(), rows);
	else if (r->drawn)
		draw(r);
	else
		top_print(&r->table, stdout, r->title, r->by, rows, 0, "\n");
	if (!r->cli->json && !r->drawn)
		putchar('\n');
	(void)fflush(stdout);
	return 0;
}

/* Until the next table is due, or a key asks for one. */
static int gather(struct run *r, uint64_t until_ns)
{
	int e = 0;

	while (e == 0 && !r->over && !r->quit && interrupted == 0 && fa_mono_ns() < until_ns) {
		struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
		char key = '\0';
		bool gone = r->child < 0;

		e = fa_trace_live_wait(r->live, 20);
		if (e >= 0 || e == -ENODATA || e == -EINTR) {
			int taken = take_all(r);

			r->over |= e == -ENODATA || gone;
			e = taken;
		}
		look_after_child(r);
		if (r->drawn && poll(&p, 1, 0) == 1 && read(STDIN_FILENO, &key, 1) == 1 && take_key(r, key))
			return e;
	}
	return e;
}

static uint32_t tables_wanted(void)
{
	return given.once ? 1 : given.count;
}

static int watch(struct run *r)
{
	uint64_t interval = given.interval_ns != 0 ? given.interval_ns : 1000000000u;
	int e = 0;

	r->looked_ns = fa_mono_ns();
	while (e == 0 && !r->quit && !r->over && interrupted == 0 && !ferror(stdout) &&
	       (tables_wanted() == 0 || r->printed < tables_wanted())) {
		e = gather(r, r->looked_ns + interval);
		if (e == 0)
			e = show(r);
	}
	return e;
}

static int end_child(struct run *r)
{
	drop_path(r);
	if (r->child == 0)
		return FA_EXIT_OK;
	if (r->child > 0) {
		if (!r->over)
			(void)kill(r->child, SIGTERM);
		while (waitpid(r->child, &r->status, 0) < 0 && errno == EINTR)
			;
	}
	return r->over && WIFEXITED(r->status) ? WEXITSTATUS(r->status) : FA_EXIT_OK;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct run r = {.cli = cli};
	char name[FA_SESSION_NAME];
	int status, e;

	while (r.by < TOP_KEYS - 1 && given.sort != NULL && strcmp(top_key_names[r.by], given.sort) != 0)
		r.by++;
	if (argc > 1 && strcmp(argv[0], "--") != 0)
		return fa_usage(cli, "one session name, or -- and a command");
	enter_screen(&r);
	e = top_new(&r.table);
	if (e == 0)
		e = fa_replay_live_new(&r.replay);
	status = e < 0 ? fa_client_fail(cli, e)
		 : argc == 0                       ? open_only_session(&r, name)
		 : strcmp(argv[0], "--") == 0 ? open_command(&r, argv + 1, argc - 1)
						   : open_session(&r, argv[0]);
	if (status == 0) {
		e = watch(&r);
		leave_screen(&r);
		if (r.drawn)
			putchar('\n');
		if (e < 0)
			status = fail_live(cli, e);
		else if (r.over && !r.ended && r.child == 0)
			status = fa_fail(FA_EXIT_FAILED, "firstallocd closed the connection: it was restarted, or so "
							 "much waited to be read that it gave up");
	} else {
		leave_screen(&r);
	}
	e = end_child(&r);
	fa_trace_live_free(r.live);
	fa_replay_live_free(r.replay);
	top_done(&r.table);
	return status != 0 ? status : e;
}

const struct fa_command fa_cmd_top = {
	.name = "top",
	.group = "Sessions",
	.summary = "the hottest stacks of a session or a command, each second",
	.synopsis = "[NAME | -- CMD [ARG]...] [--sort KEY] [--rows N] [--interval TIME] [--count N | --once]",
	.description =
		"A table of stacks: bytes and calls allocated a second, bytes that are outstanding now "
		"in processes that live, and the share of the calls whose blocks are freed by now "
		"(transient). Counted from when top began: what was allocated before is not known to it. The same stack in several processes is one row. "
		"Without a name it is the session that runs, if there is one.\n"
		"\n"
		"On a terminal the table is drawn anew each second, as large as the window is; b, c, o and t "
		"sort it by bytes, calls, outstanding and transient, q ends it. Elsewhere tables come one after "
		"the other, and with --json each is a line.\n"
		"\n"
		"With -- CMD the command is run and traced as by 'firstalloc run', without root or "
		"daemon; its trace is read while it is written and not kept (a file without a name in $TMPDIR, or /tmp). Its "
		"output goes to stderr, or nowhere while a table is on the screen. When top is left first, CMD gets "
		"a SIGTERM; else top ends with CMD, and with its exit status.\n"
		"\n"
		"Nobody waits for top. Events that it was too slow for, or that the programs lost, are said to be missing: "
		"then numbers are too small, and outstanding may be too large.",
	.examples = "firstalloc top # of the session that runs\n"
		    "firstalloc top daily --sort outstanding # who holds most\n"
		    "firstalloc top -- make -j8 # of a build\n"
		    "firstalloc top daily --json --count 10 # for a program\n",
	.options = options,
	.flags = FA_CMD_KEEP_DASHES,
	.run = run,
};
