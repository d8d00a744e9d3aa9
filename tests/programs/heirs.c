/*
 * heirs UID FILE READY - forks a child that becomes UID and mallocs and frees 77 bytes, over and over, until FILE is
 * there; then it writes how often into READY.rounds. It writes its pid into READY when 200,000 rounds are done,
 * which is more than the first segment of an arena takes. Its parent ends at once.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_new(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
}

int main(int argc, char **argv)
{
	unsigned long rounds = 0;
	char name[512];
	int ready, result;

	snprintf(name, sizeof(name), "%s.rounds", argv[3]);
	ready = open_new(argv[3]);
	result = open_new(name);
	free(malloc(76));
	if (fork() != 0)
		_exit(0);
	alarm(120); /* of a test that has failed nobody makes FILE */
	if (setregid(atoi(argv[1]), atoi(argv[1])) || setreuid(atoi(argv[1]), atoi(argv[1])))
		_exit(1);
	while (access(argv[2], F_OK) != 0) {
		for (int i = 0; i < 100; i++)
			free(malloc(77));
		rounds += 100;
		if (rounds == 200000)
			dprintf(ready, "%d", (int)getpid());
		if (rounds > 200000)
			usleep(1000);
	}
	dprintf(result, "%lu", rounds);
	return 0;
}
