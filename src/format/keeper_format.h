/*
 * keeper_format.h - what users without write access to the registry may ask the keeper: to add or to
 * remove a rule, to switch tracing off or on.
 *
 * The keeper is root, so this is as plain as it can be: SOCK_SEQPACKET, mode 0666, one message of
 * exactly sizeof(struct fa_keeper_request) bytes, one answer of exactly sizeof(struct
 * fa_keeper_reply). Nothing has a length of its own; texts end within their fields, and behind their
 * end stands nothing but NUL. No descriptor is taken. Who asks is the kernel's word (SO_PEERCRED,
 * SO_PEERGROUPS), never the message's. Native order, one version: a foreign one is refused.
 */
#ifndef FA_KEEPER_FORMAT_H
#define FA_KEEPER_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define FA_KEEPER_MAGIC 0x5250454b43414646ULL

enum {
	FA_KEEPER_VERSION = 2,
	FA_KEEPER_IMAGE = 256, /* NAME_MAX and NUL */
	FA_KEEPER_PATH = 4096,
	FA_KEEPER_PACKAGE = 4096,
	FA_KEEPER_NOTE = 1008,
};

enum fa_keeper_verb {
	FA_KEEPER_PUT = 1,
	FA_KEEPER_REMOVE = 2,
	FA_KEEPER_OFF = 3, /* no field counts, and `image` is empty */
	FA_KEEPER_ON = 4,
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct fa_keeper_request {
	uint64_t magic;
	uint32_t version;
	uint32_t verb; /* enum fa_keeper_verb */
	/* PUT: of the rule. REMOVE: has_uid 0 and empty texts match everything. */
	uint32_t uid; /* FA_USER_ANY: any */
	uint32_t has_uid;
	uint32_t flags;
	uint32_t options;
	uint32_t depth;
	uint32_t stacks;
	uint32_t stamp;
	uint32_t starts;
	uint32_t all; /* REMOVE: rules of all images; `image` is empty then, and never otherwise */
	uint32_t reserved;
	uint64_t expires; /* CLOCK_REALTIME seconds, 0: never */
	char image[FA_KEEPER_IMAGE];
	char path[FA_KEEPER_PATH];
	char package[FA_KEEPER_PACKAGE]; /* see package_format.h */
	char note[FA_KEEPER_NOTE];
};

struct fa_keeper_reply {
	uint64_t magic;
	uint32_t version;
	int32_t error; /* 0 or an errno, positive; EPERM and EDQUOT with a text */
	uint64_t generation;
	uint32_t rule_id;  /* PUT */
	uint32_t replaced; /* PUT: 1, there was one of the same scope */
	uint32_t removed;  /* REMOVE */
	uint32_t
		foreign; /* REMOVE: rules of that image that stay, because they are not the caller's */
	char text[256];
};
#pragma GCC diagnostic pop
static_assert(sizeof(struct fa_keeper_request) == 64 + 256 + 4096 + 4096 + 1008, "request");
static_assert(sizeof(struct fa_keeper_reply) == 296, "reply");

/*
 * Everything that can be said of a request without knowing who asks and what there is. 0, -EPROTO no
 * request, -EPROTONOSUPPORT a foreign version, -EINVAL with *ret_what naming the field. After
 * success all texts are terminated. Pure.
 */
int fa_keeper_check(const struct fa_keeper_request *r, size_t len,
		    const char **ret_what) FA_MUST_USE;

#endif
