/*
 * grower - a server that handles so many requests for each number that it reads, and says "done N" after each.
 * Each request leaks 48 bytes (log_request; not with -DFIXED), fills a cache of 100 blocks of 1,000 bytes that
 * then stays as it is (remember), takes a block of 64 bytes and gives it back (answer), and makes one block
 * larger (grow, by realloc: 16 bytes a request). At its end of input it exits without freeing anything.
 * cflags: -g -O1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile cache[100];
static char *volatile table;
static int requests;

#ifndef FIXED
__attribute__((noinline)) void log_request(int id)
{
	char *line = malloc(48); /* the leak */

	snprintf(line, 48, "request %d", id);
}
#else
/* A line more, and the function moves. */
__attribute__((noinline)) void log_request(int id)
{
	char *line = malloc(48);

	snprintf(line, 48, "request %d", id);
	free(line);
}
#endif

__attribute__((noinline)) void remember(int id)
{
	if (cache[id % 100] == NULL)
		cache[id % 100] = malloc(1000);
}

__attribute__((noinline)) void answer(void)
{
	char *volatile text = malloc(64);

	text[0] = 0;
	free(text);
}

__attribute__((noinline)) void grow(void)
{
	table = realloc(table, (size_t)requests * 16);
}

/* What the functions left on the stack is no pointer of theirs any more. */
__attribute__((noinline)) void scrub(void)
{
	volatile char stack[16384];

	for (unsigned i = 0; i < sizeof(stack); i++)
		stack[i] = 0;
}

int main(void)
{
	int n;

	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	while (scanf("%d", &n) == 1) {
		for (int i = 0; i < n; i++) {
			requests++;
			remember(requests);
			log_request(requests);
			answer();
			grow();
		}
		scrub();
		printf("done %d\n", n);
	}
	_exit(0);
}
