/*
 * rule_change.h - how enable, disable, off and on change things: in the registry itself where the caller may
 * write to it, else by asking the keeper of firstallocd (format/keeper_format.h), which decides.
 */
#ifndef FA_CLI_RULE_CHANGE_H
#define FA_CLI_RULE_CHANGE_H

#include "cli/command.h"
#include "registry/registry.h"

struct fa_rule_change {
	struct fa_registry *reg; /* NULL: the keeper is asked */
	int sock;
};
#define FA_RULE_CHANGE_INIT                                                                        \
	{                                                                                          \
		.sock = -1                                                                         \
	}

struct fa_rule_put {
	bool replaced;
	uint32_t id;
	uint64_t generation;
};

/* All: 0, or one line on stderr and the exit status. */
int fa_rule_change_open(const struct fa_cli *cli, struct fa_rule_change *c) FA_MUST_USE;
void fa_rule_change_close(struct fa_rule_change *c); /* for FA_CLEANUP */
int fa_rule_change_put(const struct fa_cli *cli, struct fa_rule_change *c,
		       const struct fa_rule *rule, struct fa_rule_put *ret) FA_MUST_USE;
/* *ret_foreign: rules that the filter names and that stay, because they are others'. */
int fa_rule_change_remove(const struct fa_cli *cli, struct fa_rule_change *c,
			  const struct fa_rule_filter *filter, uint32_t *ret_removed,
			  uint32_t *ret_foreign) FA_MUST_USE;
/* The kill switch. */
int fa_rule_change_switch(const struct fa_cli *cli, struct fa_rule_change *c,
			  bool off) FA_MUST_USE;
/* All rules, as far as the caller may know. */
int fa_rule_change_list(const struct fa_cli *cli, struct fa_rule_change *c,
			struct fa_rule_list *ret) FA_MUST_USE;

#endif
