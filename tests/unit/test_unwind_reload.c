/*
 * test_unwind_reload.c - a library that takes the place of another one: other code, other rules, and
 * another module at the same addresses. Needs a compiler (cc) to make the two.
 *
 * libs: format
 * objs: shim/unwind.c shim/walk.c shim/walk_place.c shim/recall.c shim/rules.c shim/full.c shim/advise.c shim/cfi.c
 * ldlibs: -lunwind -ldl
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/recall.h"
#include "test.h"
#include "unwind_common.h"

static struct memory memory;
static struct fa_stack_bounds bounds;
static char folder[] = "/tmp/fa-reload-XXXXXX";
static unsigned same_stacks, same_places;

/* An id for each module as it was told, by its build id too: a reloaded one is another. */
static unsigned told;

static uint32_t tell(const struct fa_module_seen *seen)
{
	(void)seen;
	return ++told;
}

struct seen {
	uint64_t pc; /* word of the library's frame */
	int equal;   /* to libunwind */
};

static void look(const struct fa_regs *regs, void *arg)
{
	static uint64_t pcs[MAX_LIBUNWIND];
	struct seen *seen = arg;
	struct fa_stack_view view;

	unw_flush_cache(unw_local_addr_space, 0, 0);
	unsigned n = ask_libunwind(regs, pcs);

	fa_unwind(thread_of(&memory), regs, &bounds, DEPTH, &view);
	seen->equal = n == view.depth;
	for (unsigned i = 0; i < n && seen->equal; i++)
		seen->equal = FA_NODE_PC(view.pc[n - 1 - i]) == pcs[i];
	seen->pc = n > 1 ? view.pc[n - 2] : 0;
}

static void called_back(void *arg)
{
	fa_capture(look, arg);
	__asm__ volatile("" ::: "memory");
}

static int make_library(const char *name, unsigned room, int mark)
{
	char command[512];

	(void)snprintf(
		command, sizeof(command),
		"echo 'void run(void (*f)(void *), void *p) { volatile char room[%u]; room[0] = %d;"
		" f(p); room[1] = room[0]; }' | cc -O2 -shared -fPIC -x c -Wl,--build-id -o %s/%s "
		"-",
		room, mark, folder, name);
	return system(command);
}

/* The library is there while it calls back with each of the n arguments, and gone afterwards. */
static void run_library(const char *name, void (*back)(void *), unsigned n, void *const args[])
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	void *library = dlopen(path, RTLD_NOW);
	void (*run)(void (*)(void *), void *) = NULL;

	CHECK(library != NULL);
	if (library == NULL)
		return;
	*(void **)&run = dlsym(library, "run");
	for (volatile unsigned i = 0; i < n; i++) /* all from one place */
		run(back, args[i]);
	(void)dlclose(library);
}

SPEC(a_library_in_the_place_of_another_has_its_own_rules_and_module)
{
	for (unsigned i = 0; i < 20; i++) {
		struct seen a = {0};
		struct seen b = {0};

		run_library("a.so", called_back, 1, (void *[]){&a});
		run_library("b.so", called_back, 1, (void *[]){&b});
		same_stacks += a.equal && b.equal;
		if (FA_NODE_PC(a.pc) == FA_NODE_PC(b.pc)) {
			same_places++;
			CHECK(FA_NODE_MODULE(a.pc) != FA_NODE_MODULE(b.pc));
		}
	}
	printf("  %u of 20 at the same address\n", same_places);
	CHECK(same_stacks == 20);
	CHECK(same_places > 0);
}

/* As when another thread replaces the library, while the words on this one's stack are what they were. */
SPEC(frames_taken_over_are_of_the_library_that_is_there_now)
{
	unsigned places = 0, modules = 0;

	for (unsigned i = 0; i < 20; i++) {
		struct seen seen[2] = {{0}};

		/* From one place: a compiler that unrolls the loop would make two. */
		for (volatile unsigned k = 0; k < 2; k++)
			run_library(k == 0 ? "a.so" : "like_a.so", called_back, 1,
				    (void *[]){&seen[k]});
		places += FA_NODE_PC(seen[0].pc) == FA_NODE_PC(seen[1].pc);
		modules += FA_NODE_PC(seen[0].pc) == FA_NODE_PC(seen[1].pc) &&
			   FA_NODE_MODULE(seen[0].pc) != FA_NODE_MODULE(seen[1].pc);
	}
	printf("  %u of 20 at the same address, %u known as another\n", places, modules);
	CHECK(places > 0 && modules == places);
}

/* What the walk was that is recalled, as the module of the library's frame; 0: none was. */
struct recalled {
	uint32_t module;
	uint64_t pc;
	struct fa_regs regs;
};

static struct fa_recalls recalls;

static void look_back(const struct fa_regs *regs, void *arg)
{
	struct recalled *ret = arg;
	struct fa_stack_view view;
	const struct fa_recall *e = fa_recall_find(&recalls, regs);

	ret->module = e == NULL ? 0 : e->id;
	ret->regs = *regs;
	fa_unwind(thread_of(&memory), regs, &bounds, DEPTH, &view);
	ret->pc = view.depth > 1 ? view.pc[view.depth - 2] : 0;
	fa_recall_keep(&recalls, thread_of(&memory), regs, FA_NODE_MODULE(ret->pc));
}

static void called_back_to_look_back(void *arg)
{
	fa_capture(look_back, arg);
	__asm__ volatile("" ::: "memory");
}

SPEC(a_recent_walk_is_not_that_of_a_library_in_the_place_of_another)
{
	unsigned alike = 0;

	for (unsigned i = 0; i < 20; i++) {
		struct recalled r[2] = {{0}};
		uint64_t pc_before = 0;
		uint64_t rsp_before = 0;

		for (unsigned k = 0; k < 2; k++) {
			/* In a traced program dlopen() allocates: the walk before is another. */
			fa_unwind_forget(thread_of(&memory));
			/* Twice, so that the second walk may be recalled. */
			run_library(k == 0 ? "a.so" : "like_a.so", called_back_to_look_back, 2,
				    (void *[]){&r[0], &r[1]});
			/* That of the library that is there now, which may have lain here before. */
			CHECK(r[0].module == 0 || r[0].module == FA_NODE_MODULE(r[0].pc));
			CHECK(r[1].module == FA_NODE_MODULE(r[1].pc));
			alike += k == 1 && FA_NODE_PC(r[1].pc) == pc_before &&
				 r[1].regs.rsp == rsp_before;
			pc_before = FA_NODE_PC(r[1].pc);
			rsp_before = r[1].regs.rsp;
		}
	}
	printf("  %u of 20 from the same address and with the same registers\n", alike);
	CHECK(alike > 0);
}

int main(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t size;

	(void)pthread_getattr_np(pthread_self(), &attributes);
	(void)pthread_attr_getstack(&attributes, &low, &size);
	(void)pthread_attr_destroy(&attributes);
	bounds.lo = (uint64_t)(uintptr_t)low;
	bounds.hi = bounds.lo + size;
	CHECK(fa_unwind_init(find_object, tell) == 0);
	CHECK(mkdtemp(folder) != NULL);
	CHECK(make_library("a.so", 24, 1) == 0);
	CHECK(make_library("b.so", 88, 1) == 0);
	CHECK(make_library("like_a.so", 24, 2) == 0);
	RUN(a_library_in_the_place_of_another_has_its_own_rules_and_module);
	RUN(frames_taken_over_are_of_the_library_that_is_there_now);
	RUN(a_recent_walk_is_not_that_of_a_library_in_the_place_of_another);
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	CHECK(system(command) == 0);
	return TEST_RESULT();
}
