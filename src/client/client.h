/*
 * client.h - the one client of firstallocd's control socket: the command line and the C library use it.
 * Never prints. Any thread, a socket one at a time.
 */
#ifndef FA_CLIENT_CLIENT_H
#define FA_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "format/control_format.h"

#define FA_CLIENT_UNIT "firstallocd.service"

/* A descriptor; -ENOENT, -ECONNREFUSED: no firstallocd is running below this root. */
int fa_client_connect(const char *root) FA_MUST_USE;
/* The same for another of its sockets. */
int fa_client_connect_to(const char *root, const char *socket_path) FA_MUST_USE;

/*
 * One request, one reply. fd >= 0 goes along; ret_fd (may be NULL) gets what comes with the reply, or
 * -1. -ETIMEDOUT: no answer within a good time; -EPROTO: no answer of ours.
 */
int fa_client_ask(int sock, struct fa_control_request *request, int fd,
		  struct fa_control_reply *ret, int *ret_fd) FA_MUST_USE;

/* The same with several, at most FA_FILES_MAX, of each side; unused places of ret_fds are -1. */
int fa_client_ask_files(int sock, struct fa_control_request *request, const int *fds, int count,
			struct fa_control_reply *ret, int ret_fds[FA_FILES_MAX]) FA_MUST_USE;
/* STOP. Files of a session in newfile mode that it never came to are removed, where they are the caller's. ret_ended
 * (may be NULL): files that were written as they came, and that the caller is to pack and to close; -1 in unused places. */
int fa_client_stop(int sock, struct fa_control_request *request, struct fa_control_reply *ret,
		   int ret_ended[FA_FILES_MAX]) FA_MUST_USE;
/* Where it lies, by the kernel. 0 or -errno. */
int fa_client_path_of(int fd, char *ret_path, size_t size) FA_MUST_USE;

/* What firstallocd says of itself. Pointers lie in `bytes`. All zero is a valid empty one. */
struct fa_client_status {
	void *bytes; /* a mapped memfd that nobody can change any more */
	size_t len;
	struct fa_status_header h;
	const struct fa_status_session *session;
	const struct fa_status_process *process;
	const struct fa_status_coverage *coverage;
	const struct fa_status_consumer *consumer;
	const struct fa_status_thread *thread; /* none unless they were asked for */
};

/* 0 with ret_reply->error 0: *ret is filled; with another: it was refused. -errno as fa_client_ask(). */
int fa_client_status(int sock, bool threads, struct fa_control_reply *ret_reply,
		     struct fa_client_status *ret) FA_MUST_USE;
/* Read along with a session, by its name or, where that is NULL, its id. request: what is wanted (`tail`, and the images
 * of `session`), or all zero. With ret->error 0 the connection is a trace from now on (trace/live.h). */
int fa_client_tail(int sock, const char *name, uint64_t session_id, struct fa_control_request *request,
		   struct fa_control_reply *ret) FA_MUST_USE;
void fa_client_status_done(struct fa_client_status *s);

/* The caller's own file: what firstallocd may write is what the caller may write. A named pipe may be
 * there already, a file may not: -EEXIST. */
int fa_client_open_trace(const char *path, int *ret) FA_MUST_USE;
/* newfile: one `%d` in the name, and no other `%`? */
bool fa_client_is_pattern(const char *path);
/* So many, numbered from 1. On failure none is left, and ret_path is the one that could not be had. */
int fa_client_open_files(const char *pattern, unsigned count, int fds[FA_FILES_MAX], char *ret_path,
			 size_t size) FA_MUST_USE;
void fa_client_drop_files(const char *pattern, unsigned count, int fds[FA_FILES_MAX]); /* and closes them */
/* It was made a moment ago, by us, and for nothing. Takes away no other file that has its name now. */
void fa_client_drop_trace(const char *path, int fd);

/*
 * Start a firstallocd and wait until it answers: the systemd unit where there is one, else a process
 * in the background. *ret_how: static text that says which. -EPERM: not root; -ENOENT: no program.
 */
int fa_client_start_daemon(const char *root, const char **ret_how) FA_MUST_USE;
bool fa_client_have_unit(const char *root);
/* Run a program and wait. Its exit status, or -errno. */
int fa_client_run(const char *file, char *const argv[]) FA_MUST_USE;

#endif
