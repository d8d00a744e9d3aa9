/*
 * config.c - reads firstalloc.ini with libinih.
 *
 * libinih's handler is not told the line (INI_HANDLER_LINENO is off in distributions), so lines are
 * handed to it by a reader of ours that counts them; the reader also sees lines that are neither
 * a section nor a value, which the library would only report as a number, and only the first.
 */
#include "base/config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"

struct reading {
	struct fa_config *c;
	const char *path;
	FILE *in;
	int line;
	char section[FA_CONFIG_NAME + 16]; /* as the reader sees it */
};

void fa_config_defaults(struct fa_config *c)
{
	memset(c, 0, sizeof(*c));
	c->workers = 4;
	c->arenas_per_user = 1024;
	c->mapped_per_user = 4ull << 30;
	c->written_per_user = 64ull << 30;
	c->sessions_per_user = 8;
}

const struct fa_autologger *fa_config_autologger(const struct fa_config *c, const char *name)
{
	for (int i = 0; i < c->autologgers; i++)
		if (strcmp(c->autologger[i].name, name) == 0)
			return &c->autologger[i];
	return NULL;
}

static FA_PRINTF(4, 5) void add_problem(struct reading *r, struct fa_autologger *a, const char *key,
					const char *format, ...)
{
	char text[384];
	int n = snprintf(text, sizeof(text), "%s:%d: %s%s%s%s", r->path, r->line,
			 r->section[0] ? "[" : "", r->section, r->section[0] ? "] " : "", key);
	va_list ap;

	va_start(ap, format);
	if (n > 0 && (size_t)n < sizeof(text))
		(void)vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
	va_end(ap);
	if (r->c->problems < FA_CONFIG_PROBLEMS)
		memcpy(r->c->problem[r->c->problems++], text, sizeof(text));
	if (a != NULL && a->problem[0] == '\0')
		memcpy(a->problem, text, sizeof(text));
}

bool fa_config_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= FA_CONFIG_NAME || name[0] == '.' || name[0] == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && strchr("._-@+", *name) == NULL)
			return false;
	return true;
}

/* The section's autologger, made when it is met first. NULL: no room, or a bad name. */
static struct fa_autologger *find_or_add(struct reading *r, const char *name)
{
	struct fa_config *c = r->c;
	struct fa_autologger *a;

	for (int i = 0; i < c->autologgers; i++)
		if (strcmp(c->autologger[i].name, name) == 0)
			return &c->autologger[i];
	if (!fa_config_name_ok(name)) {
		add_problem(r, NULL, "", "a session's name has letters, digits and . _ - @ +");
		return NULL;
	}
	if (c->autologgers == FA_CONFIG_AUTOLOGGERS) {
		add_problem(r, NULL, "", "more than %d autologgers", FA_CONFIG_AUTOLOGGERS);
		return NULL;
	}
	a = &c->autologger[c->autologgers++];
	memset(a, 0, sizeof(*a));
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	(void)snprintf(a->file_name, sizeof(a->file_name), FA_DIR_LOG "/%s.falloc", name);
	(void)snprintf(a->mode, sizeof(a->mode), "sequential");
	(void)snprintf(a->source, sizeof(a->source), "%s", r->path);
	a->clock_type = FA_CLOCK_TYPE_COUNTER;
	return a;
}

/* A number from lo to hi, times unit. */
static int number(const char *value, uint64_t lo, uint64_t hi, uint64_t unit, uint64_t *ret)
{
	uint64_t v;
	int e = fa_parse_u64(value, &v);

	if (e < 0 || v < lo || v > hi)
		return -EINVAL;
	*ret = v * unit;
	return 0;
}

/* The numeric values of a section: key, range, unit, where to. 4 or 8 bytes wide. */
struct number_key {
	const char *key;
	uint64_t lo, hi, unit;
	size_t offset;
	size_t size;
	const char *what;
};

#define AT(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)

static const struct number_key daemon_keys[] = {
	{"Workers", 2, 64, 1, AT(fa_config, workers), "threads, 2 to 64"},
	{"ArenasPerUser", 1, 65536, 1, AT(fa_config, arenas_per_user), "1 to 65536"},
	{"MappedPerUser", 1, 1 << 20, 1 << 20, AT(fa_config, mapped_per_user), "megabytes"},
	{"WrittenPerUser", 0, 1 << 24, 1 << 20, AT(fa_config, written_per_user), "megabytes"},
	{"MinFree", 0, 1 << 24, 1 << 20, AT(fa_config, min_free), "megabytes"},
	{"SessionsPerUser", 0, 64, 1, AT(fa_config, sessions_per_user), "0 to 64"},
};

