/* arena.c - making, growing and sharing the arena: all but the events themselves. */
#include "shim/arena.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "shim/careful.h"
#include "shim/sys.h"
#include "shim/text.h"

struct fa_arena fa_arena;

#define FA_MADV_DONTDUMP       16

static uint64_t soft_limit(int resource)
{
	struct rlimit limit = {0, 0};

	if (resource == RLIMIT_AS && fa_arena.address_limit != 0)
		return fa_arena.address_limit;
	if (fa_sys_call4(SYS_prlimit64, 0, resource, 0, (long)&limit) != 0)
		return UINT64_MAX;
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/*
 * A large reservation starves a program under RLIMIT_AS: at most a sixteenth of it. The file of a `run` is
 * allocated before it is used, and most programs of a script need little: it begins small.
 */
static uint32_t first_size(bool run_mode)
{
	uint64_t limit = soft_limit(RLIMIT_AS) / 16;
	uint32_t size = run_mode ? FA_ARENA_MIN : FA_ARENA_MAX0;

	while (size > limit && size >= FA_ARENA_MIN)
		size /= 2;
	return size >= FA_ARENA_MIN ? size : 0;
}

int fa_arena_open_run_dir(const char *path, uint32_t euid)
{
	struct stat st;
	int fd = fa_sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	if (fa_sys_call3(SYS_fstat, fd, (long)&st, 0) != 0 || st.st_uid != euid ||
	    (st.st_mode & 07777) != 0700) {
		(void)fa_sys_close(fd);
		return -1;
	}
	return fd;
}

static void run_file_name(char *to)
{
	to = fa_text_put_number(to, (uint64_t)fa_arena.pid);
	*to++ = '.';
	to = fa_text_put_number(to, fa_arena.nonce);
	*to++ = '.';
	*to++ = '0';
	*to = '\0';
}

static int create_run_file(uint32_t size)
{
	char name[64];
	int dir, fd;

	if (soft_limit(RLIMIT_FSIZE) < size)
		return -1; /* growing the file would be answered by SIGXFSZ */
	dir = fa_arena_open_run_dir(fa_arena.run_dir, fa_arena.euid);
	if (dir < 0)
		return -1;
	run_file_name(name);
	fd = fa_sys_openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	(void)fa_sys_close(dir);
	/* Allocated, not only sized: a full tmpfs must be an error here, not SIGBUS later. */
	if (fd >= 0 && fa_sys_call4(SYS_fallocate, fd, 0, 0, size) != 0) {
		(void)fa_sys_close(fd);
		fd = -1;
	}
	return fd;
}

/* how: may what lies there be replaced? */
static bool map_at(uint64_t address, uint64_t size, int how)
{
	int flags = MAP_SHARED | MAP_NORESERVE | how;
	int fd = -1;
	void *p;

	if (fa_arena.run_mode) {
		fd = create_run_file((uint32_t)size);
		if (fd < 0)
			return false;
	} else {
		flags |= MAP_ANONYMOUS;
	}
	p = fa_sys_mmap((void *)address, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		(void)fa_sys_close(fd);
	if (fa_sys_failed((long)p))
		return false;
	if ((uint64_t)p != address) {
		(void)fa_sys_munmap(p, size);
		return false;
	}
	(void)fa_advise(p, size, FA_MADV_DONTDUMP);
	return true;
}

static void add_segment(unsigned k, unsigned char *base)
{
	struct fa_segment *s = &fa_arena.segment[k];

	s->base = base;
	fa_arena_geometry(fa_arena_segment_size(fa_arena.size0, k), k, &s->g);
	if (k > 0) {
		const struct fa_segment *before = s - 1;

		s->first_module = before->first_module + before->g.modules;
		s->first_node = before->first_node + before->g.nodes;
		s->first_buffer = before->first_buffer + before->g.buffers;
	}
	__atomic_store_n(&fa_arena.mapped, k + 1, __ATOMIC_RELEASE);
}

static struct fa_arena_process *process_at(uint32_t slot)
{
	const struct fa_segment *s = &fa_arena.segment[0];

	return (struct fa_arena_process *)(void *)(s->base + s->g.process_offset) +
	       slot % FA_ARENA_PROCESSES;
}

static void write_head(const struct fa_start *start)
{
	struct fa_arena_header *h = fa_arena_head();

	h->version = (fa_arena.wish.tracing_flags & FA_TRACING_CALLS) != 0 ? FA_ARENA_VERSION_CALLS
									   : FA_ARENA_VERSION;
	h->size = fa_arena.size0;
	h->pid = fa_arena.pid;
	h->uid = start->uid;
	h->rule_id = fa_arena.wish.rule_id;
	h->tracing_flags = fa_arena.wish.tracing_flags;
	h->options = fa_arena.wish.options;
	h->depth = (uint16_t)fa_arena.wish.depth;
	h->stacks = (uint8_t)fa_arena.wish.stacks;
	fa_arena.own_stacks = fa_arena.wish.stacks;
	h->stamp_mode = (uint8_t)fa_arena.wish.stamp_mode;
	h->clock_source = fa_arena.clock_source;
	h->slot = fa_arena.slot;
	h->start_stamp = fa_stamp();
	h->want_segment = fa_arena.mapped;
	h->node_count = 1;  /* 0 is the root */
	h->buffer_hint = 1; /* so many are looked at */
	h->block = (uint64_t)&firstalloc_process_block;
	h->block_nonce = firstalloc_process_block.nonce;
	h->joined = 1;
	fa_text_copy(h->exec_path, sizeof(h->exec_path), start->exec_path);
	if (start->exe_path != NULL)
		fa_text_copy(h->exe_path, sizeof(h->exe_path), start->exe_path);

	struct fa_arena_process *p = process_at(0);

	p->pid = fa_arena.pid;
	p->parent_slot = ~0u;
	p->origin = start->woken ? FA_ORIGIN_WOKEN : FA_ORIGIN_EXEC;
	/* Nobody knows yet who will come: a program that runs does not wait for that, but for the moment that it takes. */
	if (start->woken)
		h->answer.policy = FA_POLICY_COUNT;
	p->start_stamp = h->start_stamp;
	p->fork_thread = ~0u;
	__atomic_store_n(&p->state, FA_PROCESS_LIVE, __ATOMIC_RELEASE);
	__atomic_store_n(&h->magic, FA_ARENA_MAGIC, __ATOMIC_RELEASE);
}

static void add_segments(uint32_t segments)
{
	for (uint32_t k = 0; k < segments; k++)
		add_segment(k, fa_arena.base + fa_arena_segment_at(fa_arena.size0, k));
}

static void describe(const struct fa_start *start, const struct fa_wish *wish, int32_t pid,
		     uint32_t size)
{
	fa_arena.wish = *wish;
	fa_beside = (uint8_t)(wish->tracing_flags & FA_TRACING_CALLS);
	fa_arena.pid = pid;
	fa_arena.size0 = size;
	fa_arena.process = 0;
	fa_arena.process_generation = 0;
	fa_arena.most = soft_limit(RLIMIT_AS) / 4;
	if (fa_arena.most > FA_ARENA_SPAN)
		fa_arena.most = FA_ARENA_SPAN;
	fa_arena.nonce = fa_clock_mono_ns();
	fa_arena.euid = start->euid;
	fa_arena.clock_source = (uint8_t)fa_clock_source();
	fa_arena.by_tsc = fa_arena.clock_source == FA_CLOCK_TSC && wish->stamp_mode != FA_STAMP_NONE;
	fa_arena.run_mode = start->run_dir != NULL;
}

unsigned fa_arena_create(const struct fa_start *start, const struct fa_wish *wish, int32_t pid,
			 uint32_t segments)
{
	uint32_t size = first_size(start->run_dir != NULL);

	if (size == 0)
		return FA_REASON_NO_MEMORY;
	describe(start, wish, pid, size);
	if (fa_arena.run_mode) {
		if (fa_text_length(start->run_dir) >= sizeof(fa_arena.run_dir))
			return FA_REASON_RUN_DIR;
		fa_text_copy(fa_arena.run_dir, sizeof(fa_arena.run_dir), start->run_dir);
	}
	for (unsigned slot = 0; slot < FA_ARENA_SLOTS; slot++) {
		uint64_t address = fa_arena_slot_address(slot);

		fa_arena.slot = slot;
		if (!map_at(address, fa_arena_segment_at(size, segments), FA_MAP_FIXED_NOREPLACE)) {
			if (fa_arena.run_mode)
				return FA_REASON_RUN_DIR;
			continue;
		}
		fa_arena.base = (unsigned char *)address;
		add_segments(segments);
		write_head(start);
		return 0;
	}
	return FA_REASON_NO_PLACE;
}

void fa_arena_destroy(void)
{
	(void)fa_sys_munmap(fa_arena.base, fa_arena_segment_at(fa_arena.size0, fa_arena.mapped));
	fa_arena.base = NULL;
	fa_arena.mapped = 0;
}

/* A thread of this process is mapping a segment. */
static uint32_t growing;

unsigned fa_arena_renew(const struct fa_start *start, const struct fa_wish *wish, int32_t pid)
{
	uint64_t had = fa_arena_segment_at(fa_arena.size0, fa_arena.mapped);
	uint32_t size = fa_arena.size0;

	/* One call: at no moment may somebody else map something there. */
	if (!map_at((uint64_t)fa_arena.base, size, MAP_FIXED))
		return FA_REASON_NO_MEMORY;
	if (had > size)
		(void)fa_sys_munmap(fa_arena.base + size, had - size);
	describe(start, wish, pid, size);
	growing = 0; /* in a child of a fork a thread that is not here may have been at it */
	add_segments(1);
	write_head(start);
	return 0;
}

enum { WAIT_SLOT_NS = 20000000, WAIT_SLOT_TICKS = 4 };

static bool take_slot(int32_t pid, uint32_t fork_thread, uint32_t fork_seq, uint32_t fork_offset)
{
	uint32_t parent = fa_arena.process;

	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		struct fa_arena_process *p = process_at(i);
		uint32_t is_free = FA_PROCESS_FREE;

		if (__atomic_load_n(&p->state, __ATOMIC_RELAXED) != FA_PROCESS_FREE ||
		    !__atomic_compare_exchange_n(&p->state, &is_free, FA_PROCESS_CLAIMED, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		p->pid = pid;
		p->parent_slot = parent;
		p->parent_generation = fa_arena.process_generation;
		p->origin = FA_ORIGIN_FORK;
		p->start_stamp = fa_stamp();
		p->fork_thread = fork_thread;
		p->fork_buffer_seq = fork_seq;
		p->fork_offset = fork_offset;
		p->next_thread = 0;
		p->own_bytes = process_at(parent)->own_bytes;
		for (unsigned c = 0; c < FA_LOST_CAUSES; c++)
			p->lost[c] = 0;
		growing = 0; /* a thread that is not here may have been at it */
		fa_arena.process = i;
		fa_arena.process_generation = p->generation;
		fa_arena.pid = pid;
		__atomic_fetch_add(&fa_arena_head()->joined, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&p->state, FA_PROCESS_LIVE, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

/*
 * Children that are gone leave their places when the collector sees it, which is a matter of a
 * millisecond or two once it has a processor: so its turns count, not the time alone. Waited for, where the policy is to
 * wait. More than that many that live is not.
 */
static bool may_come(uint64_t waited_ns, uint32_t tick)
{
	const struct fa_arena_answer *a = &fa_arena_head()->answer;

	return __atomic_load_n(&a->policy, __ATOMIC_RELAXED) != FA_POLICY_COUNT &&
	       __atomic_load_n(&a->word, __ATOMIC_RELAXED) == FA_ANSWER_ATTACHED &&
	       waited_ns <= FA_WAIT_NS &&
	       (waited_ns <= WAIT_SLOT_NS ||
		__atomic_load_n(&a->tick, __ATOMIC_RELAXED) - tick < WAIT_SLOT_TICKS);
}

bool fa_arena_join(int32_t pid, uint32_t fork_thread, uint32_t fork_seq, uint32_t fork_offset)
{
	uint32_t tick = __atomic_load_n(&fa_arena_head()->answer.tick, __ATOMIC_RELAXED);
	uint64_t begin = fa_clock_mono_ns();

	while (!take_slot(pid, fork_thread, fork_seq, fork_offset)) {
		if (!may_come(fa_clock_mono_ns() - begin, tick)) {
			__atomic_fetch_add(&fa_arena_head()->family_full, 1, __ATOMIC_RELAXED);
			return false;
		}
		for (int i = 0; i < 64; i++)
			__asm__ volatile("pause");
	}
	return true;
}

uint32_t fa_arena_next_thread(void)
{
	return __atomic_fetch_add(&process_at(fa_arena.process)->next_thread, 1, __ATOMIC_RELAXED) &
	       0x7fffffff;
}

void fa_arena_say_own(uint64_t bytes)
{
	__atomic_store_n(&process_at(fa_arena.process)->own_bytes, bytes, __ATOMIC_RELAXED);
}

void fa_arena_count_lost(enum fa_lost_cause cause, uint64_t events)
{
	__atomic_fetch_add(&process_at(fa_arena.process)->lost[cause], events, __ATOMIC_RELAXED);
}

/* Segments whose contents will be read: attached, or all that we have while nobody has come. */
uint32_t fa_arena_usable(void)
{
	const struct fa_arena_answer *a = &fa_arena_head()->answer;
	uint32_t mapped = __atomic_load_n(&fa_arena.mapped, __ATOMIC_ACQUIRE);
	uint32_t bits = __atomic_load_n(&a->segments, __ATOMIC_RELAXED);
	uint32_t n = 1;

	if (__atomic_load_n(&a->word, __ATOMIC_RELAXED) == FA_ANSWER_NONE && !fa_arena.run_mode)
		return mapped;
	while (n < mapped && (bits & 1u << n) != 0)
		n++;
	return n;
}

/*
 * Does the file reach so far? That the segment is attached is a word of the arena, which a child that has
 * lost its rights may write as well; a page behind the end of a file would be SIGBUS. Files only grow.
 */
static bool is_there(unsigned char *last_page)
{
	const struct timespec none = {0, 0};
	int r = fa_advise(last_page, FA_ARENA_PAGE, FA_MADV_POPULATE_READ);

	if (r != -EINVAL)
		return r == 0;
	/* Before Linux 5.14: another call that looks at a word, and fails where there is none. */
	return fa_sys_call4(SYS_futex, (long)last_page, FUTEX_WAIT_PRIVATE, 1, (long)&none) !=
	       -EFAULT;
}

/*
 * All segments lie in one file (of the kernel's own, but under `run`), which the collector makes longer
 * when it is asked to. Every process of the family may then map what was added, by a call that realloc
 * makes as well: by now the program may have forbidden itself to open files.
 */
static void extend(uint32_t k)
{
	struct fa_arena_header *h = fa_arena_head();
	uint64_t size = fa_arena_segment_at(fa_arena.size0, k);
	uint64_t more = fa_arena_segment_size(fa_arena.size0, k);
	uint32_t want = __atomic_load_n(&h->want_segment, __ATOMIC_RELAXED);

	if (want < k + 1)
		(void)__atomic_compare_exchange_n(&h->want_segment, &want, k + 1, false,
						  __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	if ((__atomic_load_n(&h->answer.segments, __ATOMIC_ACQUIRE) & 1u << k) == 0)
		return;
	if (fa_sys_failed(fa_sys_call4(SYS_mremap, (long)fa_arena.base, (long)size,
				       (long)(size + more), 0)))
		fa_arena.most = 0; /* something lies there, or a limit: do not try again */
	else if (is_there(fa_arena.base + size + more - FA_ARENA_PAGE))
		add_segment(k, fa_arena.base + size);
	else
		(void)fa_sys_call4(SYS_mremap, (long)fa_arena.base, (long)(size + more), (long)size,
				   0);
}

bool fa_arena_may_grow(void)
{
	uint32_t k = __atomic_load_n(&fa_arena.mapped, __ATOMIC_ACQUIRE);

	if (fa_arena_usable() < k)
		return true;
	return k < FA_ARENA_SEGMENTS &&
	       fa_arena_segment_at(fa_arena.size0, k + 1) <= fa_arena.most;
}

/* One segment more, unless one is still under way. */
void fa_arena_grow(void)
{
	uint32_t k = __atomic_load_n(&fa_arena.mapped, __ATOMIC_ACQUIRE);
	uint32_t idle = 0;

	if (k >= FA_ARENA_SEGMENTS || fa_arena_segment_at(fa_arena.size0, k + 1) > fa_arena.most)
		return;
	if (!__atomic_compare_exchange_n(&growing, &idle, 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return;
	k = fa_arena.mapped;
	if (k < FA_ARENA_SEGMENTS)
		extend(k);
	__atomic_store_n(&growing, 0, __ATOMIC_RELEASE);
}

static struct fa_arena_buffer *buffer_at(uint32_t id)
{
	for (unsigned k = 0; k < FA_ARENA_SEGMENTS; k++) {
		const struct fa_segment *s = &fa_arena.segment[k];

		if (id < s->first_buffer + s->g.buffers)
			return (struct fa_arena_buffer *)(void *)(s->base + s->g.buffer_offset +
								  (uint64_t)(id - s->first_buffer) *
									  FA_BUFFER_SIZE);
	}
	return NULL;
}

static bool claim(struct fa_arena_buffer *b)
{
	uint32_t is_free = FA_BUFFER_FREE;

	return __atomic_compare_exchange_n(&b->state, &is_free, FA_BUFFER_CLAIMED, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The number of usable buffers; buffers follow each other over the segments. */
static uint32_t buffer_count(void)
{
	const struct fa_segment *last = &fa_arena.segment[fa_arena_usable() - 1];

	return last->first_buffer + last->g.buffers;
}

/* Stored before the buffer is OWNED: the collector looks at no buffer behind. */
static void note_used(uint32_t count)
{
	uint32_t *hint = &fa_arena_head()->buffer_hint;
	uint32_t seen = __atomic_load_n(hint, __ATOMIC_RELAXED);

	while (seen < count && !__atomic_compare_exchange_n(hint, &seen, count, false,
							    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* An arena of a `run` begins small; it grows to what others begin with whenever all of it is in use. */
static bool is_small(void)
{
	return fa_arena.run_mode &&
	       fa_arena_segment_at(fa_arena.size0, fa_arena.mapped) < FA_ARENA_MAX0;
}

bool fa_arena_has_taken(const struct fa_arena_buffer *b, uint32_t thread)
{
	return __atomic_load_n(&b->state, __ATOMIC_RELAXED) == FA_BUFFER_OWNED &&
	       b->process == fa_arena.process &&
	       b->process_generation == fa_arena.process_generation && b->thread == thread;
}

struct fa_arena_buffer *fa_arena_take_buffer(uint32_t thread, int32_t tid, uint32_t seq,
					     uint64_t lost_before, uint64_t stamp,
					     struct fa_arena_buffer **taken, bool *ret_may_come)
{
	static uint32_t hint, hint_tick;
	uint32_t tick = __atomic_load_n(&fa_arena_head()->answer.tick, __ATOMIC_RELAXED);
	uint32_t n = buffer_count(), owned = 0, start;
	uint32_t process = __atomic_load_n(&fa_arena.process, __ATOMIC_RELAXED);

	*ret_may_come = true;
	/* After each of the collector's turns from the first again: what is used stays small, so does
	 * what the collector has to look at. */
	if (__atomic_exchange_n(&hint_tick, tick, __ATOMIC_RELAXED) != tick)
		__atomic_store_n(&hint, 0, __ATOMIC_RELAXED);
	start = __atomic_load_n(&hint, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < n; i++) {
		struct fa_arena_buffer *b = buffer_at((start + i) % n);
		uint32_t state = __atomic_load_n(&b->state, __ATOMIC_RELAXED);

		owned += state == FA_BUFFER_OWNED || state == FA_BUFFER_CLAIMED;
		if (state != FA_BUFFER_FREE || !claim(b))
			continue;
		/* In a child of a fork that a handler made just now it is the parent's. */
		if (fa_state_now() != FA_ACTIVE || fa_arena.process != process)
			break;
		__atomic_store_n(&hint, start + i + 1, __ATOMIC_RELAXED);
		note_used((start + i) % n + 1);
		b->committed = 0;
		b->process = process;
		b->process_generation = fa_arena.process_generation;
		b->thread = thread;
		b->tid = tid;
		b->buffer_seq = seq;
		b->lost_before = lost_before;
		b->base_stamp = stamp;
		b->sharers = 0;
		*taken = b;
		__atomic_store_n(&b->state, FA_BUFFER_OWNED, __ATOMIC_RELEASE);
		/* While a reserve is left, ask for more: threads keep what they own. */
		if (i > n / 2)
			fa_arena_grow();
		return b;
	}
	if (owned * 2 >= n || is_small() ||
	    __atomic_load_n(&fa_arena_head()->answer.word, __ATOMIC_RELAXED) == FA_ANSWER_NONE)
		fa_arena_grow();
	*ret_may_come = owned < n || fa_arena_may_grow();
	return NULL;
}
