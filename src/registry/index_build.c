/*
 * index_build.c - rows to registry.idx and back.
 *
 * The file is written beside the published one under a fixed name (only the holder of the lock
 * writes it, so what a killed process left is simply overwritten), synced before the commit, and
 * renamed after it: a full disk is noticed while the change can still be refused, and a reader sees
 * the old index or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "format/hash.h"
#include "registry/registry_internal.h"

static uint32_t specificity_of(const struct fa_rule *r)
{
	return (*r->package != '\0' ? 4u : 0u) + (*r->path != '\0' ? 2u : 0u) +
	       (r->uid != FA_USER_ANY ? 1u : 0u);
}

static int by_hash_and_specificity(const void *left, const void *right)
{
	const struct fa_index_rule *a = left, *b = right;

	if (a->name_hash != b->name_hash)
		return a->name_hash < b->name_hash ? -1 : 1;
	if (a->specificity != b->specificity)
		return a->specificity > b->specificity ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* Offset of a copy of `s` in the string area; 0 for no text. */
static uint32_t add_string(struct fa_buf *strings, uint32_t start, const char *s)
{
	uint32_t offset = start + (uint32_t)strings->len;

	if (*s == '\0')
		return 0;
	fa_buf_add(strings, s, strlen(s) + 1);
	return offset;
}

static void compile_rule(const struct fa_rule *r, struct fa_buf *strings, uint32_t start,
			 struct fa_index_rule *ret)
{
	*ret = (struct fa_index_rule){
		.name_hash = fa_hash64(r->image, strlen(r->image), 0),
		.name = add_string(strings, start, r->image),
		.path = add_string(strings, start, r->path),
		.package = add_string(strings, start, r->package),
		.uid = r->uid,
		.id = r->id,
		.flags = r->flags,
		.options = r->options,
		.depth = (uint16_t)r->depth,
		.stacks = (uint8_t)r->stacks,
		.stamp = (uint8_t)r->stamp,
		.expires_real = r->expires,
		.specificity = specificity_of(r),
	};
}

/* Header, rules, strings, checksum. */
static int compile(const struct fa_rule_list *rules, uint64_t generation, uint32_t flags,
		   struct fa_buf *ret)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf strings = {0};
	const size_t rules_size = (size_t)rules->count * sizeof(struct fa_index_rule);
	const size_t start = sizeof(struct fa_index_header) + rules_size;

	if (start > FA_INDEX_MAX)
		return -E2BIG;
	struct fa_index_rule *compiled = calloc(rules->count + 1u, sizeof(*compiled));

	if (compiled == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < rules->count; i++)
		compile_rule(&rules->rule[i], &strings, (uint32_t)start, &compiled[i]);
	qsort(compiled, rules->count, sizeof(*compiled), by_hash_and_specificity);

	struct fa_index_header header = {
		.magic = {'F', 'A', 'I', 'N', 'D', 'E', 'X', '\n'},
		.version = FA_INDEX_VERSION,
		.min_reader = FA_INDEX_MIN_READER,
		.header_size = sizeof(header),
		.generation = generation,
		.total_size = (uint32_t)(start + strings.len),
		.rule_count = rules->count,
		.strings_offset = (uint32_t)start,
		.flags = flags,
	};

	fa_buf_clear(ret);
	fa_buf_add(ret, &header, sizeof(header));
	fa_buf_add(ret, compiled, rules_size);
	if (strings.len > 0)
		fa_buf_add(ret, strings.data, strings.len);
	free(compiled);
	if (strings.error != 0 || ret->error != 0)
		return -ENOMEM;
	if (ret->len > FA_INDEX_MAX)
		return -E2BIG;
	uint64_t sum = fa_hash64(ret->data, ret->len, 0);

	memcpy(ret->data + offsetof(struct fa_index_header, checksum), &sum, sizeof(sum));
	return 0;
}

static int read_settings(struct fa_db *db, uint64_t *ret_generation, uint32_t *ret_flags)
{
	int64_t generation = 0, flags = 0;
	int r = fa_db_number(db, "SELECT value FROM setting WHERE name = 'generation'",
			     &generation);

	if (r == 0)
		r = fa_db_number(db,
				 "SELECT total((name = 'autologger') * 1 + (name = 'off') * 2) "
				 "FROM setting WHERE value <> 0",
				 &flags);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	*ret_generation = (uint64_t)generation;
	*ret_flags = (uint32_t)flags & (FA_INDEX_AUTOLOGGER | FA_INDEX_OFF);
	return 0;
}

