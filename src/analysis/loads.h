/*
 * loads.h - modules that came and went: of processes that were traced with FA_TRACING_LOADER, as loader.c of the
 * shim saw it.
 *
 * One counts when it is recorded in the range. When it was asked for (the call of dlopen) is known of those that
 * have a stack; else, and of an unload, there is only when it was seen.
 */
#ifndef FA_LOADS_H
#define FA_LOADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fa_module;
struct fa_thread;

struct fa_load {
	uint64_t stamp; /* of the call, or when it was seen */
	const struct fa_thread *thread;
	const struct fa_module *module; /* NULL: not in the trace */
	uint64_t base, size;
	uint32_t site; /* index in fa_model.sites */
	uint32_t how;  /* enum fa_load_how */
	bool gone;     /* an unload */
};

struct fa_loads {
	struct fa_load *load; /* as they were recorded, thread by thread */
	size_t count, cap;
	size_t loads, unloads;
	bool any; /* there were such events */
};

#endif
