/*
 * leak_server - a small server that leaks: each request is answered, and its session is forgotten.
 * cflags: -g -O2 -fomit-frame-pointer
 * leak_server FIFO: reads numbers from FIFO; for each N handles N requests, then prints "done N".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session {
	char *name;
	char buffer[200];
};

static volatile int sink;

__attribute__((noinline)) struct session *open_session(int id)
{
	struct session *s = malloc(sizeof(*s)); /* the leak: 208 bytes a request */

	s->name = NULL;
	sink = id;
	return s;
}

__attribute__((noinline)) static char *answer(int id)
{
	char *text = malloc(64);

	snprintf(text, 64, "answer %d", id);
	return text;
}

__attribute__((noinline)) void handle_request(int id)
{
	struct session *s = open_session(id);
	char *text = answer(id);

	memcpy(s->buffer, text, strlen(text) + 1);
	free(text);
	sink = s->buffer[0];
}

int main(int argc, char **argv)
{
	static char line[64];
	FILE *in = argc > 1 ? fopen(argv[1], "r") : stdin;
	int id = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (in == NULL)
		return 1;
	while (fgets(line, sizeof(line), in) != NULL) {
		int n = atoi(line);

		for (int i = 0; i < n; i++)
			handle_request(id++);
		printf("done %d\n", n);
	}
	pause();
	return 0;
}
