/*
 * model.c - definitions of a trace, checked and kept.
 *
 * Ids are numbers out of a file: none of them is an index without a look-up that can fail.
 */
#include "analysis/model.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "trace/reader.h"
#include "format/index_format.h"

/* Traces may be read by several threads (src/api). */
static _Atomic uint32_t serials;

/* Room for one more element in a growing array. */
static int reserve(void **array, size_t count, size_t *cap, size_t element)
{
	size_t wanted = *cap == 0 ? 16 : *cap * 2;
	void *bigger;

	if (count < *cap)
		return 0;
	bigger = reallocarray(*array, wanted, element);
	if (bigger == NULL)
		return -ENOMEM;
	*array = bigger;
	*cap = wanted;
	return 0;
}

int fa_model_init(struct fa_model *m)
{
	*m = (struct fa_model){0};
	m->site_cap = 64;
	m->sites = calloc(m->site_cap, sizeof(*m->sites));
	m->site_count = 1;
	return m->sites == NULL ? -ENOMEM : 0;
}

static void free_module(struct fa_module *module)
{
	free(module->path);
	free(module);
}

static void free_arena(struct fa_arena *a)
{
	for (size_t i = 0; a->modules.mask != 0 && i <= a->modules.mask; i++)
		if (a->modules.values[i] != NULL)
			free_module(a->modules.values[i]);
	fa_idmap_done(&a->modules);
	for (size_t i = 0; i < FA_NODE_PAGES; i++)
		free(a->pages[i]);
	free(a->exe);
	free(a);
}

static void free_process(struct fa_process *p)
{
	fa_livemap_done(&p->map);
	fa_livemap_done(&p->owed);
	fa_livemap_done(&p->early);
	free(p->space.region);
	free(p->exe);
	free(p->exec_path);
	free(p->cgroup);
	free(p->arguments);
	free(p);
}

void fa_model_done(struct fa_model *m)
{
	for (size_t i = 0; i < m->arena_count; i++)
		free_arena(m->arenas[i]);
	for (size_t i = 0; i < m->process_count; i++)
		free_process(m->processes[i]);
	for (size_t i = 0; i < m->thread_count; i++) {
		free(m->threads[i]->name);
		free(m->threads[i]);
	}
	for (size_t i = 0; i < m->coverage_count; i++)
		free(m->coverage[i].image);
	for (size_t i = 0; i < m->snapshot_count; i++)
		free(m->snapshots[i]);
	free(m->snapshots);
	free(m->arenas);
	free(m->processes);
	free(m->threads);
	free(m->sites);
	free(m->coverage);
	for (size_t i = 0; i < m->change_count; i++)
		free(m->changes[i].text);
	free(m->changes);
	fa_idmap_done(&m->arena_by_id);
	fa_idmap_done(&m->process_by_id);
	fa_idmap_done(&m->thread_by_id);
	*m = (struct fa_model){0};
}

struct fa_arena *fa_model_arena(struct fa_model *m, uint32_t id)
{
	struct fa_arena *a = fa_idmap_get(&m->arena_by_id, id);

	if (a != NULL)
		return a;
	if (reserve((void **)&m->arenas, m->arena_count, &m->arena_cap, sizeof(*m->arenas)) < 0)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->id = id;
	a->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed);
	a->exe = strdup("");
	if (a->exe == NULL || fa_idmap_put(&m->arena_by_id, id, a) < 0) {
		free_arena(a);
		return NULL;
	}
	m->arenas[m->arena_count++] = a;
	return a;
}

struct fa_process *fa_model_process(const struct fa_model *m, uint32_t id)
{
	return fa_idmap_get(&m->process_by_id, id);
}

struct fa_thread *fa_model_thread(struct fa_model *m, struct fa_process *p, uint32_t serial)
{
	uint64_t key = (uint64_t)p->id << 32 | serial;
	struct fa_thread *t = fa_idmap_get(&m->thread_by_id, key);

