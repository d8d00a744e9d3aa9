/*
 * family.c - life cycle of an adopted arena: mapping, answer, segments, what status shows.
 *
 * A family is the process that made the arena and its fork children. The files beside this one:
 * define.c writes what records refer to, drain.c the events, reap.c takes back what the dead held.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/family_internal.h"

struct fa_arena_module *family_module(const struct fa_family *f, uint32_t id)
{
	unsigned k = f->segments - 1;

	while (k > 0 && id < f->segment[k].first_module)
		k--;
	return (struct fa_arena_module *)(void *)(f->segment[k].base +
						  f->segment[k].g.module_offset) +
	       (id - f->segment[k].first_module);
}

struct fa_arena_node *family_node(const struct fa_family *f, uint32_t id)
{
	unsigned k = f->segments - 1;

	while (k > 0 && id < f->segment[k].first_node)
		k--;
	return (struct fa_arena_node *)(void *)(f->segment[k].base + f->segment[k].g.node_offset) +
	       (id - f->segment[k].first_node);
}

struct fa_arena_buffer *family_buffer(const struct fa_family *f, uint32_t id)
{
	unsigned k = f->segments - 1;

	while (k > 0 && id < f->segment[k].first_buffer)
		k--;
	return (struct fa_arena_buffer *)(void *)(f->segment[k].base +
						  f->segment[k].g.buffer_offset +
						  (size_t)(id - f->segment[k].first_buffer) *
							  FA_BUFFER_SIZE);
}

void family_emit(struct fa_family *f, unsigned tag, const void *head, size_t head_len,
		 const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	if (f->sink == NULL || f->error < 0)
		return;
	f->error = f->sink->record(f->sink->ctx, tag, head, head_len, tail, tail_len, tail2,
				   tail2_len);
}

/* Map `fd` as the next segment and make room for what it holds. */
static int map_segment(struct fa_family *f, int fd, uint64_t at, uint32_t size)
{
	struct fa_segment *s = &f->segment[f->segments];
	struct fa_arena_module *module;
	struct fa_reading *reading;
	struct stat st;
	uint32_t *work;
	void *base;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)(at + size))
		return -EBADMSG;
	fa_arena_geometry(size, f->segments, &s->g);
	module = reallocarray(f->module, f->modules + s->g.modules, sizeof(*module));
	if (module == NULL)
		return -ENOMEM;
	f->module = module;
	reading = reallocarray(f->reading, f->buffers + s->g.buffers, sizeof(*reading));
	if (reading == NULL)
		return -ENOMEM;
	f->reading = reading;
	work = reallocarray(f->work, f->buffers + s->g.buffers, sizeof(*work));
	if (work == NULL)
		return -ENOMEM;
	f->work = work;
	base = mmap(NULL, size, f->view ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)at);
	if (base == MAP_FAILED)
		return -errno;
	(void)madvise(base, size, MADV_DONTDUMP); /* a dump of ours is not theirs */
	s->base = base;
	s->first_module = f->modules;
	s->first_node = f->nodes;
	s->first_buffer = f->buffers;
	memset(module + f->modules, 0, s->g.modules * sizeof(*module));
	memset(reading + f->buffers, 0, s->g.buffers * sizeof(*reading));
	f->modules += s->g.modules;
	f->nodes += s->g.nodes;
	f->buffers += s->g.buffers;
	f->segments++;
	/* A collector before us may have raised them. */
	for (uint32_t i = s->first_buffer; i < family_used_buffers(f); i++)
		reading[i].generation = arena_load(&family_buffer(f, i)->generation);
	return 0;
}

/* Take the header as it is now; it is not looked at again but for the counters. */
static int check_header(struct fa_family *f, uint32_t size)
{
	const struct fa_arena_header *h = family_header(f);

	if (__atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) != FA_ARENA_MAGIC)
		return -EBADMSG;
	arena_copy(&f->header, h, sizeof(f->header));
	if (f->header.version != FA_ARENA_VERSION && f->header.version != FA_ARENA_VERSION_CALLS)
		return -EPROTONOSUPPORT;
	if (f->header.size != size)
		return -EBADMSG;
	if (f->header.clock_source != fa_drain_clock_source())
		return -EPROTO;
	f->has_calls = f->header.version == FA_ARENA_VERSION_CALLS;
	f->header.exec_path[sizeof(f->header.exec_path) - 1] = '\0';
	return 0;
}

