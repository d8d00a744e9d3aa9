/*
 * define.c - what events refer to: processes, threads, modules, nodes. Each is written once into a
 * trace before the first event that needs it; fa_family_describe() writes all of it again for a
 * session that begins later.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "collector/family_internal.h"

enum { NODES_PER_RECORD = 2048 };

void family_forget_process(struct fa_process *p)
{
	if (p == NULL)
		return;
	free(p->strings);
	free(p->threads);
	free(p);
}

/* Family processes by (slot, generation), dead ones too: a parent may be gone before its child is seen. */
static struct fa_process *find_process(const struct fa_family *f, uint32_t slot,
				       uint32_t generation)
{
	for (size_t i = f->process_count; i-- > 0;)
		if (f->processes[i]->slot == slot && f->processes[i]->generation == generation)
			return f->processes[i];
	return NULL;
}

/* live_only: numbers of dead ones are given out again */
static bool is_family_pid(const struct fa_family *f, int32_t pid, bool live_only)
{
	for (size_t i = f->process_count; i-- > 0;) {
		const struct fa_process *p = f->processes[i];

		if (p->known && p->pid == pid && (p->live || !live_only))
			return true;
	}
	return false;
}

struct search {
	const struct fa_family *f;
	int32_t own_pid;
	struct fa_procfs_status status;
	struct fa_procfs_stat stat;
};

/*
 * May `pid` be the child that calls itself own_pid? The arena only claims it, so: it has that number
 * in its own namespace, is no older than the family, and is a child of it or has its rights.
 */
static bool may_be_child(void *ctx, int32_t pid)
{
	struct search *s = ctx;
	const struct fa_family *f = s->f;

	if (fa_procfs_status(pid, &s->status) < 0 || s->status.own_pid != s->own_pid ||
	    is_family_pid(f, pid, true))
		return false;
	if (!is_family_pid(f, s->status.parent_pid, false) && s->status.uid != f->info.uid &&
	    f->info.uid != 0)
		return false;
	return fa_procfs_stat(pid, &s->stat) == 0 && s->stat.start_time >= f->main_start_time;
}

static bool same_namespace(const struct fa_family *f)
{
	return f->info.pid == f->header.pid;
}

static void take_pid(struct fa_process *p, const struct search *s, int32_t pid)
{
	p->known = true;
	p->pid = pid;
	p->start_time = s->stat.start_time;
	p->record.uid = s->status.uid;
	p->record.gid = s->status.gid;
	p->record.parent_pid = s->status.parent_pid;
}

void family_find_pid(struct fa_family *f, struct fa_process *p, bool search)
{
	struct search s = {.f = f, .own_pid = p->own_pid};
	int32_t pid = 0;

	if (same_namespace(f) && p->own_pid > 0 && may_be_child(&s, p->own_pid))
		pid = p->own_pid;
	/*
	 * A child in a pid namespace of its own has a small number there. A greater one than the
	 * family's first that is not to be found is of a child that was too quick for us.
	 */
	else if (search && (!same_namespace(f) || p->own_pid <= f->header.pid)) {
		f->scanned_ns = fa_mono_ns();
		pid = fa_procfs_find(may_be_child, &s);
		p->since_scan++;
	} else if (same_namespace(f) && p->own_pid > f->header.pid) {
		p->since_scan++;
	}
	if (pid != 0)
		take_pid(p, &s, pid);
}

/* Is `pid` one of those that we do not know yet? */
static bool try_all(void *ctx, int32_t pid)
{
	struct fa_family *f = ctx;
	struct fa_procfs_status status;

	if (fa_procfs_status(pid, &status) < 0)
		return false;
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		struct fa_process *p = f->slot[i];
		struct search s = {.f = f, .own_pid = status.own_pid};

		if (p != NULL && !p->known && p->own_pid == status.own_pid && may_be_child(&s, pid))
			take_pid(p, &s, pid);
	}
	return false; /* all of them are to be seen */
}

unsigned family_unknown_pids(const struct fa_family *f)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		n += f->slot[i] != NULL && !f->slot[i]->known;
	return n;
}

void family_find_pids(struct fa_family *f)
{
	f->scanned_ns = fa_mono_ns();
	(void)fa_procfs_find(try_all, f);
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		if (f->slot[i] != NULL && !f->slot[i]->known)
			f->slot[i]->since_scan++;
}

