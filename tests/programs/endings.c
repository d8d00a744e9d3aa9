/* endings HOW N - N mallocs of 64 bytes, then end in the way named: return exit _exit abort kill quick exec. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *how = argv[1];
	int n = atoi(argv[2]);

	(void)argc;
	for (int i = 0; i < n; i++)
		if (malloc(64) == NULL)
			return 1;
	if (strcmp(how, "exit") == 0)
		exit(9);
	if (strcmp(how, "_exit") == 0)
		_exit(9);
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "quick") == 0)
		quick_exit(9);
	if (strcmp(how, "exec") == 0)
		execl("/proc/self/exe", "endings", "_exit", argv[2], NULL);
	return 9;
}
