/*
 * gate.c - is this process to be traced? Asked once, by fa_init(), or by the first heap call
 * where that comes sooner (another object may have taken the one initfirst slot).
 *
 * Uses only what the dynamic linker itself has just used (open, read, close, mmap), so that no
 * system call filter that lets a dynamic program start can be angered. libc is not initialised
 * yet: nothing of it may be called. In an AT_SECURE process nothing is read from the environment.
 */
#include "shim/state.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "format/package_format.h"
#include "shim/arena.h"
#include "shim/bell.h"
#include "shim/real.h"
#include "shim/sys.h"
#include "shim/table.h"
#include "shim/text.h"
#include "shim/tracer.h"
#include "shim/wake.h"

/*
 * How these lie decides what every start of every program costs. The first page of our writable mapping
 * is the state page, which only a flagged process touches; .dynamic, all small variables and the process
 * block fill the second and last (tools/check-shim.sh counts). What is large is mapped when it is needed.
 */
struct fa_state_page fa_state_page FA_ALIGNED(4096) __attribute__((section(".data.rel.ro.first")));
uint8_t fa_state_in_use;
FA_EXPORT struct fa_process_block firstalloc_process_block = {
	.magic = FA_BLOCK_MAGIC,
	.version = 2,
};
/* A name of our own for its byte: by that of the block it could only be had through a table. */
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)
__asm__(".globl fa_dormant\n.hidden fa_dormant\n"
	".set fa_dormant, firstalloc_process_block + " TEXT(FA_BLOCK_DORMANT));

/* Where ld.so found argc on the stack: for when fa_init() has not brought it. */
extern void *__libc_stack_end __attribute__((weak));

/*
 * A small index and the first lines of maps are read on the stack, where the dynamic linker has been
 * before; for what is longer, room is mapped while the gate is asked.
 */
enum {
	SMALL_INDEX = 2048,
	FIRST_LINES = 256,
	INDEX_ROOM = FA_INDEX_MAX + 4096,
	MAPS_ROOM = 8192,
	ROOM = INDEX_ROOM + MAPS_ROOM + FA_CGROUP_TEXT_MAX,
};

struct index {
	unsigned char small[SMALL_INDEX] FA_ALIGNED(8);
	const unsigned char *bytes; /* small, or room */
	char *room;                 /* INDEX_ROOM bytes, MAPS_ROOM for lines, control groups; NULL: not needed yet */
};

static const struct fa_index_header *header_of(const struct index *index)
{
	return (const struct fa_index_header *)(const void *)index->bytes;
}

static char *room_of(struct index *index)
{
	void *p;

	if (index->room != NULL)
		return index->room;
	p = fa_sys_mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	index->room = fa_sys_failed((long)p) ? NULL : p;
	return index->room;
}

static void dormant(enum fa_reason reason)
{
	firstalloc_process_block.reason = reason;
	fa_state_set(FA_DORMANT);
}

static const char *env_value(const char *entry, const char *name)
{
	while (*name != '\0' && *entry == *name) {
		entry++;
		name++;
	}
	return *name == '\0' && *entry == '=' ? entry + 1 : NULL;
}

/*
 * A number that is this start's, and no other program's in the same process: made of what the kernel
 * gave it, from which neither of libc's two secrets made of the same can be had back.
 */
static uint64_t nonce_of(const void *random)
{
	uint64_t word[2];

	memcpy(word, random, sizeof(word));
	return (word[0] * 0x9e3779b97f4a7c15ULL) ^ (word[1] * 0x9fb21c651e98df25ULL);
}

static void read_auxv(const ElfW(auxv_t) * aux, struct fa_start *start)
{
	for (; aux->a_type != AT_NULL; aux++) {
		if (aux->a_type == AT_SECURE)
			start->secure = aux->a_un.a_val != 0;
		else if (aux->a_type == AT_EXECFN)
			start->exec_path = (const char *)aux->a_un.a_val;
		else if (aux->a_type == AT_UID)
			start->uid = (uint32_t)aux->a_un.a_val;
		else if (aux->a_type == AT_EUID)
			start->euid = (uint32_t)aux->a_un.a_val;
		else if (aux->a_type == AT_PHDR)
			start->phdr = aux->a_un.a_val;
		else if (aux->a_type == AT_RANDOM)
			firstalloc_process_block.nonce = nonce_of((const void *)aux->a_un.a_val);
	}
}

