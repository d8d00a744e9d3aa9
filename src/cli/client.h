/* client.h - the command line's side of firstallocd's control socket. */
#ifndef FA_CLIENT_H
#define FA_CLIENT_H

#include <stdbool.h>

#include "base/attr.h"
#include "cli/command.h"
#include "format/control_format.h"

/* A descriptor; -ENOENT, -ECONNREFUSED: no firstallocd is running below this root. */
int fa_client_connect(const char *root) FA_MUST_USE;
/* The same for another of its sockets. */
int fa_client_connect_to(const char *root, const char *socket_path) FA_MUST_USE;

/*
 * One request, one reply. fd >= 0 goes along; ret_fd (may be NULL) gets what comes with the reply, or
 * -1. -ETIMEDOUT: no answer within a good time; -EPROTO: no answer of ours.
 */
int fa_client_ask(int sock, struct fa_control_request *request, int fd,
		  struct fa_control_reply *ret, int *ret_fd) FA_MUST_USE;

/*
 * Start a firstallocd and wait until it answers: the systemd unit where there is one, else a process
 * in the background. *ret_how: static text that says which. -EPERM: not root; -ENOENT: no program.
 * Prints nothing.
 */
int fa_client_start_daemon(const struct fa_cli *cli, const char **ret_how) FA_MUST_USE;

/* Have the systemd unit start at boot, or not. 1 done, 0 there is no unit below this root, or no
 * systemctl; -EIO systemctl failed. */
int fa_client_enable_unit(const struct fa_cli *cli, bool on) FA_MUST_USE;

/* One line for the user from a failed call or a reply's error; returns the exit status. */
int fa_client_fail(const struct fa_cli *cli, int error);
int fa_client_fail_reply(const struct fa_control_reply *reply);

#endif
