/*
 * fuse_server - serves a folder with one file in it (FUSE by hand, no library), from one thread, and uses the heap for
 * each request; for the first BURSTS writes so much that no arena holds it. Prints its heap calls when it is unmounted.
 * fuse_server DIR BACKING BURSTS CALLS [NAME MS]   who is called NAME gets each answer MS late
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROOT = 1, FILE_NODE = 2, MOST = 1 << 20 };

static int device, backing, exists;
static unsigned long heap_calls, bursts, burst_calls, slow_ms;
static const char *slow_for;

static void use_heap(unsigned long calls)
{
	for (unsigned long i = 0; i < calls; i += 2) {
		void *volatile p = malloc(16 + i % 1000);

		free(p);
		heap_calls += 2;
	}
}

static int is_slow_for(uint32_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	(void)!fscanf(f, "%31s", name);
	(void)fclose(f);
	return strcmp(name, slow_for) == 0;
}

static void answer(const struct fuse_in_header *in, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {.len = sizeof(out) + (error ? 0 : len), .error = -error, .unique = in->unique};
	struct iovec v[2] = {{&out, sizeof(out)}, {(void *)data, error ? 0 : len}};

	(void)!writev(device, v, 2);
}

static struct fuse_attr attr_of(uint64_t node)
{
	struct fuse_attr a = {.ino = node, .mode = S_IFDIR | 0755, .nlink = 2};
	struct stat st;

	if (node == FILE_NODE && fstat(backing, &st) == 0) {
		a.mode = S_IFREG | 0600;
		a.nlink = 1;
		a.size = st.st_size;
		a.blocks = (st.st_size + 511) / 512;
	}
	return a;
}

static struct fuse_entry_out entry(void)
{
	return (struct fuse_entry_out){.nodeid = FILE_NODE, .generation = 1, .attr = attr_of(FILE_NODE)};
}

static void create(const struct fuse_in_header *in)
{
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out = {.e = entry()};

	exists = 1;
	answer(in, 0, &out, sizeof(out));
}

static void handle_write(const struct fuse_in_header *in, const struct fuse_write_in *w)
{
	struct fuse_write_out out = {.size = w->size};

	if (bursts > 0) {
		bursts--;
		use_heap(burst_calls);
	}
	if (pwrite(backing, w + 1, w->size, w->offset) != (ssize_t)w->size)
		answer(in, EIO, NULL, 0);
	else
		answer(in, 0, &out, sizeof(out));
}

static void handle(const struct fuse_in_header *in)
{
	const void *arg = in + 1;

	use_heap(2);
	if (slow_for != NULL && is_slow_for(in->pid))
		(void)usleep(slow_ms * 1000);
	switch (in->opcode) {
	case FUSE_INIT: {
		const struct fuse_init_in *i = arg;
		struct fuse_init_out out = {.major = 7, .minor = i->minor < 31 ? i->minor : 31,
					    .max_write = 128 << 10, .flags = FUSE_BIG_WRITES};

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_LOOKUP: {
		struct fuse_entry_out out = entry();

		answer(in, exists ? 0 : ENOENT, &out, sizeof(out));
		break;
	}
	case FUSE_SETATTR: {
		const struct fuse_setattr_in *s = arg;

		if ((s->valid & FATTR_SIZE) != 0)
			(void)!ftruncate(backing, s->size);
	} /* fall through */
	case FUSE_GETATTR: {
		struct fuse_attr_out out = {.attr = attr_of(in->nodeid)};

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_CREATE:
		create(in);
		break;
	case FUSE_OPEN: {
		struct fuse_open_out out = {0};

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_READ: {
		const struct fuse_read_in *r = arg;
		static char data[MOST];
		ssize_t n = pread(backing, data, r->size < MOST ? r->size : MOST, r->offset);

		answer(in, n < 0 ? EIO : 0, data, n < 0 ? 0 : n);
		break;
	}
	case FUSE_WRITE:
		handle_write(in, arg);
		break;
	case FUSE_STATFS: {
		struct fuse_statfs_out out = {.st = {.blocks = 1 << 20, .bfree = 1 << 20, .bavail = 1 << 20,
						     .bsize = 4096, .frsize = 4096, .namelen = 255}};

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_RELEASE:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
		answer(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(in, ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static char request[MOST + 4096];
	char options[128];
	ssize_t n;

	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	backing = argc == 5 || argc == 7 ? open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
	if (device < 0 || backing < 0)
		return 1;
	bursts = strtoul(argv[3], NULL, 0);
	burst_calls = strtoul(argv[4], NULL, 0);
	if (argc == 7) {
		slow_for = argv[5];
		slow_ms = strtoul(argv[6], NULL, 0);
	}
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
	if (mount("fuse_server", argv[1], "fuse.spec", MS_NOSUID | MS_NODEV, options) < 0)
		return 2;
	for (;;) {
		n = read(device, request, sizeof(request));
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			handle((const struct fuse_in_header *)request);
		else if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			break; /* ENODEV: unmounted */
	}
	dprintf(1, "%lu\n", heap_calls);
	return 0;
}
