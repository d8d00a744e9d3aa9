/*
 * rundir.h - the folder of one `firstalloc run`, in which the traced processes make their arenas.
 *
 * It is named firstalloc-UID-XXXXXX, 0700, on tmpfs where there is one. While its command lives the
 * folder is locked (flock of the folder itself, which the kernel gives up with the process); folders
 * that nobody holds are of dead commands and are removed by the next one. Arenas are taken out of the
 * folder as soon as they are open, so that nothing is left whatever ends first. One thread.
 *
 * A file that is mapped is in use, so the kernel knows when the last process of a family is gone: from then
 * on it grants a lease of the file. fa_rundir_alone() asks for one, where that was found to be true.
 */
#ifndef FA_RUNDIR_H
#define FA_RUNDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct fa_rundir;

/* An arena's first segment, ready to be adopted; or the note of a process that refuses. */
struct fa_run_arena {
	int fd; /* -1: a note */
	uint32_t size;
	int32_t own_pid; /* in the process's own pid namespace */
	uint64_t nonce;  /* grows with each start of a program under one pid */
	uint32_t reason; /* enum fa_reason, of a note */
	char image[256]; /* base name of the executable, of a note */
};

/* Remove the folders of dead commands, make one. 0 or -errno: none of the places could be used. */
int fa_rundir_new(struct fa_rundir **ret) FA_MUST_USE;
const char *fa_rundir_path(const struct fa_rundir *d);
/* Readable when something has come into the folder: poll it, then call fa_rundir_next(). */
int fa_rundir_poll_fd(const struct fa_rundir *d);

/* Has nobody but us the arena's file open or mapped? false also where the file system does not tell. */
bool fa_rundir_alone(const struct fa_rundir *d, int fd);
/* Has somebody else it for sure? */
bool fa_rundir_held(const struct fa_rundir *d, int fd);

/* 1: *ret, and its fd, where it has one, is the caller's; 0: none is ready; -errno. */
int fa_rundir_next(struct fa_rundir *d, struct fa_run_arena *ret) FA_MUST_USE;
/* The last fa_rundir_next() saw an arena that is being made: ask again in a millisecond. */
bool fa_rundir_waiting(const struct fa_rundir *d);

void fa_rundir_free(struct fa_rundir *d); /* removes the folder; NULL is fine */

#endif
