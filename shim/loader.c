/* loader.c - see loader.h. */
#include "shim/loader.h"

#include <errno.h>
#include <link.h>
#include <string.h>

#include "shim/careful.h"
#include "shim/more.h"
#include "shim/real.h"
#include "shim/rules.h"
#include "shim/sys.h"

enum {
	LOADS = 512,       /* at a time */
	CLOSINGS = 32,
	MOST_LOOKS = 1000, /* at one dlopen: it has returned long ago, and nothing says so */
	PAGE = 4096,
	NEAR = 256 << 10,
	CHECK_SHIFT = 8, /* a look at all modules each 256 ticks of the collector */
};

/* A module that a dlopen of ours has mapped: not known yet whether it stays. */
struct load {
	const struct fa_loading *owner; /* NULL: free */
	uint32_t index;                 /* in rules.h */
	uint32_t told;                  /* what was there before is known to be gone */
	uint64_t frame, back, since; /* as in struct fa_loading, */
	uint32_t stack, how;         /* of its dlopen */
};

/* Mapped when first needed. */
static struct table {
	/* By index: odd, it is loaded; even, it is not. One more at each change, so that who has looked long ago
	 * does not take one load for another. */
	uint32_t state[FA_RULES_MODULES];
	uint8_t seen[FA_RULES_MODULES]; /* 1: it was there, under the linker's lock */
	struct load load[LOADS];
	uint64_t closing[CLOSINGS]; /* handles that dlclose is at; 0: free */
	uint64_t adds, subs;        /* at the last dl_iterate_phdr */
	uint32_t checked;
	int32_t linker; /* index of the dynamic linker */
} *shared;

static struct table *table(void)
{
	struct table *t = __atomic_load_n(&shared, __ATOMIC_ACQUIRE), *none = NULL;

