/* fork_tree - a parent, a fork child, a grandchild; each leaks its own sizes. Exit status 3. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *keep[100];

int main(void)
{
	int status;
	pid_t child;

	for (int i = 0; i < 10; i++)
		keep[i] = malloc(1000); /* live in all three */
	child = fork();
	if (child == 0) {
		pid_t grandchild;

		free(keep[0]); /* in the child only */
		for (int i = 10; i < 20; i++)
			keep[i] = malloc(2000);
		grandchild = fork();
		if (grandchild == 0) {
			for (int i = 20; i < 30; i++)
				keep[i] = malloc(3000);
			_exit(5);
		}
		if (waitpid(grandchild, &status, 0) < 0 || WEXITSTATUS(status) != 5)
			_exit(1);
		_exit(4);
	}
	keep[40] = malloc(50);
	if (waitpid(child, &status, 0) < 0 || WEXITSTATUS(status) != 4)
		return 1;
	keep[41] = malloc(60);
	_exit(3);
}
