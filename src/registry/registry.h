/*
 * registry.h - which programs are to be traced: registry.db (the truth) and registry.idx (what the
 * gate of every process reads).
 *
 * Used by the commands and by the keeper. Every change is one transaction under one lock file:
 * change, compile, write the new index beside the old one, commit, rename. A process that dies in
 * between leaves a database that is ahead of the index; the next fa_registry_open() for writing,
 * fa_registry_check() or fa_registry_publish() brings the index up to date.
 *
 * One thread per object. SQLite does not survive fork(): open behind it. Never prints.
 */
#ifndef FA_REGISTRY_H
#define FA_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/index_format.h"

struct fa_registry;

enum fa_registry_open_flags {
	FA_REGISTRY_READ = 0,
	FA_REGISTRY_WRITE = 1 << 0, /* creates what is missing, republishes what a crash left */
	FA_REGISTRY_HASTY = 1 << 1, /* wait 200 ms for a lock and not 60 s: the keeper */
};

enum {
	FA_IMAGE_MAX = 255, /* bytes of an image name: NAME_MAX */
	FA_NOTE_MAX = 1000,
};

/* One rule. Text that is not known or not wanted is NULL or "". */
struct fa_rule {
	uint32_t id;          /* set by the registry; never used again for another rule */
	const char *image;    /* base name */
	const char *path;     /* full path of the executable, "": any */
	const char *package;  /* see format/package_format.h, "": any */
	uint32_t uid;         /* FA_USER_ANY: any */
	uint32_t flags;       /* enum fa_tracing_flags */
	uint32_t options;     /* enum fa_rule_options */
	uint32_t depth;       /* 1..FA_DEPTH_MAX */
	uint32_t stacks;      /* enum fa_stack_events */
	uint32_t stamp;       /* enum fa_stamp_mode */
	uint64_t expires;     /* CLOCK_REALTIME seconds, 0: never */
	uint32_t starts_left; /* 0: any number */
	const char *note;
	const char *who; /* who made it, NULL: not through firstalloc */
	uint64_t when;   /* when it was made or last changed, seconds */
};

struct fa_rule_list {
	struct fa_rule *rule; /* texts belong to the list */
	uint32_t count;
};
void fa_rule_list_done(struct fa_rule_list *list); /* safe on {0} */
void fa_rule_list_drop_expired(struct fa_rule_list *list);

struct fa_history {
	int64_t id;
	uint64_t when;
	const char *action;  /* "enable", "change", "disable", "expire", "starts", "disarm", "setting" */
	struct fa_rule rule; /* as it was after the action; disable, expire: before */
};

struct fa_history_list {
	struct fa_history *entry; /* newest first */
	uint32_t count;
};
void fa_history_list_done(struct fa_history_list *list);

/*
 * root: "" for the machine itself. 0, or: -ENOENT nothing there yet (READ), -EACCES, -EPERM, -EROFS;
 * -EBADMSG the database is damaged (the index stays as it is); -EPROTONOSUPPORT it is of a newer
 * version; -ETIMEDOUT, -EBUSY somebody holds the lock.
 * A missing database beside a sound index is rebuilt from the index (WRITE).
 */
int fa_registry_open(const char *root, unsigned flags, struct fa_registry **ret) FA_MUST_USE;
void fa_registry_close(struct fa_registry **reg); /* for FA_CLEANUP */

/* How long the lock of another process is waited for; at first 60 s, 200 ms with FA_REGISTRY_HASTY. */
void fa_registry_set_timeout(struct fa_registry *reg, unsigned milliseconds);

/*
 * Add the rule, or replace the one for the same image, path, package and user. Durable and
 * published when it returns 0. `who` NULL: whoever runs this process. -EINVAL a value that no rule
 * may have; -E2BIG the index would exceed FA_INDEX_MAX: nothing was changed.
 */
int fa_registry_put(struct fa_registry *reg, const struct fa_rule *rule, const char *who,
		    bool *ret_replaced, uint32_t *ret_id) FA_MUST_USE;

