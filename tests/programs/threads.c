/* threads N M - N threads do M malloc and free each, half of the blocks freed by the next thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 256 };
static _Atomic(void *) slot[MOST];
static int threads, rounds;

static void *work(void *arg)
{
	long id = (long)arg;

	for (int i = 0; i < rounds; i++) {
		void *p = malloc(16 + (size_t)(i % 100));

		if (i & 1) {
			free(p);
		} else {
			void *old = atomic_exchange(&slot[(id + 1) % threads], p);

			free(old);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id[MOST];

	threads = argc > 1 ? atoi(argv[1]) : 4;
	rounds = argc > 2 ? atoi(argv[2]) : 10000;
	for (long i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)i) != 0)
			return 1;
	for (int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	for (int i = 0; i < threads; i++)
		free(slot[i]);
	puts("threads ok");
	return 0;
}