/* exe, executed path, cgroup, arguments */
int family_describe_strings(const struct fa_family *f, struct fa_process *p)
{
	const char *part[3] = {f->info.exe, f->header.exec_path, f->info.cgroup};
	char *arguments = NULL, *at;
	size_t len = 1;

	if ((f->header.options & FA_RULE_ARGS) != 0 && p->known &&
	    fa_procfs_arguments(p->pid, &arguments) == 0)
		len += strlen(arguments);
	for (int i = 0; i < 3; i++)
		len += strlen(part[i]) + 1;
	at = p->strings = malloc(len);
	if (at == NULL) {
		free(arguments);
		return -ENOMEM;
	}
	for (int i = 0; i < 3; i++)
		at = stpcpy(at, part[i]) + 1;
	(void)stpcpy(at, arguments != NULL ? arguments : "");
	p->strings_len = len;
	free(arguments);
	return 0;
}

static void write_process(struct fa_family *f, const struct fa_process *p, uint32_t incomplete)
{
	struct fa_rec_process r = p->record;

	r.incomplete = incomplete;
	family_emit(f, FA_TAG_PROCESS, &r, sizeof(r), p->strings, p->strings_len, NULL, 0);
}

int family_remember_process(struct fa_family *f, struct fa_process *p)
{
	/* Forget the oldest dead one: a program that forks for ever must not make us grow for ever. */
	if (f->process_count >= FA_DEAD_PROCESSES_MAX) {
		for (size_t i = 0; i < f->process_count; i++) {
			if (f->processes[i]->live)
				continue;
			family_forget_process(f->processes[i]);
			memmove(f->processes + i, f->processes + i + 1,
				(--f->process_count - i) * sizeof(struct fa_process *));
			break;
		}
	}
	if (f->process_count == f->process_room) {
		size_t room = f->process_room == 0 ? 8 : f->process_room * 2;
		struct fa_process **grown =
			reallocarray(f->processes, room, sizeof(struct fa_process *));

		if (grown == NULL)
			return -ENOMEM;
		f->processes = grown;
		f->process_room = room;
	}
	f->processes[f->process_count++] = p;
	return 0;
}

/* What is known without the arena: from the caller for the first, from /proc for children. */
static void identify_process(struct fa_family *f, struct fa_process *p,
			     const struct fa_process *parent)
{
	const uint64_t pause_ns = 20000000;

	p->record.uid = f->info.uid;
	p->record.gid = f->info.gid;
	p->record.parent_pid = f->info.parent_pid;
	if (!f->main_adopted && p->record.origin != FA_ORIGIN_FORK) {
		f->main_adopted = true;
		p->known = true;
		p->pid = f->info.pid;
		p->start_time = f->main_start_time;
		p->exited = f->main_exited;
		p->status = f->main_status;
		return;
	}
	p->pid = p->own_pid;
	if (parent != NULL) {
		p->record.parent = parent->record.process;
		p->record.parent_pid = parent->pid;
		p->record.uid = parent->record.uid;
		p->record.gid = parent->record.gid;
	}
	family_find_pid(f, p, !same_namespace(f) && fa_mono_ns() - f->scanned_ns > pause_ns);
}

