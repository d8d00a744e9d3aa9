/* guest_watched WHAT [N]: a program that does to itself what concerns a guest, and prints what became of it.
 *   dumpable   not dumpable from now on, then churns with 100 threads, so that the arena must grow
 *   drop       gives up root (when it has it), then the same
 *   closed     closes all descriptors from 3 on, then churns; says which number the next one gets
 *   bomb N     a tree of N levels, two children each, each executing this program anew
 *   core       churns, then says how many KiB a core dump would hold
 *   loop N     N calls of malloc and free, in a loop that a debugger may stop anywhere; prints their sum */
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *churn(void *rounds)
{
	for (long i = 0; i < (long)rounds; i++)
		free(malloc(16 + (size_t)i % 3000));
	return NULL;
}

static int with_threads(void)
{
	pthread_t t[100];
	int n = 0;

	while (n < 100 && pthread_create(&t[n], NULL, churn, (void *)500) == 0)
		n++;
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	printf("%d threads\n", n);
	return n == 100 ? 0 : 1;
}

static int dumpable(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return 2;
	return with_threads();
}

static int drop(void)
{
	if (getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
		return 2;
	return with_threads();
}

static int closed(void)
{
	syscall(SYS_close_range, 3, ~0U, 0);
	churn((void *)200000);
	printf("next descriptor %d\n", open("/dev/null", O_RDONLY));
	return 5;
}

static int bomb(const char *self, int levels)
{
	int bad = 0, status;

	churn((void *)20);
	for (int i = 0; i < 2 && levels > 0; i++) {
		pid_t pid = fork();
		char text[8];

		if (pid < 0)
			return 2;
		if (pid == 0) {
			sprintf(text, "%d", levels - 1);
			execl(self, self, "bomb", text, (char *)NULL);
			_exit(3);
		}
	}
	while (wait(&status) > 0)
		bad += status != 0;
	return bad;
}

/* Size of all private or shared memory that is not marked to be left out. */
static int core(void)
{
	FILE *f;
	char line[512];
	long size = 0, sum = 0, is_file = 0;

	churn((void *)200000);
	f = fopen("/proc/self/smaps", "re");
	if (f == NULL)
		return 2;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' '))
			is_file = strstr(line, " r--p ") != NULL || strstr(line, " r-xp ") != NULL;
		if (sscanf(line, "Rss: %ld", &size) == 1)
			continue;
		if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd") == NULL && !is_file)
			sum += size;
	}
	fclose(f);
	fprintf(stderr, "core %ld KiB\n", sum);
	return 0;
}

static int loop(long n)
{
	unsigned long sum = 0;

	for (long i = 0; i < n; i++) {
		char *p = malloc(10 + (size_t)i % 50);

		p[0] = (char)i;
		sum += (unsigned char)p[0];
		free(p);
	}
	printf("sum %lu\n", sum);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0;

	switch (what[0]) {
	case 'd':
		return strcmp(what, "drop") == 0 ? drop() : dumpable();
	case 'c':
		return strcmp(what, "core") == 0 ? core() : closed();
	case 'b':
		return bomb(argv[0], n);
	case 'l':
		return loop(n);
	default:
		return 99;
	}
}
