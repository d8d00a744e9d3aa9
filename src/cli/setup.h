/*
 * setup.h - what `install`, `uninstall` and `doctor` know of the set-up of a machine.
 *
 * Order is the safety of it: the library is in its place, tested, before a line names it, and the line
 * is gone before the library is. Stopped at any point the machine still starts its programs. What was
 * made is written down before it is made (FA_SETUP_FACTS), so that `uninstall` takes back exactly that,
 * also after an install that was cut short.
 */
#ifndef FA_SETUP_H
#define FA_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/paths.h"

#define FA_SETUP_FACTS_NAME "installed"
#define FA_SETUP_FACTS      "/var/lib/firstalloc/" FA_SETUP_FACTS_NAME
#define FA_SETUP_32_SOURCE  "libfirstalloc_preload_32.so" /* beside the other one */
#define FA_SETUP_FRESH      ".firstalloc-new" /* behind the name of a file that is being rewritten */
#define FA_SETUP_LINE_MULTI "/usr/$LIB/" FA_SHIM_NAME

/* What was not there before. One line "name=1" each in FA_SETUP_FACTS. */
#define FA_FACTS(X)                                                                                \
	X(library) /* the library in its final place */                                            \
	X(library_lib32)                                                                           \
	X(library_i386)                                                                            \
	X(preload_file) /* /etc/ld.so.preload */                                                   \
	X(group)                                                                                   \
	X(user)                                                                                    \
	X(pwd_lock) /* /etc/.pwd.lock, which the account files are changed under */                \
	X(etc_dir)                                                                                 \
	X(state_dir)                                                                               \
	X(log_dir)

struct fa_facts {
#define X(name) bool name;
	FA_FACTS(X)
#undef X
	char library_path[256]; /* "" before install */
};

/* setup_facts.c. A missing file is no error: all false. */
int fa_facts_load(const char *root, struct fa_facts *ret) FA_MUST_USE;
int fa_facts_save(const char *root, const struct fa_facts *facts) FA_MUST_USE;

/* Where the library belongs: the first that exists of the machine's library folders. */
const char *fa_setup_library_path(const char *root);
/*
 * setup_32bit.c. Where 32-bit programs run the line must lead them to a library of their class: each
 * start of one would print otherwise. These are its places, for the libc that is there; how many.
 */
enum { FA_SETUP_32_PLACES = 2 };
int fa_setup_32bit_places(const char *root, const char *ret[FA_SETUP_32_PLACES]);
bool fa_setup_is_32bit(const char *path); /* an ELF file of that class */
/* /usr/$LIB/... means `library` in 64-bit programs. */
bool fa_setup_lib_matches(const char *library);
/* A file below root; PATH_MAX bytes. */
int fa_setup_path(char *buf, const char *root, const char *path) FA_MUST_USE;
bool fa_setup_exists(const char *root, const char *path);

/*
 * setup_files.c. Replace a file atomically and keep its owner, mode and security label; a new file gets
 * `mode`. A symbolic link is refused with -ELOOP.
 */
int fa_setup_rewrite(const char *path, const void *data, size_t len, mode_t mode) FA_MUST_USE;
/* Copy to a new inode beside `to`, flush it; the caller renames. mode 0755. */
int fa_setup_copy(const char *from, const char *to) FA_MUST_USE;
int fa_setup_sync_folder_of(const char *path) FA_MUST_USE;
bool fa_setup_same_bytes(const char *a, const char *b);

/* preload_list.c: the text of /etc/ld.so.preload. Pure. */
/* True when the list names `path` exactly. */
bool fa_preload_has(const char *text, size_t len, const char *path);
/* Same text without any word whose base name is the shim's; returns how many were taken out. */
int fa_preload_remove(const char *text, size_t len, struct fa_buf *ret);
/* The text with the line `path` as the first line, other shim words taken out. */
void fa_preload_add(const char *text, size_t len, const char *path, struct fa_buf *ret);

/*
 * self_test.c: start programs with the library preloaded: each must end as without it and stderr must
 * stay empty. With `drop` as an unprivileged user. On failure -EBADMSG and a sentence in `why`.
 */
int fa_self_test(const char *library, bool by_descriptor, bool drop, char *why,
		 size_t why_size) FA_MUST_USE;

/*
 * accounts.c: lines in passwd, shadow, group and gshadow. Not through useradd or systemd-sysusers:
 * those leave backups (/etc/passwd-) behind, and uninstall promises a machine as it was before.
 */
int fa_accounts_add_group(const char *name) FA_MUST_USE; /* 1: made, 0: was there */
/* With a group of its own of the same name. 1: made, 0: was there */
int fa_accounts_add_user(const char *name, const char *full_name) FA_MUST_USE;
bool fa_accounts_has_user(const char *name);
/* User and group of that name, in whichever file they are. */
int fa_accounts_remove(const char *name) FA_MUST_USE;

#endif
