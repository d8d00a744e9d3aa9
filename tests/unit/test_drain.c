/*
 * test_drain.c - the collector's side of an arena, against a fake shim.
 * libs: collector format base
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "fake_shim.h"
#include "test.h"

static struct keeper out;
static const struct fa_sink sink = {keep, &out};

static void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static const void *head_of(unsigned tag, size_t n)
{
	static const unsigned char nothing[512];
	const struct kept *k = keeper_find(&out, tag, n);

	CHECK(k != NULL);
	return k != NULL ? (const void *)k->bytes : nothing;
}

SPEC(definitions_stand_before_the_events_that_need_them)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());
	const struct fa_rec_events *e;
	struct fa_event_state st;
	struct fa_event ev;

	strcpy(fake_module(&f, 0)->path, "/lib/x.so");
	fake_module(&f, 0)->build_id_len = 3;
	fake_module(&f, 0)->state = 2;
	fake_module(&f, 1)->state = 2; /* the main program */
	f.h->module_count = 2;
	fake_add_node(&f, 1, 0x1000, 0);
	fake_add_node(&f, 2, 0x2000, 1);
	f.h->node_count = 3;
	CHECK(fake_alloc(&w, 0x5000, 100, 7777, 2));
	CHECK(fake_alloc(&w, 0x6000, 50, 7778, 1));
	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_drain(f.family, &sink) == (int64_t)w.at);
	CHECK(out.count == 7);
	CHECK(out.record[0].tag == FA_TAG_PROCESS);
	CHECK(out.record[1].tag == FA_TAG_THREAD);
	CHECK(out.record[2].tag == FA_TAG_MODULE);
	CHECK(strcmp((char *)out.record[2].bytes + sizeof(struct fa_rec_module) + 3, "/lib/x.so") ==
	      0);
	CHECK(strcmp((char *)out.record[3].bytes + sizeof(struct fa_rec_module), f.info.exe) == 0);
	CHECK(out.record[4].tag == FA_TAG_NODES);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 0))->count == 2);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 0))->first == 1);
	CHECK(out.record[5].tag == FA_TAG_EVENTS);
	CHECK(out.record[6].tag == FA_TAG_PASS);
	e = head_of(FA_TAG_EVENTS, 0);
	CHECK(e->count == 2 && e->process == 1 && e->buffer_offset == 0);
	st = e->state;
	CHECK(fa_event_get((const unsigned char *)(e + 1), out.record[5].len - sizeof(*e), &st,
			   &ev) > 0);
	CHECK(ev.addr == 0x5000 && ev.size == 100 && ev.stack == 2 && ev.stamp == 7777);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_later_drain_writes_only_what_is_new_with_the_state_to_decode_it)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());
	const struct fa_rec_events *e;
	struct fa_event_state st;
	struct fa_event ev;
	uint32_t first;

	CHECK(fake_adopt(&f) == 0);
	CHECK(fake_alloc(&w, 0x123450, 1, 5000, 0));
	first = w.at;
	CHECK(fa_family_drain(f.family, &sink) > 0);
	keeper_clear(&out);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(out.count == 0);
	CHECK(fake_alloc(&w, 0x123460, 2, 5001, 0));
	CHECK(fa_family_drain(f.family, &sink) > 0);
	CHECK(out.count == 2);
	e = head_of(FA_TAG_EVENTS, 0);
	CHECK(e->buffer_offset == first && e->count == 1);
	st = e->state;
	CHECK(fa_event_get((const unsigned char *)(e + 1), w.at - first, &st, &ev) > 0);
	CHECK(ev.addr == 0x123460 && ev.stamp == 5001);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(full_buffers_go_back_and_a_stream_stays_in_order)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 3, getpid());
	uint64_t written = 0, seen = 0, last_seq = 0, last_end = 0;

	CHECK(fake_adopt(&f) == 0);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 3000; i++)
			if (fake_alloc(&w, 0x10000 + written * 16, 8, 1000 + written, 0))
				written++;
		CHECK(fa_family_drain(f.family, &sink) >= 0);
	}
	for (size_t i = 0; i < keeper_count(&out, FA_TAG_EVENTS); i++) {
		const struct fa_rec_events *e = head_of(FA_TAG_EVENTS, i);
		const struct kept *k = keeper_find(&out, FA_TAG_EVENTS, i);

		CHECK(e->buffer_seq == last_seq
			      ? e->buffer_offset == last_end
			      : e->buffer_seq == last_seq + 1 && e->buffer_offset == 0);
		last_seq = e->buffer_seq;
		last_end = e->buffer_offset + (k->len - k->head_len);
		seen += e->count;
	}
	CHECK(written == 40 * 3000);
	CHECK(seen == written);
	keeper_clear(&out);
	fake_done(&f);
}