	if (t != NULL)
		return t;
	if (fa_debug_first() == NULL)
		return NULL;
	t = fa_sys_mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (fa_sys_failed((long)t))
		return NULL;
	t->linker = -1;
	if (__atomic_compare_exchange_n(&shared, &none, t, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return t;
	(void)fa_sys_munmap(t, sizeof(*t));
	return none;
}

/* A thread may be in dlclose, and come back. */
void fa_loader_reset(void)
{
	if (shared == NULL)
		return;
	memset(shared, 0, sizeof(*shared));
	shared->linker = -1;
}

void fa_loader_fork(const struct fa_loading *l)
{
	struct table *t = shared;

	if (t == NULL)
		return;
	for (unsigned i = 0; i < LOADS; i++)
		if (t->load[i].owner != l)
			t->load[i].owner = NULL;
	for (unsigned i = 0; i < CLOSINGS; i++)
		t->closing[i] = 0;
}

/* All zero: not known. */
static struct fa_rules_module linker(struct table *t)
{
	int32_t index = __atomic_load_n(&t->linker, __ATOMIC_RELAXED);

	if (index < 0) {
		index = fa_rules_find_module(fa_debug_first()->base.r_ldbase);
		if (index < 0)
			return (struct fa_rules_module){0};
		__atomic_store_n(&t->linker, index, __ATOMIC_RELAXED);
	}
	return fa_rules_module((uint32_t)index);
}

/* What comes before the linker in the list, and it itself, was there at the start, and never changes. */
static bool is_of_start(struct table *t, uint64_t link_map)
{
	const struct link_map *o = (const struct link_map *)(uintptr_t)linker(t).link_map;

	while (o != NULL && (uint64_t)(uintptr_t)o != link_map)
		o = o->l_prev;
	return o != NULL;
}

static uint32_t state_of(const struct table *t, uint32_t index)
{
	return __atomic_load_n(&t->state[index], __ATOMIC_ACQUIRE);
}

static bool is_loaded(uint32_t state)
{
	return (state & 1) != 0;
}

static bool change(struct table *t, uint32_t index, uint32_t state)
{
	return __atomic_compare_exchange_n(&t->state[index], &state, state + 1, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void make_event(struct fa_event *ret, enum fa_call call, uint32_t index, uint32_t how)
{
	const struct fa_rules_module m = fa_rules_module(index);

	*ret = (struct fa_event){
		.fn = (uint8_t)call, .addr = m.start, .size = m.end - m.start, .arg = m.id | how};
}

/* ---- dlopen -------------------------------------------------------------------------------- */

/* Other stacks than the thread's own may have been unmapped since. */
static bool is_readable(uint64_t address, const struct fa_stack_bounds *own)
{
	uint64_t page = address & ~(uint64_t)(PAGE - 1);
	int r;

	if (own->lo != 0 && address >= own->lo && address + 8 <= own->hi)
		return true;
	r = fa_advise((const void *)page, PAGE, FA_MADV_POPULATE_READ);
	return r == 0 || r == -EINVAL; /* an older kernel knows no such advice */
}

/* Are we within the call that was made with this return address, there? */
static bool is_inside(uint64_t frame, uint64_t back, const struct fa_regs *regs,
		      const struct fa_stack_bounds *own)
{
	return frame != 0 && regs->rsp < frame && frame - regs->rsp < NEAR &&
	       is_readable(frame, own) && fa_word_at(frame) == back;
}

void fa_loader_begin(struct fa_loading *l, const struct fa_regs *regs, uint32_t how, uint32_t stack)
{
	l->frame = regs->rsp - sizeof(uint64_t);
	l->back = regs->rip;
	l->since = fa_stamp();
	l->stack = stack;
	l->how = how;
	l->looks = 0;
	l->on = 1;
}

static struct load *free_load(struct table *t)
{
	for (unsigned i = 0; i < LOADS; i++)
		if (__atomic_load_n(&t->load[i].owner, __ATOMIC_RELAXED) == NULL)
			return &t->load[i];
	return NULL;
}

static bool has_load(const struct table *t, const struct fa_loading *l, uint32_t index)
{
	for (unsigned i = 0; l->loads != 0 && i < LOADS; i++)
		if (t->load[i].owner == l && t->load[i].index == index)
			return true;
	return false;
}

/* Only who has the linker's lock comes here: nobody else takes a place meanwhile. Without one it is found as
 * libc's own are. */
static void add_load(struct table *t, struct fa_loading *l, const struct link_map *o)
{
	struct load *e;
	int index;

	if (o->l_ld == NULL || fa_rules_has_object((uint64_t)(uintptr_t)o->l_ld))
		return;
	index = fa_rules_add_module(o);
	e = index < 0 || has_load(t, l, (uint32_t)index) ? NULL : free_load(t);
	if (e == NULL)
		return;
	e->index = (uint32_t)index;
	e->told = 0;
	e->frame = l->frame;
	e->back = l->back;
	e->since = l->since;
	e->stack = l->stack;
	e->how = l->how;
	__atomic_store_n(&e->owner, l, __ATOMIC_RELEASE);
	l->loads++;
}

/* The linker says that it adds modules, and it is the linker that allocates, in this thread, within dlopen: so we
 * are who holds its lock. */
static void see_loads(struct table *t, struct fa_loading *l, uint64_t caller)
{
	const struct fa_rules_module ld = linker(t);

	if (caller < ld.start || caller >= ld.end)
		return;
	for (const struct fa_debug *d = fa_debug_first(); d != NULL; d = fa_debug_next(d)) {
		const struct link_map *o = d->base.r_map;

		if (d->base.r_state != RT_ADD)
			continue;
		if (d == fa_debug_first())
			o = ((const struct link_map *)(uintptr_t)ld.link_map)->l_next;
		for (; o != NULL; o = o->l_next)
			add_load(t, l, o);
	}
}

/* One that is loaded, as far as is known, and lies where this one does: that one is gone. -1: none. */
static int find_replaced(const struct table *t, const struct fa_rules_module *m)
{
	for (uint32_t i = 0; i < fa_rules_module_count(); i++) {
		if (is_loaded(state_of(t, i))) {
			const struct fa_rules_module o = fa_rules_module(i);

			if (o.start < m->end && m->start < o.end)
				return (int)i;
		}
	}
	return -1;
}

/* What lay there before was closed by a thread that did not come to say so yet. */
static bool tell_replaced(struct table *t, uint32_t index, struct fa_event *ret)
{
	const struct fa_rules_module m = fa_rules_module(index);

	for (int old = find_replaced(t, &m); old >= 0; old = find_replaced(t, &m)) {
		uint32_t state = state_of(t, (uint32_t)old);

		make_event(ret, FA_CALL_UNLOAD, (uint32_t)old, FA_LOAD_FOUND);
		if (is_loaded(state) && change(t, (uint32_t)old, state))
			return true;
	}
	return false;
}

/* Something of it is to be recorded: *ret. Once it is decided its place is free again. */
static bool decide(struct table *t, struct fa_loading *l, struct load *e,
		   const struct fa_regs *regs, const struct fa_stack_bounds *own,
		   struct fa_event *ret)
{
	bool there = fa_rules_is_there(e->index), loaded = false;

	if (e->told == 0 && tell_replaced(t, e->index, ret))
		return true;
	e->told = 1;
	if (!there && is_inside(e->frame, e->back, regs, own))
		return false;
	if (there) {
		uint32_t state = state_of(t, e->index);
		uint64_t now = fa_stamp();

		make_event(ret, FA_CALL_LOAD, e->index, e->how);
		ret->old = now > e->since ? now - e->since : 0;
		ret->stack = e->stack;
		ret->has_stack = e->stack != 0;
		loaded = !is_loaded(state) && change(t, e->index, state);
	}
	l->loads--;
	__atomic_store_n(&e->owner, NULL, __ATOMIC_RELEASE);
	return loaded;
}

/* ---- what was not seen otherwise ----------------------------------------------------------- */

static bool is_being_loaded(const struct table *t, const struct fa_rules_module *m)
{
	for (unsigned i = 0; i < LOADS; i++) {
		if (__atomic_load_n(&t->load[i].owner, __ATOMIC_ACQUIRE) != NULL) {
			const struct fa_rules_module o = fa_rules_module(t->load[i].index);

			if (o.start < m->end && m->start < o.end)
				return true;
		}
	}
	return false;
}

/* Somebody is at it, and will tell it with a stack. handle 0: of any. */
static bool is_being_closed(const struct table *t, uint64_t link_map)
{
	for (unsigned i = 0; i < CLOSINGS; i++) {
		uint64_t handle = __atomic_load_n(&t->closing[i], __ATOMIC_ACQUIRE);

		if (handle != 0 && (link_map == 0 || handle == link_map))
			return true;
	}
	return false;
}

/* One that nobody's call was seen to load. That it is new says that a stack goes through it; that it came again is
 * believed only of what was seen under the lock: it may be another that looks like it. */
static bool has_come(struct table *t, uint32_t index, const struct fa_rules_module *m,
		     uint32_t state)
{
	if ((state != 0 && t->seen[index] == 0) || is_being_loaded(t, m) ||
	    is_of_start(t, m->link_map))
		return false;
	/* Not so where two threads met it at once. */
	return t->seen[index] != 0 || find_replaced(t, m) < 0;
}

/* Has something become of this module that nobody has told? */
static bool find_change(struct table *t, uint32_t index, struct fa_event *ret)
{
	const struct fa_rules_module m = fa_rules_module(index);
	uint32_t state = state_of(t, index);
	bool there = m.live && fa_rules_is_there(index);

	if (!there)
		t->seen[index] = 0;
	if (!m.live || !m.mortal || there == is_loaded(state))
		return false;
	if (there ? !has_come(t, index, &m, state) : is_being_closed(t, 0))
		return false;
	if (there && tell_replaced(t, index, ret))
		return true;
	make_event(ret, there ? FA_CALL_LOAD : FA_CALL_UNLOAD, index, FA_LOAD_FOUND);
	t->seen[index] = 0;
	return change(t, index, state);
}

void fa_loader_look(struct fa_loading *l, const struct fa_regs *regs,
		    const struct fa_stack_bounds *own)
{
	uint32_t turn = fa_arena_head()->answer.tick >> CHECK_SHIFT, was;
	struct table *t = table();

	if (t == NULL)
		return;
	if (l->on != 0) {
		if (++l->looks > MOST_LOOKS || !is_inside(l->frame, l->back, regs, own))
			l->on = 0;
		else
			see_loads(t, l, regs->rip);
	}
	was = __atomic_load_n(&t->checked, __ATOMIC_RELAXED);
	if (was != turn && __atomic_compare_exchange_n(&t->checked, &was, turn, false,
						       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		l->cursor = 1;
}

bool fa_loader_next(struct fa_loading *l, const struct fa_regs *regs,
		    const struct fa_stack_bounds *own, struct fa_event *ret)
{
	struct table *t = table();

	if (t == NULL)
		return false;
	for (unsigned i = 0; l->loads != 0 && i < LOADS; i++)
		if (t->load[i].owner == l && decide(t, l, &t->load[i], regs, own, ret))
			return true;
	while (l->cursor != 0) {
		uint32_t index = l->cursor - 1;

		if (index >= fa_rules_module_count())
			l->cursor = 0;
		else if (find_change(t, index, ret))
			return true;
		else
			l->cursor++;
	}
	return false;
}

/* ---- the entry points ---------------------------------------------------------------------- */

/* The linker's lock is held: nothing is recorded here, which might have to wait. What is not known was loaded by
 * libc itself, or before this process was traced. */
static int know_module(struct dl_phdr_info *info, size_t size, void *data)
{
	struct table *t = data;

	(void)size;
	if (__atomic_load_n(&t->adds, __ATOMIC_RELAXED) == info->dlpi_adds &&
	    __atomic_load_n(&t->subs, __ATOMIC_RELAXED) == info->dlpi_subs)
		return 1;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		int index = info->dlpi_phdr[i].p_type != PT_DYNAMIC
				    ? -1
				    : fa_rules_find_module(info->dlpi_addr +
							   info->dlpi_phdr[i].p_vaddr);

		if (index >= 0 && !is_loaded(state_of(t, (uint32_t)index)))
			t->seen[index] = 1;
	}
	return 0;
}

static int note_counts(struct dl_phdr_info *info, size_t size, void *data)
{
	struct table *t = data;

	(void)size;
	__atomic_store_n(&t->adds, info->dlpi_adds, __ATOMIC_RELAXED);
	__atomic_store_n(&t->subs, info->dlpi_subs, __ATOMIC_RELAXED);
	return 1;
}

void fa_loader_catch_up(struct fa_loading *l)
{
	struct table *t = table();

	if (t == NULL || fa_iterate(know_module, t) != 0)
		return;
	(void)fa_iterate(note_counts, t);
	l->cursor = 1;
}

void fa_hook_dlopen(const struct fa_regs *regs, uint32_t how)
{
	if (fa_more_wanted(FA_TRACING_LOADER))
		fa_tracer_loads(regs, true, how);
}

static uint64_t *begin_closing(struct table *t, uint64_t handle)
{
	for (unsigned i = 0; i < CLOSINGS; i++) {
		uint64_t none = 0;

		if (__atomic_compare_exchange_n(&t->closing[i], &none, handle, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return &t->closing[i];
	}
	return NULL;
}

static void tell_unloads(struct table *t, uint64_t handle, const struct fa_regs *regs)
{
	struct fa_event e;

	for (uint32_t i = 0; i < fa_rules_module_count(); i++) {
		uint64_t link_map = fa_rules_module(i).link_map;
		uint32_t state = state_of(t, i);

		if (!is_loaded(state) || fa_rules_is_there(i) ||
		    (link_map != handle && is_being_closed(t, link_map)) || !change(t, i, state))
			continue;
		make_event(&e, FA_CALL_UNLOAD, i, FA_LOAD_DLOPEN);
		fa_record_call(regs, &e);
	}
}

int fa_hook_dlclose(void *handle, const struct fa_regs *regs)
{
	uint64_t key = (uint64_t)(uintptr_t)handle, *closing;
	struct table *t;
	int r;

	if (!fa_more_wanted(FA_TRACING_LOADER) || (t = table()) == NULL)
		return fa_more.dlclose(handle);
	fa_tracer_loads(regs, false, 0);
	closing = begin_closing(t, key);
	r = fa_more.dlclose(handle);
	if (fa_more_wanted(FA_TRACING_LOADER))
		tell_unloads(t, key, regs);
	/* Not so where a destructor forked, or another session has come. */
	if (closing != NULL)
		(void)__atomic_compare_exchange_n(closing, &key, 0, false, __ATOMIC_ACQ_REL,
						  __ATOMIC_RELAXED);
	return r;
}
