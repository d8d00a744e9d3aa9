/*
 * autologger.c - sessions that start with firstallocd: sections [Autologger NAME] with Start=1.
 *
 * The keeper opens their files (autologger_file.c), because only it may, and the ini is root's.
 *
 * Early in the boot the file system may still be read-only: then it is tried again for a minute.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/keeper.h"

enum { TRY_FOR_S = 60 };

static const char *text_of(int e)
{
	return e == -EPERM ? "a user other than root could change its folder, or one above it"
			   : fa_strerror(e);
}

static void fill_options(const struct fa_autologger *a, struct fa_session_options *o)
{
	(void)snprintf(o->name, sizeof(o->name), "%s", a->name);
	o->flags = FA_SESSION_AUTOLOGGER;
	o->policy = a->count ? FA_POLICY_COUNT : FA_POLICY_WAIT;
	o->buffer_size = a->buffer_size;
	o->minimum_buffers = a->minimum_buffers;
	o->maximum_buffers = a->maximum_buffers;
	o->flush_timer = a->flush_timer;
	o->log_file_mode =
		fa_log_mode_of(a->mode) | (a->preallocate ? (uint32_t)FA_LOG_PREALLOCATE : 0);
	o->maximum_file_size = a->max_file_size;
	o->minimum_free = a->min_free;
}

static struct kept *free_kept(struct keeper *k)
{
	for (int i = 0; i < FA_SESSIONS_MAX; i++)
		if (k->kept[i].fd < 0)
			return &k->kept[i];
	return NULL;
}

static int start(struct keeper *k, int i, const char **ret_what)
{
	struct autologger *al = &k->autologger[i];
	const struct fa_autologger *a = &k->settings->config.autologger[i];
	struct fa_part_msg m = {0};
	struct kept *kept = free_kept(k);
	int fd = -1, e = 0;

	if (kept == NULL)
		return -E2BIG;
	fill_options(a, &m.u.session.options);
	*ret_what = fa_session_mode_fault(&m.u.session.options);
	if (*ret_what != NULL)
		return -EINVAL;
	/* Its ring is made by the collector, which gives it to us to keep. */
	if ((m.u.session.options.log_file_mode & FA_LOG_BUFFERING) == 0)
		e = autologger_open(k, a, &al->counter, &fd);
	if (e < 0)
		return e;
	m.u.session.id = fa_real_ns() + (uint64_t)i;
	m.u.session.started_real = fa_real_ns();
	e = msg_send(k->part[PART_COLLECTOR].fd, &m, FA_MSG_SESSION, &fd, 1);
	if (e < 0) {
		close_fds(&fd, 1);
		return e;
	}
	k->given++;
	kept->fd = fd;
	kept->session = m.u.session;
	return 0;
}

/* May a later try go better? */
static bool may_change(const struct keeper *k, int e)
{
	bool early = (uint64_t)time(NULL) - k->settings->started_real < TRY_FOR_S;

	return early && (e == -EROFS || e == -ENOENT || e == -EAGAIN || e == -ENODEV);
}

static void try_one(struct keeper *k, int i)
{
	const struct fa_autologger *a = &k->settings->config.autologger[i];
	const char *what = NULL;
	int e;

	if (!a->start) {
		k->autologger[i].state = AL_STARTED; /* nothing to do */
		return;
	}
	if (a->problem[0] != '\0') {
		log_line("autologger %s is not started: %s", a->name, a->problem);
		autologger_status(k, a, k->autologger[i].counter, EINVAL, a->problem);
		k->autologger[i].state = AL_FAILED;
		return;
	}
	e = start(k, i, &what);
	if (e == 0) {
		k->autologger[i].state = AL_GIVEN;
	} else if (!may_change(k, e)) {
		if (what == NULL)
			what = text_of(e);
		log_line("autologger %s: %s: %s", a->name, a->file_name, what);
		autologger_status(k, a, k->autologger[i].counter, -e, what);
		k->autologger[i].state = AL_FAILED;
	}
}

/* Each second while something is to be done; the collector is at work. */
void autologgers_turn(struct keeper *k)
{
	if (!k->part[PART_COLLECTOR].ready)
		return;
	for (int i = 0; i < k->settings->config.autologgers; i++)
		if (k->autologger[i].state == AL_WAITS)
			try_one(k, i);
}

void autologger_result(struct keeper *k, const struct fa_msg_autologger *m)
{
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		const struct fa_autologger *a = &k->settings->config.autologger[i];

		if (strncmp(a->name, m->name, sizeof(m->name)) != 0 || k->autologger[i].state != AL_GIVEN)
			continue;
		k->autologger[i].state = m->error ? AL_FAILED : AL_STARTED;
		autologger_status(k, a, k->autologger[i].counter, m->error, m->error ? fa_strerror(-m->error) : "started");
		log_line("autologger %s: %s", a->name,
			 m->error ? fa_strerror(-m->error) : "started");
	}
}

bool autologgers_pending(const struct keeper *k)
{
	for (int i = 0; i < k->settings->config.autologgers; i++)
		if (k->autologger[i].state == AL_GIVEN)
			return true;
	return false;
}
