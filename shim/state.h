/*
 * state.h - what a process is to us, and the one struct that holds all that the shim knows.
 *
 *   ASK      nothing is known: the first heap call (or fa_init) asks. Every process starts
 *            here, and so does a fork child of an active one: its page is wiped by the kernel.
 *     -> BUSY      one thread is asking: fa_ask()
 *   BUSY     the others go on untraced for these microseconds
 *     -> DORMANT   not flagged, or cannot be traced; block.reason says why
 *     -> ACTIVE    fa_arm() or fa_join()
 *   ACTIVE   heap calls are recorded
 *     -> DORMANT   sessions ended: fa_tick()
 *     -> ASK       in a fork child only, by the kernel
 *   DORMANT, or never flagged: an order of the doorman (fa_wake()) -> ACTIVE
 */
#ifndef FA_STATE_H
#define FA_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/arena_format.h"
#include "format/index_format.h"
#include "shim/careful.h"

enum fa_state { FA_ASK = 0, FA_DORMANT = 1, FA_ACTIVE = 2, FA_BUSY = 3 };

/* How a heap call is recorded: by the entry point itself; not before fa_active() has looked for a fork (careful.h);
 * in a table of live blocks (table.h). */
enum fa_way { FA_WAY_QUICK = 0, FA_WAY_TABLE = 1, FA_WAY_CAREFUL = 2 };

/* Alone on a page because of MADV_WIPEONFORK; in use from when a process is flagged (gate.c). */
struct fa_state_page {
	uint8_t state;
	uint8_t way;   /* enum fa_way: of a process that is ACTIVE */
	uint8_t rest[FA_ARENA_PAGE - 2];
};
extern FA_HIDDEN struct fa_state_page fa_state_page;
extern FA_HIDDEN uint8_t fa_state_in_use;

/* What the entry points test: 1 in a process that is DORMANT, and in its children, until the doorman wakes
 * it. It lies in the process block. */
extern FA_HIDDEN uint8_t fa_dormant;

extern struct fa_process_block firstalloc_process_block;

/* What is traced beside the heap now (FA_TRACING_CALLS): what those entry points test. */
extern FA_HIDDEN uint8_t fa_beside;

/* Is there an order of the doorman that was not obeyed yet? */
static FA_INLINE bool fa_wake_is_due(void)
{
	return __atomic_load_n(&firstalloc_process_block.wake.order, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(&firstalloc_process_block.woken, __ATOMIC_RELAXED);
}

/* The doorman may have written its order and the byte just before we write the byte: so look again. */
static FA_INLINE void fa_sleep(void)
{
	fa_beside = 0;
	__atomic_store_n(&fa_dormant, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (fa_wake_is_due())
		__atomic_store_n(&fa_dormant, 0, __ATOMIC_RELAXED);
}

/* Of a process that is not flagged: ASK. */
static FA_INLINE enum fa_state fa_state_now(void)
{
	return __atomic_load_n(&fa_state_page.state, __ATOMIC_RELAXED);
}

/* Both bytes, as the entry points look at them. */
static FA_INLINE uint16_t fa_state_word(void)
{
	uint16_t word;

	__builtin_memcpy(&word, &fa_state_page, sizeof(word));
	__asm__ volatile("" : : : "memory");
	return word;
}

static FA_INLINE bool fa_state_is_plain(void)
{
	return fa_state_word() == FA_ACTIVE;
}

static FA_INLINE void fa_state_set(enum fa_state state)
{
	if (fa_state_in_use)
		__atomic_store_n(&fa_state_page.state, (uint8_t)state, __ATOMIC_RELEASE);
	if (state == FA_DORMANT)
		fa_sleep();
}

/* What a rule (or `run`) asks for. */
struct fa_wish {
	uint32_t rule_id;
	uint32_t tracing_flags;
	uint32_t options;
	uint32_t depth;
	uint32_t stacks;
	uint32_t stamp_mode;
};

/* What the kernel told this program at its start. */
struct fa_start {
	int argc;
	char **argv;
	const char *exec_path; /* AT_EXECFN, "" unknown */
	const char *exe_path;  /* of the executable, NULL unknown */
	const char *run_dir;   /* environment of `firstalloc run`, NULL: none */
	const char *run_opts;
	uint64_t phdr; /* of the main program, as it is mapped */
	uint32_t uid;
	uint32_t euid;
	bool secure;
	bool woken; /* it runs already: what it allocated before is not known */
};

/* start.c */
bool fa_start_names_executable(const struct fa_start *start);

/* gate.c */
FA_HIDDEN void fa_init(int argc, char **argv); /* DT_INIT */
void fa_ask(void); /* leaves ASK; returns at once when another thread or an outer frame is asking */
/* careful.c */
bool fa_state_page_use(void); /* before the first state is set; again: nothing is done */
bool fa_state_page_wipe(void); /* a fork child begins with ASK */
/* Why it is not to be traced, by what it is made of (enum fa_reason), 0: nothing. Reads only what was loaded
 * with the program, so that it may be asked at any time. */
unsigned fa_unfit(const struct fa_wish *wish);
/* cgroup.c: only where a rule for the program's name has a package. Into `text`, at most `size` bytes; NULL: there is none. */
const char *fa_cgroup_read(char *text, size_t size);
/* off.c: only flagged programs ask. */
bool fa_is_switched_off(const struct fa_start *start, int32_t pid);

/* Is any of these defined in the process? */
bool fa_has_sanitizer(void);

#endif
