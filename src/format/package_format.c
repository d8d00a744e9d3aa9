/*
 * package_format.c - is a process of the package that a rule names?
 *
 * Compiled twice, as index_format.c: in the shim nothing of libc may be called.
 */
#include "format/package_format.h"

#include <errno.h>
#include <stddef.h>

/* One name in a path, or a part of one; not terminated. */
struct piece {
	const char *at;
	size_t len;
};

static size_t length_of(const char *s)
{
	size_t n = 0;

	while (s[n] != '\0')
		n++;
	return n;
}

/* What follows `head` in the text, NULL: it begins otherwise. */
static const char *behind(const char *text, const char *head)
{
	for (; *head != '\0'; text++, head++)
		if (*text != *head)
			return NULL;
	return text;
}

static bool takes_head(struct piece *p, const char *head)
{
	size_t n = 0;

	for (; head[n] != '\0'; n++)
		if (n == p->len || p->at[n] != head[n])
			return false;
	p->at += n;
	p->len -= n;
	return true;
}

static bool takes_tail(struct piece *p, const char *tail)
{
	const size_t n = length_of(tail);

	if (n > p->len)
		return false;
	for (size_t i = 0; i < n; i++)
		if (p->at[p->len - n + i] != tail[i])
			return false;
	p->len -= n;
	return true;
}

