/* client.h - what the command line adds to client/client.h: words for the user, and the unit. */
#ifndef FA_CLI_CLIENT_H
#define FA_CLI_CLIENT_H

#include "cli/command.h"
#include "client/client.h"

/* Have the systemd unit start at boot, or not. 1 done, 0 there is no unit below this root, or no
 * systemctl; -EIO systemctl failed. */
int fa_client_enable_unit(const struct fa_cli *cli, bool on) FA_MUST_USE;

/* One line for the user from a failed call or a reply's error; returns the exit status. */
int fa_client_fail(const struct fa_cli *cli, int error);
int fa_client_fail_reply(const struct fa_control_reply *reply);

#endif