int fa_index_build(struct fa_db *db, struct fa_buf *ret, uint64_t *ret_generation,
		   uint64_t *ret_next_expiry)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list rules = {0};
	struct fa_registry view = {.db = db};
	uint64_t generation = 0, next = UINT64_MAX;
	uint32_t flags = 0;
	int r = read_settings(db, &generation, &flags);

	if (r == 0)
		r = fa_registry_list(&view, NULL, &rules);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < rules.count; i++) {
		/* PRAGMA ignore_check_constraints lets a shell store anything. */
		if (fa_rule_validate(&rules.rule[i]) < 0)
			return -EBADMSG;
		if (rules.rule[i].expires != 0 && rules.rule[i].expires < next)
			next = rules.rule[i].expires;
	}
	r = compile(&rules, generation, flags, ret);
	if (r < 0)
		return r;
	*ret_generation = generation;
	*ret_next_expiry = next;
	return 0;
}

static int new_path(char *buf, size_t size, const char *index_path)
{
	int n = snprintf(buf, size, "%s.new", index_path);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int fa_index_write_new(const char *index_path, const struct fa_buf *bytes)
{
	char path[PATH_MAX];
	int r = new_path(path, sizeof(path), index_path);

	if (r < 0)
		return r;
	FA_CLEANUP(fa_close)
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	r = fa_write_all(fd, bytes->data, bytes->len);
	/* Everybody's gate reads it, whatever the umask of the one who ran the command. */
	if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r < 0)
		(void)unlink(path);
	return r;
}

int fa_sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	int n = snprintf(folder, sizeof(folder), "%s", path);

	if (n < 0 || (size_t)n >= sizeof(folder))
		return -ENAMETOOLONG;
	char *slash = strrchr(folder, '/');

	if (slash == NULL)
		return -EINVAL;
	slash[slash == folder] = '\0';
	FA_CLEANUP(fa_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Some file systems refuse; the rename is then as durable as it gets. */
	if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		return -errno;
	return 0;
}

int fa_index_install_new(const char *index_path)
{
	char path[PATH_MAX];
	int r = new_path(path, sizeof(path), index_path);

	if (r < 0)
		return r;
	if (rename(path, index_path) < 0)
		return -errno;
	return fa_sync_folder_of(index_path);
}

int fa_index_load(const char *index_path, char **ret, size_t *ret_len)
{
	char *data = NULL;
	size_t len = 0;
	int r = fa_read_file(index_path, FA_INDEX_MAX, &data, &len);

	if (r < 0)
		return r == -E2BIG ? -EBADMSG : r;
	r = fa_index_check(data, len);
	if (r < 0) {
		free(data);
		return r;
	}
	*ret = data;
	*ret_len = len;
	return 0;
}

static int rule_from_index(const char *bytes, const struct fa_index_rule *r, struct fa_rule *ret)
{
	struct fa_rule rule = {
		.id = r->id,
		.image = strdup(bytes + r->name),
		.path = strdup(r->path == 0 ? "" : bytes + r->path),
		.package = strdup(r->package == 0 ? "" : bytes + r->package),
		.uid = r->uid,
		.flags = r->flags,
		.options = r->options,
		.depth = r->depth,
		.stacks = r->stacks,
		.stamp = r->stamp,
		.expires = r->expires_real,
		.note = strdup(""),
	};

	if (rule.image == NULL || rule.path == NULL || rule.package == NULL || rule.note == NULL) {
		fa_rule_done(&rule);
		return -ENOMEM;
	}
	*ret = rule;
	return 0;
}

static int by_image(const void *left, const void *right)
{
	const struct fa_rule *a = left, *b = right;
	int order = strcmp(a->image, b->image);

	if (order != 0)
		return order;
	if (specificity_of(a) != specificity_of(b))
		return specificity_of(a) > specificity_of(b) ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

int fa_index_rules(const char *bytes, struct fa_rule_list *ret)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list list = {0};
	const struct fa_index_header *h = (const void *)bytes;
	const struct fa_index_rule *rules = (const void *)(bytes + h->header_size);

	for (uint32_t i = 0; i < h->rule_count; i++) {
		struct fa_rule rule;
		int r = rule_from_index(bytes, &rules[i], &rule);

		if (r == 0)
			r = fa_rule_list_add(&list, &rule);
		if (r < 0)
			return r;
	}
	if (list.count > 0)
		qsort(list.rule, list.count, sizeof(list.rule[0]), by_image);
	*ret = list;
	list = (struct fa_rule_list){0};
	return 0;
}

int fa_registry_published(const char *root, struct fa_published *ret)
{
	char path[PATH_MAX];
	char *bytes = NULL;
	size_t len = 0;
	int r = fa_path_join(path, sizeof(path), root, FA_INDEX_PATH);

	if (r == 0)
		r = fa_index_load(path, &bytes, &len);
	if (r < 0)
		return r;
	const struct fa_index_header *h = (const void *)bytes;
	struct fa_published p = {
		.generation = h->generation,
		.flags = h->flags,
		.size = h->total_size,
	};

	r = fa_index_rules(bytes, &p.rules);
	free(bytes);
	if (r == 0)
		*ret = p;
	return r;
}

void fa_published_done(struct fa_published *p)
{
	fa_rule_list_done(&p->rules);
	*p = (struct fa_published){0};
}
