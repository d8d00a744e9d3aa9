/*
 * phases FOLDER - three phases: 100, 200, 300 blocks of 10, 20, 30 bytes, never freed; those of the second
 * by a thread of its own, "worker", that ends. Each makes FOLDER/done.N and waits for FOLDER/go.N.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *blocks[600];
static int used;

static void *fill(void *arg)
{
	int phase = *(int *)arg;

	for (int i = 0; i < phase * 100; i++)
		blocks[used++] = malloc(phase * 10);
	return NULL;
}

int main(int argc, char **argv)
{
	char path[4096];

	for (int phase = 1; phase <= 3; phase++) {
		if (phase == 2) {
			pthread_t t;

			pthread_create(&t, NULL, fill, &phase);
			pthread_join(t, NULL);
		} else {
			fill(&phase);
		}
		snprintf(path, sizeof(path), "%s/done.%d", argv[1], phase);
		close(open(path, O_CREAT | O_WRONLY, 0600));
		snprintf(path, sizeof(path), "%s/go.%d", argv[1], phase);
		while (access(path, F_OK) != 0)
			usleep(1000);
	}
	return used == 600 ? 0 : 1;
}
