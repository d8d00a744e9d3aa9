/*
 * requests.c - the keeper's own socket: rules and the kill switch for users who may not write to the
 * registry.
 *
 * Who may what:
 *   root, members of the group `firstalloc`: any rule, the switch;
 *   any other user: rules for own processes only (uid scope is the caller's), without the options
 *   that reach beyond them (set-user-id programs, process 1, arguments), of its own making only, and
 *   bounded: so many rules, so many bytes of the index (what programs read at their start is
 *   64 KB for all), so many changes in a while (each is an fsync and a row of history).
 *
 * The keeper watches the other parts, so it waits for nobody here: descriptors do not block, one
 * request is done a turn, who connects and says nothing is dropped. Names come from /etc/passwd
 * itself, because what nsswitch.conf may name instead may take long to answer.
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/paths.h"
#include "daemon/keeper.h"
#include "format/keeper_format.h"

enum {
	ASKERS_PER_USER = 4,
	SILENT_S = 5,
	ACCEPTS_A_TURN = 8,
	RULES_PER_USER = 64,
	BYTES_PER_USER = 8192,  /* of the index */
	BYTES_OF_USERS = 32768, /* of all of them: half of what there is */
	CHANGES_AT_ONCE = 128,  /* per user, then one each */
	CHANGE_EVERY_MS = 5000,
	USER_NOTE = 200,
};

static const uint32_t user_options = FA_RULE_SCRIPT | FA_RULE_SANITIZER | FA_RULE_TABLE_MB;

struct talk {
	struct keeper *k;
	const struct asker *who;
	const struct fa_keeper_request *q;
	struct fa_keeper_reply reply;
	char name[64]; /* for the history */
};

static FA_PRINTF(3, 4) int refuse(struct talk *t, int error, const char *format, ...)
{
	va_list ap;

	t->reply.error = error;
	va_start(ap, format);
	(void)vsnprintf(t->reply.text, sizeof(t->reply.text), format, ap);
	va_end(ap);
	return -error;
}

static void name_of(uint32_t uid, char *buf, size_t size)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *pw;

	(void)snprintf(buf, size, "uid %u", uid);
	while (f != NULL && (pw = fgetpwent(f)) != NULL)
		if (pw->pw_uid == uid) {
			(void)snprintf(buf, size, "%s", pw->pw_name);
			break;
		}
	if (f != NULL)
		(void)fclose(f);
}

void requests_open(struct keeper *k)
{
	const struct group *g = getgrnam(FA_GROUP);

	k->system_gid = g != NULL ? g->gr_gid : ~0u;
	for (int i = 0; i < ASKERS_MAX; i++)
		k->asker[i].fd = -1;
}

static bool is_member(const struct keeper *k, int fd, const struct ucred *who)
{
	gid_t groups[1024];
	socklen_t len = sizeof(groups);

	if (who->uid == 0 || (k->system_gid != ~0u && who->gid == k->system_gid))
		return true;
	if (k->system_gid == ~0u || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == k->system_gid)
			return true;
	return false;
}

static struct asker *free_asker(struct keeper *k, uint32_t uid)
{
	struct asker *room = NULL;
	unsigned same = 0;

	for (int i = 0; i < ASKERS_MAX; i++) {
		same += k->asker[i].fd >= 0 && k->asker[i].uid == uid;
		if (k->asker[i].fd < 0)
			room = &k->asker[i];
	}
	return same < ASKERS_PER_USER || uid == 0 ? room : NULL;
}

static void accept_one(struct keeper *k, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	struct asker *a = NULL;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		a = free_asker(k, who.uid);
	if (a == NULL) {
		close(fd);
		return;
	}
	a->fd = fd;
	a->uid = who.uid;
	a->member = is_member(k, fd, &who);
	a->since_ns = fa_mono_ns();
}

/* Everybody starts with a full purse, so it does not matter whose is given away when all are taken:
 * the fullest. */
