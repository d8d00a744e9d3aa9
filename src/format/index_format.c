/*
 * index_format.c - is registry.idx sound, and which rule is meant for a process.
 *
 * Compiled twice: into the libraries, and into the shim, where libc is not initialised yet. So
 * nothing of libc is called, not even memcmp, and no struct is copied (the compiler may make a
 * call of that). Every byte is untrusted until fa_index_check() has seen it.
 */
#include "format/index_format.h"

#include <errno.h>

#include "format/hash.h"
#include "format/package_format.h"

static size_t length_of(const char *s)
{
	size_t n = 0;

	while (s[n] != '\0')
		n++;
	return n;
}

static bool same_text(const char *a, const char *b)
{
	while (*a == *b && *a != '\0') {
		a++;
		b++;
	}
	return *a == *b;
}

/*
 * fa_hash64() of the bytes with the checksum's own word taken as zero. Spelled out because the
 * bytes are not ours to change and a copy would need 64 KB of somebody's stack.
 */
static uint64_t checksum_of(const unsigned char *p, size_t len)
{
	const unsigned char *hole = p + offsetof(struct fa_index_header, checksum);
	uint64_t h = fa_hash_mix(0x2545f4914f6cdd1dULL, len);
	uint64_t v;

	for (; len >= 8; len -= 8, p += 8) {
		__builtin_memcpy(&v, p, 8);
		h = fa_hash_mix(h, p == hole ? 0 : v);
	}
	v = 0;
	for (size_t i = 0; i < len; i++)
		v |= (uint64_t)p[i] << (8 * i);
	h = fa_hash_mix(h, v);
	return fa_hash_mix(h, h >> 29);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\0';
}

bool fa_index_off_word(const char *text, size_t len)
{
	static const char word[] = FA_OFF_WORD;
	const size_t want = sizeof(word) - 1;

	for (size_t at = 0; at + want <= len; at++) {
		size_t n = 0;

		if (at > 0 && !is_blank(text[at - 1]))
			continue;
		while (n < want && text[at + n] == word[n])
			n++;
		if (n == want && (at + n == len || is_blank(text[at + n])))
			return true;
	}
	return false;
}

static const struct fa_index_rule *rules_of(const struct fa_index_header *h)
{
	return (const struct fa_index_rule *)(const void *)((const char *)h + h->header_size);
}

static bool magic_is_ours(const unsigned char *magic)
{
	static const char ours[] = FA_INDEX_MAGIC;

	for (size_t i = 0; i < 8; i++)
		if (magic[i] != (unsigned char)ours[i])
			return false;
	return true;
}

/* Sizes and offsets of the header; the arithmetic is in 64 bits so that nothing wraps. */
static int check_header(const struct fa_index_header *h, size_t len)
{
	if (!magic_is_ours(h->magic))
		return -EBADMSG;
	if (h->min_reader > FA_INDEX_VERSION)
		return -EPROTONOSUPPORT;
	if (h->version == 0 || h->min_reader == 0 || h->min_reader > h->version)
		return -EBADMSG;
	if (h->total_size != len || h->header_size < sizeof(*h) || h->header_size % 8 != 0)
		return -EBADMSG;
	uint64_t rules_end =
		h->header_size + (uint64_t)h->rule_count * sizeof(struct fa_index_rule);

	if (rules_end > h->strings_offset || h->strings_offset > len)
		return -EBADMSG;
	return 0;
}

static bool text_is_inside(const struct fa_index_header *h, uint32_t offset)
{
	return offset >= h->strings_offset && offset < h->total_size;
}

static uint32_t specificity_of(const struct fa_index_rule *r)
{
	return (r->package != 0 ? 4u : 0u) + (r->path != 0 ? 2u : 0u) +
	       (r->uid != FA_USER_ANY ? 1u : 0u);
}

static bool rule_is_sound(const struct fa_index_header *h, const struct fa_index_rule *r)
{
	if (!text_is_inside(h, r->name) || ((const char *)h)[r->name] == '\0')
		return false;
	if (r->path != 0 && !text_is_inside(h, r->path))
		return false;
	if (r->package != 0 && !text_is_inside(h, r->package))
		return false;
	return r->depth >= 1 && r->depth <= FA_DEPTH_MAX && r->specificity == specificity_of(r);
}