static int adopt_process(struct fa_family *f, uint32_t slot, unsigned depth)
{
	struct fa_arena_process a;
	struct fa_process *p, *parent = NULL;
	int r;

	arena_copy(&a, family_slot(f, slot), sizeof(a));
	/* Its parent stands in a slot that may have been filled after we looked there. */
	if (a.parent_slot < FA_ARENA_PROCESSES && a.origin == FA_ORIGIN_FORK) {
		if (depth > 0 && f->slot[a.parent_slot] == NULL && !f->slot_done[a.parent_slot] &&
		    a.parent_slot != slot &&
		    arena_load(&family_slot(f, a.parent_slot)->state) == FA_PROCESS_LIVE) {
			r = adopt_process(f, a.parent_slot, depth - 1);
			if (r < 0)
				return r;
			if (f->slot[slot] != NULL) /* two that call each other parent */
				return 0;
		}
		parent = find_process(f, a.parent_slot, a.parent_generation);
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->slot = slot;
	p->generation = f->generation[slot];
	p->own_pid = a.pid;
	p->live = true;
	p->status = -1;
	p->record = (struct fa_rec_process){
		.arena = f->arena,
		.origin = a.origin <= FA_ORIGIN_WOKEN ? a.origin : (uint32_t)FA_ORIGIN_FORK,
		.start_stamp = a.start_stamp,
		.fork_thread = a.fork_thread,
		.fork_buffer_seq = a.fork_buffer_seq,
		.fork_offset = a.fork_offset,
		.tracing_flags = f->header.tracing_flags,
		.rule_id = f->header.rule_id,
		.depth = f->header.depth,
		.stacks = f->header.stacks,
		.stamp_mode = f->header.stamp_mode,
	};
	identify_process(f, p, parent);
	p->record.pid = p->pid;
	r = family_describe_strings(f, p);
	if (r == 0)
		r = family_remember_process(f, p);
	if (r < 0) {
		family_forget_process(p);
		return r;
	}
	p->record.process = f->ids->next_process++;
	f->slot[slot] = p;
	f->empty_since_ns = 0;
	write_process(f, p, 0);
	return 0;
}

int family_adopt_processes(struct fa_family *f)
{
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		int r;

		if (f->slot[i] != NULL || f->slot_done[i] ||
		    arena_load(&family_slot(f, i)->state) != FA_PROCESS_LIVE)
			continue;
		r = adopt_process(f, i, 8);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Where `serial` stands or would stand. */
static size_t thread_place(const struct fa_process *p, uint32_t serial)
{
	size_t low = 0, high = p->thread_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (p->threads[middle].serial < serial)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct fa_thread *family_thread(const struct fa_process *p, uint32_t serial)
{
	size_t at = thread_place(p, serial);

	return at < p->thread_count && p->threads[at].serial == serial ? &p->threads[at] : NULL;
}

void family_write_thread(struct fa_family *f, const struct fa_process *p, const struct fa_thread *t)
{
	struct fa_rec_thread r = {
		.process = p->record.process,
		.thread = t->serial,
		.tid = t->tid != 0 ? t->tid : t->own_tid,
		.stamp = t->start_stamp,
	};

	family_emit(f, FA_TAG_THREAD, &r, sizeof(r), t->name, strlen(t->name) + 1, NULL, 0);
}

/* tid and name from /proc; a thread that is gone keeps the number that the arena says. */
static void look_at_thread(const struct fa_process *p, struct fa_thread *t)
{
	if (!p->known || t->own_tid <= 0)
		return;
	t->tid = p->pid == p->own_pid ? t->own_tid : fa_procfs_find_thread(p->pid, t->own_tid);
	if (t->tid != 0 && fa_procfs_comm(p->pid, t->tid, t->name) < 0)
		t->name[0] = '\0';
}

void family_meet_thread(struct fa_family *f, struct fa_process *p, uint32_t serial, int32_t own_tid,
			uint64_t start_stamp)
{
	struct fa_thread t = {
		.serial = serial, .own_tid = own_tid, .start_stamp = start_stamp};
	size_t at = thread_place(p, serial);

	if (at < p->thread_count && p->threads[at].serial == serial)
		return;
	if (p->thread_count == FA_THREADS_MAX)
		return;
	if (p->thread_count == p->thread_room) {
		size_t room = p->thread_room == 0 ? 4 : p->thread_room * 2;
		struct fa_thread *grown = reallocarray(p->threads, room, sizeof(*grown));

		if (grown == NULL)
			return; /* its events are written all the same, without a name */
		p->threads = grown;
		p->thread_room = room;
	}
	look_at_thread(p, &t);
	memmove(p->threads + at + 1, p->threads + at, (p->thread_count++ - at) * sizeof(t));
	p->threads[at] = t;
	family_write_thread(f, p, &t);
}

static void write_module(struct fa_family *f, uint32_t id)
{
	const struct fa_arena_module *m = &f->module[id];
	/* The main program has no path in the arena. */
	const char *path = m->path[0] != '\0' ? m->path : f->info.exe;
	struct fa_rec_module r = {
		.arena = f->arena,
		.module = id,
		.base = m->base,
		.end = m->end,
		.bias = m->bias,
		.stamp = m->stamp,
		.build_id_len = m->build_id_len,
	};

	family_emit(f, FA_TAG_MODULE, &r, sizeof(r), m->build_id, m->build_id_len, path,
		    strlen(path) + 1);
}

bool family_take_module(struct fa_family *f, uint32_t id)
{
	struct fa_arena_module *m = &f->module[id];
	const struct fa_arena_module *a = family_module(f, id);

	if (m->state == 2 || arena_load(&a->state) != 2)
		return false;
	arena_copy(m, a, sizeof(*m));
	m->state = 2;
	m->path[sizeof(m->path) - 1] = '\0';
	if (m->build_id_len > sizeof(m->build_id))
		m->build_id_len = 0;
	return true;
}

void family_write_modules(struct fa_family *f)
{
	uint32_t count = arena_load(&family_header(f)->module_count);

	if (count > f->modules)
		count = f->modules;
	for (uint32_t id = f->next_module; id < count; id++)
		if (family_take_module(f, id))
			write_module(f, id);
	while (f->next_module < count && f->module[f->next_module].state == 2)
		f->next_module++;
}

/*
 * A copy of node `id`; false: it is not written yet. A parent that is not older than its child, which
 * no shim writes, is cut off, so that no stack of a trace can run in a circle.
 */
static bool read_node(const struct fa_family *f, uint32_t id, struct fa_arena_node *ret)
{
	const struct fa_arena_node *n = family_node(f, id);

	ret->pc = __atomic_load_n(&n->pc, __ATOMIC_ACQUIRE);
	if (ret->pc == 0)
		return false;
	ret->parent = __atomic_load_n(&n->parent, __ATOMIC_RELAXED);
	ret->marks = __atomic_load_n(&n->marks, __ATOMIC_RELAXED);
	if (ret->parent >= id) {
		ret->parent = 0;
		ret->marks |= FA_NODE_BROKEN;
	}
	return true;
}

static void emit_nodes(struct fa_family *f, uint32_t first, const struct fa_arena_node *node,
		       uint32_t count)
{
	struct fa_rec_nodes r = {f->arena, first, count, 0};

	if (count > 0)
		family_emit(f, FA_TAG_NODES, &r, sizeof(r), node, count * sizeof(*node), NULL, 0);
}

/* Nodes [from, to) in runs of written ones; those not written yet are noted as holes when asked. */
static void write_node_range(struct fa_family *f, uint32_t from, uint32_t to, bool note_holes)
{
	struct fa_arena_node node[NODES_PER_RECORD];
	uint32_t first = from, count = 0;

	for (uint32_t id = from; id < to; id++) {
		bool written = read_node(f, id, &node[count]);

		if (written && count++ == 0)
			first = id;
		if (!written && note_holes && f->hole_count < FA_HOLES_MAX)
			f->holes[f->hole_count++] = id;
		if (!written || count == NODES_PER_RECORD) {
			emit_nodes(f, first, node, count);
			count = 0;
		}
	}
	emit_nodes(f, first, node, count);
}

/*
 * A writer that was interrupted between taking an id and writing the node leaves a hole. No committed
 * event refers to it, so we go on past it and write it when it has come.
 */
void family_write_nodes(struct fa_family *f)
{
	uint32_t count = arena_load(&family_header(f)->node_count);
	unsigned left = 0;

	if (count > f->nodes)
		count = f->nodes;
	for (unsigned i = 0; i < f->hole_count; i++) {
		struct fa_arena_node node;

		if (read_node(f, f->holes[i], &node))
			emit_nodes(f, f->holes[i], &node, 1);
		else
			f->holes[left++] = f->holes[i];
	}
	f->hole_count = left;
	if (count > f->next_node) {
		write_node_range(f, f->next_node, count, true);
		f->next_node = count;
	}
}

int fa_family_describe(struct fa_family *f, const struct fa_sink *sink)
{
	const struct fa_sink *outer = f->sink; /* a sweep, in which this session begins another file */
	int e, outer_error = f->error;

	f->sink = sink;
	f->error = 0;
	for (size_t i = 0; i < f->process_count; i++) {
		const struct fa_process *p = f->processes[i];
		uint64_t before = p->events;

		if (!p->live)
			continue;
		for (int c = 0; c < FA_LOST_CAUSES; c++)
			before += p->lost[c];
		write_process(f, p, before != 0 || p->met_late);
		for (size_t t = 0; t < p->thread_count; t++)
			family_write_thread(f, p, &p->threads[t]);
	}
	for (uint32_t id = 0; id < f->modules; id++)
		if (f->module[id].state == 2)
			write_module(f, id);
	write_node_range(f, 1, f->next_node, false);
	e = f->error;
	f->sink = outer;
	f->error = outer_error;
	return e;
}