static bool may_change_now(struct keeper *k, uint32_t uid, uint64_t now)
{
	struct purse *p = NULL, *spare = &k->purse[0];
	uint64_t filled;

	for (int i = 0; i < PURSES && p == NULL; i++) {
		if (k->purse[i].used && k->purse[i].uid == uid)
			p = &k->purse[i];
		else if (!k->purse[i].used || (spare->used && k->purse[i].left > spare->left))
			spare = &k->purse[i];
	}
	if (p == NULL) {
		p = spare;
		*p = (struct purse){true, uid, CHANGES_AT_ONCE, now};
	}
	filled = (now - p->filled_ns) / (CHANGE_EVERY_MS * 1000000ull);
	p->filled_ns += filled * CHANGE_EVERY_MS * 1000000ull;
	p->left = p->left + filled > CHANGES_AT_ONCE ? CHANGES_AT_ONCE : p->left + (uint32_t)filled;
	if (p->left == 0)
		return false;
	p->left--;
	return true;
}

static size_t text_bytes(const char *text)
{
	return text != NULL && *text != '\0' ? strlen(text) + 1 : 0;
}

static uint32_t index_bytes(const char *image, const char *path, const char *package)
{
	return (uint32_t)(sizeof(struct fa_index_rule) + strlen(image) + 1 + text_bytes(path) +
			  text_bytes(package));
}

/* A rule of a user's own making: scope and signature are his. */
static bool is_own(const struct talk *t, const struct fa_rule *r)
{
	return r->uid == t->who->uid && r->who != NULL && strcmp(r->who, t->name) == 0;
}

static bool same_scope(const struct fa_rule *r, const struct fa_keeper_request *q)
{
	return r->uid == q->uid && strcmp(r->image, q->image) == 0 &&
	       strcmp(r->path != NULL ? r->path : "", q->path) == 0 &&
	       strcmp(r->package != NULL ? r->package : "", q->package) == 0;
}

/* What there is already, against the bounds of one user and of all users. */
static int check_bounds(struct talk *t)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list all = {0};
	uint32_t own = 0, mine = index_bytes(t->q->image, t->q->path, t->q->package), users = mine;
	int e = fa_registry_list(t->k->registry, NULL, &all);

	if (e < 0)
		return refuse(t, -e, "the registry: %s", fa_strerror(e));
	for (uint32_t i = 0; i < all.count; i++) {
		const struct fa_rule *r = &all.rule[i];
		uint32_t bytes = index_bytes(r->image, r->path, r->package);

		if (same_scope(r, t->q)) {
			if (is_own(t, r))
				continue; /* replaced */
			return refuse(t, EPERM,
				      "the rule for %.64s and this user was made by %.64s",
				      r->image, r->who != NULL ? r->who : "somebody else");
		}
		own += r->uid == t->who->uid;
		mine += r->uid == t->who->uid ? bytes : 0;
		users += r->uid != FA_USER_ANY && r->uid != 0 ? bytes : 0;
	}
	if (own >= RULES_PER_USER)
		return refuse(t, EDQUOT,
			      "you have %u rules, the limit for a user; disable some first", own);
	if (mine > BYTES_PER_USER || users > BYTES_OF_USERS)
		return refuse(t, EDQUOT,
			      "%s rules fill the room that users have in the index; "
			      "disable some first",
			      mine > BYTES_PER_USER ? "your" : "users'");
	return 0;
}

/* May a user who is no member make this rule? */
static int check_user_rule(struct talk *t)
{
	const struct fa_keeper_request *q = t->q;

	if (q->uid != t->who->uid)
		return refuse(t, EPERM,
			      "you may enable for your own processes only: add --user self "
			      "(members of the group " FA_GROUP " and root may do more)");
	if ((q->options & ~user_options) != 0)
		return refuse(t, EPERM,
			      "--secure, --pid1 and --record-args are for root and members of the "
			      "group " FA_GROUP);
	if (strlen(q->note) > USER_NOTE)
		return refuse(t, EPERM, "--note: at most %d bytes for a user", USER_NOTE);
	return check_bounds(t);
}

