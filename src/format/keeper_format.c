/* keeper_format.c - checks of what comes through the keeper's socket. Pure: no I/O, no memory. */
#include "format/keeper_format.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "format/index_format.h"
#include "format/package_format.h"

enum {
	FLAGS_KNOWN = FA_TRACING_HEAP | FA_TRACING_LOCK | FA_TRACING_LOADER | FA_TRACING_SNAPSHOT |
		      FA_TRACING_VM,
	OPTIONS_KNOWN =
		FA_RULE_SCRIPT | FA_RULE_SECURE | FA_RULE_PID1 | FA_RULE_SANITIZER | FA_RULE_ARGS |
		FA_RULE_TABLE_MB,
};

/* Ends within its field, and nothing is hidden behind its end. */
static bool text_ok(const char *s, size_t size)
{
	const char *end = memchr(s, '\0', size);

	if (end == NULL)
		return false;
	for (; end < s + size; end++)
		if (*end != '\0')
			return false;
	return true;
}

/* A name or path that shows as more or less than it is would be armed unseen. */
static bool printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static bool image_ok(const char *image)
{
	return image[0] != '\0' && strchr(image, '/') == NULL && strcmp(image, ".") != 0 &&
	       strcmp(image, "..") != 0 && strcmp(image, "firstalloc") != 0 &&
	       strcmp(image, "firstallocd") != 0 && printable(image);
}

static const char *wrong_text(const struct fa_keeper_request *r)
{
	if (!text_ok(r->image, sizeof(r->image)))
		return "image";
	if (!text_ok(r->path, sizeof(r->path)))
		return "path";
	if (!text_ok(r->package, sizeof(r->package)))
		return "package";
	if (!text_ok(r->note, sizeof(r->note)))
		return "note";
	return NULL;
}

static const char *wrong_rule(const struct fa_keeper_request *r)
{
	if (!image_ok(r->image))
		return "image";
	if ((r->path[0] != '\0' && r->path[0] != '/') || !printable(r->path))
		return "path";
	if (r->package[0] != '\0' && fa_package_check(r->package) < 0)
		return "package";
	if (r->has_uid != (r->uid != FA_USER_ANY))
		return "uid";
	if (r->flags == 0 || (r->flags & ~(uint32_t)FLAGS_KNOWN) != 0)
		return "flags";
	if ((r->options & ~(uint32_t)OPTIONS_KNOWN) != 0)
		return "options";
	if (r->depth < 1 || r->depth > FA_DEPTH_MAX)
		return "depth";
	if (r->stacks > (FA_STACK_ALLOC | FA_STACK_REALLOC | FA_STACK_FREE))
		return "stacks";
	if (r->stamp > FA_STAMP_NONE)
		return "stamp";
	if (r->expires > INT64_MAX)
		return "expires";
	return r->all != 0 ? "all" : NULL;
}

int fa_keeper_check(const struct fa_keeper_request *r, size_t len, const char **ret_what)
{
	const char *what;

	/* Of another version it may be of another size. */
	if (len < offsetof(struct fa_keeper_request, verb) || r->magic != FA_KEEPER_MAGIC)
		return -EPROTO;
	if (r->version != FA_KEEPER_VERSION)
		return -EPROTONOSUPPORT;
	if (len != sizeof(*r))
		return -EPROTO;
	what = wrong_text(r);
	if (what == NULL && (r->reserved != 0 || r->all > 1 || r->has_uid > 1))
		what = "reserved";
	if (what == NULL && r->verb == FA_KEEPER_PUT)
		what = wrong_rule(r);
	else if (what == NULL && r->verb == FA_KEEPER_REMOVE)
		what = (r->all != 0) != (r->image[0] == '\0') ? "image" : NULL;
	else if (what == NULL && (r->verb == FA_KEEPER_OFF || r->verb == FA_KEEPER_ON))
		what = r->image[0] != '\0' ? "image" : NULL;
	else if (what == NULL)
		return -EPROTO;
	if (what == NULL)
		return 0;
	*ret_what = what;
	return -EINVAL;
}
