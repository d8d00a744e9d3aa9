/*
 * lost SHAPE [stay] - blocks that are reachable and blocks that are not, in shapes that a leak finder must tell
 * apart; then it ends without freeing anything, or ("stay") says "ready" and sleeps until it is killed. Sizes differ
 * from shape to shape.
 *   plain     10 lost; 5 in a table; 3 in a block from mmap; 2 that were freed
 *   lists     a list of 20, lost with its head; one of 15, reachable; one of 6 that hangs on the first
 *   rings     a ring of 8; a tree of 7 whose nodes know their parents; two lists that lead into a third
 *   middles   pointers into the middle of 4 blocks, each with another behind it; one at the very end of a block
 *   threads   pointers on the stack of a thread, in its thread-local memory, and lost by one that is gone
 * cflags: -O0 -g
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct node {
	struct node *next;
	struct node *other;
	char rest[];
};

static void *table[8];
static struct node *kept_list;
static void **mapped;
static char *middle[5];
static __thread void *of_thread;

__attribute__((noinline)) static struct node *list(int length, size_t size, struct node *end)
{
	struct node *head = end;

	for (int i = 0; i < length; i++) {
		struct node *n = calloc(1, size);

		n->next = head;
		head = n;
	}
	return head;
}

__attribute__((noinline)) static void plain(void)
{
	for (int i = 0; i < 10; i++)
		malloc(100);
	for (int i = 0; i < 5; i++)
		table[i] = malloc(50);
	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 3; i++)
		mapped[i * 7] = malloc(200000); /* from mmap themselves */
	table[5] = malloc(70);
	table[6] = malloc(70);
	free(table[5]);
	free(table[6]);
}

__attribute__((noinline)) static void lists(void)
{
	struct node *lost = list(20, 48, NULL);

	lost->next->next->other = list(6, 24, NULL);
	kept_list = list(15, 40, NULL);
}

__attribute__((noinline)) static struct node *tree(int depth, struct node *parent)
{
	struct node *n = calloc(1, 72);
	struct node **child = (struct node **)(n->rest + 8);

	n->next = parent;
	if (depth > 1) {
		child[0] = tree(depth - 1, n);
		child[1] = tree(depth - 1, n);
	}
	return n;
}

__attribute__((noinline)) static void rings(void)
{
	struct node *first = calloc(1, 64);
	struct node *third = list(3, 56, NULL);

	first->next = list(7, 64, first);
	tree(3, NULL);
	list(2, 88, third);
	list(4, 104, third);
}

__attribute__((noinline)) static void middles(void)
{
	for (int i = 0; i < 4; i++) {
		struct node *n = calloc(1, 160);

		n->other = calloc(1, 33);
		middle[i] = (char *)n + 64;
	}
	middle[4] = (char *)malloc(40) + 40; /* behind its last byte: leads nowhere */
}

static pthread_barrier_t barrier;

static void *sleeper(void *unused)
{
	void *volatile mine = malloc(500);

	of_thread = malloc(600);
	malloc(700);
	pthread_barrier_wait(&barrier);
	for (;;)
		pause();
	return mine;
}

static void *passer(void *unused)
{
	for (int i = 0; i < 3; i++)
		malloc(800);
	table[7] = malloc(900); /* in an arena of its own, and reachable */
	return unused;
}

__attribute__((noinline)) static void threads(void)
{
	pthread_t t;

	pthread_create(&t, NULL, passer, NULL);
	pthread_join(t, NULL);
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&t, NULL, sleeper, NULL);
	pthread_barrier_wait(&barrier);
}

/* What the shapes left on the stack and in registers is no pointer of theirs any more. */
__attribute__((noinline)) static void scrub(void)
{
	volatile char stack[16384];

	for (unsigned i = 0; i < sizeof(stack); i++)
		stack[i] = 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*make)(void);
	} shapes[] = {{"plain", plain}, {"lists", lists}, {"rings", rings}, {"middles", middles}, {"threads", threads}};

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (argc > 1 && strcmp(argv[1], shapes[i].name) == 0)
			shapes[i].make();
	scrub();
	if (argc > 2) {
		write(1, "ready\n", 6);
		for (;;)
			pause();
	}
	_exit(0);
}