/* Several threads write as fast as they can, in few buffers, while the drain runs. */
static struct fake shared;
static volatile bool stop;
static uint64_t produced[4];

static void *produce(void *arg)
{
	uint32_t n = (uint32_t)(uintptr_t)arg;
	struct fake_writer w = fake_writer(&shared, 0, n, (int32_t)syscall(SYS_gettid));

	for (uint64_t i = 0; !stop;) {
		/* each event says which it is, so that order can be seen from outside */
		if (fake_alloc(&w, (i + 1) * 16, n, i + 1, 0))
			produced[n] = ++i;
		if (i % 5000 == 4999)
			fake_full(&w);
	}
	fake_full(&w);
	return NULL;
}

static uint64_t last_address[4];
static bool in_order;

static int check_order(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		       size_t tail_len, const void *tail2, size_t tail2_len)
{
	const struct fa_rec_events *e = head;
	struct fa_event_state st;
	struct fa_event ev;

	(void)ctx, (void)head_len, (void)tail2, (void)tail2_len;
	if (tag != FA_TAG_EVENTS)
		return 0;
	st = e->state;
	for (size_t at = 0; at < tail_len;) {
		int n = fa_event_get((const unsigned char *)tail + at, tail_len - at, &st, &ev);

		if (n <= 0 || e->thread > 3 || ev.addr != last_address[e->thread] + 16) {
			in_order = false;
			return 0;
		}
		last_address[e->thread] = ev.addr;
		at += (size_t)n;
	}
	return 0;
}

SPEC(threads_that_write_during_the_drain_lose_nothing_and_keep_their_order)
{
	const struct fa_sink checker = {check_order, NULL};
	pthread_t thread[4];

	shared = fake_new(FA_ARENA_MIN);
	in_order = true;
	stop = false;
	CHECK(fake_adopt(&shared) == 0);
	for (uintptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, produce, (void *)i) == 0);
	for (int i = 0; i < 400; i++) {
		CHECK(fa_family_drain(shared.family, &checker) >= 0);
		sleep_ms(1);
	}
	stop = true;
	for (int i = 0; i < 4; i++)
		(void)pthread_join(thread[i], NULL);
	CHECK(fa_family_drain(shared.family, &checker) >= 0);
	CHECK(in_order);
	for (int i = 0; i < 4; i++)
		CHECK(produced[i] > 1000 && last_address[i] == produced[i] * 16);
	fake_done(&shared);
}

SPEC(a_node_in_flight_is_passed_and_written_when_it_has_come)
{
	struct fake f = fake_new(FA_ARENA_MIN);

	fake_add_node(&f, 1, 0x1000, 0);
	fake_add_node(&f, 3, 0x3000, 1);
	fake_add_node(&f, 4, 0x4000, 9); /* a parent younger than its child: cut off */
	f.h->node_count = 5;
	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(keeper_count(&out, FA_TAG_NODES) == 2);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 1))->first == 3);
	const struct fa_arena_node *n =
		(const void *)((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 1) + 1);
	CHECK(n[1].parent == 0 && n[1].marks == FA_NODE_BROKEN);
	keeper_clear(&out);
	fake_add_node(&f, 2, 0x2000, 1);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(out.count == 1);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 0))->first == 2);
	keeper_clear(&out);
	CHECK(fa_family_drain(f.family, &sink) == 0 && out.count == 0);
	fake_done(&f);
}

