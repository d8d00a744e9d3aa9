/* client.c - what the command line says when firstallocd cannot be asked; its systemd unit. */
#include "cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* execv's argv is not const, for reasons of 1988. */
static char *word(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* Also below a root that does not run: then only links are made. */
int fa_client_enable_unit(const struct fa_cli *cli, bool on)
{
	char root[600];
	char *argv[] = {word("systemctl"),
			word("--quiet"),
			root,
			word("--no-reload"),
			word(on ? "enable" : "disable"),
			word(FA_CLIENT_UNIT),
			NULL};

	if (!fa_client_have_unit(cli->root) || access("/usr/bin/systemctl", X_OK) < 0)
		return 0;
	(void)snprintf(root, sizeof(root), "--root=%s", cli->root[0] ? cli->root : "/");
	return fa_client_run("/usr/bin/systemctl", argv) == 0 ? 1 : -EIO;
}

int fa_client_fail(const struct fa_cli *cli, int error)
{
	(void)cli;
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "no firstallocd is running; 'firstalloc start NAME' "
			       "as root starts one");
	case -ETIMEDOUT:
		return fa_fail(FA_EXIT_FAILED, "firstallocd does not answer; is it stopped?");
	case -ECONNRESET:
	case -EPIPE:
		return fa_fail(FA_EXIT_FAILED,
			       "firstallocd closed the connection (too many at once, or it was "
			       "restarted); try again");
	default:
		return fa_fail((int)fa_exit_of(error), "firstallocd: %s", fa_strerror(error));
	}
}

int fa_client_fail_reply(const struct fa_control_reply *reply)
{
	return fa_fail((int)fa_exit_of(-reply->error), "%s",
		       reply->text[0] ? reply->text : fa_strerror(-reply->error));
}
