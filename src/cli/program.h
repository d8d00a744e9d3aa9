/* program.h - what can be told of a program from its file: can it be traced? For enable and doctor. */
#ifndef FA_CLI_PROGRAM_H
#define FA_CLI_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct fa_program {
	uint32_t reason;     /* enum fa_reason why it cannot be traced by any rule; NONE: nothing seen */
	bool script;         /* starts with #! */
	bool setid;          /* set-user-id or set-group-id */
	bool capabilities;   /* file capabilities */
	bool sanitizer;      /* built with one */
	char interpreter[256]; /* of a script */
};

/* The program that a shell would start under this name. 0 or -ENOENT. */
int fa_program_find(const char *image, char *ret, size_t size) FA_MUST_USE;
/* -errno when it cannot be read. */
int fa_program_look(const char *path, struct fa_program *ret) FA_MUST_USE;
/* "is linked statically, no library can be loaded into it"; NULL for reasons that are no file's. */
const char *fa_program_problem(const struct fa_program *p);

#endif