static void do_put(struct talk *t)
{
	const struct fa_keeper_request *q = t->q;
	struct fa_rule rule = {
		.image = q->image,
		.path = q->path,
		.package = q->package,
		.uid = q->uid,
		.flags = q->flags,
		.options = q->options,
		.depth = q->depth,
		.stacks = q->stacks,
		.stamp = q->stamp,
		.expires = q->expires,
		.starts_left = q->starts,
		.note = q->note,
	};
	bool replaced = false;
	int e;

	if (!t->who->member && check_user_rule(t) < 0)
		return;
	e = fa_registry_put(t->k->registry, &rule, t->name, &replaced, &t->reply.rule_id);
	if (e < 0) {
		(void)refuse(t, -e, "%s", e == -E2BIG ? "" : fa_strerror(e));
		return;
	}
	t->reply.replaced = replaced;
	log_line("%s enabled %.255s", t->name, q->image);
}

/* Of the rules that the filter names: whose are they? The number that are not the caller's. */
static int count_foreign(struct talk *t, const struct fa_rule_filter *filter, uint32_t *ret_own)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list list = {0};
	int e = fa_registry_list(t->k->registry, filter, &list);

	*ret_own = 0;
	if (e < 0)
		return refuse(t, -e, "the registry: %s", fa_strerror(e));
	for (uint32_t i = 0; i < list.count; i++) {
		if (is_own(t, &list.rule[i]))
			++*ret_own;
		else
			t->reply.foreign++;
	}
	return 0;
}

/* A user's own rules, one by one: what others made for the same scope stays. */
static int remove_own(struct talk *t, const struct fa_rule_filter *filter)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list list = {0};
	int e = fa_registry_list(t->k->registry, filter, &list);

	for (uint32_t i = 0; e == 0 && i < list.count; i++) {
		const struct fa_rule *r = &list.rule[i];
		struct fa_rule_filter one = {
			.image = r->image,
			.path = r->path != NULL ? r->path : "",
			.package = r->package != NULL ? r->package : "",
			.uid = r->uid,
			.has_uid = true,
		};
		uint32_t removed = 0;

		if (!is_own(t, r))
			continue;
		e = fa_registry_remove(t->k->registry, &one, t->name, &removed);
		t->reply.removed += removed;
	}
	return e;
}

static void do_remove(struct talk *t)
{
	const struct fa_keeper_request *q = t->q;
	struct fa_rule_filter filter = {
		.image = q->all ? NULL : q->image,
		.path = q->path[0] != '\0' ? q->path : NULL,
		.package = q->package[0] != '\0' ? q->package : NULL,
		.uid = q->uid,
		.has_uid = q->has_uid != 0,
	};
	uint32_t own;
	int e;

	if (t->who->member) {
		e = fa_registry_remove(t->k->registry, &filter, t->name, &t->reply.removed);
	} else {
		if (count_foreign(t, &filter, &own) < 0)
			return;
		if (own == 0 && t->reply.foreign > 0 && !q->all) {
			(void)refuse(t, EPERM, "the rules for %.64s are not yours", q->image);
			return;
		}
		e = remove_own(t, &filter);
	}
	if (e < 0)
		(void)refuse(t, -e, "%s", fa_strerror(e));
	else if (t->reply.removed > 0)
		log_line("%s disabled %.255s (%u)", t->name, q->all ? "all rules" : q->image,
			 t->reply.removed);
}

static void do_switch(struct talk *t)
{
	bool off = t->q->verb == FA_KEEPER_OFF;
	int e;

	if (!t->who->member) {
		(void)refuse(t, EPERM,
			     "only root and members of the group " FA_GROUP
			     " switch tracing off and on");
		return;
	}
	e = fa_registry_set_flag(t->k->registry, FA_INDEX_OFF, off, t->name);
	if (e < 0)
		(void)refuse(t, -e, "%s", fa_strerror(e));
	else
		log_line("%s switched tracing %s", t->name, off ? "off" : "on");
}