	if (t != NULL && t->process == p)
		return t;
	if (m->thread_count >= FA_BLOCK_THREAD ||
	    reserve((void **)&m->threads, m->thread_count, &m->thread_cap, sizeof(*m->threads)) < 0)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->process = p;
	t->serial = serial;
	t->index = (uint32_t)m->thread_count;
	t->name = strdup("");
	if (t->name == NULL || fa_idmap_put(&m->thread_by_id, key, t) < 0) {
		free(t->name);
		free(t);
		return NULL;
	}
	m->threads[m->thread_count++] = t;
	p->threads++;
	return t;
}

static int keep_strings(struct fa_process *p, const unsigned char *tail, size_t tail_len)
{
	p->exe = strdup(fa_trace_string(&tail, &tail_len));
	p->exec_path = strdup(fa_trace_string(&tail, &tail_len));
	p->cgroup = strdup(fa_trace_string(&tail, &tail_len));
	p->arguments = strdup(fa_trace_string(&tail, &tail_len));
	if (p->exe == NULL || p->exec_path == NULL || p->cgroup == NULL || p->arguments == NULL)
		return -ENOMEM;
	/* Without /proc/PID/exe (another namespace) the executed path names it well enough. */
	p->image = fa_base_name(p->exe[0] != '\0' ? p->exe : p->exec_path);
	return 0;
}

static int set_arena(struct fa_model *m, struct fa_process *p, uint32_t arena)
{
	p->arena = fa_model_arena(m, arena);
	if (p->arena == NULL)
		return -ENOMEM;
	if (p->arena->exe[0] != '\0' || p->exe[0] == '\0')
		return 0;
	char *exe = strdup(p->exe);

	if (exe == NULL)
		return -ENOMEM;
	free(p->arena->exe);
	p->arena->exe = exe;
	return 0;
}

/* What a child of a fork inherits may be older than the trace, too. */
static bool is_older(const struct fa_model *m, const struct fa_rec_process *rec)
{
	const struct fa_process *parent =
		rec->origin == FA_ORIGIN_FORK ? fa_model_process(m, rec->parent) : NULL;

	return parent != NULL && parent->older;
}

int fa_model_add_process(struct fa_model *m, const struct fa_rec_process *rec,
			 const unsigned char *tail, size_t tail_len, struct fa_process **ret)
{
	struct fa_process *p = fa_model_process(m, rec->process);

	/* Described twice: a session that wrote its definitions again. Who was taken out of a session and came back is
	 * another process for us: what it did meanwhile is not known. */
	if (rec->process == 0 ||
	    (p != NULL && (!p->ended || p->end_reason != FA_PROCESS_END_TAKEN_OUT)) || m->process_count >= FA_MODEL_PROCESSES)
		return -EBADMSG;
	if (reserve((void **)&m->processes, m->process_count, &m->process_cap,
		    sizeof(*m->processes)) < 0)
		return -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->id = rec->process;
	p->unstamped = rec->stamp_mode == FA_STAMP_NONE;
	p->pid = rec->pid;
	p->parent_pid = rec->parent_pid;
	p->parent = rec->parent;
	p->origin = rec->origin;
	p->uid = rec->uid;
	p->gid = rec->gid;
	p->incomplete = rec->incomplete != 0 || rec->origin == FA_ORIGIN_WOKEN;
	p->older = p->incomplete || is_older(m, rec);
	p->status = -1;
	p->start_stamp = rec->start_stamp;
	if (keep_strings(p, tail, tail_len) < 0 || set_arena(m, p, rec->arena) < 0 ||
	    fa_idmap_put(&m->process_by_id, p->id, p) < 0) {
		free_process(p);
		return -ENOMEM;
	}
	m->processes[m->process_count++] = p;
	*ret = p;
	return 0;
}