/* Is b allowed to stand behind a? Ids are unique, so equality is damage. */
static bool in_order(const struct fa_index_rule *a, const struct fa_index_rule *b)
{
	if (a->name_hash != b->name_hash)
		return a->name_hash < b->name_hash;
	if (a->specificity != b->specificity)
		return a->specificity > b->specificity;
	return a->id < b->id;
}

int fa_index_check(const void *bytes, size_t len)
{
	const struct fa_index_header *h = bytes;
	const struct fa_index_rule *rules;
	int r;

	if (len < sizeof(*h) || len > FA_INDEX_MAX || (uintptr_t)bytes % 8 != 0)
		return -EBADMSG;
	r = check_header(h, len);
	if (r < 0)
		return r;
	if (checksum_of(bytes, len) != h->checksum)
		return -EBADMSG;
	/* With a NUL at the very end every string that starts inside also ends inside. */
	if (h->rule_count > 0 && ((const char *)bytes)[len - 1] != '\0')
		return -EBADMSG;
	rules = rules_of(h);
	for (uint32_t i = 0; i < h->rule_count; i++) {
		if (!rule_is_sound(h, &rules[i]))
			return -EBADMSG;
		if (i > 0 && !in_order(&rules[i - 1], &rules[i]))
			return -EBADMSG;
	}
	return 0;
}

/* First rule whose hash is not below `hash`. */
static uint32_t lower_bound(const struct fa_index_rule *rules, uint32_t count, uint64_t hash)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (rules[middle].name_hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool scope_matches(const char *base, const struct fa_index_rule *r,
			  const struct fa_index_who *who, uint64_t now_real)
{
	if (r->expires_real != 0 && now_real >= r->expires_real)
		return false;
	if (r->uid != FA_USER_ANY && r->uid != who->uid)
		return false;
	if (r->path != 0 && (who->exe_path == NULL || !same_text(base + r->path, who->exe_path)))
		return false;
	return r->package == 0 ||
	       (who->cgroup != NULL && fa_package_matches(base + r->package, who->cgroup));
}

static bool has_rule(const void *bytes, const char *name, bool with_package)
{
	const struct fa_index_header *h = bytes;
	const struct fa_index_rule *rules = rules_of(h);
	uint64_t hash;

	if (name == NULL)
		return false;
	hash = fa_hash64(name, length_of(name), 0);
	for (uint32_t i = lower_bound(rules, h->rule_count, hash);
	     i < h->rule_count && rules[i].name_hash == hash; i++)
		if ((rules[i].package != 0 || !with_package) &&
		    same_text((const char *)bytes + rules[i].name, name))
			return true;
	return false;
}

bool fa_index_has_name(const void *bytes, const char *name)
{
	return has_rule(bytes, name, false);
}

bool fa_index_needs_cgroup(const void *bytes, const struct fa_index_who *who)
{
	return has_rule(bytes, who->exe_name, true) || has_rule(bytes, who->exec_name, true) ||
	       has_rule(bytes, who->script, true);
}

/* The best rule for one of the process's names: they are sorted best first. */
static const struct fa_index_rule *find_name(const struct fa_index_header *h, const char *name,
					     uint32_t must_have, const struct fa_index_who *who,
					     uint64_t now_real)
{
	const struct fa_index_rule *rules = rules_of(h);
	const char *base = (const char *)h;
	uint64_t hash;

	if (name == NULL)
		return NULL;
	hash = fa_hash64(name, length_of(name), 0);
	for (uint32_t i = lower_bound(rules, h->rule_count, hash); i < h->rule_count; i++) {
		const struct fa_index_rule *r = &rules[i];

		if (r->name_hash != hash)
			break;
		if ((r->options & must_have) == must_have && same_text(base + r->name, name) &&
		    scope_matches(base, r, who, now_real))
			return r;
	}
	return NULL;
}

const struct fa_index_rule *fa_index_find(const void *bytes, const struct fa_index_who *who,
					  uint64_t now_real)
{
	const struct fa_index_header *h = bytes;
	const struct fa_index_rule *best, *other;

	if ((h->flags & FA_INDEX_OFF) != 0 || h->rule_count == 0)
		return NULL;
	best = find_name(h, who->exe_name, 0, who, now_real);
	other = find_name(h, who->exec_name, 0, who, now_real);
	if (best == NULL || (other != NULL && other->specificity > best->specificity))
		best = other;
	other = find_name(h, who->script, FA_RULE_SCRIPT, who, now_real);
	if (best == NULL || (other != NULL && other->specificity > best->specificity))
		best = other;
	return best;
}