SPEC(a_claimed_module_is_skipped_until_it_is_live)
{
	struct fake f = fake_new(FA_ARENA_MIN);

	fake_module(&f, 0)->state = 1;
	fake_module(&f, 1)->state = 2;
	f.h->module_count = 0x7fffffff; /* and a count beyond all capacity is harmless */
	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(keeper_count(&out, FA_TAG_MODULE) == 1);
	fake_module(&f, 0)->state = 2;
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(keeper_count(&out, FA_TAG_MODULE) == 2);
	CHECK(((const struct fa_rec_module *)head_of(FA_TAG_MODULE, 1))->module == 0);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(bytes_that_are_no_events_are_counted_and_not_read_on)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());
	const struct fa_rec_lost *lost;

	CHECK(fake_adopt(&f) == 0);
	CHECK(fake_alloc(&w, 0x1000, 1, 1, 0));
	memset(fake_place(&w), 0xff, 32);
	fake_commit(&w, 32);
	CHECK(fa_family_drain(f.family, &sink) > 0);
	CHECK(((const struct fa_rec_events *)head_of(FA_TAG_EVENTS, 0))->count == 1);
	lost = head_of(FA_TAG_LOST, 0);
	CHECK(lost->cause == FA_LOST_DAMAGED && lost->count == 1);
	keeper_clear(&out);
	fake_commit(&w, 32);
	CHECK(fa_family_drain(f.family, &sink) == 0 && out.count == 0);
	fake_full(&w);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(fake_buffer(&f, 0)->state == FA_BUFFER_FREE);
	CHECK(fake_alloc(&w, 0x2000, 1, 1, 0)); /* the next one is read again */
	CHECK(fa_family_drain(f.family, &sink) > 0);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(lost_counts_come_as_differences)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fa_family_process p;

	CHECK(fake_adopt(&f) == 0);
	fake_slot(&f, 0)->lost[FA_LOST_NO_BUFFER] = 10;
	CHECK(fa_family_drain(f.family, &sink) == 0);
	fake_slot(&f, 0)->lost[FA_LOST_NO_BUFFER] = 15;
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(keeper_count(&out, FA_TAG_LOST) == 2);
	CHECK(((const struct fa_rec_lost *)head_of(FA_TAG_LOST, 0))->count == 10);
	CHECK(((const struct fa_rec_lost *)head_of(FA_TAG_LOST, 1))->count == 5);
	fa_family_process_at(f.family, 0, &p);
	CHECK(p.lost[FA_LOST_NO_BUFFER] == 15 && strcmp(p.image, "test_drain") == 0);
	keeper_clear(&out);
	fake_done(&f);
}

static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	return pid;
}

SPEC(a_fork_child_is_tied_to_its_parent_and_ends_once_with_its_status)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w;
	const struct fa_rec_process_end *end;
	const struct fa_rec_process *p;
	pid_t pid = start_child();
	int status;

	CHECK(fake_adopt(&f) == 0);
	fake_process(&f, 5, pid, 0);
	w = fake_writer(&f, 5, 0, pid);
	CHECK(fake_alloc(&w, 0x1000, 1, 1, 0));
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	p = head_of(FA_TAG_PROCESS, 1);
	CHECK(p->parent == 1 && p->pid == pid && p->parent_pid == getpid());
	CHECK(p->uid == geteuid() && p->origin == FA_ORIGIN_FORK);
	CHECK(keeper_count(&out, FA_TAG_PROCESS_END) == 0);
	(void)kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid);
	fa_family_exited(f.family, pid, status);
	CHECK(fake_alloc(&w, 0x2000, 1, 1, 0)); /* what it wrote last */
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(keeper_count(&out, FA_TAG_PROCESS_END) == 1);
	CHECK(keeper_count(&out, FA_TAG_EVENTS) == 2);
	end = head_of(FA_TAG_PROCESS_END, 0);
	CHECK(end->process == 2 && end->status == status && end->reason == 0);
	CHECK(out.record[out.count - 1].tag == FA_TAG_PROCESS_END);
	CHECK(fake_slot(&f, 5)->state == FA_PROCESS_FREE && fake_slot(&f, 5)->generation == 1);
	CHECK(w.buffer->state == FA_BUFFER_FREE && w.buffer->generation == 1);
	CHECK(!fa_family_over(f.family));
	/* The slot can be used again, and its user is another process. */
	fake_process(&f, 5, 999999999, 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(((const struct fa_rec_process *)head_of(FA_TAG_PROCESS, 2))->process == 3);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_child_that_was_too_quick_for_us_ends_as_well)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	pid_t pid = start_child();

	(void)kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(fake_adopt(&f) == 0);
	fake_process(&f, 1, pid, 0);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(((const struct fa_rec_process *)head_of(FA_TAG_PROCESS, 1))->pid == pid);
	for (int i = 0; i < 20 && keeper_count(&out, FA_TAG_PROCESS_END) == 0; i++) {
		CHECK(fa_family_reap(f.family, &sink, false) == 0);
		sleep_ms(30);
	}
	CHECK(keeper_count(&out, FA_TAG_PROCESS_END) == 1);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_child_that_executes_another_program_has_left)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	int go[2];
	pid_t pid;

	CHECK(pipe(go) == 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		(void)!read(go[0], &byte, 1);
		(void)execl("/bin/sleep", "sleep", "10", (char *)NULL);
		_exit(1);
	}
	CHECK(fake_adopt(&f) == 0);
	fake_process(&f, 1, pid, 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(keeper_count(&out, FA_TAG_PROCESS_END) == 0);
	CHECK(write(go[1], "", 1) == 1);
	for (int i = 0; i < 200 && keeper_count(&out, FA_TAG_PROCESS_END) == 0; i++) {
		CHECK(fa_family_reap(f.family, &sink, false) == 0);
		sleep_ms(20);
	}
	CHECK(keeper_count(&out, FA_TAG_PROCESS_END) == 1);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)close(go[0]);
	(void)close(go[1]);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_family_is_over_when_all_have_ended_and_are_drained)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	pid_t pid = start_child();
	siginfo_t end;

	/* The family's first process is the child here. */
	f.h->pid = f.info.pid = pid;
	fake_slot(&f, 0)->pid = pid;
	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(!fa_family_over(f.family));
	(void)kill(pid, SIGTERM);
	CHECK(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT) == 0); /* a zombie is gone, too */
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(keeper_count(&out, FA_TAG_PROCESS_END) == 1);
	CHECK(!fa_family_over(f.family)); /* a child may not have used the heap yet */
	sleep_ms(600);
	CHECK(fa_family_over(f.family));
	(void)waitpid(pid, NULL, 0);
	keeper_clear(&out);
	fake_done(&f);
}

