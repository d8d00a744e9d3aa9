/*
 * coverage.c - why did a flagged program that started not ring?
 *
 * The doorman passes the executable, opened for reading; its bytes are the user's, so they are looked
 * at here, where there is nothing to win. What cannot be told from the file (another root, a sandbox,
 * not installed) is NOT_LOADED; `firstalloc status`, run by root, reads the rest from the process.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/collector.h"

enum { PROGRAM_HEADERS_MAX = 64 };

static uint32_t interpreter_reason(const char *interp)
{
	return strstr(interp, "/ld-linux") != NULL ? FA_REASON_NOT_LOADED : FA_REASON_OTHER_LIBC;
}

static uint32_t elf_reason(int fd)
{
	unsigned char ident[EI_NIDENT];
	char interp[256];
	Elf64_Ehdr h;

	if (pread(fd, ident, sizeof(ident), 0) != (ssize_t)sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG) != 0)
		return FA_REASON_UNKNOWN;
	if (ident[EI_CLASS] == ELFCLASS32)
		return FA_REASON_BITS32;
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phoff > 1u << 30)
		return FA_REASON_UNKNOWN;
	for (unsigned i = 0; i < h.e_phnum && i < PROGRAM_HEADERS_MAX; i++) {
		Elf64_Phdr p;
		ssize_t n;

		if (pread(fd, &p, sizeof(p), (off_t)(h.e_phoff + i * sizeof(p))) !=
		    (ssize_t)sizeof(p))
			return FA_REASON_UNKNOWN;
		if (p.p_type != PT_INTERP || p.p_offset > 1ull << 40)
			continue;
		n = pread(fd, interp, sizeof(interp) - 1, (off_t)p.p_offset);
		interp[n > 0 ? n : 0] = '\0';
		return interpreter_reason(interp);
	}
	return FA_REASON_STATIC;
}

/* In the order in which the gate would refuse it. */
static uint32_t reason_of_file(const struct fa_msg_missed *m, int exe_fd)
{
	struct stat st;
	uint32_t r;

	if (fstat(exe_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return FA_REASON_UNKNOWN;
	r = elf_reason(exe_fd);
	if (r != FA_REASON_NOT_LOADED)
		return r;
	if (m->pid == 1)
		return FA_REASON_PID1;
	if ((st.st_mode & S_ISUID) != 0 ||
	    (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
	    fgetxattr(exe_fd, "security.capability", NULL, 0) > 0)
		return FA_REASON_SECURE;
	return r;
}

/* It comes as O_PATH. Not asked: a file system that a user may serve (it could keep us waiting), and
 * one that denies us to read. */
static uint32_t find_reason(const struct fa_msg_missed *m, int path_fd)
{
	char path[64];
	uint32_t r;
	int fd;

	if (path_fd < 0 || !mount_is_trusted(path_fd))
		return FA_REASON_UNKNOWN;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return FA_REASON_UNKNOWN;
	r = reason_of_file(m, fd);
	close(fd);
	return r;
}

void coverage_missed(struct collector *c, const struct fa_msg_missed *m, int exe_fd)
{
	struct fa_status_coverage *e = &c->coverage[c->coverages % COVERAGE_MAX];
	struct fa_rec_coverage r = {.pid = m->pid, .uid = m->uid};

	r.reason = find_reason(m, exe_fd);
	memset(e, 0, sizeof(*e));
	e->pid = m->pid;
	e->uid = m->uid;
	e->reason = r.reason;
	e->when_real = fa_real_ns() / 1000000000u;
	memcpy(e->image, m->image, sizeof(e->image));
	e->image[sizeof(e->image) - 1] = '\0';
	c->coverages++;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (session_wants(&c->session[i], m->uid, e->image, ""))
			session_record(&c->session[i], c->beat, FA_TAG_COVERAGE, &r, sizeof(r),
				       e->image, strlen(e->image) + 1, NULL, 0);
}
