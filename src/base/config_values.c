/*
 * config_values.c - values of an [Autologger NAME] that take more than a number, and overrides.
 *
 * What ETW knows and we do not have is no mistake of who wrote it: it is taken, and what holds in its place is kept
 * beside it, for `firstalloc autologger show` and the log.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/parse.h"

void fa_config_no_override(struct fa_autologger *a, const char *key)
{
	for (int i = 0; i < a->overrides; i++) {
		if (strcmp(a->override[i].key, key) != 0)
			continue;
		a->overrides--;
		memmove(&a->override[i], &a->override[i + 1],
			(size_t)(a->overrides - i) * sizeof(a->override[0]));
		return;
	}
}

void fa_config_override(struct fa_autologger *a, const char *key, const char *requested,
			const char *effective, const char *why)
{
	struct fa_override *o;

	fa_config_no_override(a, key);
	if (a->overrides == FA_CONFIG_OVERRIDES)
		return; /* there are fewer keys that can be overridden */
	o = &a->override[a->overrides++];
	(void)snprintf(o->key, sizeof(o->key), "%s", key);
	(void)snprintf(o->requested, sizeof(o->requested), "%s", requested);
	(void)snprintf(o->effective, sizeof(o->effective), "%s", effective);
	(void)snprintf(o->why, sizeof(o->why), "%s", why);
}

char *fa_override_text(char *buf, size_t size, const struct fa_override *o)
{
	(void)snprintf(buf, size, "%s: requested %s, effective %s: %s", o->key, o->requested,
		       o->effective, o->why);
	return buf;
}

int fa_config_take_clock(struct fa_autologger *a, const char *value)
{
	if (value[0] < '1' || value[0] > '3' || value[1] != '\0')
		return -EINVAL;
	a->clock_type = (uint32_t)(value[0] - '0');
	if (a->clock_type == FA_CLOCK_TYPE_SYSTEM) {
		a->clock_type = FA_CLOCK_TYPE_COUNTER;
		fa_config_override(a, "ClockType", "2", "1",
				   "events are stamped by the performance counter; the trace has the "
				   "time of day beside it");
	}
	return 1;
}

/* ETW's names and numbers of the heap's events; 0: there is no stack to choose. */
static const struct {
	const char *name;
	uint32_t id;
	uint32_t bit;
} events[] = {
	{"alloc", 0x1021, FA_WALK_ALLOC},     {"realloc", 0x1022, FA_WALK_REALLOC},
	{"free", 0x1024, FA_WALK_FREE},       {"HeapAlloc", 0x1021, FA_WALK_ALLOC},
	{"HeapRealloc", 0x1022, FA_WALK_REALLOC}, {"HeapFree", 0x1024, FA_WALK_FREE},
	{"HeapCreate", 0x1020, 0},            {"HeapDestroy", 0x1023, 0},
	{"VirtualAlloc", 0x262, 0},           {"VirtualFree", 0x263, 0},
	{"all", 0x10000, FA_WALK_ALLOC | FA_WALK_REALLOC | FA_WALK_FREE},
	{"none", 0x10001, 0},
};

/* 1: a choice, 0: one that is not ours to make, -EINVAL: no name. */
static int event_bits(const char *word, uint32_t *bits)
{
	uint32_t id = 0;
	int is_number = fa_parse_u32(word, &id) == 0;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (is_number ? id != events[i].id || id >= 0x10000 : strcasecmp(word, events[i].name) != 0)
			continue;
		*bits |= events[i].bit;
		return events[i].bit != 0 || strcasecmp(word, "none") == 0;
	}
	return is_number ? 0 : -EINVAL;
}

static void walk_text(uint32_t bits, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s%s%s", (bits & FA_WALK_ALLOC) != 0 ? "alloc" : "",
		       (bits & FA_WALK_ALLOC) != 0 && (bits & FA_WALK_REALLOC) != 0 ? "," : "",
		       (bits & FA_WALK_REALLOC) != 0 ? "realloc" : "",
		       (bits & 3) != 0 && (bits & FA_WALK_FREE) != 0 ? "," : "",
		       (bits & FA_WALK_FREE) != 0 ? "free" : (bits & 7) == 0 ? "none" : "");
}

