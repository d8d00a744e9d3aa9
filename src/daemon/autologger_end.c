/*
 * autologger_end.c - autologgers that end by themselves: StopAt, a time or a unit of systemd, and PostBootDelay.
 *
 * Whether a unit is there systemd is asked through systemctl, in a process of its own, once a second while such a session
 * runs: it may take long to answer, and the keeper waits for nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/keeper.h"

#define SYSTEMCTL "/usr/bin/systemctl"

enum { SYSTEMD_WITHIN_S = 120 };

static bool ends_by_itself(const struct fa_autologger *a)
{
	return a->stop_after != 0 || a->stop_target[0] != '\0';
}

static int ask(const char *unit, pid_t *ret)
{
	char *argv[] = {(char *)(uintptr_t)"systemctl", (char *)(uintptr_t)"is-active",
			(char *)(uintptr_t)"--quiet", (char *)(uintptr_t)"--", (char *)(uintptr_t)unit, NULL};
	char *env[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, usual;
	int e;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &usual);
	(void)posix_spawn_file_actions_init(&files);
	for (int fd = 0; fd < 3; fd++)
		(void)posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	e = posix_spawn(ret, SYSTEMCTL, &files, &attr, argv, env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	return -e;
}

static void cannot_ask(struct keeper *k, int i, const char *why)
{
	const struct fa_autologger *a = &k->settings->config.autologger[i];
	char text[300];

	if (k->autologger[i].cannot_ask)
		return;
	k->autologger[i].cannot_ask = true;
	(void)snprintf(text, sizeof(text), "started; StopAt=%s is not seen, it ends when it is stopped: %s",
		       a->stop_target, why);
	log_line("autologger %s: %s", a->name, text);
	autologger_status(k, a, k->autologger[i].counter, 0, text);
}

/* Under --root another machine's units are meant, which cannot be asked about. */
static void look_for_unit(struct keeper *k, int i, uint64_t now)
{
	const struct fa_autologger *a = &k->settings->config.autologger[i];
	struct autologger *al = &k->autologger[i];
	int e;

	if (al->asking != 0)
		return;
	if (k->settings->root[0] != '\0' || access("/run/systemd/system", F_OK) < 0) {
		if (now - al->started_ns > SYSTEMD_WITHIN_S * 1000000000ull || k->settings->root[0] != '\0')
			cannot_ask(k, i, "systemd does not run here");
		return;
	}
	e = ask(a->stop_target, &al->asking);
	if (e < 0) {
		al->asking = 0;
		cannot_ask(k, i, fa_strerror(e));
	}
}

void autologgers_child(struct keeper *k, pid_t child, int status)
{
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		const struct fa_autologger *a = &k->settings->config.autologger[i];
		struct autologger *al = &k->autologger[i];

		if (al->asking != child)
			continue;
		al->asking = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			continue;
		al->end_ns = fa_mono_ns() + a->post_boot_delay * 1000000000ull;
		log_line("autologger %s: %s was reached%s", a->name, a->stop_target,
			 a->post_boot_delay != 0 ? ", PostBootDelay begins" : "");
	}
}

static void end(struct keeper *k, int i)
{
	struct fa_part_msg m = {.u.session.id = k->autologger[i].id};

	/* Again in a second, until it is over: a collector may die with it. */
	if (k->part[PART_COLLECTOR].ready)
		(void)msg_send(k->part[PART_COLLECTOR].fd, &m, FA_MSG_SESSION_END, NULL, 0);
}

void autologgers_end_turn(struct keeper *k, uint64_t now)
{
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		const struct fa_autologger *a = &k->settings->config.autologger[i];
		struct autologger *al = &k->autologger[i];

		if (al->state != AL_STARTED || al->id == 0 || al->over || !ends_by_itself(a))
			continue;
		if (al->end_ns == 0 && a->stop_after != 0)
			al->end_ns = al->started_ns + a->stop_after * 1000000000ull;
		if (al->end_ns == 0)
			look_for_unit(k, i, now);
		else if (now >= al->end_ns)
			end(k, i);
	}
}
