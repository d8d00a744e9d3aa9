/*
 * unwind.h - call stacks of the running thread, by the rules in .eh_frame.
 *
 * Lives in the traced process: no libc call, no system call but mmap (memory for the rule cache)
 * and madvise(MADV_POPULATE_READ) (is this page readable?), no lock, no errno, no allocation from
 * the host, async-signal-safe. Exact: what it returns equals what libunwind returns, or the stack
 * ends early with a mark.
 *
 * Rules per pc are compiled once (binary search in .eh_frame_hdr, CFA program run to the pc) and kept
 * in a table of the process. Each thread keeps its previous walk: frames with the slots they were
 * read from and the values found there. A new walk unwinds from the top until it meets a frame of
 * the previous one in the same state (CFA, pc, and the registers that later frames depend on), then
 * checks the remaining slots and takes the rest over.
 */
#ifndef FA_UNWIND_H
#define FA_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/arena_format.h"

/* Registers at a hook's entry, as its caller left them. rip: the return address into the caller;
 * rsp: the value after that return (the CFA of the hook). */
struct fa_regs {
	uint64_t rip;
	uint64_t rsp;
	uint64_t rbp;
	uint64_t rbx;
	uint64_t r12;
	uint64_t r13;
	uint64_t r14;
	uint64_t r15;
};

/* Memory of one thread for its walks: opaque, zero-filled at first, FA_UNWIND_THREAD_BYTES long,
 * 64-byte aligned. Untouched pages cost nothing. */
#define FA_UNWIND_THREAD_BYTES (64 << 10)
/* So much of it, from its beginning, each walk uses pages of. */
#define FA_UNWIND_THREAD_USUAL (36 << 10)
struct fa_unwind_thread;

/* Where the thread's own stack is known to be readable: [lo, hi); 0, 0: nothing is known. */
struct fa_stack_bounds {
	uint64_t lo;
	uint64_t hi;
};

/* The walk before was another thread's, whose memory this one has now. */
void fa_unwind_forget(struct fa_unwind_thread *t);

/* The result, outermost frame first: pc[0] is the outermost frame, pc[depth - 1] the innermost
 * (regs->rip). pc words are as in fa_arena_node.pc: address in bits 0-47, module id in bits 48-63.
 * The parent of pc[i] is pc[i - 1]. */
struct fa_stack_view {
	const uint64_t *pc;
	const uint8_t *frame_marks; /* per frame: FA_NODE_SIGNAL or 0; NULL: none of them */
	uint64_t hash;   /* of the whole stack: all pc words in their places, and the marks */
	uint32_t depth;  /* at least 1 */
	uint32_t marks;  /* enum fa_node_marks of the outermost frame, pc[0] */
	uint32_t common; /* pc[0..common) are those of this thread's walk before, unchanged */
	uint32_t reserved;
};

/* Told once for each module that a pc was found in; returns its module id. May be called on any
 * thread, at the same time on several, more than once for one module (then the same id). */
struct fa_module_seen {
	uint64_t base, end, bias;
	uint64_t link_map; /* identity: address of the link_map */
	const char *path;  /* l_name */
	const unsigned char *build_id;
	uint32_t build_id_len;
};
typedef uint32_t fa_module_fn(const struct fa_module_seen *seen);

/*
 * Once per process, before the first walk. find_object: libc's _dl_find_object (glibc 2.35 or
 * newer), NULL: -ENOSYS. Returns 0 or -errno.
 */
int fa_unwind_init(int (*find_object)(void *pc, void *result), fa_module_fn *module);

/* Private memory that is mapped for what all threads share. */
uint64_t fa_unwind_bytes(void);

/* Forget all modules and rules: the next that are met are told anew. Only while no thread walks. */
void fa_unwind_reset(void);

/*
 * Walk from `regs`, at most max_depth frames (1..FA_DEPTH_MAX). `t` is this thread's memory. The view
 * is valid until the next call with the same t.
 */
void fa_unwind(struct fa_unwind_thread *t, const struct fa_regs *regs,
	       const struct fa_stack_bounds *bounds, unsigned max_depth, struct fa_stack_view *ret);

/* A word of a stack. A sanitized test must not mind that saved registers lie between the host's variables. */
static FA_INLINE uint64_t fa_word_at(uint64_t address)
{
	const uint64_t *p = (const uint64_t *)(uintptr_t)address;
#ifdef __SANITIZE_ADDRESS__
	uint64_t v;

	__asm__ volatile("movq %1, %0" : "=r"(v) : "m"(*p));
	return v;
#else
	return *p;
#endif
}

typedef uint64_t fa_two FA_VECTOR(16);

/* Two that lie side by side. */
static FA_INLINE fa_two fa_two_words_at(uint64_t address)
{
#ifdef __SANITIZE_ADDRESS__
	return (fa_two){fa_word_at(address), fa_word_at(address + 8)};
#else
	fa_two v;

	__builtin_memcpy(&v, (const void *)(uintptr_t)address, sizeof(v));
	return v;
#endif
}

#endif
