/* socket.h - messages with descriptors over a local socket. Never prints. Any thread. */
#ifndef FA_SOCKET_H
#define FA_SOCKET_H

#include <stddef.h>

#include "base/attr.h"

enum { FA_SEND_FDS_MAX = 16 };

/* One message; of `fds` those go along that are not -1. flags: of sendmsg(2); never SIGPIPE. 0 or -errno. */
int fa_send_with_fds(int sock, const void *bytes, size_t len, const int *fds, int fd_count,
		     int flags) FA_MUST_USE;

#endif