/* Or has it executed another program already? Then what /proc says is not of the arena's. */
static bool runs_exe(const struct fa_family_info *info)
{
	char path[32], exe[sizeof(info->exe)];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)info->pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	return n > 0 && (size_t)n == strlen(info->exe) && memcmp(exe, info->exe, (size_t)n) == 0;
}

/* Of a collector that died, or that the program made while there was none. */
static int map_further_segments(struct fa_family *f, int fd)
{
	uint32_t size0 = f->segment[0].g.size;
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : 0;

	while (r == 0 && f->segments < fa_arena_most_segments(size0) &&
	       st.st_size >= (off_t)fa_arena_segment_at(size0, f->segments + 1))
		r = map_segment(f, fd, fa_arena_segment_at(size0, f->segments),
				fa_arena_segment_size(size0, f->segments));
	return r;
}

static int open_family(int fd, uint32_t size, const struct fa_family_info *info,
		       struct fa_drain_ids *ids, bool view, struct fa_family **ret)
{
	struct fa_procfs_stat st;
	struct fa_family *f;
	int r;

	if (size < FA_ARENA_MIN || size > FA_ARENA_MAX0 || (size & (size - 1)) != 0)
		return -EBADMSG;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->view = view;
	f->info = *info;
	f->info.exe[sizeof(f->info.exe) - 1] = '\0';
	f->info.cgroup[sizeof(f->info.cgroup) - 1] = '\0';
	r = map_segment(f, fd, 0, size);
	if (r == 0)
		r = check_header(f, size);
	if (r == 0)
		r = map_further_segments(f, fd);
	if (r < 0) {
		fa_family_free(f);
		return r;
	}
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		f->generation[i] = arena_load(&family_slot(f, i)->generation);
	f->ids = ids;
	f->arena = ids->next_arena++;
	f->next_node = 1; /* node 0 is the root */
	f->main_status = -1;
	if (fa_procfs_stat(info->pid, &st) == 0) {
		f->main_start_time = st.start_time;
		f->image = runs_exe(&f->info) ? st.image : 0;
	}
	*ret = f;
	return 0;
}

int fa_family_new(int fd, uint32_t size, const struct fa_family_info *info,
		  struct fa_drain_ids *ids, struct fa_family **ret)
{
	return open_family(fd, size, info, ids, false, ret);
}

int fa_family_view(int fd, uint32_t size, const struct fa_family_info *info,
		   struct fa_drain_ids *ids, struct fa_family **ret)
{
	return open_family(fd, size, info, ids, true, ret);
}

void fa_family_answer(struct fa_family *f, uint32_t word, uint32_t policy, uint32_t reason)
{
	static uint64_t number; /* of answers, over all families: changes with every one */
	struct fa_arena_answer *a = &family_header(f)->answer;

	__atomic_store_n(&a->policy, policy, __ATOMIC_RELAXED);
	__atomic_store_n(&a->reason, reason, __ATOMIC_RELAXED);
	__atomic_store_n(&a->session, ++number, __ATOMIC_RELAXED);
	__atomic_store_n(&a->segments, (1u << f->segments) - 1, __ATOMIC_RELAXED);
	__atomic_store_n(&a->word, word, __ATOMIC_RELEASE);
	f->attached = word == FA_ANSWER_ATTACHED;
	fa_family_tick(f); /* whoever records already looks at the word when the tick moves */
}

void fa_family_want_stacks(struct fa_family *f, uint32_t stacks)
{
	__atomic_store_n(&family_header(f)->answer.stacks,
			 stacks == FA_STACKS_OF_RULE ? 0 : FA_ANSWER_STACKS | stacks, __ATOMIC_RELAXED);
}

uint32_t fa_family_rule_stacks(const struct fa_family *f)
{
	return f->header.stacks;
}

/* To begin a table; 0: none was given. */
static uint32_t order_of(const struct fa_family *f)
{
	uint32_t quiet = __atomic_load_n(&family_header(f)->answer.quiet, __ATOMIC_RELAXED);

	return (quiet & FA_QUIET_BEGIN) != 0 ? quiet & ~(uint32_t)(FA_QUIET_EVENTS | FA_QUIET_TABLE) : 0;
}