int fa_model_add_thread(struct fa_model *m, const struct fa_rec_thread *rec,
			const unsigned char *tail, size_t tail_len)
{
	struct fa_process *p = fa_model_process(m, rec->process);

	if (p == NULL)
		return -EBADMSG;
	struct fa_thread *t = fa_model_thread(m, p, rec->thread & 0x7fffffffu);
	char *name = strdup(fa_trace_string(&tail, &tail_len));

	if (t == NULL || name == NULL) {
		free(name);
		return -ENOMEM;
	}
	/* Who had ended when a snapshot was taken is described without. */
	if (rec->tid != 0)
		t->tid = rec->tid;
	if (*name == '\0' && t->name != NULL) {
		free(name);
		return 0;
	}
	free(t->name);
	t->name = name;
	return 0;
}

int fa_model_add_module(struct fa_model *m, const struct fa_rec_module *rec,
			const unsigned char *tail, size_t tail_len)
{
	struct fa_arena *a = fa_model_arena(m, rec->arena);

	if (rec->build_id_len > FA_BUILD_ID || rec->build_id_len > tail_len)
		return -EBADMSG;
	if (a == NULL)
		return -ENOMEM;
	if (fa_idmap_get(&a->modules, rec->module) != NULL)
		return 0;
	struct fa_module *module = calloc(1, sizeof(*module));

	if (module == NULL)
		return -ENOMEM;
	module->id = rec->module;
	module->base = rec->base;
	module->end = rec->end;
	module->bias = rec->bias;
	module->build_id_len = rec->build_id_len;
	memcpy(module->build_id, tail, rec->build_id_len);
	tail += rec->build_id_len;
	tail_len -= rec->build_id_len;
	module->path = strdup(fa_trace_string(&tail, &tail_len));
	if (module->path == NULL || fa_idmap_put(&a->modules, module->id, module) < 0) {
		free_module(module);
		return -ENOMEM;
	}
	return 0;
}

int fa_model_add_nodes(struct fa_model *m, const struct fa_rec_nodes *rec,
		       const unsigned char *tail, size_t tail_len)
{
	struct fa_arena *a = fa_model_arena(m, rec->arena);

	if (a == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < rec->count && (i + 1) * sizeof(struct fa_arena_node) <= tail_len;
	     i++) {
		uint64_t id = (uint64_t)rec->first + i;
		struct fa_node_page **page;

		if (id / FA_NODE_PAGE >= FA_NODE_PAGES)
			return -EBADMSG;
		page = &a->pages[id / FA_NODE_PAGE];
		if (*page == NULL)
			*page = calloc(1, sizeof(**page));
		if (*page == NULL)
			return -ENOMEM;
		memcpy(&(*page)->node[id % FA_NODE_PAGE], tail + i * sizeof(struct fa_arena_node),
		       sizeof(struct fa_arena_node));
		m->stacks_cut |= ((*page)->node[id % FA_NODE_PAGE].marks & FA_NODE_CUT) != 0;
	}
	return 0;
}

int fa_model_add_process_end(struct fa_model *m, const struct fa_rec_process_end *rec,
			     struct fa_process **ret)
{
	struct fa_process *p = fa_model_process(m, rec->process);

	if (p == NULL || p->ended)
		return -EBADMSG;
	p->ended = true;
	p->status = rec->status;
	p->end_reason = rec->reason;
	p->end_stamp = rec->stamp;
	*ret = p;
	return 0;
}

int fa_model_add_lost(struct fa_model *m, const struct fa_rec_lost *rec)
{
	struct fa_process *p = fa_model_process(m, rec->process);

	if (p == NULL)
		return -EBADMSG;
	/* Of a damaged buffer 1 is counted; how many events stood behind the damage nobody knows. */
	if (rec->cause == FA_LOST_UNKNOWN || rec->cause == FA_LOST_DAMAGED)
		p->lost_unknown = true;
	if (rec->cause != FA_LOST_UNKNOWN)
		p->lost[rec->cause < FA_LOST_CAUSES ? rec->cause : FA_LOST_CAUSES - 1] +=
			rec->count;
	return 0;
}

