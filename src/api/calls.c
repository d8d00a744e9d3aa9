/* calls.c - what is traced beside the heap, for programs that read traces. */
#include "reader_internal.h"

enum { PAGE = 4096 };

static void space(const struct fa_event *e, struct fa_trace_event *ret)
{
	static const uint32_t functions[] = {[FA_CALL_MMAP] = FA_SPACE_MMAP,
					     [FA_CALL_MUNMAP] = FA_SPACE_MUNMAP,
					     [FA_CALL_MREMAP] = FA_SPACE_MREMAP,
					     [FA_CALL_BRK] = FA_SPACE_BRK,
					     [FA_CALL_MPROTECT] = FA_SPACE_MPROTECT};

	ret->kind = FA_EVENT_SPACE;
	ret->function = functions[e->fn];
	if (e->fn == FA_CALL_MREMAP) {
		ret->old_bytes = (uint64_t)e->arg * PAGE;
	} else if (e->fn == FA_CALL_MMAP || e->fn == FA_CALL_MPROTECT) {
		ret->protection = e->arg & 0xff;
		ret->map_flags = e->arg >> 8;
	}
}

static void wait_for_lock(const struct fa_trace *t, const struct fa_event *e,
			  struct fa_trace_event *ret)
{
	uint32_t kind = e->arg & FA_LOCK_KIND;

	ret->kind = FA_EVENT_WAIT;
	ret->function = kind <= FA_LOCK_WRITE ? FA_WAIT_MUTEX + kind : 0;
	ret->duration_ns = fa_api_ticks_ns(t, e->stamp, e->size);
	ret->owner_tid = (int32_t)e->old;
	ret->flags |= e->arg & FA_LOCK_TIMED_OUT ? FA_EVENT_TIMED_OUT : 0u;
	ret->bytes = 0;
	ret->old_address = 0;
}

static void load(const struct fa_trace *t, const struct fa_event *e, struct fa_trace_event *ret)
{
	const struct fa_arena *a = t->thread->process->arena;
	const struct fa_module *m = fa_idmap_get(&a->modules, e->arg & FA_LOAD_MODULE);
	uint32_t how = e->arg & ~(uint32_t)FA_LOAD_MODULE;
	bool gone = e->fn == FA_CALL_UNLOAD;

	ret->kind = gone ? FA_EVENT_UNLOAD : FA_EVENT_LOAD;
	ret->function = how == FA_LOAD_FOUND	 ? FA_LOADER_FOUND
			: gone			 ? FA_LOADER_DLCLOSE
			: how == FA_LOAD_DLMOPEN ? FA_LOADER_DLMOPEN
						 : FA_LOADER_DLOPEN;
	ret->duration_ns = fa_api_ticks_ns(t, e->stamp, e->old);
	ret->old_address = 0;
	if (m != NULL)
		ret->text = fa_arena_module_path(a, m);
}

bool fa_api_knows_call(unsigned call)
{
	return call >= FA_CALL_MMAP && call <= FA_CALL_UNLOAD;
}

void fa_api_extents(const struct fa_rec_extents *rec, struct fa_trace_event *ret)
{
	if (rec->flags & FA_EXTENTS_UNREADABLE)
		ret->flags |= FA_EVENT_UNREADABLE;
	ret->reserved = rec->reserved;
	ret->committed = rec->committed;
	ret->resident = rec->resident;
	ret->swapped = rec->swapped;
}

void fa_api_call(const struct fa_trace *t, const struct fa_event *e, struct fa_trace_event *ret)
{
	switch (e->fn) {
	case FA_CALL_LOCK:
		wait_for_lock(t, e, ret);
		break;
	case FA_CALL_LOAD:
	case FA_CALL_UNLOAD:
		load(t, e, ret);
		break;
	default:
		space(e, ret);
		break;
	}
}
