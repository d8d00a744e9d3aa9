/* rules.h - what enable, disable, images, show and history share: opening, naming, printing. */
#ifndef FA_CLI_RULES_H
#define FA_CLI_RULES_H

#include <stdio.h>

#include "base/json.h"
#include "cli/command.h"
#include "registry/registry.h"

/*
 * Open the registry of cli->root; on failure one line on stderr and the exit status, else 0.
 * fa_rules_open_query() prefers writing, so that a query of root repairs what a crash left, and
 * reads where it must not write; *ret stays NULL when there is no registry yet.
 */
int fa_rules_open_query(const struct fa_cli *cli, struct fa_registry **ret) FA_MUST_USE;
/*
 * All rules: from the database, else (who may not read it) from the published index with a word
 * about it on stderr. Returns 0 or an exit status, as above.
 */
int fa_rules_load(const struct fa_cli *cli, struct fa_rule_list *ret) FA_MUST_USE;
/* The one line for an error of the registry. */
int fa_rules_fail(const struct fa_cli *cli, int negative_errno);

/* --user: a name, a number, or "self" (whom sudo works for). -EINVAL, -ENOENT. */
int fa_rules_user(const char *text, uint32_t *ret_uid) FA_MUST_USE;

/* Text of one member. buf: at least 64 bytes (user: 80). All return buf. */
char *fa_rules_options_text(char *buf, size_t size, uint32_t options);
char *fa_rules_user_text(char *buf, size_t size, uint32_t uid);
/* "", "unit:web.service, /usr/sbin/nginx, user www-data" */
enum { FA_SCOPE_TEXT = 2 * 4096 + 96 };
char *fa_rules_scope_text(char *buf, size_t size, const struct fa_rule *rule);
/* "in 1h 59m", "after 3 starts", "" for never */
char *fa_rules_end_text(char *buf, size_t size, const struct fa_rule *rule);

void fa_rules_json(struct fa_json *j, const char *key, const struct fa_rule *rule);

/* cmd_off.c: what switches tracing off (enum fa_off, not 0), in words and as "off": [...]. */
char *fa_off_text(char *buf, size_t size, const char *root, uint32_t off);
void fa_off_json(struct fa_json *j, uint32_t off);

/* "no rule for 'gti'; did you mean 'git'?" and FA_EXIT_NOT_FOUND. */
int fa_rules_not_found(const struct fa_rule_list *all, const char *name);

/*
 * A table of at most 8 columns. Printed as wide as it needs, but never wider than the terminal: the
 * columns named by `shrink` (letters of the heads, in that order) give way first.
 */
enum { FA_TABLE_COLUMNS = 8 };
struct fa_table {
	int columns;
	const char *const *heads;
	const int *shrink; /* column numbers, ends with -1 */
	char **cell;
	int rows, cap;
};
/* `cells`: one text a column; control characters are replaced. */
/* Names and notes are others' words: escape sequences in them must not reach a terminal. */
void fa_clean_text(char *s);
void fa_table_add(struct fa_table *t, const char *const *cells);
void fa_table_print(const struct fa_table *t, FILE *out);
void fa_table_done(struct fa_table *t);

#endif