int fa_model_add_thread_lost(struct fa_model *m, const struct fa_rec_thread_lost *rec)
{
	struct fa_process *p = fa_model_process(m, rec->process);
	struct fa_thread *t = p != NULL ? fa_model_thread(m, p, rec->thread & 0x7fffffffu) : NULL;

	if (t == NULL)
		return p == NULL ? -EBADMSG : -ENOMEM;
	t->lost[rec->cause < FA_LOST_CAUSES ? rec->cause : FA_LOST_CAUSES - 1] += rec->count;
	return 0;
}

uint64_t fa_thread_lost(const struct fa_thread *t)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		n += t->lost[i];
	return n;
}

void fa_model_saw_lost(struct fa_thread *t, uint64_t lost_before)
{
	/* What a thread lost before the session came to its process is not the session's. */
	bool is_its_own = t->met || !t->process->incomplete;

	t->met = true;
	if (lost_before <= t->lost_before)
		return;
	t->process->lost_seen += is_its_own ? lost_before - t->lost_before : 0;
	t->lost_before = lost_before;
}

int fa_model_add_change(struct fa_model *m, const struct fa_rec_update *rec,
			const unsigned char *tail, size_t tail_len)
{
	struct fa_change c = {.stamp = rec->stamp};

	if (reserve((void **)&m->changes, m->change_count, &m->change_cap, sizeof(*m->changes)) < 0)
		return -ENOMEM;
	c.text = strdup(fa_trace_string(&tail, &tail_len));
	if (c.text == NULL)
		return -ENOMEM;
	m->changes[m->change_count++] = c;
	return 0;
}

int fa_model_add_coverage(struct fa_model *m, const struct fa_rec_coverage *rec,
			  const unsigned char *tail, size_t tail_len)
{
	struct fa_coverage c = {.pid = rec->pid, .uid = rec->uid, .reason = rec->reason};

	if (reserve((void **)&m->coverage, m->coverage_count, &m->coverage_cap,
		    sizeof(*m->coverage)) < 0)
		return -ENOMEM;
	c.image = strdup(fa_trace_string(&tail, &tail_len));
	if (c.image == NULL)
		return -ENOMEM;
	m->coverage[m->coverage_count++] = c;
	return 0;
}

const struct fa_arena_node *fa_arena_node_at(const struct fa_arena *a, uint32_t id,
					     uint32_t **ret_site)
{
	uint32_t page = id / FA_NODE_PAGE, at = id % FA_NODE_PAGE;

	if (id == 0 || page >= FA_NODE_PAGES || a->pages[page] == NULL ||
	    a->pages[page]->node[at].pc == 0)
		return NULL;
	if (ret_site != NULL)
		*ret_site = &a->pages[page]->site[at];
	return &a->pages[page]->node[at];
}

uint32_t fa_model_new_site(struct fa_model *m, struct fa_arena *a, uint32_t stack)
{
	if (m->site_count >= UINT32_MAX ||
	    reserve((void **)&m->sites, m->site_count, &m->site_cap, sizeof(*m->sites)) < 0)
		return 0;
	m->sites[m->site_count] = (struct fa_site){
		.arena = a, .stack = stack, .wanted = true, .lifetime_min = UINT64_MAX};
	return (uint32_t)m->site_count++;
}

const struct fa_module *fa_arena_module_of(const struct fa_arena *a, uint64_t pc_word)
{
	uint32_t id = FA_NODE_MODULE(pc_word);

	return id == FA_MODULE_UNKNOWN ? NULL : fa_idmap_get(&a->modules, id);
}

const char *fa_arena_module_path(const struct fa_arena *a, const struct fa_module *module)
{
	return module->path[0] != '\0' ? module->path : a->exe;
}

uint64_t fa_process_lost(const struct fa_process *p)
{
	uint64_t sum = p->malformed;

	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (i != FA_LOST_UNKNOWN)
			sum += p->lost[i];
	return sum > p->lost_seen ? sum : p->lost_seen;
}

uint64_t fa_event_sum(const struct fa_event_counts *c)
{
	return c->alloc + c->realloc + c->free;
}
