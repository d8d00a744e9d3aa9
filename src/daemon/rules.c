/*
 * rules.c - the keeper's care for the registry: what the sqlite3 shell changed is published, what
 * has expired is dropped, rules "for N starts" are counted. Each second, with a short patience: while
 * the keeper waits, nobody watches the others.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/keeper.h"

enum { PATIENCE_MS = 150, TRY_AGAIN_S = 5 };

static bool have_registry(struct keeper *k, uint64_t now)
{
	static int told;
	int e;

	if (k->registry != NULL)
		return true;
	if (k->registry_try_ns != 0 && now - k->registry_try_ns < TRY_AGAIN_S * 1000000000ull)
		return false;
	k->registry_try_ns = now;
	/* READ first: a machine without rules keeps an empty /var/lib/firstalloc. */
	e = fa_registry_open(k->settings->root, FA_REGISTRY_READ, &k->registry);
	if (e == 0) {
		fa_registry_close(&k->registry);
		e = fa_registry_open(k->settings->root, FA_REGISTRY_WRITE, &k->registry);
	}
	if (e < 0) {
		if (e != told && e != -ENOENT)
			log_line("registry: %s", fa_strerror(e));
		told = e;
		return false;
	}
	told = 0;
	fa_registry_set_timeout(k->registry, PATIENCE_MS);
	return true;
}

int rules_open(struct keeper *k)
{
	int e;

	if (k->registry != NULL)
		return 0;
	e = fa_registry_open(k->settings->root, FA_REGISTRY_WRITE | FA_REGISTRY_HASTY,
			     &k->registry);
	if (e == 0)
		fa_registry_set_timeout(k->registry, PATIENCE_MS);
	return e;
}

static bool is_busy(int e)
{
	return e == -EBUSY || e == -ETIMEDOUT;
}

/* -ENOENT: there is none; -EBUSY, -ETIMEDOUT: not known. */
static int find_rule(struct keeper *k, uint32_t id, const struct fa_rule **ret)
{
	uint64_t generation;
	int e;

	/* A rule may be younger than our last look. */
	e = fa_registry_check(k->registry);
	if (is_busy(e))
		return e;
	generation = fa_registry_generation(k->registry);
	if (generation != k->rules_generation || k->rules.rule == NULL) {
		struct fa_rule_list list = {0};

		e = fa_registry_list(k->registry, NULL, &list);
		if (e < 0)
			return e;
		fa_rule_list_done(&k->rules);
		k->rules = list;
		k->rules_generation = generation;
	}
	for (uint32_t i = 0; i < k->rules.count; i++)
		if (k->rules.rule[i].id == id) {
			*ret = &k->rules.rule[i];
			return 0;
		}
	return -ENOENT;
}

static bool is_image(const char *image, const char *name, size_t size)
{
	size_t len = strlen(image);

	return len < size && memcmp(image, name, len + 1) == 0;
}

/* May this message be about this rule? Its number is the process's word. */
static bool concerns(const struct fa_rule *r, const struct fa_msg_started *m)
{
	if (r->uid != FA_USER_ANY && r->uid != m->uid)
		return false;
	return (r->options & FA_RULE_SCRIPT) != 0 || is_image(r->image, m->image, sizeof(m->image)) ||
	       is_image(r->image, m->exec_name, sizeof(m->exec_name));
}

/* What was told while the registry was busy: tried again each second. */
enum { LATE = 64, LATE_PER_USER = 16 };
static struct {
	struct fa_msg_started m;
	uint32_t starts; /* 0: disarm it */
} late[LATE];
static unsigned lates;
static bool late_told; /* that there was no room: once until all are done */

static bool same_start(const struct fa_msg_started *a, const struct fa_msg_started *b)
{
	return a->rule_id == b->rule_id && a->uid == b->uid &&
	       memcmp(a->image, b->image, sizeof(a->image)) == 0 &&
	       memcmp(a->exec_name, b->exec_name, sizeof(a->exec_name)) == 0;
}

/* A start, or none: to be disarmed. */
static void put_off(const struct fa_msg_started *m, uint32_t starts)
{
	unsigned of_user = 0;

	for (unsigned i = 0; i < lates; i++) {
		of_user += late[i].m.uid == m->uid;
		if (starts == 0 || late[i].starts == 0 || !same_start(&late[i].m, m))
			continue;
		late[i].starts += late[i].starts != UINT32_MAX;
		return;
	}
	if (lates < LATE && of_user < LATE_PER_USER) {
		late[lates].m = *m;
		late[lates++].starts = starts;
		return;
	}
	if (!late_told)
		log_line("rule %u, user %u: %s, the registry is busy", m->rule_id, m->uid,
			 starts != 0 ? "a start was not counted" : "not disarmed");
	late_told = true;
}

