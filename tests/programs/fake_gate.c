/*
 * fake_gate.c - stands in for the shim: maps an arena, rings, writes events; honest or hostile.
 * cflags: -Isrc -D_GNU_SOURCE
 *
 *   fake_gate [-s SLOT] [-z SIZE_KB] [-n EVENTS] [-w MS] [-u FILE] [-f FILE] [-r N] [-x BYTES] [-v VERSION] [-k]
 *   -n  events to write (malloc and free by turns)     -w  stay so long afterwards
 *   -u  stay until FILE is there, a minute at most
 *   -f  map FILE there instead of an arena             -r  ring N arenas, in N slots
 *   -x  fill so many bytes at the arena's end with noise, and scribble the counters
 *   -k  kill itself by SIGKILL after the last event
 * Prints "answer WORD REASON us MICROSECONDS turn STAMP" (STAMP: when the doorman turned to it) once, then "done" before it waits.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "format/arena_format.h"

static uint32_t size = 2 << 20, version = FA_ARENA_VERSION;

static uint32_t clock_source(void)
{
	char b[32] = "";
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY);

	if (fd >= 0) {
		read(fd, b, 31);
		close(fd);
	}
	return strncmp(b, "tsc\n", 4) == 0 ? FA_CLOCK_TSC : FA_CLOCK_MONOTONIC;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t stamp(void)
{
	return clock_source() == FA_CLOCK_TSC ? __rdtsc() : now_ns();
}

static void *map_at(unsigned slot, int fd, int prot)
{
	return mmap((void *)fa_arena_slot_address(slot), size, prot,
		    MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE
						  : MAP_SHARED), fd, 0);
}

static void make_arena(unsigned char *base, unsigned slot)
{
	struct fa_arena_header *h = (void *)base;
	struct fa_arena_geometry g;
	struct fa_arena_process *p;

	fa_arena_geometry(size, 0, &g);
	h->version = version;
	h->size = size;
	h->pid = getpid();
	h->uid = getuid();
	h->rule_id = 1;
	h->tracing_flags = 1;
	h->depth = 64;
	h->stacks = 3;
	h->clock_source = clock_source();
	h->slot = slot;
	h->start_stamp = stamp();
	h->node_count = 1;
	h->joined = 1;
	readlink("/proc/self/exe", h->exec_path, sizeof(h->exec_path) - 1);
	p = (void *)(base + g.process_offset);
	p->pid = getpid();
	p->parent_slot = ~0u;
	p->start_stamp = h->start_stamp;
	p->fork_thread = ~0u;
	p->next_thread = 1;
	__atomic_store_n(&p->state, FA_PROCESS_LIVE, __ATOMIC_RELEASE);
	__atomic_store_n(&h->magic, FA_ARENA_MAGIC, __ATOMIC_RELEASE);
}

static struct fa_arena_buffer *take_buffer(unsigned char *base, uint32_t seq)
{
	struct fa_arena_header *h = (void *)base;
	struct fa_arena_geometry g;

	fa_arena_geometry(size, 0, &g);
	for (;;) {
		for (uint32_t i = 0; i < g.buffers; i++) {
			struct fa_arena_buffer *b =
				(void *)(base + g.buffer_offset + (size_t)i * FA_BUFFER_SIZE);
			uint32_t free_state = FA_BUFFER_FREE;

			if (!__atomic_compare_exchange_n(&b->state, &free_state, FA_BUFFER_OWNED, 0,
							 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				continue;
			b->process = 0;
			b->process_generation = 0;
			b->thread = 0;
			b->tid = getpid();
			b->buffer_seq = seq;
			b->lost_before = 0;
			b->base_stamp = stamp();
			return b;
		}
		usleep(500); /* policy: wait */
	}
}

