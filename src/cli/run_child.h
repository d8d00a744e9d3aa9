/*
 * run_child.h - how `firstalloc run` starts its command. Only for cmd_run.c and run_child.c.
 *
 * The command is forked first and executed when its trace is open: so the file can have its pid in
 * the name, and a command that cannot be executed is told apart from one that fails.
 */
#ifndef FA_RUN_CHILD_H
#define FA_RUN_CHILD_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"

/* As env(1) and timeout(1) have them. */
enum { RUN_FAILED = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

struct fa_run_child {
	pid_t pid;
	int go;     /* write end: a byte lets it execute */
	int failed; /* read end: errno of a failed exec, or nothing */
};

/* The executable that execvp would take, behind its links: 0, -ENOENT or -EACCES. */
int fa_run_find_program(const char *name, char *ret, size_t size) FA_MUST_USE;

/* SIGCHLD, SIGINT and SIGTERM come through *ret_fd from now on. 0 or -errno. */
int fa_run_signals(sigset_t *ret_old, int *ret_fd) FA_MUST_USE;

/* LD_PRELOAD (`library` first), FA_RUN_ENV and FA_RUN_OPTS into our own environment. 0 or -ENOMEM. */
int fa_run_set_environment(const char *library, const char *folder, const char *opts) FA_MUST_USE;

/*
 * mask: the signal mask that the command shall have. 0 or -errno. SIGCHLD is SIG_DFL in us from then
 * on, since an ignored one would take the command's status away; the command gets it as it was.
 */
int fa_run_child_fork(char **argv, const sigset_t *mask, struct fa_run_child *ret) FA_MUST_USE;

/* Let it execute. 0, or -errno of exec (the child is gone then). */
int fa_run_child_go(struct fa_run_child *c) FA_MUST_USE;

/* End a child that was not let go. */
void fa_run_child_cancel(struct fa_run_child *c);

/* The absolute path of the shim: the one named, else beside our executable, else the installed one. 0 or
 * RUN_FAILED, told. */
int fa_run_library(const char *named, char *buf, size_t size) FA_MUST_USE;

#endif