static const struct number_key autologger_keys[] = {
	{"BufferSize", 4, 4096, 1024, AT(fa_autologger, buffer_size), "kilobytes, 4 to 4096"},
	{"MinimumBuffers", 0, 65536, 1, AT(fa_autologger, minimum_buffers), "0 to 65536"},
	{"MaximumBuffers", 0, 65536, 1, AT(fa_autologger, maximum_buffers), "0 to 65536"},
	{"FlushTimer", 0, 3600, 1, AT(fa_autologger, flush_timer), "seconds, 0 to 3600"},
	{"MaxFileSize", 0, 1 << 24, 1 << 20, AT(fa_autologger, max_file_size), "megabytes"},
	{"MinFree", 0, 1 << 24, 1 << 20, AT(fa_autologger, min_free), "megabytes"},
	{"FileMax", 0, 16, 1, AT(fa_autologger, file_max), "files, 1 to 16, or 0"},
	{"PostBootDelay", 0, 86400, 1, AT(fa_autologger, post_boot_delay), "seconds, 0 to 86400"},
};

/* 1: taken, 0: no such key, -EINVAL. */
static int take_number(const struct number_key *keys, size_t n, void *to, const char *key,
		       const char *value, const char **ret_what)
{
	for (size_t i = 0; i < n; i++) {
		char *at = (char *)to + keys[i].offset;
		uint64_t v;

		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (number(value, keys[i].lo, keys[i].hi, keys[i].unit, &v) < 0) {
			*ret_what = keys[i].what;
			return -EINVAL;
		}
		if (keys[i].size == 8) {
			memcpy(at, &v, 8);
		} else {
			uint32_t v4 = (uint32_t)v;

			memcpy(at, &v4, 4);
		}
		return 1;
	}
	return 0;
}

static void daemon_value(struct reading *r, const char *key, const char *value)
{
	const char *what = "";
	int got = take_number(daemon_keys, sizeof(daemon_keys) / sizeof(daemon_keys[0]), r->c, key,
			      value, &what);

	if (got == 0)
		add_problem(r, NULL, key, ": there is no such setting");
	else if (got < 0)
		add_problem(r, NULL, key, ": '%s' is not what is expected: %s", value, what);
}

/* append and newfile are for sessions that somebody starts: a boot has nothing of its own to append to. */
static int take_mode(struct fa_autologger *a, const char *value)
{
	static const char *const modes[] = {"sequential", "circular", "buffering"};
	size_t len = strcspn(value, " ,");
	const char *rest = value + len + strspn(value + len, " ,");

	if (*rest != '\0' && strcmp(rest, "preallocate") != 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strlen(modes[i]) != len || strncmp(modes[i], value, len) != 0)
			continue;
		(void)snprintf(a->mode, sizeof(a->mode), "%s", modes[i]);
		a->preallocate = *rest != '\0';
		return 1;
	}
	return -EINVAL;
}

/* Values that are no numbers: 1 taken, -EINVAL. */
static int take_start(struct fa_autologger *a, const char *value)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return -EINVAL;
	a->start = value[0] == '1';
	return 1;
}

static int take_policy(struct fa_autologger *a, const char *value)
{
	if (strcmp(value, "wait") != 0 && strcmp(value, "count") != 0)
		return -EINVAL;
	a->count = value[0] == 'c';
	return 1;
}

static int take_file_name(struct fa_autologger *a, const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof(a->file_name))
		return -EINVAL;
	(void)snprintf(a->file_name, sizeof(a->file_name), "%s", value);
	a->file_name_given = true;
	return 1;
}

static const struct word_key {
	const char *key;
	int (*take)(struct fa_autologger *a, const char *value);
	const char *what;
} word_keys[] = {
	{"Start", take_start, "0 or 1"},
	{"LogFileMode", take_mode, "sequential, circular or buffering, and 'preallocate' behind a comma"},
	{"Policy", take_policy, "wait or count"},
	{"FileName", take_file_name, "an absolute path"},
	{"ClockType", fa_config_take_clock, "1 (performance counter), 2 (system time) or 3 (CPU cycles)"},
	{"StackWalkingFilter", fa_config_take_stacks,
	 "alloc, realloc, free, HeapAlloc or the like, numbers of events, all or none, with commas"},
	{"Images", fa_config_take_images, "at most 16 names of programs, with commas, without folders"},
	{"StopAt", fa_config_take_stop, "a unit of systemd (multi-user.target) or a time (30s, 5m)"},
};

/* 1 taken, 0 no such key, -EINVAL. */
static int autologger_word(struct fa_autologger *a, const char *key, const char *value,
			   const char **ret_what)
{
	for (size_t i = 0; i < sizeof(word_keys) / sizeof(word_keys[0]); i++) {
		if (strcmp(word_keys[i].key, key) != 0)
			continue;
		*ret_what = word_keys[i].what;
		return word_keys[i].take(a, value);
	}
	return fa_config_take_foreign(a, key, value);
}

