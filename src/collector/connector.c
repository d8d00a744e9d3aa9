/* connector.c - see connector.h. */
#include "collector/connector.h"

#include <errno.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* include/linux/proc_ns.h: the inode numbers of the first namespaces are fixed. */
#define FIRST_PID_NS  0xEFFFFFFCu
#define FIRST_USER_NS 0xEFFFFFFDu

static bool in_namespace(const char *path, ino_t first)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_ino == first;
}

static int listen_to_kernel(int fd)
{
	const struct nlmsghdr head = {
		.nlmsg_len = NLMSG_LENGTH(sizeof(struct cn_msg) + sizeof(uint32_t)),
		.nlmsg_type = NLMSG_DONE,
	};
	const struct cn_msg cn = {
		.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC},
		.len = sizeof(uint32_t),
	};
	const uint32_t op = PROC_CN_MCAST_LISTEN;
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	char m[64] FA_ALIGNED(8);

	memset(m, 0, sizeof(m));
	memcpy(m, &head, sizeof(head));
	memcpy(m + NLMSG_HDRLEN, &cn, sizeof(cn));
	memcpy(m + NLMSG_HDRLEN + sizeof(cn), &op, sizeof(op));
	return sendto(fd, m, head.nlmsg_len, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno
											: 0;
}

int fa_connector_open(int size)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
	int e, fd;

	if (!in_namespace("/proc/self/ns/pid", FIRST_PID_NS) ||
	    !in_namespace("/proc/self/ns/user", FIRST_USER_NS))
		return -ENODEV;
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		e = -errno;
	else
		e = listen_to_kernel(fd);
	if (e < 0) {
		close(fd);
		return e;
	}
	return fd;
}

int fa_connector_read(int fd, void (*tell)(void *ctx, const struct proc_event *e), void *ctx)
{
	char buf[16384] FA_ALIGNED(8);
	struct sockaddr_nl from = {0};
	struct proc_event event;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);
	unsigned left = n < 0 ? 0 : (unsigned)n;

	if (n < 0)
		return errno == ENOBUFS ? -ENOBUFS : 0;
	if (from.nl_pid != 0) /* only the kernel */
		return 1;
	for (const struct nlmsghdr *h = (const void *)buf; NLMSG_OK(h, left);
	     h = NLMSG_NEXT(h, left)) {
		const struct cn_msg *cn = NLMSG_DATA(h);

		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*cn) + sizeof(struct proc_event)) ||
		    cn->id.idx != CN_IDX_PROC || cn->id.val != CN_VAL_PROC)
			continue;
		memcpy(&event, cn->data, sizeof(event)); /* it stands unaligned */
		tell(ctx, &event);
	}
	return 1;
}
