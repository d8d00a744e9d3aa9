/*
 * stack_key.h - the same stack in several traces, as one number: two runs of a program, or two builds.
 *
 * A place in a module that is the same build wherever it appears (by build id; without one, by path) is that module and the offset. In a
 * module that was built again it is the names of the functions there, inlined ones included (lines and
 * offsets moved), or module and offset where there are no symbols. A module is what its file is called: without
 * folder, and of a library without version; the one program of a trace is the same as the one program of another,
 * whatever they are called.
 *
 * One thread.
 */
#ifndef FA_STACK_KEY_H
#define FA_STACK_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/model.h"
#include "base/attr.h"
#include "report/resolve.h"

struct fa_stack_keys;

/* For stacks of these models. `resolver` stays the caller's and outlives the keys. */
int fa_stack_keys_new(struct fa_resolver *resolver, const struct fa_model *const *models,
		      size_t count, struct fa_stack_keys **ret) FA_MUST_USE;
void fa_stack_keys_free(struct fa_stack_keys *k); /* NULL is fine */

/* Of a chain; 0: no stack. Returns 0 or -ENOMEM. */
int fa_stack_key(struct fa_stack_keys *k, uint32_t chain, uint64_t *ret) FA_MUST_USE;
/* Of the innermost function that is shown. */
int fa_function_key(struct fa_stack_keys *k, uint32_t chain, uint64_t *ret) FA_MUST_USE;

#endif