static bool is_text(struct piece p, const char *text)
{
	return takes_head(&p, text) && p.len == 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_of(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As is_text(), where systemd has written what a unit's name may not have as \xHH. */
static bool is_escaped_text(struct piece p, const char *text)
{
	for (; p.len > 0; text++) {
		char c = *p.at;
		size_t n = 1;

		if (c == '\\' && p.len >= 4 && p.at[1] == 'x' && hex_of(p.at[2]) >= 0 &&
		    hex_of(p.at[3]) >= 0) {
			c = (char)(hex_of(p.at[2]) << 4 | hex_of(p.at[3]));
			n = 4;
		}
		if (*text == '\0' || *text != c)
			return false;
		p.at += n;
		p.len -= n;
	}
	return *text == '\0';
}

/* "foo@.service" and "foo@bar.service" */
static bool is_instance(struct piece p, const char *name)
{
	size_t at = 0;

	while (name[at] != '\0' && name[at] != '@')
		at++;
	if (name[at] == '\0' || name[at + 1] != '.' || p.len <= at || p.at[at] != '@')
		return false;
	for (size_t i = 0; i < at; i++)
		if (p.at[i] != name[i])
			return false;
	return takes_tail(&p, name + at + 1) && p.len > at + 1;
}

/* systemd puts a '_' before a name that the kernel has a file for, as cpu.service. */
static bool is_unit(struct piece p, const char *name)
{
	if (is_text(p, name) || is_instance(p, name))
		return true;
	return takes_head(&p, "_") && is_text(p, name);
}

enum { ID_SHORT = 12 };

static bool is_id(const char *text)
{
	size_t n = 0;

	while (hex_of(text[n]) >= 0)
		n++;
	return n >= ID_SHORT && text[n] == '\0';
}

/* Ids may be given short, as tools print them. */
static bool begins_with_id(struct piece p, const char *id)
{
	if (!takes_head(&p, id))
		return false;
	for (size_t i = 0; i < p.len; i++)
		if (hex_of(p.at[i]) < 0)
			return false;
	return true;
}

/*
 * /docker/ID, docker-ID.scope, libpod-ID.scope, cri-containerd-ID.scope; machine-NAME.scope,
 * systemd-nspawn@NAME.service, lxc.payload.NAME.
 */
static bool is_container(struct piece p, const char *id)
{
	struct piece name = p;

	if (takes_head(&name, "lxc.payload."))
		return is_text(name, id);
	if (takes_head(&name, "systemd-nspawn@"))
		return takes_tail(&name, ".service") && is_escaped_text(name, id);
	if (takes_head(&name, "machine-") && takes_tail(&name, ".scope"))
		return is_escaped_text(name, id);
	if (!is_id(id))
		return false;
	if (takes_tail(&p, ".scope"))
		for (size_t i = p.len; i > 0; i--)
			if (p.at[i - 1] == '-')
				return begins_with_id((struct piece){p.at + i, p.len - i}, id);
	return begins_with_id(p, id);
}

/* app-flatpak-APP-PID.scope */
static bool is_flatpak(struct piece p, const char *app)
{
	size_t pid;

	if (!takes_head(&p, "app-flatpak-") || !takes_tail(&p, ".scope"))
		return false;
	pid = p.len;
	while (pid > 0 && is_digit(p.at[pid - 1]))
		pid--;
	if (pid == p.len || pid == 0 || p.at[pid - 1] != '-')
		return false;
	p.len = pid - 1;
	return is_escaped_text(p, app);
}

enum { UUID = 36 };

/* snap.NAME.APP.service, snap.NAME.APP-UUID.scope, at first snap.NAME.APP.UUID.scope */
static bool is_snap(struct piece p, const char *name)
{
	const char *app = name;

	if (!takes_head(&p, "snap."))
		return false;
	if (takes_tail(&p, ".scope")) {
		if (p.len <= UUID + 1 ||
		    (p.at[p.len - UUID - 1] != '-' && p.at[p.len - UUID - 1] != '.'))
			return false;
		p.len -= UUID + 1;
	} else if (!takes_tail(&p, ".service")) {
		return false;
	}
	while (*app != '\0' && *app != '.')
		app++;
	if (*app == '.')
		return is_text(p, name);
	return takes_head(&p, name) && p.len > 0 && *p.at == '.';
}

/* Paths end with their line. */
static bool ends(char c)
{
	return c == '\0' || c == '\n';
}

static bool has_name(const char *path, bool (*is)(struct piece, const char *), const char *value)
{
	while (!ends(*path)) {
		struct piece p = {path, 0};

		while (!ends(p.at[p.len]) && p.at[p.len] != '/')
			p.len++;
		if (p.len > 0 && is(p, value))
			return true;
		path += p.len;
		path += *path == '/';
	}
	return false;
}

static bool is_below(const char *path, const char *group)
{
	const char *rest = behind(path, group);

	return rest != NULL && (*rest == '/' || ends(*rest));
}

static bool path_matches(const char *path, const char *package)
{
	const char *value;

	if ((value = behind(package, FA_PACKAGE_UNIT)) != NULL)
		return has_name(path, is_unit, value);
	if ((value = behind(package, FA_PACKAGE_CONTAINER)) != NULL)
		return has_name(path, is_container, value);
	if ((value = behind(package, FA_PACKAGE_CGROUP)) != NULL)
		return is_below(path, value);
	if ((value = behind(package, FA_PACKAGE_FLATPAK)) != NULL)
		return has_name(path, is_flatpak, value);
	if ((value = behind(package, FA_PACKAGE_SNAP)) != NULL)
		return has_name(path, is_snap, value);
	return false;
}

/* Lines "NUMBER:CONTROLLERS:PATH": one with the second version of control groups, several with the first. */
bool fa_package_matches(const char *package, const char *cgroup)
{
	while (*cgroup != '\0') {
		for (int colons = 0; colons < 2 && !ends(*cgroup); cgroup++)
			colons += *cgroup == ':';
		if (*cgroup == '/' && path_matches(cgroup, package))
			return true;
		while (!ends(*cgroup))
			cgroup++;
		cgroup += *cgroup == '\n';
	}
	return false;
}

/* Without control characters, which nothing of this has, and (unless `slash`) without the one that divides. */
static bool is_plain(const char *text, bool slash)
{
	size_t n = 0;

	for (; text[n] != '\0'; n++)
		if ((unsigned char)text[n] < ' ' || text[n] == 0x7f || (text[n] == '/' && !slash))
			return false;
	return n > 0;
}

static bool is_unit_name(const char *name)
{
	static const char kinds[][9] = {".service", ".scope", ".slice", ".socket", ".mount", ".swap"};
	struct piece p = {name, length_of(name)};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (takes_tail(&p, kinds[i]))
			return p.len > 0;
	return false;
}

/* Below the root, which would be everything; written as the kernel writes it. */
static bool is_group(const char *path)
{
	if (path[0] != '/')
		return false;
	for (; *path != '\0'; path++)
		if (path[0] == '/' && (path[1] == '/' || path[1] == '\0'))
			return false;
	return true;
}

int fa_package_check(const char *package)
{
	const char *value;
	bool good = false;

	if (length_of(package) > FA_PACKAGE_MAX)
		return -EINVAL;
	if ((value = behind(package, FA_PACKAGE_UNIT)) != NULL)
		good = is_plain(value, false) && is_unit_name(value);
	else if ((value = behind(package, FA_PACKAGE_CGROUP)) != NULL)
		good = is_plain(value, true) && is_group(value);
	else if ((value = behind(package, FA_PACKAGE_CONTAINER)) != NULL ||
		 (value = behind(package, FA_PACKAGE_FLATPAK)) != NULL ||
		 (value = behind(package, FA_PACKAGE_SNAP)) != NULL)
		good = is_plain(value, false);
	return good ? 0 : -EINVAL;
}