static void write_events(unsigned char *base, unsigned long n)
{
	struct fa_arena_buffer *b = NULL;
	struct fa_event_state st;
	unsigned char *at = NULL, *end = NULL;
	uint32_t seq = 0;

	for (unsigned long i = 0; i < n; i++) {
		if (b == NULL || at + FA_EVENT_MAX + FA_EVENT_SLACK > end) {
			if (b != NULL)
				__atomic_store_n(&b->state, FA_BUFFER_FULL, __ATOMIC_RELEASE);
			b = take_buffer(base, seq++);
			st = (struct fa_event_state){ .stamp = b->base_stamp };
			at = (unsigned char *)(b + 1);
			end = at + FA_BUFFER_DATA;
		}
		if (i % 2 == 0)
			at += fa_event_put_alloc(at, &st, 0x10000 + (i % 1000) * 64, 48, stamp(), 0, 0);
		else
			at += fa_event_put_free(at, &st, 0x10000 + (i % 1000) * 64 - 64, 0, 0, 0);
		__atomic_store_n(&b->committed, (uint32_t)(at - (unsigned char *)(b + 1)),
				 __ATOMIC_RELEASE);
	}
}

/* Counters that lie, and noise where buffers and nodes are expected. */
static void scribble(unsigned char *base, size_t bytes)
{
	struct fa_arena_header *h = (void *)base;

	srand(getpid());
	h->node_count = ~0u;
	h->module_count = ~0u;
	h->want_segment = ~0u;
	for (size_t i = 0; i < bytes && i < size - FA_ARENA_PAGE; i++)
		base[size - 1 - i] = (unsigned char)rand();
}

static void ring(unsigned char *base)
{
	uint64_t t = now_ns();
	int fd = open(FA_BELL_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct fa_arena_header *h = (void *)base;

	printf("answer %u %u us %llu turn %llu%s\n", base ? h->answer.word : 0,
	       base ? h->answer.reason : 0, (unsigned long long)((now_ns() - t) / 1000),
	       base ? (unsigned long long)h->answer.session : 0, fd < 0 ? " no bell" : "");
	fflush(stdout);
	close(fd);
}

int main(int argc, char **argv)
{
	unsigned slot = 0, rings = 1, wait_ms = 0;
	unsigned long events = 10, noise = 0;
	const char *file = NULL, *until = NULL;
	int o, suicide = 0;
	unsigned char *base = NULL;

	while ((o = getopt(argc, argv, "s:z:n:w:u:f:r:x:v:k")) != -1) {
		if (o == 's')
			slot = atoi(optarg);
		else if (o == 'z')
			size = atoi(optarg) << 10;
		else if (o == 'n')
			events = atol(optarg);
		else if (o == 'w')
			wait_ms = atoi(optarg);
		else if (o == 'u')
			until = optarg;
		else if (o == 'f')
			file = optarg;
		else if (o == 'r')
			rings = atoi(optarg);
		else if (o == 'x')
			noise = atol(optarg);
		else if (o == 'v')
			version = atoi(optarg);
		else if (o == 'k')
			suicide = 1;
		else
			return 2;
	}
	if (file != NULL) {
		int fd = open(file, O_RDONLY);

		if (fd < 0 || map_at(slot, fd, PROT_READ) == MAP_FAILED)
			return 3;
		ring(NULL);
	} else {
		for (unsigned i = 0; i < rings; i++) {
			base = map_at(slot + i, -1, PROT_READ | PROT_WRITE);
			if (base == MAP_FAILED)
				return 4;
			make_arena(base, slot + i);
			ring(base);
		}
		if (((struct fa_arena_header *)base)->answer.word == FA_ANSWER_ATTACHED)
			write_events(base, events);
		if (noise)
			scribble(base, noise);
	}
	if (suicide)
		kill(getpid(), SIGKILL);
	puts("done");
	fflush(stdout);
	usleep(wait_ms * 1000);
	for (int i = 0; until != NULL && i < 6000 && access(until, F_OK) != 0; i++)
		usleep(10000);
	return 0;
}