static int take_value(struct fa_autologger *a, const char *key, const char *value,
		      const char **ret_what)
{
	int got = take_number(autologger_keys, sizeof(autologger_keys) / sizeof(autologger_keys[0]),
			      a, key, value, ret_what);

	fa_config_no_override(a, key);
	/* ETW: only full buffers. Ours are written out each second at least. */
	if (got == 1 && strcmp(key, "FlushTimer") == 0 && a->flush_timer == 0) {
		fa_config_override(a, key, "0", "1", "what is recorded is written within a second");
		a->flush_timer = 1;
	}
	return got != 0 ? got : autologger_word(a, key, value, ret_what);
}

static void autologger_value(struct reading *r, const char *name, const char *key,
			     const char *value)
{
	struct fa_autologger *a = find_or_add(r, name);
	const char *what = "";
	int got;

	if (a == NULL)
		return;
	got = take_value(a, key, value, &what);
	if (got == 0)
		add_problem(r, a, key, ": there is no such value");
	else if (got < 0)
		add_problem(r, a, key, ": '%s' is not what is expected: %s", value, what);
}

int fa_config_check_value(const char *key, const char *value, char *ret_why, size_t size)
{
	struct fa_autologger a = {0};
	const char *what = "";
	int got = take_value(&a, key, value, &what);

	if (got > 0)
		return 0;
	if (got == 0)
		(void)snprintf(ret_why, size, "%s: there is no such value", key);
	else
		(void)snprintf(ret_why, size, "%s: '%s' is not what is expected: %s", key, value, what);
	return -EINVAL;
}

static int on_value(void *user, const char *section, const char *key, const char *value)
{
	struct reading *r = user;

	if (strcmp(section, "Daemon") == 0)
		daemon_value(r, key, value);
	else if (strncmp(section, "Autologger ", 11) == 0)
		autologger_value(r, section + 11, key, value);
	else
		add_problem(r, NULL, key, ": there is no such section");
	return 1;
}

/* Remember the section; a heading alone makes the autologger known too. */
static void see_heading(struct reading *r, const char *line)
{
	size_t len = strcspn(line + 1, "]\n");

	if (line[1 + len] != ']' || len >= sizeof(r->section)) {
		r->section[0] = '\0';
		add_problem(r, NULL, "", "no section heading: %.40s", line);
		return;
	}
	memcpy(r->section, line + 1, len);
	r->section[len] = '\0';
	if (strncmp(r->section, "Autologger ", 11) == 0)
		(void)find_or_add(r, r->section + 11);
}

/* fgets for libinih, see the top. */
static char *next_line(char *buf, int size, void *stream)
{
	struct reading *r = stream;
	const char *p;

	if (fgets(buf, size, r->in) == NULL)
		return NULL;
	r->line++;
	for (p = buf; isspace((unsigned char)*p); p++)
		continue;
	if (strchr(buf, '\n') == NULL && !feof(r->in)) {
		int c;

		add_problem(r, NULL, "", "the line is longer than %d characters", size - 2);
		while ((c = getc(r->in)) != EOF && c != '\n')
			continue;
		return strcpy(buf, ";\n");
	}
	if (*p == '[') {
		see_heading(r, p);
	} else if (*p != '\0' && *p != ';' && *p != '#' && strpbrk(p, "=:") == NULL) {
		struct fa_autologger *a = NULL;

		if (strncmp(r->section, "Autologger ", 11) == 0)
			a = find_or_add(r, r->section + 11);
		add_problem(r, a, "", "not KEY = VALUE: %.*s", (int)strcspn(p, "\n"), p);
		return strcpy(buf, ";\n");
	}
	return buf;
}

int fa_config_read_file(const char *path, struct fa_config *c)
{
	struct reading r = {.c = c, .path = path};

	r.in = fopen(path, "re");
	if (r.in == NULL)
		return errno == ENOENT ? 0 : -errno;
	(void)ini_parse_stream(next_line, &r, on_value, &r);
	fclose(r.in);
	return 0;
}

static int is_ini(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 4 && strcmp(d->d_name + len - 4, ".ini") == 0;
}

int fa_config_read(const char *root, struct fa_config *ret)
{
	struct dirent **names = NULL;
	char path[512], dir[512];
	struct fa_config *c;
	int n, e;

	c = malloc(sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	fa_config_defaults(c);
	e = fa_path_join(path, sizeof(path), root, FA_PATH_INI);
	if (e == 0)
		e = fa_path_join(dir, sizeof(dir), root, FA_DIR_INI);
	if (e == 0)
		e = fa_config_read_file(path, c);
	n = e == 0 ? scandir(dir, &names, is_ini, alphasort) : 0;
	for (int i = 0; i < n; i++) {
		char file[800];

		if (e == 0 && snprintf(file, sizeof(file), "%s/%s", dir, names[i]->d_name) <
				      (int)sizeof(file))
			e = fa_config_read_file(file, c);
		free(names[i]);
	}
	free(names);
	if (e == 0)
		*ret = *c;
	free(c);
	return e;
}
