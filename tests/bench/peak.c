/* peak FILE PROGRAM... - the most resident memory that PROGRAM had, KB, into FILE. A program of C, since what starts it
 * counts as well until it is executed. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage used;
	int status = 1;
	pid_t pid = argc > 2 ? fork() : -1;
	FILE *f;

	if (pid == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) < 0 || (f = fopen(argv[1], "w")) == NULL)
		return 1;
	fprintf(f, "%ld\n", used.ru_maxrss);
	return fclose(f) != 0 || status != 0;
}