int fa_config_take_stacks(struct fa_autologger *a, const char *value)
{
	char words[256], text[32], *rest = words, *word;
	uint32_t bits = 0;
	bool all = true, any = false;

	if (snprintf(words, sizeof(words), "%s", value) >= (int)sizeof(words))
		return -EINVAL;
	while ((word = strsep(&rest, ",+ \t")) != NULL) {
		int r = *word == '\0' ? 1 : event_bits(word, &bits);

		if (r < 0)
			return r;
		all &= r == 1;
		any |= *word != '\0';
	}
	if (!any)
		return -EINVAL;
	a->stacks = FA_WALK_GIVEN | bits;
	walk_text(bits, text, sizeof(text));
	if (!all)
		fa_config_override(a, "StackWalkingFilter", value, text,
				   "stacks are of alloc, realloc and free (0x1021, 0x1022, 0x1024)");
	return 1;
}

int fa_config_take_images(struct fa_autologger *a, const char *value)
{
	char words[256], *rest = words, *word;
	size_t at = 0;
	int n = 0;

	if (snprintf(words, sizeof(words), "%s", value) >= (int)sizeof(words))
		return -EINVAL;
	a->images[0] = '\0';
	while ((word = strsep(&rest, ", \t")) != NULL) {
		if (*word == '\0')
			continue;
		if (strchr(word, '/') != NULL || strcmp(word, ".") == 0 || strcmp(word, "..") == 0 ||
		    strcmp(word, "firstalloc") == 0 || strcmp(word, "firstallocd") == 0 ||
		    ++n > FA_CONFIG_IMAGES)
			return -EINVAL;
		at += (size_t)snprintf(a->images + at, sizeof(a->images) - at, "%s%s",
				       at != 0 ? "," : "", word);
	}
	return 1;
}

bool fa_config_next_image(const struct fa_autologger *a, size_t *at, char *buf, size_t size)
{
	const char *from = a->images + *at;
	size_t len = strcspn(from, ",");

	if (len == 0)
		return false;
	(void)snprintf(buf, size, "%.*s", (int)len, from);
	*at += len + (from[len] == ',');
	return true;
}

static bool is_unit(const char *value)
{
	const char *dot = strrchr(value, '.');

	for (const char *p = value; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr(":-_.\\@", *p) == NULL)
			return false;
	return value[0] != '-' && dot != NULL && dot != value && isalpha((unsigned char)dot[1]);
}

int fa_config_take_stop(struct fa_autologger *a, const char *value)
{
	uint64_t ns;

	a->stop_after = 0;
	a->stop_target[0] = '\0';
	if (fa_parse_duration(value, &ns) == 0 && ns > 0 && ns <= 86400ull * 365 * 1000000000u) {
		a->stop_after = (uint32_t)((ns + 999999999u) / 1000000000u);
		return 1;
	}
	if (!is_unit(value) || strlen(value) >= sizeof(a->stop_target))
		return -EINVAL;
	(void)snprintf(a->stop_target, sizeof(a->stop_target), "%s", value);
	return 1;
}

int fa_config_take_foreign(struct fa_autologger *a, const char *key, const char *value)
{
	static const struct {
		const char *key, *effective, *why;
	} foreign[] = {
		/* ETW keeps these here; ours lie elsewhere, because /etc may be read-only. */
		{"Status", "(none)", "a result, not a setting: 'firstalloc autologger show'"},
		{"FileCounter", "(none)", "counted by firstallocd: 'firstalloc autologger show'"},
		{"Guid", "the heap", "there is no other provider"},
		{"Boot", "0", "'firstalloc autologger enable NAME --stage initramfs' begins earlier"},
		{"DisableRealtimePersistence", "1", "nothing is kept for readers that were not there"},
	};

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		if (strcmp(foreign[i].key, key) != 0)
			continue;
		fa_config_override(a, key, value, foreign[i].effective, foreign[i].why);
		return 1;
	}
	return 0;
}