bool fa_family_order_table(struct fa_family *f, uint32_t most_mb)
{
	if (arena_load64(&family_header(f)->table.begin_stamp) != 0)
		return false;
	__atomic_store_n(&family_header(f)->answer.quiet,
			 FA_QUIET_BEGIN | (most_mb & 0xfff) << FA_QUIET_MOST_SHIFT, __ATOMIC_RELAXED);
	return true;
}

bool fa_family_is_named_only(const struct fa_family *f)
{
	return (f->header.options & FA_RULE_NAMED) != 0;
}

bool fa_family_keeps_table(const struct fa_family *f)
{
	/* By an order that was given while it ran, too: by a collector before us, it may be. */
	return (f->header.tracing_flags & FA_TRACING_SNAPSHOT) != 0 || order_of(f) != 0;
}

bool fa_family_has_events(const struct fa_family *f)
{
	return (f->header.tracing_flags & FA_TRACING_HEAP) != 0;
}

void fa_family_want(struct fa_family *f, bool events, bool table)
{
	uint32_t quiet = (events ? 0u : FA_QUIET_EVENTS) | (table ? order_of(f) : FA_QUIET_TABLE);

	__atomic_store_n(&family_header(f)->answer.quiet, quiet, __ATOMIC_RELAXED);
}

void fa_family_tick(struct fa_family *f)
{
	struct fa_arena_answer *a = &family_header(f)->answer;

	__atomic_store_n(&a->now, fa_drain_stamp(f->header.clock_source), __ATOMIC_RELAXED);
	__atomic_fetch_add(&a->tick, 1, __ATOMIC_RELEASE);
}

unsigned fa_family_wants_segments(const struct fa_family *f)
{
	uint32_t want = arena_load(&family_header(f)->want_segment);
	uint32_t most = fa_arena_most_segments(f->segment[0].g.size);

	return want > most ? most : want;
}

unsigned fa_family_segments(const struct fa_family *f)
{
	return f->segments;
}

bool fa_family_is_filling(const struct fa_family *f)
{
	return family_used_buffers(f) > f->buffers / 2 ||
	       arena_load(&family_header(f)->node_count) > f->nodes / 2;
}

static void tell_segments(struct fa_family *f)
{
	__atomic_store_n(&family_header(f)->answer.segments, (1u << f->segments) - 1,
			 __ATOMIC_RELEASE);
}

/* Make the file so long, where it is not. */
static int lengthen(int fd, uint64_t at, uint32_t size, bool allocate)
{
	struct rlimit limit;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size >= (off_t)(at + size))
		return 0;
	/* A file beyond the limit is answered by a signal. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < at + size)
		return -EFBIG;
	if (allocate ? fallocate(fd, 0, (off_t)at, size) < 0 : ftruncate(fd, (off_t)(at + size)) < 0)
		return -errno;
	return 0;
}

int fa_family_extend(struct fa_family *f, int fd, bool allocate)
{
	uint32_t size = fa_arena_segment_size(f->segment[0].g.size, f->segments);
	uint64_t at = fa_arena_segment_at(f->segment[0].g.size, f->segments);
	int r;

	if (f->segments == fa_arena_most_segments(f->segment[0].g.size))
		return -E2BIG;
	r = lengthen(fd, at, size, allocate);
	if (r == 0)
		r = map_segment(f, fd, at, size);
	if (r < 0)
		return r;
	tell_segments(f);
	return 0;
}

unsigned family_count_taken(const struct fa_family *f, unsigned *ret_slots, unsigned *ret_full)
{
	unsigned taken = 0, full = 0, slots = 0;
	uint32_t used = family_used_buffers(f);

	for (uint32_t i = 0; i < used; i++) {
		uint32_t state = arena_load(&family_buffer(f, i)->state);

		full += state == FA_BUFFER_FULL;
		taken += state != FA_BUFFER_FREE;
	}
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		slots += arena_load(&family_slot(f, i)->state) != FA_PROCESS_FREE;
	*ret_slots = slots;
	*ret_full = full;
	return taken;
}

/* Those of long-lived threads and processes are no reason: else we would look at /proc all the time. */
unsigned fa_family_full(const struct fa_family *f, bool *ret_reap)
{
	const unsigned many_slots = FA_ARENA_PROCESSES / 8;
	unsigned slots, full, taken = family_count_taken(f, &slots, &full);
	bool few = taken * 2 > f->buffers && taken > f->kept_buffers + f->buffers / 8;

	*ret_reap =
		few || slots >= f->kept_slots + many_slots || family_unknown_pids(f) > many_slots;
	return full;
}

