/*
 * autologger.c - sessions that start with firstallocd: sections [Autologger NAME] with Start=1.
 *
 * The keeper opens their files (autologger_file.c), because only it may, and the ini is root's.
 *
 * Early in the boot their folder may be on a file system that is read-only still, or not mounted yet. Then the trace
 * begins in memory (a memfd), and its file is tried each second: the collector copies what there is and goes on in the
 * file (session_move), or, when the session is over by then, the keeper copies it. Until the collector's word that it
 * goes on in the file, what counts is in memory, and that is what a successor of a collector gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "collector/effective.h"
#include "daemon/keeper.h"

enum { TRY_FOR_S = 60, AGAIN_MS = 900 };

static const char *text_of(int e)
{
	return e == -EPERM ? "a user other than root could change its folder, or one above it"
			   : fa_strerror(e);
}

static struct kept *free_kept(struct keeper *k)
{
	for (int i = 0; i < FA_SESSIONS_MAX; i++)
		if (!kept_is_used(&k->kept[i]))
			return &k->kept[i];
	return NULL;
}

/* May a later try go better? */
static bool may_change(const struct keeper *k, int e)
{
	bool early = (uint64_t)time(NULL) - k->settings->started_real < TRY_FOR_S;

	return early && (e == -EROFS || e == -ENOENT || e == -EAGAIN || e == -ENODEV);
}

/* Two descriptors of it: one is the session's, the other ours for as long as it lies there. */
static int begin_in_memory(struct autologger *al, int *ret_fd)
{
	int fd = memfd_create("firstalloc-boot", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0600) < 0)
		return -errno;
	al->memory_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (al->memory_fd < 0) {
		close_fds(&fd, 1);
		return -EMFILE;
	}
	*ret_fd = fd;
	return 0;
}

static int open_trace(struct keeper *k, int i, int *ret_fd)
{
	struct autologger *al = &k->autologger[i];
	int e = autologger_open(k, &k->settings->config.autologger[i], &al->counter, ret_fd);

	return may_change(k, e) ? begin_in_memory(al, ret_fd) : e;
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
	fa_autologger_options(a, &m.u.session.options);
	*ret_what = fa_session_mode_fault(&m.u.session.options);
	if (*ret_what != NULL)
		return -EINVAL;
	/* Its ring is made by the collector, which gives it to us to keep. */
	if ((m.u.session.options.log_file_mode & FA_LOG_BUFFERING) == 0)
		e = open_trace(k, i, &fd);
	if (e < 0)
		return e;
	al->id = m.u.session.id = fa_real_ns() + (uint64_t)i;
	al->started_ns = fa_mono_ns();
	m.u.session.in_memory = al->memory_fd >= 0;
	m.u.session.started_real = fa_real_ns();
	e = msg_send(k->part[PART_COLLECTOR].fd, &m, FA_MSG_SESSION, &fd, 1);
	if (e < 0) {
		close_fds(&fd, 1);
		close_fds(&al->memory_fd, 1);
		return e;
	}
	k->given++;
	kept->fd[0] = fd;
	kept->session = m.u.session;
	return 0;
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

static void not_in_memory(struct autologger *al)
{
	close_fds(&al->memory_fd, 1);
	close_fds(&al->file_fd, 1);
	al->again_ns = 0;
}

static void say_started(struct keeper *k, int i)
{
	const struct fa_autologger *a = &k->settings->config.autologger[i];
	bool waits = k->autologger[i].memory_fd >= 0;
	char text[400];

	(void)snprintf(text, sizeof(text), "started%s%s%s", waits ? ", in memory until " : "",
		       waits ? a->file_name : "", waits ? " can be written" : "");
	autologger_status(k, a, k->autologger[i].counter, 0, text);
	log_line("autologger %s: %s", a->name, text);
}

/* Said once: the next try may go better. */
static void cannot_move(struct keeper *k, int i, int e)
{
	const struct fa_autologger *a = &k->settings->config.autologger[i];

	if (k->autologger[i].again_ns == 0 && e != -EROFS && e != -EAGAIN)
		log_line("autologger %s: %s: %s; it stays in memory until then", a->name,
			 a->file_name, text_of(e));
	k->autologger[i].again_ns = fa_mono_ns() + AGAIN_MS * 1000000ull;
	k->autologger[i].asked = 0;
}

/* The session is over: nobody writes to it any more. */
static void copy_ended(struct keeper *k, int i)
{
	struct autologger *al = &k->autologger[i];
	int e = fa_copy_file(al->memory_fd, al->file_fd);

	if (e < 0) {
		cannot_move(k, i, e);
		return;
	}
	not_in_memory(al);
	say_started(k, i);
}

/* Out of memory into its file, if that can be made by now. */
static void move_one(struct keeper *k, int i)
{
	struct autologger *al = &k->autologger[i];
	struct part *collector = &k->part[PART_COLLECTOR];
	struct fa_part_msg m = {.u.file.session = al->id};
	int e = 0;

	if (al->file_fd < 0)
		e = autologger_open(k, &k->settings->config.autologger[i], &al->counter,
				    &al->file_fd);
	if (e < 0) {
		cannot_move(k, i, e);
		return;
	}
	if (al->over)
		copy_ended(k, i);
	else if (collector->ready && al->asked != collector->pid &&
		 msg_send(collector->fd, &m, FA_MSG_FILE, &al->file_fd, 1) == 0)
		al->asked = collector->pid;
}

void autologger_moved(struct keeper *k, const struct fa_msg_file *m)
{
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		struct autologger *al = &k->autologger[i];

		if (al->id != m->session || al->memory_fd < 0 || al->file_fd < 0)
			continue;
		if (m->error != 0) {
			cannot_move(k, i, m->error > 0 ? -m->error : -EIO);
			continue;
		}
		for (int j = 0; j < FA_SESSIONS_MAX; j++)
			if (kept_is_used(&k->kept[j]) && k->kept[j].session.id == m->session) {
				close_fds(&k->kept[j].fd[0], 1);
				k->kept[j].fd[0] = fa_take_fd(&al->file_fd);
				k->kept[j].session.in_memory = 0;
			}
		not_in_memory(al);
		say_started(k, i);
	}
}

