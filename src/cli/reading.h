/*
 * reading.h - what the commands that replay traces have in common: filters, symbols, progress, and what is
 * said of a file that is damaged or not there. For report, diff, growth.
 */
#ifndef FA_CLI_READING_H
#define FA_CLI_READING_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#include "analysis/replay.h"
#include "cli/command.h"
#include "report/resolve.h"

/* The values of the options below; a program runs one command. */
struct fa_reading_options {
	struct fa_option_list pids;
	struct fa_option_list images;
	struct fa_option_list threads;
	const char *size;
	const char *lifetime;
	const char *function;
	const char *module;
	uint32_t top;
	uint32_t snapshot;
	bool no_cull;
	bool fold_recursion;
	bool tolerate_lost;
	struct fa_option_list debug_dirs;
	bool debuginfod;
};
extern struct fa_reading_options fa_reading_options;

#define FA_READING_FILTERS                                                                         \
	{0,                                                                                        \
	 "snapshot",                                                                               \
	 "N",                                                                                      \
	 FA_OPT_U32,                                                                               \
	 &fa_reading_options.snapshot,                                                             \
	 "not the events: snapshot N of the trace (report --view snapshots)",                      \
	 NULL},                                                                                    \
	{0,   "top", "N", FA_OPT_U32, &fa_reading_options.top, "show N rows (text 20, JSON all)",  \
	 NULL},                                                                                    \
		{0,                                                                                \
		 "pid",                                                                            \
		 "PID",                                                                            \
		 FA_OPT_LIST,                                                                      \
		 &fa_reading_options.pids,                                                         \
		 "only this process; may come several times",                                      \
		 NULL},                                                                            \
		{0,                                                                                \
		 "process",                                                                        \
		 "NAME",                                                                           \
		 FA_OPT_LIST,                                                                      \
		 &fa_reading_options.images,                                                       \
		 "only processes of this program; may come several times",                         \
		 NULL},                                                                            \
		{0,                                                                                \
		 "thread",                                                                         \
		 "TID|NAME",                                                                       \
		 FA_OPT_LIST,                                                                      \
		 &fa_reading_options.threads,                                                      \
		 "only what this thread allocated; may come several times",                        \
		 NULL},                                                                            \
		{0,                                                                                \
		 "size",                                                                           \
		 "A,B",                                                                            \
		 FA_OPT_STRING,                                                                    \
		 &fa_reading_options.size,                                                         \
		 "only blocks of A up to below B bytes: 1K,",                                      \
		 NULL},                                                                            \
		{0,                                                                                \
		 "function",                                                                       \
		 "RE",                                                                             \
		 FA_OPT_STRING,                                                                    \
		 &fa_reading_options.function,                                                     \
		 "only stacks with a function that matches",                                       \
		 NULL},                                                                            \
	{                                                                                          \
		0, "module", "RE", FA_OPT_STRING, &fa_reading_options.module,                      \
			"only stacks with a module (path) that matches", NULL                      \
	}
#define FA_READING_LIFETIME                                                                        \
	{                                                                                          \
		0, "lifetime", "A,B", FA_OPT_STRING, &fa_reading_options.lifetime,                 \
			"only blocks that lived A up to below B: ,10us", NULL                      \
	}
#define FA_READING_STACKS                                                                          \
	{0,                                                                                        \
	 "no-cull",                                                                                \
	 NULL,                                                                                     \
	 FA_OPT_FLAG,                                                                              \
	 &fa_reading_options.no_cull,                                                              \
	 "show the frames of the allocator and of the tracer too",                                 \
	 NULL},                                                                                    \
		{0,                                                                                \
		 "fold-recursion",                                                                 \
		 NULL,                                                                             \
		 FA_OPT_FLAG,                                                                      \
		 &fa_reading_options.fold_recursion,                                               \
		 "one row for stacks that differ only in the depth of a recursion",                \
		 NULL},                                                                            \
		{0,                                                                                \
		 "tolerate-lost",                                                                  \
		 NULL,                                                                             \
		 FA_OPT_FLAG,                                                                      \
		 &fa_reading_options.tolerate_lost,                                                \
		 "exit with 0 although events were lost",                                          \
		 NULL},                                                                            \
		{0,                                                                                \
		 "debug-dir",                                                                      \
		 "DIR",                                                                            \
		 FA_OPT_LIST,                                                                      \
		 &fa_reading_options.debug_dirs,                                                   \
		 "look for debug files in DIR/.build-id too; may come several times",              \
		 NULL},                                                                            \
	{                                                                                          \
		0, "debuginfod", NULL, FA_OPT_FLAG, &fa_reading_options.debuginfod,                \
			"ask the servers in $DEBUGINFOD_URLS for missing symbols", NULL            \
	}

/* Everything of one run, released at one place. */
struct fa_reading {
	const struct fa_cli *cli;
	struct fa_replay_options filter;
	int32_t pids[64];
	struct fa_symbols *symbols;
	struct fa_resolver *resolver; /* for what is shown: culls */
	struct fa_resolver *whole;    /* for the filters: does not */
	regex_t function, module;
	bool has_function, has_module; /* they are compiled */
	uint64_t started_ns;
	bool progress_shown;
};

/* From the options. `r` is all zero and stays where it is; done with it in any case. Returns enum fa_exit, after
 * a line on stderr. */
int fa_reading_init(struct fa_reading *r, const struct fa_cli *cli) FA_MUST_USE;
void fa_reading_done(struct fa_reading *r);

/* Before a replay, and behind it: progress for who waits longer than a second. */
void fa_reading_begin(struct fa_reading *r);
void fa_reading_end(struct fa_reading *r);

/* A line on stderr about a file that cannot be read (error: -errno); returns enum fa_exit. */
int fa_reading_failed(const char *path, int error);
/* Warnings about a file that was read in part. */
void fa_reading_damage(const char *path, const struct fa_replay *replay);
/* Filters that leave no process: that is a slip, not a program without leaks. */
int fa_reading_selection(const char *path, const struct fa_replay *replay) FA_MUST_USE;
/* The exit status that a file which was read deserves. */
int fa_reading_status(const struct fa_replay *replay);

unsigned fa_terminal_width(void);

#endif