/*
 * The rule's number and the executed path are what the process says; the name of its executable is
 * the kernel's. So a program that lies may use up a rule "for N starts" of another image, but only
 * one that holds for its user, and nothing else comes of it. A script's rule names the script.
 * -EBUSY, -ETIMEDOUT: nothing was done yet.
 */
static int count(struct keeper *k, const struct fa_msg_started *m, uint32_t starts)
{
	const struct fa_rule *r;
	uint32_t left;
	int e = find_rule(k, m->rule_id, &r);

	if (e < 0 || r->starts_left == 0 || !concerns(r, m))
		return e;
	e = fa_registry_count_starts(k->registry, m->rule_id, starts, &left);
	k->rules_generation = 0;
	if (e == 0 && left == 0)
		log_line("rule %u has had its starts and is removed", m->rule_id);
	else if (e < 0 && e != -ENOENT && !is_busy(e))
		log_line("a start of rule %u was not counted: %s", m->rule_id, fa_strerror(e));
	return e;
}

/* While there are late ones it is not waited for the registry once more for each. */
void rules_count_start(struct keeper *k, const struct fa_msg_started *m)
{
	if (lates > 0 || !have_registry(k, fa_mono_ns()) || is_busy(count(k, m, 1)))
		put_off(m, 1);
}

/* -EBUSY, -ETIMEDOUT: nothing was done yet. */
static int disarm(struct keeper *k, const struct fa_msg_started *m)
{
	const char *name = sigabbrev_np((int)m->signal);
	const struct fa_rule *r;
	char why[160];
	int e;

	/* At once, though it was damaged a moment ago: it is not said twice. */
	e = rules_open(k);
	if (e < 0)
		return e;
	e = find_rule(k, m->rule_id, &r);
	if (e < 0 || m->uid == FA_USER_ANY || !concerns(r, m))
		return e;
	(void)snprintf(why, sizeof(why),
		       "disarmed: %u starts in a row died by SIG%s within %u s; enable it again to "
		       "re-arm",
		       m->crashes, name != NULL ? name : "?", m->within_s);
	e = fa_registry_disarm(k->registry, m->rule_id, m->uid, why);
	k->rules_generation = 0;
	if (is_busy(e))
		return e;
	log_line("rule %u (%.255s), user %u: %s%s%s", m->rule_id, m->image, m->uid, why,
		 e < 0 ? ": " : "", e < 0 ? fa_strerror(e) : "");
	return e;
}

/* See crashes.c: for the user whose starts crashed, and for nobody else. */
void rules_disarm(struct keeper *k, const struct fa_msg_started *m)
{
	if (is_busy(disarm(k, m)))
		put_off(m, 0);
}

/* In their order; one patience a turn. */
static void do_late(struct keeper *k)
{
	unsigned done = 0;
	bool busy = false;

	while (done < lates && !busy) {
		busy = is_busy(late[done].starts != 0 ? count(k, &late[done].m, late[done].starts)
						      : disarm(k, &late[done].m));
		done += !busy;
	}
	lates -= done;
	memmove(late, late + done, lates * sizeof(late[0]));
	late_told = late_told && lates > 0;
}

/* Somebody may have written the configuration without `firstalloc autologger`. Where nothing can be written yet, again
 * in the next turn. */
static void follow(struct keeper *k)
{
	const struct fa_config *c = &k->settings->config;
	int e = 0;

	for (int i = 0; i < c->autologgers && k->registry == NULL && e == 0; i++)
		if (c->autologger[i].start)
			e = rules_open(k);
	if (e == 0 && k->registry != NULL)
		e = fa_registry_follow(k->registry, c);
	k->followed = e == 0 || (e != -EROFS && !is_busy(e));
	if (e < 0 && k->followed)
		log_line("the autologgers' images are not flagged: %s", fa_strerror(e));
}

void rules_turn(struct keeper *k, uint64_t now)
{
	int e;

	if (!have_registry(k, now) && k->followed)
		return;
	if (!k->followed)
		follow(k);
	if (k->registry == NULL)
		return;
	e = fa_registry_check(k->registry);
	if (e >= 0)
		do_late(k);
	if (e >= 0 || is_busy(e))
		return;
	log_line("registry: %s", fa_strerror(e));
	fa_registry_close(&k->registry); /* opened anew in a while */
}