static sem_t taken, may_end;

static void *take_and_end(void *arg)
{
	struct fake_writer *w = arg;

	w->tid = (int32_t)syscall(SYS_gettid);
	(void)prctl(PR_SET_NAME, "worker", 0, 0, 0);
	(void)fake_alloc(w, 0x1000, 1, 1, 0);
	(void)sem_post(&taken);
	(void)sem_wait(&may_end);
	return NULL;
}

SPEC(a_dead_thread_gives_its_buffers_back)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer dead = fake_writer(&f, 0, 1, 0);
	struct fake_writer alive = fake_writer(&f, 0, 0, getpid());
	const struct kept *k;
	pthread_t thread;

	CHECK(fake_adopt(&f) == 0);
	CHECK(fake_alloc(&alive, 0x2000, 1, 1, 0));
	CHECK(sem_init(&taken, 0, 0) == 0 && sem_init(&may_end, 0, 0) == 0);
	CHECK(pthread_create(&thread, NULL, take_and_end, &dead) == 0);
	CHECK(sem_wait(&taken) == 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	k = keeper_find(&out, FA_TAG_THREAD, 1);
	CHECK(k != NULL && strcmp((const char *)k->bytes + k->head_len, "worker") == 0);
	CHECK(dead.buffer->state == FA_BUFFER_OWNED);
	CHECK(sem_post(&may_end) == 0);
	(void)pthread_join(thread, NULL);
	for (int i = 0; i < 200 && dead.buffer->state == FA_BUFFER_OWNED; i++) {
		CHECK(fa_family_reap(f.family, &sink, false) == 0);
		sleep_ms(20);
	}
	CHECK(dead.buffer->state == FA_BUFFER_FREE && dead.buffer->generation == 1);
	CHECK(alive.buffer->state == FA_BUFFER_OWNED);
	CHECK(keeper_count(&out, FA_TAG_EVENTS) == 2);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_session_that_begins_later_gets_all_definitions)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());

	fake_module(&f, 0)->state = 2;
	f.h->module_count = 1;
	for (uint32_t i = 1; i < 3000; i++)
		fake_add_node(&f, i, 0x1000 + i, i - 1);
	f.h->node_count = 3000;
	CHECK(fake_alloc(&w, 0x1000, 1, 1, 5));
	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_drain(f.family, NULL) > 0); /* no session: read and thrown away */
	CHECK(fa_family_describe(f.family, &sink) == 0);
	CHECK(((const struct fa_rec_process *)head_of(FA_TAG_PROCESS, 0))->incomplete == 1);
	CHECK(keeper_count(&out, FA_TAG_THREAD) == 1);
	CHECK(keeper_count(&out, FA_TAG_MODULE) == 1);
	CHECK(keeper_count(&out, FA_TAG_EVENTS) == 0);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 0))->count == 2048);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 1))->first == 2049);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 1))->count == 951);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(the_answer_is_written_and_the_tick_moves)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	uint32_t tick;

	CHECK(fake_adopt(&f) == 0);
	fa_family_answer(f.family, FA_ANSWER_ATTACHED, FA_POLICY_COUNT, FA_REASON_TRACED);
	CHECK(f.h->answer.word == FA_ANSWER_ATTACHED && f.h->answer.policy == FA_POLICY_COUNT);
	CHECK(f.h->answer.segments == 1);
	tick = f.h->answer.tick;
	fa_family_tick(f.family);
	CHECK(f.h->answer.tick != tick && f.h->answer.now != 0);
	fa_family_free(f.family);
	f.family = NULL;
	CHECK(f.h->answer.word == FA_ANSWER_DETACHED); /* nobody shall wait for us */
	fake_done(&f);
}