static void read_start(int argc, char **argv, struct fa_start *start)
{
	char **env = argv + argc + 1;
	char **end = env;

	*start = (struct fa_start){.argc = argc, .argv = argv, .exec_path = ""};
	while (*end != NULL)
		end++;
	read_auxv((const ElfW(auxv_t) *)(const void *)(end + 1), start);
	if (start->secure)
		return;
	for (; *env != NULL; env++) {
		const char *dir = env_value(*env, FA_RUN_ENV);
		const char *opts = env_value(*env, FA_RUN_OPTS);

		start->run_dir = dir != NULL ? dir : start->run_dir;
		start->run_opts = opts != NULL ? opts : start->run_opts;
	}
}

/* The parts of a line of /proc/PID/maps that we need: the range, and the path if it has one. */
static bool covers(const char *line, uint64_t address, const char **ret_path)
{
	uint64_t bound[2] = {0, 0};
	const char *p = line;

	for (int i = 0; i < 2; i++, p++)
		for (; *p != '-' && *p != ' ' && *p != '\0'; p++)
			bound[i] = bound[i] << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	while (*p != '/' && *p != '\n' && *p != '\0')
		p++;
	*ret_path = p;
	return *p == '/' && address >= bound[0] && address < bound[1];
}

/*
 * The path of the mapping that covers the address, in `text`, whose lines are read from fd; NULL: not
 * found in them. A line longer than the room is never found.
 */
static const char *find_path(int fd, uint64_t address, char *text, long size)
{
	const char *path = NULL;
	long have = 0;

	for (;;) {
		long n = fa_sys_read(fd, text + have, (size_t)(size - 1 - have));
		char *line = text;

		if (n <= 0)
			return NULL;
		have += n;
		text[have] = '\0';
		for (char *p = text; *p != '\0'; p++) {
			if (*p != '\n')
				continue;
			*p = '\0';
			if (covers(line, address, &path))
				return path;
			line = p + 1;
		}
		/* What is left over is the start of a line. */
		have = text + have - line;
		for (long i = 0; i < have; i++)
			text[i] = line[i];
		if (have == size - 1)
			return NULL;
	}
}

/*
 * The path of the executable, from the mapping that holds its program headers. readlink would be
 * shorter, but a filter may kill for it; reading is what the dynamic linker does as well. The
 * kernel makes only as many lines as are asked for, and the program's is nearly always the first.
 */
static const char *read_exe_path(const struct fa_start *start, char first[FIRST_LINES],
				 struct index *index)
{
	char *room = first;
	long size = FIRST_LINES;
	const char *path = NULL;

	while (path == NULL && room != NULL) {
		int fd = fa_sys_openat(AT_FDCWD, "/proc/self/maps",
				       O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);

		if (fd < 0)
			return NULL;
		path = find_path(fd, start->phdr, room, size);
		(void)fa_sys_close(fd);
		if (path != NULL || size == MAPS_ROOM)
			break;
		room = room_of(index);
		room = room == NULL ? NULL : room + INDEX_ROOM;
		size = MAPS_ROOM;
	}
	return path;
}

static const char *script_name(const struct fa_start *start)
{
	for (int i = 1; i < start->argc; i++)
		if (start->argv[i][0] != '-')
			return fa_text_base(start->argv[i]);
	return NULL;
}

/* Most programs have no name of any rule; for these it need not be asked where the executable lies. */
static bool has_a_rule(const struct index *index, const struct fa_start *start)
{
	return fa_index_has_name(index->bytes, fa_text_base(start->exec_path)) ||
	       fa_index_has_name(index->bytes, script_name(start)) ||
	       !fa_start_names_executable(start);
}