void autologger_over(struct keeper *k, uint64_t session)
{
	for (int i = 0; i < k->settings->config.autologgers; i++)
		k->autologger[i].over |= k->autologger[i].id == session;
}

/* Before READY all the time, then each second while something is to be done; the collector is at work. */
void autologgers_turn(struct keeper *k)
{
	uint64_t now = fa_mono_ns();

	if (!k->part[PART_COLLECTOR].ready)
		return;
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		if (k->autologger[i].state == AL_WAITS)
			try_one(k, i);
		if (k->autologger[i].memory_fd >= 0 && now >= k->autologger[i].again_ns)
			move_one(k, i);
	}
}

void autologgers_init(struct keeper *k)
{
	char text[320];

	for (int i = 0; i < k->settings->config.autologgers; i++) {
		struct fa_autologger *a = &k->settings->config.autologger[i];

		fa_autologger_effective(a);
		for (int j = 0; j < a->overrides && a->start; j++)
			log_line("autologger %s: %s", a->name,
				 fa_override_text(text, sizeof(text), &a->override[j]));
	}
	for (int i = 0; i < FA_CONFIG_AUTOLOGGERS; i++)
		k->autologger[i].memory_fd = k->autologger[i].file_fd = -1;
}

/* The last chance of what is still in memory. */
void autologgers_finish(struct keeper *k)
{
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		struct autologger *al = &k->autologger[i];

		if (al->memory_fd < 0)
			continue;
		al->over = true;
		move_one(k, i);
		if (al->memory_fd >= 0)
			log_line("autologger %s: %s could not be written until the end: the trace "
				 "is lost",
				 k->settings->config.autologger[i].name,
				 k->settings->config.autologger[i].file_name);
	}
}

void autologger_result(struct keeper *k, const struct fa_msg_autologger *m)
{
	for (int i = 0; i < k->settings->config.autologgers; i++) {
		const struct fa_autologger *a = &k->settings->config.autologger[i];
		struct autologger *al = &k->autologger[i];

		if (strncmp(a->name, m->name, sizeof(m->name)) != 0 || al->state != AL_GIVEN)
			continue;
		al->state = m->error ? AL_FAILED : AL_STARTED;
		if (m->error == 0) {
			say_started(k, i);
			continue;
		}
		not_in_memory(al);
		autologger_status(k, a, al->counter, m->error, fa_strerror(-m->error));
		log_line("autologger %s: %s", a->name, fa_strerror(-m->error));
	}
}

bool autologgers_pending(const struct keeper *k)
{
	for (int i = 0; i < k->settings->config.autologgers; i++)
		if (k->autologger[i].state == AL_GIVEN)
			return true;
	return false;
}
