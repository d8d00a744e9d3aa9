/*
 * daemonized FILE N M - forks twice and leaves, as services do; then N threads, all alive at once, do M
 * malloc and free each. Makes FILE when they are done. The heap is used before the first fork, too.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_barrier_t all;
static int rounds;

static void *work(void *arg)
{
	(void)arg;
	for (int i = 0; i < rounds; i++) {
		free(malloc(77));
		if (i == 0)
			pthread_barrier_wait(&all); /* now each has begun to record */
	}
	pthread_barrier_wait(&all);
	return NULL;
}

static void fork_and_leave(void)
{
	if (fork() != 0)
		_exit(0);
}

int main(int argc, char **argv)
{
	int threads = atoi(argv[2]);
	pthread_t id[1024];

	free(malloc(1));
	rounds = atoi(argv[3]);
	fork_and_leave();
	setsid();
	fork_and_leave();
	pthread_barrier_init(&all, NULL, threads);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, NULL) != 0)
			return 1;
	for (int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	close(open(argv[1], O_CREAT | O_WRONLY, 0600));
	return 0;
}
