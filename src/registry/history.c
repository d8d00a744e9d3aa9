/* history.c - what was changed, when and by whom. The rows are written by triggers (migrate.c). */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "registry/registry_internal.h"

void fa_history_list_done(struct fa_history_list *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		fa_rule_done(&list->entry[i].rule);
		free((void *)list->entry[i].action);
	}
	free(list->entry);
	*list = (struct fa_history_list){0};
}

/* who of an entry is the one who made the change, not the one who made the rule. */
static int entry_from_row(struct fa_stmt *st, struct fa_history *ret)
{
	struct fa_history e = {
		.id = fa_db_int(st, 0),
		.when = (uint64_t)fa_db_int(st, 1),
	};
	const char *action = fa_db_text(st, 2), *signer = fa_db_text(st, 3);
	int r = fa_rule_from_row(st, 5, &e.rule);

	if (r < 0)
		return r;
	free((void *)e.rule.who);
	e.rule.who = signer == NULL ? NULL : strdup(signer);
	e.rule.id = (uint32_t)fa_db_int(st, 4);
	e.action = strdup(action == NULL ? "" : action);
	if (e.action == NULL || (signer != NULL && e.rule.who == NULL)) {
		free((void *)e.action);
		fa_rule_done(&e.rule);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

static int append(struct fa_history_list *list, struct fa_stmt *st)
{
	if ((list->count & (list->count - 1)) == 0) {
		size_t cap = list->count == 0 ? 1 : (size_t)list->count * 2;
		struct fa_history *grown = realloc(list->entry, cap * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		list->entry = grown;
	}
	int r = entry_from_row(st, &list->entry[list->count]);

	if (r == 0)
		list->count++;
	return r;
}

int fa_registry_history(struct fa_registry *reg, const char *image, uint32_t limit,
			struct fa_history_list *ret)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	FA_CLEANUP(fa_history_list_done) struct fa_history_list list = {0};
	int r = fa_db_query(reg->db, &st,
			    "SELECT id, time, action, signer, rule, " FA_RULE_COLUMNS
			    " FROM history WHERE ?1 IS NULL OR image = ?1 ORDER BY id DESC LIMIT "
			    "?2",
			    "ti", image, limit == 0 ? (int64_t)-1 : (int64_t)limit);

	while (r == 0 && (r = fa_db_step(st)) == 1)
		r = append(&list, st);
	if (r < 0)
		return r;
	*ret = list;
	list = (struct fa_history_list){0};
	return 0;
}

static void name_of(uid_t uid, char *buf, size_t size)
{
	struct passwd pw, *found = NULL;
	char space[4096];

	if (getpwuid_r(uid, &pw, space, sizeof(space), &found) == 0 && found != NULL)
		(void)snprintf(buf, size, "%s", found->pw_name);
	else
		(void)snprintf(buf, size, "uid %u", (unsigned)uid);
}

char *fa_registry_who(char *buf, size_t size)
{
	const char *sudo = getuid() == 0 ? getenv("SUDO_UID") : NULL;
	char name[64];
	uint32_t uid;

	if (sudo != NULL && fa_parse_u32(sudo, &uid) == 0) {
		name_of(uid, name, sizeof(name));
		(void)snprintf(buf, size, "%s (sudo)", name);
	} else {
		name_of(getuid(), buf, size);
	}
	return buf;
}