static void process_left(struct fa_family *f, int32_t pid, int32_t status)
{
	if (pid == f->info.pid) {
		f->main_exited = true;
		f->main_status = status;
	}
	for (size_t i = 0; i < f->process_count; i++) {
		struct fa_process *p = f->processes[i];

		if (p->live && !p->exited && p->known && p->pid == pid) {
			p->exited = true;
			p->status = status;
		}
	}
}

void fa_family_exited(struct fa_family *f, int32_t pid, int32_t status)
{
	process_left(f, pid, status);
}

void fa_family_left(struct fa_family *f, int32_t pid)
{
	process_left(f, pid, -1);
}

/*
 * A child is seen when it uses the heap first. A daemon's first process may be gone by then, so a
 * family whose last known process ended is kept for a moment.
 */
bool fa_family_over(const struct fa_family *f)
{
	const uint64_t moment_ns = 500000000;

	if (f->empty_since_ns == 0)
		return false;
	return f->all_gone || fa_mono_ns() - f->empty_since_ns >= moment_ns;
}

size_t fa_family_processes(const struct fa_family *f)
{
	return f->process_count;
}

void fa_family_process_at(const struct fa_family *f, size_t i, struct fa_family_process *ret)
{
	const struct fa_process *p = f->processes[i];
	const char *slash = strrchr(f->info.exe, '/');

	memset(ret, 0, sizeof(*ret));
	ret->process = p->record.process;
	ret->pid = p->pid;
	ret->uid = p->record.uid;
	ret->live = p->live;
	ret->events = p->events;
	ret->bytes = p->bytes;
	memcpy(ret->lost, p->lost, sizeof(ret->lost));
	ret->image = slash != NULL ? slash + 1 : f->info.exe;
}

size_t fa_family_threads(const struct fa_family *f, size_t i)
{
	return f->processes[i]->thread_count;
}

void fa_family_thread_at(const struct fa_family *f, size_t i, size_t k, struct fa_family_thread *ret)
{
	const struct fa_thread *t = &f->processes[i]->threads[k];

	*ret = (struct fa_family_thread){
		.thread = t->serial, .tid = t->tid != 0 ? t->tid : t->own_tid, .events = t->events};
	memcpy(ret->lost, t->lost, sizeof(ret->lost));
	memcpy(ret->name, t->name, sizeof(ret->name));
}

void fa_family_totals(const struct fa_family *f, uint64_t *ret_events, uint64_t *ret_lost)
{
	*ret_events = f->events;
	*ret_lost = f->lost;
}

uint32_t fa_family_buffers(const struct fa_family *f, uint32_t *ret_free)
{
	unsigned slots, full, taken = family_count_taken(f, &slots, &full);

	*ret_free = f->buffers > taken ? f->buffers - taken : 0;
	return f->buffers;
}

uint32_t fa_family_arena(const struct fa_family *f)
{
	return f->arena;
}

uint64_t fa_family_mapped_bytes(const struct fa_family *f)
{
	uint64_t bytes = 0;

	for (unsigned k = 0; k < f->segments; k++)
		bytes += f->segment[k].g.size;
	return bytes;
}

void fa_family_free(struct fa_family *f)
{
	if (f == NULL)
		return;
	if (f->attached) /* for a child that nobody has seen: it shall not wait for us */
		fa_family_answer(f, FA_ANSWER_DETACHED, FA_POLICY_COUNT, FA_REASON_ENDED);
	for (unsigned k = 0; k < f->segments; k++)
		(void)munmap(f->segment[k].base, f->segment[k].g.size);
	for (size_t i = 0; i < f->process_count; i++)
		family_forget_process(f->processes[i]);
	free(f->processes);
	free(f->module);
	free(f->reading);
	free(f->work);
	free(f->loser);
	free(f);
}
