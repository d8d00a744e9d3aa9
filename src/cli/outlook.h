/* outlook.h - what will and what will not happen now that a rule is there. For cmd_enable.c. */
#ifndef FA_CLI_OUTLOOK_H
#define FA_CLI_OUTLOOK_H

#include "cli/command.h"
#include "registry/registry.h"

/* Warnings about the program's file: static, 32 bits, set-user-id, a symbolic link. */
void fa_outlook_program(const struct fa_rule *rule);
/* On stdout, indented: which instances run already. live: firstallocd flags and wakes them, by rule `id`. Returns
 * how many of those could not be had. */
int fa_outlook_running(const struct fa_cli *cli, const struct fa_rule *rule, uint32_t id, bool live);
/* On stdout: is the shim installed, does a collector run, is everything off. */
void fa_outlook_machine(const struct fa_cli *cli);

#endif