SPEC(a_further_segment_adds_modules_nodes_and_buffers)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	uint32_t size = fa_arena_segment_size(FA_ARENA_MIN, 1), id = f.g.nodes;
	struct fa_arena_geometry g;
	unsigned char *base;

	fa_arena_geometry(size, 1, &g);
	CHECK(fake_adopt(&f) == 0);
	f.h->want_segment = 2;
	CHECK(fa_family_wants_segments(f.family) == 2);
	CHECK(fa_family_extend(f.family, f.fd, false) == 0);
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, FA_ARENA_MIN);
	CHECK(fa_family_segments(f.family) == 2 && f.h->answer.segments == 3);
	CHECK(fa_family_mapped_bytes(f.family) == (uint64_t)size * 2);
	((struct fa_arena_node *)(void *)(base + g.node_offset))[0].pc = 0x1234;
	f.h->node_count = id + 1;
	CHECK(fa_family_drain(f.family, &sink) == 0);
	CHECK(((const struct fa_rec_nodes *)head_of(FA_TAG_NODES, 0))->first == id);
	keeper_clear(&out);
	(void)munmap(base, size);
	fake_done(&f);
}

SPEC(an_arena_of_any_size_fills_its_span_and_never_more)
{
	for (uint32_t size = FA_ARENA_MIN; size <= FA_ARENA_MAX0; size *= 2) {
		unsigned most = fa_arena_most_segments(size);

		CHECK(most <= FA_ARENA_SEGMENTS);
		CHECK(fa_arena_segment_at(size, most) == FA_ARENA_SPAN);
		CHECK(fa_arena_segment_size(size, most) <= 32 << 20);
	}
	CHECK(fa_arena_most_segments(FA_ARENA_MIN) == FA_ARENA_SEGMENTS);
}

SPEC(a_segment_that_the_file_has_is_adopted_at_once)
{
	struct fake f = fake_new(FA_ARENA_MIN);

	CHECK(ftruncate(f.fd, (off_t)fa_arena_segment_at(FA_ARENA_MIN, 3) + 5) == 0);
	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_segments(f.family) == 3);
	fa_family_answer(f.family, FA_ANSWER_ATTACHED, FA_POLICY_WAIT, 0);
	CHECK(f.h->answer.segments == 7);
	fake_done(&f);
}

SPEC(a_file_that_is_allocated_has_its_blocks)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct stat sized, allocated;

	CHECK(fake_adopt(&f) == 0);
	CHECK(fa_family_extend(f.family, f.fd, false) == 0 && fstat(f.fd, &sized) == 0);
	CHECK(fa_family_extend(f.family, f.fd, true) == 0 && fstat(f.fd, &allocated) == 0);
	CHECK(sized.st_size == FA_ARENA_MIN * 2 && allocated.st_size == FA_ARENA_MIN * 4);
	CHECK(sized.st_blocks * 512 < FA_ARENA_MIN);
	CHECK(allocated.st_blocks * 512 >= FA_ARENA_MIN * 2);
	fake_done(&f);
}

