/* walk_place.c - see walk.h: frames of the walk before whose slots stay, but not what is in them. */
#include "shim/walk.h"

/*
 * As when a program goes up and down in the same functions, or a frame calls from another place. From
 * the outside in, so that the sums can be made on the way, and each frame for itself: the loads of one
 * do not wait for those of another. A frame is as the walk would find it when its slot holds a pc
 * whose rule leads to the next slot. It does when the rule is like the old one, kind and numbers; then
 * rbp, too, comes from where it came from, and those words are compared as deps. Where no CFA comes
 * from rbp, any rule that leads to the next slot will do.
 */
int32_t fa_walk_refresh(struct walk *w, int32_t from, int32_t end, int32_t own)
{
	struct fa_unwind_thread *t = w->t;
	const struct fa_rule_table *table = fa_rules();
	uint64_t mask = table->mask;
	uint64_t sum = t->sum[from - 1];
	int by_rsp = t->deps == 0;
	int32_t i = from;

	for (; i < end; i++) {
		uint64_t pc = i == own ? w->pc : fa_word_at(t->slot[i]);
		uint64_t rule = t->rule[i];
		uint64_t word;

		if (pc != t->ip[i]) {
			uint64_t old = rule;

			rule = fa_rule_find(table, mask, pc);
			if ((rule ^ old) >> 29 != 0 &&
			    (!by_rsp || (rule & FAST_MASK) != FAST_RSP ||
			     t->slot[i] + 8 * FA_RULE_N(rule) != t->slot[i - 1]))
				break;
		}
		if (FA_UNLIKELY((rule & FAST_MASK) != FAST_RSP) &&
		    (!fa_rule_is_plain(rule) ||
		     ((rule & FA_RULE_MORTAL) != 0 && !fa_walk_check_module(w, rule, pc))))
			break;
		t->mortal |= (rule & FA_RULE_MORTAL) != 0;
		word = pc | rule << 48;
		t->ip[i] = pc;
		t->rule[i] = rule;
		t->word[i] = word;
		sum += word * fa_walk_factor[i];
		t->sum[i] = sum;
	}
	return i;
}