/* What to remove or list: members that are NULL (uid: has_uid false) match everything. */
struct fa_rule_filter {
	const char *image;
	const char *path;
	const char *package;
	uint32_t uid;
	bool has_uid;
};
int fa_registry_remove(struct fa_registry *reg, const struct fa_rule_filter *filter,
		       const char *who, uint32_t *ret_removed) FA_MUST_USE;

/* By image, then most specific first; what has expired is left out. NULL filter: all. */
int fa_registry_list(struct fa_registry *reg, const struct fa_rule_filter *filter,
		     struct fa_rule_list *ret) FA_MUST_USE;

/* image NULL: all; limit 0: no limit. */
int fa_registry_history(struct fa_registry *reg, const char *image, uint32_t limit,
			struct fa_history_list *ret) FA_MUST_USE;

/*
 * So many processes of this rule started (only rules with starts_left are counted). The last start removes
 * the rule; *ret_left is then 0. -ENOENT: there is no such rule, or it is not limited.
 */
int fa_registry_count_starts(struct fa_registry *reg, uint32_t rule_id, uint32_t count,
			     uint32_t *ret_left) FA_MUST_USE;

/*
 * For this user's processes the rule stands from now on but traces nothing (FA_RULE_DISARMED), with
 * `why` before its note: the rule itself where it is for that user only, else one more of the same
 * scope for him, signed "firstalloc". fa_registry_put() of the same scope re-arms. -ENOENT no such rule;
 * -EALREADY it is disarmed, or a rule of his own stands there; -EDQUOT too many are.
 */
int fa_registry_disarm(struct fa_registry *reg, uint32_t rule_id, uint32_t uid,
		       const char *why) FA_MUST_USE;

/* FA_INDEX_AUTOLOGGER, FA_INDEX_OFF: kept in the database, published with the rules. */
int fa_registry_set_flag(struct fa_registry *reg, enum fa_index_flags flag, bool on,
			 const char *who) FA_MUST_USE;
int fa_registry_get_flag(struct fa_registry *reg, enum fa_index_flags flag,
			 bool *ret_on) FA_MUST_USE;

/*
 * What the autologgers of `c` need of it: FA_INDEX_AUTOLOGGER while one is to start, and for the Images of those a rule
 * each (FA_RULE_NAMED) where the image has none for all its starts. Rules of that kind that nobody names any more go.
 * Writes only where something is different.
 */
struct fa_config;
int fa_registry_follow(struct fa_registry *reg, const struct fa_config *c) FA_MUST_USE;

/* What switches tracing off as a whole: the kill switch, three ways. Bits; 0: it is on. */
enum fa_off {
	FA_OFF_COMMAND = 1 << 0, /* `firstalloc off`: FA_INDEX_OFF as published */
	FA_OFF_FILE = 1 << 1,    /* FA_OFF_PATH is there */
	FA_OFF_KERNEL = 1 << 2,  /* FA_OFF_WORD on the kernel's command line */
};
uint32_t fa_registry_off(const char *root);

/* Drop what has expired and make the index equal to the database: 1 it was not, 0 it was. */
int fa_registry_publish(struct fa_registry *reg) FA_MUST_USE;

/*
 * The same, but cheap when nothing happened since the last call: for the keeper, each second. Also
 * notices changes made with the sqlite3 shell, a database or an index that was replaced, and
 * expiry. -EBUSY, -ETIMEDOUT: try again later.
 */
int fa_registry_check(struct fa_registry *reg) FA_MUST_USE;

uint64_t fa_registry_generation(const struct fa_registry *reg); /* last one seen */

/* What registry.idx itself says, without the database; anybody may. Texts who and note are not in
 * it. Errors of fa_read_file() and fa_index_check(). */
struct fa_published {
	struct fa_rule_list rules;
	uint64_t generation;
	uint32_t flags; /* enum fa_index_flags */
	uint32_t size;  /* bytes of the file */
};
int fa_registry_published(const char *root, struct fa_published *ret) FA_MUST_USE;
void fa_published_done(struct fa_published *p);

/* "alice", or "alice (sudo)" for whom root works. buf: 96 bytes are plenty. Returns buf. */
char *fa_registry_who(char *buf, size_t size);

#endif
