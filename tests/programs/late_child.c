/* late_child MS - its child uses the heap 1000 times, and first when its parent has been gone for so long. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t parent = getpid();

	(void)argc;
	free(malloc(1));
	if (fork() != 0)
		_exit(0);
	while (getppid() == parent)
		usleep(1000);
	usleep(atoi(argv[1]) * 1000);
	for (int i = 0; i < 1000; i++)
		free(malloc(77));
	return 0;
}
