/*
 * fake_shim.h - writes an arena as the shim does, in a memfd of this process, and keeps what a drain
 * makes of it. For tests and benchmarks of the collector.
 */
#ifndef FAKE_SHIM_H
#define FAKE_SHIM_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collector/drain.h"

struct fake {
	int fd;
	uint32_t size;
	unsigned char *base;
	struct fa_arena_geometry g;
	struct fa_arena_header *h;
	struct fa_drain_ids ids;
	struct fa_family_info info;
	struct fa_family *family;
};

/* A thread's writer. */
struct fake_writer {
	struct fake *fake;
	struct fa_arena_buffer *buffer;
	uint32_t slot, thread, seq, at;
	int32_t tid;
	struct fa_event_state state;
};

static FA_UNUSED struct fa_arena_process *fake_slot(struct fake *f, uint32_t slot)
{
	return (struct fa_arena_process *)(void *)(f->base + f->g.process_offset) + slot;
}

static FA_UNUSED struct fa_arena_module *fake_module(struct fake *f, uint32_t id)
{
	return (struct fa_arena_module *)(void *)(f->base + f->g.module_offset) + id;
}

static FA_UNUSED struct fa_arena_node *fake_node(struct fake *f, uint32_t id)
{
	return (struct fa_arena_node *)(void *)(f->base + f->g.node_offset) + id;
}

static FA_UNUSED struct fa_arena_buffer *fake_buffer(struct fake *f, uint32_t id)
{
	return (struct fa_arena_buffer *)(void *)(f->base + f->g.buffer_offset +
						  (size_t)id * FA_BUFFER_SIZE);
}

static FA_UNUSED void fake_process(struct fake *f, uint32_t slot, int32_t pid, uint32_t parent_slot)
{
	struct fa_arena_process *p = fake_slot(f, slot);

	p->pid = pid;
	p->parent_slot = parent_slot;
	p->parent_generation = parent_slot == ~0u ? 0 : fake_slot(f, parent_slot)->generation;
	p->origin = parent_slot == ~0u ? FA_ORIGIN_EXEC : FA_ORIGIN_FORK;
	p->start_stamp = 1000 + slot;
	p->fork_thread = ~0u;
	__atomic_store_n(&p->state, FA_PROCESS_LIVE, __ATOMIC_RELEASE);
}

/* An arena with this process in slot 0. */
static FA_UNUSED struct fake fake_new(uint32_t size)
{
	struct fake f = {.size = size, .ids = {1, 1}};

	f.fd = memfd_create("arena", MFD_CLOEXEC);
	if (f.fd < 0 || ftruncate(f.fd, size) < 0)
		abort();
	f.base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	if (f.base == MAP_FAILED)
		abort();
	fa_arena_geometry(size, 0, &f.g);
	f.h = (struct fa_arena_header *)(void *)f.base;
	f.h->version = FA_ARENA_VERSION;
	f.h->size = size;
	f.h->pid = getpid();
	f.h->clock_source = fa_drain_clock_source();
	f.h->depth = 64;
	f.h->node_count = 1;
	strcpy(f.h->exec_path, "./fake");
	f.info = (struct fa_family_info){.pid = getpid(),
					 .parent_pid = getppid(),
					 .uid = geteuid(),
					 .gid = getegid(),
					 .cgroup = "/"};
	if (readlink("/proc/self/exe", f.info.exe, sizeof(f.info.exe) - 1) < 0)
		abort();
	fake_process(&f, 0, getpid(), ~0u);
	__atomic_store_n(&f.h->magic, FA_ARENA_MAGIC, __ATOMIC_RELEASE);
	return f;
}

static FA_UNUSED int fake_adopt(struct fake *f)
{
	return fa_family_new(f->fd, f->size, &f->info, &f->ids, &f->family);
}

static FA_UNUSED void fake_done(struct fake *f)
{
	fa_family_free(f->family);
	(void)munmap(f->base, f->size);
	(void)close(f->fd);
}

static FA_UNUSED struct fake_writer fake_writer(struct fake *f, uint32_t slot, uint32_t thread,
						int32_t tid)
{
	return (struct fake_writer){.fake = f, .slot = slot, .thread = thread, .tid = tid};
}

