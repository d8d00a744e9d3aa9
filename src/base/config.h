/*
 * config.h - firstalloc.ini and its drop-ins.
 *
 * Read by the keeper at its start and by `firstalloc autologger`. Root's files, but typed by hand:
 * each value is checked where it is read, and what is wrong is told with file, line and key. A
 * wrong value breaks the section it stands in and no other: an autologger with a broken section
 * does not start, a broken [Daemon] value keeps its default. A value of ETW's that means nothing here, or cannot be
 * had, breaks nothing: it is kept as an override, which is shown and logged.
 *
 * Order: firstalloc.ini, then firstalloc.ini.d/NAME.ini by name; the last value of a key counts.
 */
#ifndef FA_CONFIG_H
#define FA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum {
	FA_CONFIG_AUTOLOGGERS = 32,
	FA_CONFIG_PROBLEMS = 32,
	FA_CONFIG_NAME = 40,
	FA_CONFIG_OVERRIDES = 12,
	FA_CONFIG_IMAGES = 16,
};

/* StackWalkingFilter: which events carry stacks. The first three as enum fa_stack_events has them. */
enum fa_config_stacks {
	FA_WALK_ALLOC = 1 << 0,
	FA_WALK_REALLOC = 1 << 1,
	FA_WALK_FREE = 1 << 2,
};
#define FA_WALK_GIVEN (1u << 31)

/* ClockType, as ETW numbers them. */
enum fa_config_clock { FA_CLOCK_TYPE_COUNTER = 1, FA_CLOCK_TYPE_SYSTEM = 2, FA_CLOCK_TYPE_CYCLES = 3 };

/* A value that is understood, but cannot be had: what holds in its place, and why. */
struct fa_override {
	char key[32];
	char requested[64];
	char effective[64];
	char why[128];
};

/* [Autologger NAME], with ETW's value names. */
struct fa_autologger {
	char name[FA_CONFIG_NAME];
	bool start;               /* Start */
	uint32_t buffer_size;     /* BufferSize (KB), here bytes; 0: default */
	uint32_t minimum_buffers; /* MinimumBuffers */
	uint32_t maximum_buffers; /* MaximumBuffers */
	uint32_t flush_timer;     /* FlushTimer, seconds */
	uint64_t max_file_size;   /* MaxFileSize (MB), here bytes; 0: no limit */
	uint64_t min_free;        /* MinFree (MB), here bytes; ~0: default */
	uint32_t file_max;        /* FileMax: files FILE.0001 and on, one a start; 0: FILE alone */
	char mode[16];            /* LogFileMode: sequential (default), circular, buffering */
	bool preallocate;         /* LogFileMode = MODE, preallocate */
	bool count;               /* Policy: wait (default) or count */
	char file_name[256];      /* FileName, default /var/log/firstalloc/NAME.falloc */
	bool file_name_given;
	uint32_t clock_type;      /* ClockType: enum fa_config_clock */
	uint32_t stacks;          /* StackWalkingFilter: FA_WALK_GIVEN | enum fa_config_stacks; 0: as rules say */
	char images[256];         /* Images: names with single commas; "": all that is flagged */
	char stop_target[96];     /* StopAt, a unit of systemd, "": none */
	uint32_t stop_after;      /* StopAt, seconds after the start; 0: none */
	uint32_t post_boot_delay; /* PostBootDelay: seconds behind StopAt, or behind the end of the boot */
	struct fa_override override[FA_CONFIG_OVERRIDES];
	int overrides;
	char source[256];         /* the file in which the section was met first */
	char problem[384];        /* "": the section is good; else "FILE:LINE: KEY: ..." */
};

struct fa_config {
	/* [Daemon] */
	uint32_t workers;           /* Workers: threads that answer the doorbell */
	uint32_t arenas_per_user;   /* ArenasPerUser */
	uint64_t mapped_per_user;   /* MappedPerUser (MB), here bytes */
	uint64_t written_per_user;  /* WrittenPerUser (MB), here bytes; 0: no limit */
	uint64_t min_free;          /* MinFree (MB), here bytes; 0: larger of 5 % and 1 GB */
	uint32_t sessions_per_user; /* SessionsPerUser */
	struct fa_autologger autologger[FA_CONFIG_AUTOLOGGERS];
	int autologgers;
	char problem[FA_CONFIG_PROBLEMS][384]; /* all of them, in order of reading */
	int problems;
};

/*
 * Read what lies below `root` ("" for the machine). A missing file is an empty one. Returns 0 also
 * when there are problems (they are in *ret), -ENOMEM, -errno of a file that is there but cannot
 * be read. Never prints.
 */
int fa_config_read(const char *root, struct fa_config *ret) FA_MUST_USE;

/* One file more into *c, which fa_config_read() filled or fa_config_defaults() began. */
int fa_config_read_file(const char *path, struct fa_config *c) FA_MUST_USE;
void fa_config_defaults(struct fa_config *c);

/* NULL: there is none of that name. */
const struct fa_autologger *fa_config_autologger(const struct fa_config *c, const char *name);

/* In the place of what was said about this key before. */
void fa_config_override(struct fa_autologger *a, const char *key, const char *requested,
			const char *effective, const char *why);
/* "KEY: requested R, effective E: WHY". buf: 320 bytes are enough. Returns buf. */
char *fa_override_text(char *buf, size_t size, const struct fa_override *o);

/* What would come of this line in a section? 0; -EINVAL, and what is expected, or that there is no such key. */
int fa_config_check_value(const char *key, const char *value, char *ret_why, size_t size) FA_MUST_USE;
bool fa_config_name_ok(const char *name);

/* The next of `images`, from *at on, which begins as 0: false behind the last. */
bool fa_config_next_image(const struct fa_autologger *a, size_t *at, char *buf, size_t size);

#endif
