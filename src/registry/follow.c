/* follow.c - the registry's part of autologgers, see fa_registry_follow(). */
#include <errno.h>
#include <string.h>

#include "base/config.h"
#include "registry/registry.h"

/* Those that are to be. */
static bool will_start(const struct fa_autologger *a)
{
	return a->start && a->problem[0] == '\0';
}

static bool is_named(const struct fa_config *c, const char *image)
{
	char name[FA_IMAGE_MAX + 1];

	for (int i = 0; i < c->autologgers; i++)
		for (size_t at = 0; will_start(&c->autologger[i]) &&
				    fa_config_next_image(&c->autologger[i], &at, name, sizeof(name));)
			if (strcmp(name, image) == 0)
				return true;
	return false;
}

static bool is_general(const struct fa_rule *r)
{
	return (r->path == NULL || r->path[0] == '\0') &&
	       (r->package == NULL || r->package[0] == '\0') && r->uid == FA_USER_ANY;
}

static bool has_rule(const struct fa_rule_list *rules, const char *image)
{
	for (uint32_t i = 0; i < rules->count; i++)
		if (strcmp(rules->rule[i].image, image) == 0 && is_general(&rules->rule[i]))
			return true;
	return false;
}

static int drop_unnamed(struct fa_registry *reg, const struct fa_config *c,
			const struct fa_rule_list *rules)
{
	int e = 0;

	for (uint32_t i = 0; i < rules->count && e == 0; i++) {
		const struct fa_rule *r = &rules->rule[i];
		struct fa_rule_filter filter = {
			.image = r->image, .path = "", .package = "", .uid = FA_USER_ANY, .has_uid = true};
		uint32_t removed;

		if ((r->options & FA_RULE_NAMED) != 0 && is_general(r) && !is_named(c, r->image))
			e = fa_registry_remove(reg, &filter, "firstalloc", &removed);
	}
	return e;
}

static int flag_named(struct fa_registry *reg, const struct fa_autologger *a,
		      const struct fa_rule_list *rules)
{
	char name[FA_IMAGE_MAX + 1];
	struct fa_rule r = {
		.image = name,
		.uid = FA_USER_ANY,
		.flags = FA_TRACING_HEAP,
		.options = FA_RULE_NAMED,
		.depth = FA_DEPTH_DEFAULT,
		.stacks = FA_STACK_ALLOC | FA_STACK_REALLOC,
		.note = "Images of an autologger",
	};
	size_t at = 0;
	bool replaced;
	uint32_t id;
	int e = 0;

	while (e == 0 && fa_config_next_image(a, &at, name, sizeof(name)))
		if (!has_rule(rules, name))
			e = fa_registry_put(reg, &r, "firstalloc", &replaced, &id);
	return e;
}

int fa_registry_follow(struct fa_registry *reg, const struct fa_config *c)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list rules = {0};
	bool any = false, is = false;
	int e = fa_registry_list(reg, NULL, &rules);

	if (e == 0)
		e = drop_unnamed(reg, c, &rules);
	for (int i = 0; e == 0 && i < c->autologgers; i++) {
		if (!will_start(&c->autologger[i]))
			continue;
		any = true;
		e = flag_named(reg, &c->autologger[i], &rules);
	}
	if (e == 0)
		e = fa_registry_get_flag(reg, FA_INDEX_AUTOLOGGER, &is);
	if (e == 0 && any != is)
		e = fa_registry_set_flag(reg, FA_INDEX_AUTOLOGGER, any, NULL);
	return e;
}