SPEC(what_is_no_arena_is_refused)
{
	struct fake f = fake_new(FA_ARENA_MIN);

	f.h->clock_source = !fa_drain_clock_source();
	CHECK(fake_adopt(&f) == -EPROTO);
	f.h->clock_source = fa_drain_clock_source();
	f.h->version = FA_ARENA_VERSION_CALLS + 1;
	CHECK(fake_adopt(&f) == -EPROTONOSUPPORT);
	f.h->version = FA_ARENA_VERSION - 1;
	CHECK(fake_adopt(&f) == -EPROTONOSUPPORT);
	f.h->version = FA_ARENA_VERSION;
	f.h->magic++;
	CHECK(fake_adopt(&f) == -EBADMSG);
	f.h->magic--;
	f.size *= 2; /* the file is smaller */
	CHECK(fake_adopt(&f) == -EBADMSG);
	f.size = FA_ARENA_MIN + 4096;
	CHECK(fake_adopt(&f) == -EBADMSG);
	f.size = FA_ARENA_MIN;
	CHECK(fake_adopt(&f) == 0);
	fake_done(&f);
}

/* Buffers of two streams, each part with time for one: what was read goes back before the rest is read. */
SPEC(a_sweep_in_parts_reads_what_was_there_when_it_began_and_says_pass_once)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer a = fake_writer(&f, 0, 1, getpid()), b = fake_writer(&f, 0, 2, getpid());
	uint64_t seen = 0;
	int parts = 0;

	CHECK(fake_adopt(&f) == 0);
	for (int i = 0; i < 8000; i++)
		CHECK(fake_alloc(&a, 0x10000 + (uint64_t)i * 16, 8, 1000 + (uint64_t)i, 0) &&
		      fake_alloc(&b, 0x90000000 + (uint64_t)i * 16, 8, 1000 + (uint64_t)i, 0));
	CHECK(fa_family_drain_until(f.family, &sink, 1) > 0); /* 1: that is over */
	CHECK(fa_family_is_sweeping(f.family) && keeper_count(&out, FA_TAG_EVENTS) == 1);
	CHECK(fake_buffer(&f, 0)->state == FA_BUFFER_FREE && fake_buffer(&f, 1)->state != FA_BUFFER_FREE);
	CHECK(fake_alloc(&b, 0x20000000, 8, 9000, 0)); /* after its look: of the next sweep */
	CHECK(fa_family_reap_until(f.family, &sink, 1) == 1); /* not now */
	while (fa_family_is_sweeping(f.family) && ++parts < 100) {
		CHECK(keeper_count(&out, FA_TAG_PASS) == 0);
		CHECK(fa_family_drain_until(f.family, &sink, 1) > 0);
	}
	CHECK(parts > 2 && keeper_count(&out, FA_TAG_PASS) == 1);
	for (size_t i = 0; i < keeper_count(&out, FA_TAG_EVENTS); i++)
		seen += ((const struct fa_rec_events *)head_of(FA_TAG_EVENTS, i))->count;
	CHECK(seen == 16000);
	CHECK(fa_family_reap_until(f.family, &sink, UINT64_MAX) == 0);
	CHECK(((const struct fa_rec_events *)head_of(FA_TAG_EVENTS, keeper_count(&out, FA_TAG_EVENTS) - 1))->count == 1);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(an_error_of_the_sink_is_returned_and_buffers_go_back_all_the_same)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());

	CHECK(fake_adopt(&f) == 0);
	CHECK(fake_alloc(&w, 0x1000, 1, 1, 0));
	fake_full(&w);
	out.fail = -ENOSPC;
	CHECK(fa_family_drain(f.family, &sink) == -ENOSPC);
	CHECK(fake_buffer(&f, 0)->state == FA_BUFFER_FREE);
	keeper_clear(&out);
	fake_done(&f);
}

static void *scribble(void *arg)
{
	struct fake *f = arg;
	uint64_t x = 88172645463325252ULL;

	while (!stop) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* mostly where words are, and small numbers as often as wild ones */
		uint32_t at = (uint32_t)(x >> 20) % (f->size / 4);
		uint32_t value = (x & 1) != 0 ? (uint32_t)(x >> 40) & 7 : (uint32_t)(x >> 30);

		if ((x & 6) == 0)
			at = (f->g.buffer_offset +
			      (uint32_t)(x >> 45) % f->g.buffers * FA_BUFFER_SIZE) /
				     4 +
			     (x >> 8) % 16;
		else if ((x & 6) == 2)
			at = FA_ARENA_PAGE / 4 + (uint32_t)(x >> 20) % (128 * 32);
		__atomic_store_n((uint32_t *)(void *)f->base + at, value, __ATOMIC_RELAXED);
	}
	return NULL;
}

