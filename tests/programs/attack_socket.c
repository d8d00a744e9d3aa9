/*
 * attack_socket.c - what no command of ours would send to firstallocd's sockets.
 * cflags: -Isrc -D_GNU_SOURCE
 *
 *   attack_socket PATH size N      one message of N zero bytes
 *   attack_socket PATH noise N     N messages of random bytes, of every size
 *   attack_socket PATH text        a keeper's request whose image has no end
 *   attack_socket PATH hidden      one with bytes behind the end of its image
 *   attack_socket PATH put IMAGE UID OPTIONS   a good one, with these words in it
 *   attack_socket PATH fds N       N messages of every size with 1 to 8 descriptors
 *   attack_socket PATH hold N      N connections that say nothing, for 2 s
 *   attack_socket PATH half N      N connections with half a request or nothing, until it is killed; no answer is read
 *   attack_socket PATH ping N      N good requests, each on a connection of its own: how long they take
 *   attack_socket PATH deaf N      N requests on one connection, no answer is read
 * Prints "error N" of the answer where there is one, else "closed".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "format/control_format.h"
#include "format/keeper_format.h"
#include "format/index_format.h"

static const char *path;

static int connected(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct timeval t = {2};

	strcpy(a.sun_path, path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (connect(fd, (void *)&a, sizeof(a)) < 0) {
		perror(path);
		exit(3);
	}
	return fd;
}

static void answer(int fd)
{
	struct fa_keeper_reply r = {0};
	ssize_t n = recv(fd, &r, sizeof(r), 0);

	if (n <= 0)
		puts("closed");
	else
		printf("error %d\n", r.error);
}

static int send_fds(int fd, const void *bytes, size_t len, int count)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = {0};
	struct iovec iov = {(void *)bytes, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			   .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (int i = 0; i < count; i++) {
		int null = 0;

		memcpy(CMSG_DATA(c) + i * sizeof(int), &null, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void half_open(const void *request, size_t len, int n)
{
	for (int i = 0; i < n; i++) {
		int fd = connected();

		if (i % 2)
			send(fd, request, len / 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	printf("holding\n");
	fflush(stdout);
	pause();
}

static int by_size(const void *a, const void *b)
{
	return *(const long *)a < *(const long *)b ? -1 : *(const long *)a > *(const long *)b;
}

static void ping_often(struct fa_control_request *ping, int n)
{
	long *us = calloc(n + 1, sizeof(*us)), failed = 0;
	struct fa_control_reply reply;
	struct timespec a, b;

	ping->verb = FA_CONTROL_PING;
	for (int i = 0; i < n; i++) {
		int fd;

		clock_gettime(CLOCK_MONOTONIC, &a);
		fd = connected();
		send(fd, ping, sizeof(*ping), MSG_NOSIGNAL);
		failed += recv(fd, &reply, sizeof(reply), 0) != sizeof(reply) || reply.error != 0;
		close(fd);
		clock_gettime(CLOCK_MONOTONIC, &b);
		us[i] = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
	}
	qsort(us, n, sizeof(*us), by_size);
	printf("failed %ld median %ld us 99%% %ld us worst %ld us\n", failed, us[n / 2], us[n * 99 / 100], us[n - 1]);
}

static struct fa_keeper_request good(void)
{
	struct fa_keeper_request q;

	memset(&q, 0, sizeof(q));
	q.magic = FA_KEEPER_MAGIC;
	q.version = FA_KEEPER_VERSION;
	q.verb = FA_KEEPER_PUT;
	q.uid = getuid();
	q.has_uid = 1;
	q.flags = 1;
	q.depth = 64;
	strcpy(q.image, "attack");
	return q;
}

int main(int argc, char **argv)
{
	static char bytes[65536];
	struct fa_keeper_request q = good();
	struct fa_control_request ping = {.magic = FA_CONTROL_MAGIC, .version = FA_CONTROL_VERSION,
					  .verb = FA_CONTROL_STATUS};
	const char *mode = argv[2];
	int n = argc > 3 ? atoi(argv[3]) : 0, fd;

	path = argv[1];
	fd = connected();
	if (!strcmp(mode, "size")) {
		send(fd, bytes, n, MSG_NOSIGNAL);
		answer(fd);
	} else if (!strcmp(mode, "text") || !strcmp(mode, "hidden")) {
		if (mode[0] == 't')
			memset(q.image, 'x', sizeof(q.image));
		else
			strcpy(q.image + 10, "hidden");
		send(fd, &q, sizeof(q), MSG_NOSIGNAL);
		answer(fd);
	} else if (!strcmp(mode, "half")) {
		half_open(&ping, sizeof(ping), n);
	} else if (!strcmp(mode, "ping")) {
		ping_often(&ping, n);
	} else if (!strcmp(mode, "put")) {
		memset(q.image, 0, sizeof(q.image));
		strcpy(q.image, argv[3]);
		q.uid = strtoul(argv[4], NULL, 10);
		q.has_uid = q.uid != FA_USER_ANY;
		q.options = atoi(argv[5]);
		send(fd, &q, sizeof(q), MSG_NOSIGNAL);
		answer(fd);
	} else if (!strcmp(mode, "noise")) {
		srand(1);
		for (int i = 0; i < n; i++) {
			size_t len = i % 3 == 0 ? sizeof(q) : i % 3 == 1 ? sizeof(ping) : rand() % 60000;

			for (size_t k = 0; k < len; k++)
				bytes[k] = rand();
			if (i % 2) { /* the door is opened, what is inside is noise */
				memcpy(bytes, len == sizeof(ping) ? (void *)&ping : (void *)&q, 12);
				bytes[12] = 1 + rand() % 4;
				bytes[13] = bytes[14] = bytes[15] = 0;
			}
			if (send(fd, bytes, len, MSG_NOSIGNAL) < 0 || recv(fd, bytes, 600, 0) <= 0) {
				close(fd);
				fd = connected();
			}
		}
	} else if (!strcmp(mode, "fds")) {
		for (int i = 0; i < n; i++) {
			size_t len = i % 2 ? sizeof(ping) : 1 + i % 7;

			if (send_fds(fd, &ping, len, 1 + i % 8) < 0 || recv(fd, bytes, 600, 0) <= 0) {
				close(fd);
				fd = connected();
			}
		}
	} else if (!strcmp(mode, "hold")) {
		for (int i = 0; i < n; i++)
			connected();
		puts("holding");
		fflush(stdout);
		sleep(2);
	} else if (!strcmp(mode, "deaf")) {
		for (int i = 0; i < n; i++)
			if (send(fd, &ping, sizeof(ping), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				usleep(1000);
	}
	return 0;
}