/* Take a free buffer. 0: there is none. */
static FA_UNUSED int fake_take(struct fake_writer *w)
{
	for (uint32_t i = 0; i < w->fake->g.buffers; i++) {
		struct fa_arena_buffer *b = fake_buffer(w->fake, i);
		uint32_t is_free = FA_BUFFER_FREE;

		if (!__atomic_compare_exchange_n(&b->state, &is_free, FA_BUFFER_CLAIMED, 0,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		b->committed = 0;
		b->process = w->slot;
		b->process_generation = fake_slot(w->fake, w->slot)->generation;
		b->thread = w->thread;
		b->tid = w->tid;
		b->buffer_seq = w->seq++;
		b->lost_before = 0;
		b->base_stamp = w->state.stamp;
		w->state.addr = 0;
		w->state.stack = 0;
		w->at = 0;
		w->buffer = b;
		__atomic_store_n(&b->state, FA_BUFFER_OWNED, __ATOMIC_RELEASE);
		return 1;
	}
	return 0;
}

static FA_UNUSED void fake_full(struct fake_writer *w)
{
	if (w->buffer != NULL)
		__atomic_store_n(&w->buffer->state, FA_BUFFER_FULL, __ATOMIC_RELEASE);
	w->buffer = NULL;
}

static FA_UNUSED unsigned char *fake_place(struct fake_writer *w)
{
	return (unsigned char *)w->buffer + FA_BUFFER_HEADER + w->at;
}

static FA_UNUSED void fake_commit(struct fake_writer *w, unsigned bytes)
{
	w->at += bytes;
	__atomic_store_n(&w->buffer->committed, w->at, __ATOMIC_RELEASE);
}

/* One allocation; a new buffer when it is the first or the old one is full. 0: there is none. */
static FA_UNUSED int fake_alloc(struct fake_writer *w, uint64_t addr, uint64_t size, uint64_t stamp,
				uint32_t stack)
{
	if (w->buffer != NULL && w->at + FA_EVENT_MAX + FA_EVENT_SLACK > FA_BUFFER_DATA)
		fake_full(w);
	if (w->buffer == NULL && !fake_take(w))
		return 0;
	fake_commit(w, fa_event_put_alloc(fake_place(w), &w->state, addr, size, stamp, stack != 0,
					  stack));
	return 1;
}

static FA_UNUSED void fake_add_node(struct fake *f, uint32_t id, uint64_t pc, uint32_t parent)
{
	struct fa_arena_node *n = fake_node(f, id);

	n->parent = parent;
	n->marks = 0;
	__atomic_store_n(&n->pc, pc, __ATOMIC_RELEASE);
}

/* --- what came out ------------------------------------------------------------------------ */

struct kept {
	unsigned tag;
	size_t head_len, len;
	unsigned char *bytes;
};

struct keeper {
	struct kept record[8192];
	size_t count;
	int fail; /* what record() returns, 0: keeps */
};

static FA_UNUSED int keep(void *ctx, unsigned tag, const void *head, size_t head_len,
			  const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct keeper *k = ctx;
	struct kept *r = &k->record[k->count];

	if (k->fail != 0)
		return k->fail;
	if (k->count == sizeof(k->record) / sizeof(k->record[0]))
		return 0;
	*r = (struct kept){tag, head_len, head_len + tail_len + tail2_len, NULL};
	r->bytes = malloc(r->len + 1);
	if (r->bytes == NULL)
		abort();
	memcpy(r->bytes, head, head_len);
	if (tail_len > 0)
		memcpy(r->bytes + head_len, tail, tail_len);
	if (tail2_len > 0)
		memcpy(r->bytes + head_len + tail_len, tail2, tail2_len);
	r->bytes[r->len] = 0;
	k->count++;
	return 0;
}

static FA_UNUSED void keeper_clear(struct keeper *k)
{
	for (size_t i = 0; i < k->count; i++)
		free(k->record[i].bytes);
	k->count = 0;
	k->fail = 0;
}

/* The n-th record with this tag (0 based), NULL: there is none. */
static FA_UNUSED const struct kept *keeper_find(const struct keeper *k, unsigned tag, size_t n)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->record[i].tag == tag && n-- == 0)
			return &k->record[i];
	return NULL;
}

static FA_UNUSED size_t keeper_count(const struct keeper *k, unsigned tag)
{
	size_t n = 0;

	for (size_t i = 0; i < k->count; i++)
		n += k->record[i].tag == tag;
	return n;
}

#endif