SPEC(an_arena_that_is_scribbled_on_meanwhile_harms_nobody)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	pthread_t thread;

	CHECK(fake_adopt(&f) == 0);
	stop = false;
	CHECK(pthread_create(&thread, NULL, scribble, &f) == 0);
	for (int i = 0; i < 300; i++) {
		bool reap;

		CHECK(fa_family_drain(f.family, &sink) >= 0);
		keeper_clear(&out);
		if (i % 10 == 0) {
			CHECK(fa_family_reap(f.family, &sink, false) == 0);
			CHECK(fa_family_describe(f.family, &sink) == 0);
		}
		CHECK(fa_family_wants_segments(f.family) <= FA_ARENA_SEGMENTS);
		CHECK(fa_family_full(f.family, &reap) <= f.g.buffers);
		keeper_clear(&out);
	}
	stop = true;
	(void)pthread_join(thread, NULL);
	CHECK(fa_family_reap(f.family, &sink, true) == 0);
	fake_done(&f);
	keeper_clear(&out);
}

SPEC(machine_and_clock_records_are_whole)
{
	const struct fa_rec_machine *m;
	const struct fa_rec_clock *c;
	const struct kept *k;
	int strings = 0;

	CHECK(fa_drain_write_machine(&sink, fa_drain_clock_source()) == 0);
	CHECK(fa_drain_write_clock(&sink, fa_drain_clock_source()) == 0);
	m = head_of(FA_TAG_MACHINE, 0);
	CHECK(m->cpus > 0 && m->page_size == 4096 && m->memory_bytes > 1 << 20);
	CHECK(m->clock_hz > 1000000);
	k = keeper_find(&out, FA_TAG_MACHINE, 0);
	for (size_t i = k->head_len; i < k->len; i++)
		strings += k->bytes[i] == 0;
	CHECK(strings == 7);
	c = head_of(FA_TAG_CLOCK, 0);
	CHECK(c->stamp != 0 && c->mono_ns != 0 && c->real_ns > 1700000000000000000ULL);
	keeper_clear(&out);
}

int main(void)
{
	RUN(definitions_stand_before_the_events_that_need_them);
	RUN(a_later_drain_writes_only_what_is_new_with_the_state_to_decode_it);
	RUN(full_buffers_go_back_and_a_stream_stays_in_order);
	RUN(threads_that_write_during_the_drain_lose_nothing_and_keep_their_order);
	RUN(a_node_in_flight_is_passed_and_written_when_it_has_come);
	RUN(a_claimed_module_is_skipped_until_it_is_live);
	RUN(bytes_that_are_no_events_are_counted_and_not_read_on);
	RUN(lost_counts_come_as_differences);
	RUN(a_fork_child_is_tied_to_its_parent_and_ends_once_with_its_status);
	RUN(a_child_that_was_too_quick_for_us_ends_as_well);
	RUN(a_child_that_executes_another_program_has_left);
	RUN(a_family_is_over_when_all_have_ended_and_are_drained);
	RUN(a_dead_thread_gives_its_buffers_back);
	RUN(a_session_that_begins_later_gets_all_definitions);
	RUN(the_answer_is_written_and_the_tick_moves);
	RUN(a_further_segment_adds_modules_nodes_and_buffers);
	RUN(an_arena_of_any_size_fills_its_span_and_never_more);
	RUN(a_segment_that_the_file_has_is_adopted_at_once);
	RUN(a_file_that_is_allocated_has_its_blocks);
	RUN(what_is_no_arena_is_refused);
	RUN(a_sweep_in_parts_reads_what_was_there_when_it_began_and_says_pass_once);
	RUN(an_error_of_the_sink_is_returned_and_buffers_go_back_all_the_same);
	RUN(an_arena_that_is_scribbled_on_meanwhile_harms_nobody);
	RUN(machine_and_clock_records_are_whole);
	return TEST_RESULT();
}