static const struct fa_index_rule *find_rule(struct index *index, const struct fa_start *start)
{
	struct fa_index_who who = {.uid = start->uid, .exe_path = start->exe_path};
	const struct fa_index_rule *rule;

	who.exe_name = start->exe_path == NULL ? NULL : fa_text_base(start->exe_path);
	who.exec_name = fa_text_base(start->exec_path);
	who.script = script_name(start);
	if (fa_index_needs_cgroup(index->bytes, &who) && room_of(index) != NULL)
		who.cgroup = fa_cgroup_read(index->room + INDEX_ROOM + MAPS_ROOM, FA_CGROUP_TEXT_MAX);
	rule = fa_index_find(index->bytes, &who, 0);
	if (rule == NULL || rule->expires_real == 0)
		return rule;
	fa_clock_init();
	return fa_index_find(index->bytes, &who, fa_clock_real_seconds());
}

/* false: there is no usable index, or nothing in it. */
static bool read_index(struct index *ret)
{
	int fd = fa_sys_openat(AT_FDCWD, FA_INDEX_PATH, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
	const struct fa_index_header *h;
	long n;

	if (fd < 0)
		return false;
	ret->bytes = ret->small;
	n = fa_sys_read(fd, ret->small, SMALL_INDEX);
	if (n == SMALL_INDEX) {
		/* The file is never written to once it is there, so two reads fit together. */
		char *room = room_of(ret);
		long more = -1;

		if (room != NULL) {
			memcpy(room, ret->small, SMALL_INDEX);
			ret->bytes = (unsigned char *)room;
			more = fa_sys_read(fd, room + n, FA_INDEX_MAX + 1 - SMALL_INDEX);
		}
		n = more < 0 ? more : n + more;
	}
	(void)fa_sys_close(fd);
	if (n <= 0 || n > FA_INDEX_MAX || fa_index_check(ret->bytes, (size_t)n) != 0)
		return false;
	h = header_of(ret);
	firstalloc_process_block.index_generation = h->generation;
	return h->rule_count > 0 && (h->flags & FA_INDEX_OFF) == 0;
}

bool fa_has_sanitizer(void)
{
	static const char names[][20] = {"__asan_init", "__tsan_init", "__msan_init",
					 "__hwasan_init"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fa_startup_symbol(names[i]) != NULL)
			return true;
	return false;
}

static bool is_own_program(const char *name)
{
	return fa_text_equal(name, "firstalloc") || fa_text_equal(name, "firstallocd");
}

/* Another copy of the shim before us in load order does the work. */
static bool is_second_copy(void)
{
	const struct link_map *o = fa_objects();

	for (; o != NULL && !fa_object_is_self(o); o = o->l_next)
		if (fa_object_symbol(o, "firstalloc_process_block") != NULL)
			return true;
	return false;
}

/* The program's allocator lies before us in load order: its calls do not come here. */
static bool has_own_allocator(void)
{
	const struct link_map *o = fa_objects();

	for (; o != NULL && !fa_object_is_self(o); o = o->l_next)
		if (fa_object_symbol(o, "malloc") != NULL)
			return true;
	return false;
}

/* Why a flagged process does not even ring (0: it shall): our own programs may be the cure of what would keep
 * them waiting, and of the others the daemon knows. */
static unsigned standing_down(const struct fa_start *start, const struct fa_wish *wish, int32_t pid)
{
	if (is_own_program(fa_text_base(start->exec_path)))
		return FA_REASON_OWN_PROGRAM;
	if ((wish->options & FA_RULE_DISARMED) != 0)
		return FA_REASON_DISARMED;
	if (start->run_dir == NULL && fa_is_switched_off(start, pid))
		return FA_REASON_OFF;
	return 0;
}

unsigned fa_unfit(const struct fa_wish *wish)
{
	if (is_second_copy())
		return FA_REASON_UNDER_RUN;
	if (is_own_program(fa_text_base(fa_wake_exec_path)))
		return FA_REASON_OWN_PROGRAM;
	if (fa_has_sanitizer() && (wish->options & FA_RULE_SANITIZER) == 0)
		return FA_REASON_SANITIZER;
	return has_own_allocator() ? FA_REASON_OWN_ALLOCATOR : 0;
}

/* Why a flagged process is not traced all the same; 0: nothing speaks against it. */
static unsigned refusal(const struct fa_start *start, const struct fa_wish *wish, int32_t pid)
{
	if (start->secure && (wish->options & FA_RULE_SECURE) == 0)
		return FA_REASON_SECURE;
	if (pid == 1 && (wish->options & FA_RULE_PID1) == 0)
		return FA_REASON_PID1;
	return fa_unfit(wish);
}

/* What the answer means: 0 record, else the reason to stay dormant. */
static unsigned judge_answer(bool autologger)
{
	const struct fa_arena_answer *a = &fa_arena_head()->answer;

	switch (__atomic_load_n(&a->word, __ATOMIC_ACQUIRE)) {
	case FA_ANSWER_ATTACHED:
		return 0;
	case FA_ANSWER_NO_SESSION:
		return FA_REASON_NO_SESSION;
	case FA_ANSWER_REFUSED:
		return FA_REASON_LIMIT;
	default:
		return autologger ? 0 : FA_REASON_NO_COLLECTOR;
	}
}

/*
 * Nobody has come, and an autologger is enabled (boot): then there is nobody to give a segment later, so
 * take what such a process may use at once. RLIMIT_AS allows it: it is at most a quarter.
 */
static unsigned make_room(const struct fa_start *start, const struct fa_wish *wish, int32_t pid)
{
	const uint32_t segments = 3; /* 8 MB */

	if (__atomic_load_n(&fa_arena_head()->answer.word, __ATOMIC_ACQUIRE) != FA_ANSWER_NONE)
		return 0;
	fa_arena_destroy();
	return fa_arena_create(start, wish, pid, segments);
}

/* All that is needed but the answer: the state page, the tracer, an arena. 0 or the reason why not. */
static unsigned prepare(const struct fa_start *start, const struct fa_wish *wish, int32_t pid)
{
	unsigned reason = refusal(start, wish, pid);

	if (reason != 0)
		return reason;
	if (!fa_state_page_use())
		return FA_REASON_NO_MEMORY;
	fa_clock_init();
	if (start->run_dir == NULL)
		fa_care_look();
	reason = fa_tracer_init(pid, false);
	return reason != 0 ? reason : fa_arena_create(start, wish, pid, 1);
}

/* Flagged: arena, bell, tracer. Returns the reason (enum fa_reason), TRACED when all went well. */
static unsigned arm(const struct fa_start *start, const struct fa_wish *wish, bool autologger)
{
	struct fa_process_block *b = &firstalloc_process_block;
	int32_t pid = fa_sys_getpid();
	unsigned reason;

	b->pid = pid;
	b->rule_id = wish->rule_id;
	b->tracing_flags |= wish->tracing_flags;
	if ((b->tracing_flags & (FA_TRACING_HEAP | FA_TRACING_SNAPSHOT)) == 0 || is_second_copy())
		return FA_REASON_NONE;
	reason = standing_down(start, wish, pid);
	if (reason != 0)
		return reason;
	reason = prepare(start, wish, pid);
	if (reason != 0) {
		fa_bell_refuse(start, pid, reason);
		return reason;
	}
	if (start->run_dir == NULL) {
		fa_bell_ring();
		reason = judge_answer(autologger);
		if (reason == 0)
			reason = make_room(start, wish, pid);
	}
	if (reason == 0 && !fa_state_page_wipe())
		reason = FA_REASON_NO_MEMORY; /* a fork child would write into our buffers */
	if (reason != 0) {
		if (fa_arena.base != NULL)
			fa_arena_destroy();
		return reason;
	}
	b->arena = (uint64_t)fa_arena.base;
	fa_table_start(wish);
	return FA_REASON_TRACED;
}

/* "depth,stacks,stamp,flags,options"; what is missing or wrong keeps its default. */
static struct fa_wish run_wish(const char *opts)
{
	struct fa_wish w = {0,
			    FA_TRACING_HEAP,
			    0,
			    FA_DEPTH_DEFAULT,
			    FA_STACK_ALLOC | FA_STACK_REALLOC,
			    FA_STAMP_ALLOC};
	uint32_t *field[] = {&w.depth, &w.stacks, &w.stamp_mode, &w.tracing_flags, &w.options};
	uint64_t v;

	for (unsigned i = 0; opts != NULL && i < 5 && fa_text_number(&opts, &v); i++) {
		*field[i] = (uint32_t)v;
		if (*opts == ',')
			opts++;
	}
	if (w.depth < 1 || w.depth > FA_DEPTH_MAX)
		w.depth = FA_DEPTH_DEFAULT;
	return w;
}

/* The reason to be dormant, or TRACED. Under `run` it is the other copy that records. */
static unsigned ask_index(const struct fa_start *start, struct index *index)
{
	const struct fa_index_rule *rule = find_rule(index, start);
	struct fa_wish wish;

	if (rule == NULL)
		return FA_REASON_NONE;
	if (start->run_dir != NULL) {
		int32_t pid = fa_sys_getpid();

		firstalloc_process_block.pid = pid;
		if (!fa_is_switched_off(start, pid))
			fa_bell_refuse(start, pid, FA_REASON_UNDER_RUN);
		return FA_REASON_UNDER_RUN;
	}
	wish = (struct fa_wish){rule->id,    rule->flags,  rule->options,
				rule->depth, rule->stacks, rule->stamp};
	return arm(start, &wish, (header_of(index)->flags & FA_INDEX_AUTOLOGGER) != 0);
}

static void gate(int argc, char **argv)
{
	char first_lines[FIRST_LINES];
	unsigned reason = FA_REASON_NONE;
	struct fa_start start;
	struct fa_wish wish;
	struct index index;

	read_start(argc, argv, &start);
	fa_wake_exec_path = start.exec_path;
	index.room = NULL;
	if (start.run_dir != NULL && !is_second_copy()) {
		start.exe_path = read_exe_path(&start, first_lines, &index);
		wish = run_wish(start.run_opts);
		reason = arm(&start, &wish, false);
	} else if (read_index(&index) && has_a_rule(&index, &start)) {
		start.exe_path = read_exe_path(&start, first_lines, &index);
		reason = ask_index(&start, &index);
	}
	if (index.room != NULL)
		(void)fa_sys_munmap(index.room, ROOM);
	if (reason != FA_REASON_TRACED) {
		dormant(reason);
		return;
	}
	firstalloc_process_block.reason = reason;
	fa_state_set(FA_ACTIVE);
}

/* true: it is for this thread to ask, and nobody else does. */
static bool begin(void)
{
	static uint8_t asked;
	uint8_t *word = fa_arena.base == NULL ? &asked : &fa_state_page.state;
	uint8_t ask = FA_ASK;

	return __atomic_compare_exchange_n(word, &ask, FA_BUSY, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* We were active, and the kernel wiped the page: a fork child. */
static void join(void)
{
	if (fa_arena_is_over()) {
		dormant(FA_REASON_ENDED);
		return;
	}
	/* The table is of the process that made it: the blocks of both have the same addresses. */
	if ((fa_arena.wish.tracing_flags & FA_TRACING_HEAP) == 0)
		firstalloc_process_block.reason = FA_REASON_FORKED;
	else if (fa_tracer_join()) {
		fa_state_page.way = fa_care == FA_CARE_NONE ? FA_WAY_QUICK : FA_WAY_CAREFUL;
		fa_state_set(FA_ACTIVE);
		return;
	} else
		firstalloc_process_block.reason = FA_REASON_FAMILY_FULL;
	/* Only this process: its own children shall ask for a place again. */
	fa_state_page.state = FA_DORMANT;
}

/* argv is as the linker of glibc brings it. Another one may load us, too, and bring nothing. */
static void ask(int argc, char **argv)
{
	if (!fa_real_resolve() || !begin())
		return;
	if (fa_arena.base != NULL)
		join();
	else if (&__libc_stack_end == NULL)
		dormant(FA_REASON_OTHER_LIBC);
	else
		gate(argc, argv);
}

void fa_ask(void)
{
	if (FA_UNLIKELY(fa_wake_is_due()))
		fa_wake();
	else if (&__libc_stack_end == NULL)
		ask(0, NULL);
	else
		ask(*(int *)__libc_stack_end, (char **)__libc_stack_end + 1);
}

/* DT_INIT, and no .init_array: that would be a page more to relocate. */
void fa_init(int argc, char **argv)
{
	ask(argc, argv);
}
