/*
 * test_rules.c - the table of rules while several threads fill it and it grows under them.
 *
 * libs: format
 * objs: shim/rules.c shim/cfi.c
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include "shim/rules.h"

#include "test.h"

enum { THREADS = 4, PCS = 40000 };

static uint64_t first_pc;
static unsigned long wrong;

static uint32_t tell(const struct fa_module_seen *seen)
{
	return seen->link_map == 0 ? 0 : 7;
}

static int find_object(void *pc, void *result)
{
	return _dl_find_object(pc, result);
}

/* Each thread begins elsewhere, so that they meet in the same entries. */
static void *fill(void *arg)
{
	unsigned begin = *(unsigned *)arg;

	for (unsigned i = 0; i < PCS; i++) {
		uint64_t pc = first_pc + (begin + i) % PCS;
		uint64_t made = fa_rule_make(pc);
		struct fa_rule_table *table = fa_rules();
		uint64_t found = fa_rule_find(table, table->mask, pc);

		/* Not there: lost to a table that grew meanwhile, and made again by the next walk. */
		if (found != 0 && (found ^ made) & ~(0xfffULL << 16))
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

SPEC(threads_that_fill_the_table_at_once_find_right_rules)
{
	pthread_t threads[THREADS];
	unsigned begins[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		begins[i] = i % 2 * PCS / 2;
		CHECK(pthread_create(&threads[i], NULL, fill, &begins[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	CHECK(wrong == 0);
}

SPEC(the_table_grows_and_keeps_its_rules)
{
	struct fa_rule_table *table = fa_rules();
	unsigned with_rule = 0;
	unsigned kept = 0;

	for (unsigned i = 0; i < PCS; i++) {
		uint64_t made = fa_rule_make(first_pc + i);

		if (FA_RULE_KIND(made) == FA_RULE_NONE)
			continue;
		with_rule++;
		table = fa_rules();
		kept += fa_rule_find(table, table->mask, first_pc + i) != 0;
	}
	CHECK(with_rule > PCS / 2);
	CHECK(kept == with_rule);
	CHECK(table->mask / sizeof(struct fa_rule_entry) > 2 * PCS / 2);
	CHECK(table->used <= table->mask / sizeof(struct fa_rule_entry) / 2 + THREADS);
}

SPEC(an_address_of_no_module_has_no_rule_and_is_not_kept)
{
	struct fa_rule_table *table = fa_rules();
	uint64_t pc = 0x1234567;

	CHECK(FA_RULE_KIND(fa_rule_make(pc)) == FA_RULE_NONE);
	CHECK(FA_RULE_MODULE(fa_rule_make(pc)) == FA_MODULE_UNKNOWN);
	CHECK(FA_RULE_MODULE(fa_rule_make(~0ULL)) == FA_MODULE_UNKNOWN);
	CHECK(fa_rule_find(table, table->mask, pc) == 0);
}

int main(void)
{
	first_pc = (uint64_t)(uintptr_t)qsort; /* any run of code of libc */
	CHECK(fa_rules_init(find_object, tell) == 0);
	RUN(threads_that_fill_the_table_at_once_find_right_rules);
	RUN(the_table_grows_and_keeps_its_rules);
	RUN(an_address_of_no_module_has_no_rule_and_is_not_kept);
	return TEST_RESULT();
}
