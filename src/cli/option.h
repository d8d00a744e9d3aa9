/* option.h - options as data: parser, help, completion and man page come from one array. */
#ifndef FA_OPTION_H
#define FA_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum fa_option_type {
	FA_OPT_FLAG,     /* bool */
	FA_OPT_STRING,   /* const char * */
	FA_OPT_U32,      /* uint32_t */
	FA_OPT_U64,      /* uint64_t */
	FA_OPT_SIZE,     /* uint64_t bytes: 64K, 1M */
	FA_OPT_DURATION, /* uint64_t ns: 90s, 2h */
	FA_OPT_CHOICE,   /* const char *, one of `choices` */
	FA_OPT_LIST,     /* struct fa_option_list: may come several times */
};

struct fa_option_list {
	const char *item[64];
	int count;
};

struct fa_option {
	char letter;          /* 0: none */
	const char *name;     /* long name without dashes; NULL ends the array */
	const char *argument; /* its name in help, "FILE"; NULL for flags */
	enum fa_option_type type;
	void *value;         /* where it goes: a member of the command's static struct */
	const char *help;    /* one line */
	const char *choices; /* FA_OPT_CHOICE: "a|b|c" (also for completion of others) */
};

#endif
