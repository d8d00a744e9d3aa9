/* cmd_snapshot.c - heap snapshots: the live blocks of a program, with stacks, without a stream of events. */
#include <string.h>

#include "cli/snapshot.h"

static struct fa_snapshot_given given;

static const struct fa_option options[] = {
	{'p', "pid", "PID", FA_OPT_LIST, &given.pids, "this process; several: 1,2 or --pid again", NULL},
	{'n', "name", "NAME", FA_OPT_LIST, &given.names,
	 "take: all running programs of this name that keep a table", NULL},
	{'o', "output", "FILE", FA_OPT_STRING, &given.output,
	 "take: into this new file (default, without a session: snapshot.SECONDS.falloc)", NULL},
	{'s', "session", "SESSION", FA_OPT_STRING, &given.session,
	 "take: into the trace of this session (default without -o: one in which the process is, if any)", NULL},
	{0, "every", "DURATION", FA_OPT_DURATION, &given.every,
	 "take: again and again, at least 1s; FILE gets a number before its last dot", NULL},
	{0, "count", "N", FA_OPT_U32, &given.count, "take: with --every, so many times", NULL},
	{0, "for", "DURATION", FA_OPT_DURATION, &given.time,
	 "take: with --every, for so long; with --when-..., at most", NULL},
	{0, "when-live", "SIZE", FA_OPT_SIZE, &given.when_live,
	 "take: when the live blocks of the process have so many bytes", NULL},
	{0, "when-rss", "SIZE", FA_OPT_STRING, &given.when_rss,
	 "take: when so much of it is in memory: 2G, or 80% of the machine's", NULL},
	{0, "at-exit", NULL, FA_OPT_FLAG, &given.at_exit, "take: when the process has ended", NULL},
	{0, "on-peak", NULL, FA_OPT_FLAG, &given.on_peak,
	 "take: whenever more is live than ever, by a twentieth, until it ends; FILE is the last", NULL},
	{0, "stop", NULL, FA_OPT_FLAG, &given.stop,
	 "take: end what goes on with these processes or names, or all that goes on (yours; as root, of all)", NULL},
	{0, "post-mortem", NULL, FA_OPT_FLAG, &given.post_mortem,
	 "take: also of a process that has ended, within a minute", NULL},
	{'u', "user", "USER", FA_OPT_STRING, &given.user,
	 "config: only processes of this user: a name, a number, or self", NULL},
	{0, "max-memory", "SIZE", FA_OPT_SIZE, &given.max_memory,
	 "config: what a table may take, 1M to 4095M (default: as much as there is room for)", NULL},
	{0, "depth", "N", FA_OPT_U32, &given.depth, "config: frames of a stack (default 64)", NULL},
	{0}};

static int config(const struct fa_cli *cli, int argc, char **argv)
{
	const bool by_pid = given.pids.count > 0;
	const char *name = by_pid || argc < 1 ? NULL : argv[0];
	const char *verb = by_pid ? (argc > 0 ? argv[0] : NULL) : (argc > 1 ? argv[1] : NULL);

	if (argc > (by_pid ? 1 : 2))
		return fa_usage(cli, "config: one NAME or --pid, then enable, disable or nothing");
	return fa_snapshot_config(cli, &given, name, verb);
}

/* Names may stand there without an option. */
static int take(const struct fa_cli *cli, int argc, char **argv)
{
	const int most = sizeof(given.names.item) / sizeof(given.names.item[0]);

	for (int i = 0; i < argc; i++) {
		if (given.names.count == most)
			return fa_usage(cli, "take: at most %d names", most);
		given.names.item[given.names.count++] = argv[i];
	}
	return fa_snapshot_take(cli, &given);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "config") == 0)
		return config(cli, argc - 1, argv + 1);
	if (argc > 0 && strcmp(argv[0], "take") == 0)
		return take(cli, argc - 1, argv + 1);
	return fa_usage(cli, "snapshot config or snapshot take?");
}

const struct fa_command fa_cmd_snapshot = {
	.name = "snapshot",
	.group = "Sessions",
	.summary = "the live blocks of a program, with stacks, now",
	.synopsis = "config [NAME | --pid PID...] [enable | disable] | "
		    "take [NAME... | --pid PID...] [-o FILE | --session SESSION]",
	.description =
		"A program that is enabled for snapshots keeps a table of the blocks that it has "
		"allocated since and not freed: address, size, stack, thread and time. No events are "
		"recorded and no session is needed, so it can be left on for weeks.\n"
		"\n"
		"config NAME enable sets TracingFlags 0x10 in the rule of that name: it holds for every "
		"new instance until it is disabled. config --pid enables processes that run, for "
		"their lifetime; what they allocated before is not known. disable also makes running "
		"processes give their tables back. Without a verb it says how it is.\n"
		"\n"
		"take writes the tables of the processes as they are now into one new file (-o), which "
		"report(1) and dump(1) read like a trace: every block in it is outstanding; or into the "
		"trace of a running session, --session or, where neither is said, the first that one of "
		"the processes is in. There it has a number: report --view snapshots lists them, "
		"report --snapshot N shows one, diff --from snapshot:1 --to snapshot:2 and growth --at snapshots "
		"compare them. A process that records no events joins the session for it. Sessions "
		"that write over what they have take none, nor do they take what has ended. The "
		"program is not stopped. A block that lived all the time while its table was read is in "
		"it once; one that was allocated or freed meanwhile may be. One line says what came of "
		"each process; the exit status is 2 when some failed.\n"
		"\n"
		"With --when-live, --when-rss, --at-exit and --on-peak the command waits and looks at the process four "
		"times a second; the program does nothing for that. How a process ended does not matter. --stop ends, from "
		"elsewhere, such commands and those with --every, or has them go on without some processes.\n"
		"\n"
		"Fork children have no table of their own. The table lies in the program's arena and "
		"grows with it to about 9 million blocks; what found no room is counted, and the "
		"snapshot says so.",
	.examples = "firstalloc snapshot config nginx enable # its next start keeps a table\n"
		    "firstalloc snapshot take --name nginx -o now.falloc # of all that run\n"
		    "firstalloc report now.falloc # who allocated what is live\n"
		    "firstalloc snapshot take nginx --session daily --every 1h # into its trace, numbered\n"
		    "firstalloc snapshot take --pid 4711 --every 30s --count 10 -o s.falloc # s.1.falloc ...\n",
	.options = options,
	.run = run,
};
