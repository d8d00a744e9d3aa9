/*
 * late_heirs FILE GENERATIONS CHILDREN [END] - forks GENERATIONS times in a row, each parent ending at once, the first child
 * in a session of its own; the last one forks CHILDREN - 1 more. When FILE is there each of these mallocs and frees 77
 * bytes 1000 times, and stays until END is there, too; until then nobody but the first process has used the heap.
 */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	free(malloc(1));
	for (int i = 0; i < atoi(argv[2]); i++) {
		if (fork() != 0)
			_exit(0);
		if (i == 0)
			setsid();
	}
	for (int i = 1; i < atoi(argv[3]); i++)
		if (fork() == 0)
			break;
	alarm(120); /* of a test that has failed nobody makes FILE */
	while (access(argv[1], F_OK) != 0)
		usleep(10000);
	for (int i = 0; i < 1000; i++)
		free(malloc(77));
	while (argc > 4 && access(argv[4], F_OK) != 0)
		usleep(10000);
	_exit(0);
}