static void do_request(struct talk *t, size_t len)
{
	uint64_t now = fa_mono_ns();
	const char *what = "its size";
	int e = fa_keeper_check(t->q, len, &what);

	if (e == -EPROTONOSUPPORT)
		(void)refuse(t, EPROTONOSUPPORT,
			     "firstallocd is of another version than this command (restart it)");
	else if (e < 0)
		(void)refuse(t, -e, "the request is malformed: %s", what);
	if (e < 0)
		return;
	if (!t->who->member && !may_change_now(t->k, t->who->uid, now)) {
		(void)refuse(t, EBUSY, "too many changes by this user; wait some seconds");
		return;
	}
	e = rules_open(t->k);
	if (e < 0) {
		(void)refuse(t, -e, "firstallocd cannot open the registry: %s", fa_strerror(e));
		return;
	}
	name_of(t->who->uid, t->name, sizeof(t->name));
	if (t->q->verb == FA_KEEPER_PUT)
		do_put(t);
	else if (t->q->verb == FA_KEEPER_REMOVE)
		do_remove(t);
	else
		do_switch(t);
	t->reply.generation = fa_registry_generation(t->k->registry);
	t->k->rules_generation = 0; /* looked up anew when a start is counted */
}

/* false: nothing was there. Otherwise it was answered, or is gone. */
static bool read_asker(struct keeper *k, struct asker *a)
{
	static struct fa_keeper_request q;
	struct talk t = {.k = k, .who = a, .q = &q};
	struct iovec iov = {.iov_base = &q, .iov_len = sizeof(q)};
	/* No room for descriptors: the kernel closes what comes along. */
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(a->fd, &msg, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		close_fds(&a->fd, 1);
		return true;
	}
	do_request(&t, (msg.msg_flags & MSG_TRUNC) != 0 ? 0 : (size_t)n);
	t.reply.magic = FA_KEEPER_MAGIC;
	t.reply.version = FA_KEEPER_VERSION;
	/* Whoever does not read his answers, or does not speak our language, has had his turn. */
	if (send(a->fd, &t.reply, sizeof(t.reply), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ||
	    t.reply.error == EPROTO || t.reply.error == EPROTONOSUPPORT)
		close_fds(&a->fd, 1);
	a->since_ns = fa_mono_ns();
	return true;
}

unsigned requests_poll(const struct keeper *k, struct pollfd *p)
{
	unsigned n = 0;

	p[n++] = (struct pollfd){.fd = k->ask_fd, .events = POLLIN};
	for (int i = 0; i < ASKERS_MAX; i++)
		if (k->asker[i].fd >= 0)
			p[n++] = (struct pollfd){.fd = k->asker[i].fd, .events = POLLIN};
	return n;
}

void requests_turn(struct keeper *k, uint64_t now)
{
	static unsigned next;

	for (int i = 0; i < ACCEPTS_A_TURN && k->ask_fd >= 0; i++) {
		int fd = accept4(k->ask_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			break;
		accept_one(k, fd);
	}
	for (unsigned i = 0; i < ASKERS_MAX; i++) {
		struct asker *a = &k->asker[(next + i) % ASKERS_MAX];

		if (a->fd < 0)
			continue;
		if (!k->stopping && read_asker(k, a)) { /* one a turn */
			next = (next + i + 1) % ASKERS_MAX;
			break;
		}
	}
	for (unsigned i = 0; i < ASKERS_MAX; i++)
		if (k->asker[i].fd >= 0 && now > k->asker[i].since_ns &&
		    now - k->asker[i].since_ns > SILENT_S * 1000000000ull)
			close_fds(&k->asker[i].fd, 1);
}
