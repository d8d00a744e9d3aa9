/*
 * service FILE N [stay] - what a service does that is started once or stays: N blocks of 32 bytes, each from its own
 * place of two, every second of them is freed. With "stay" it goes on, some blocks each 5 ms, until SIGTERM.
 * At the end one line is added to FILE: "PID ALLOCATIONS FREES", as the program itself has counted them. No stdio:
 * nothing in it allocates but what is counted.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t over;
static long allocations, frees;

static void on_term(int sig)
{
	(void)sig;
	over = 1;
}

static char *keep_one(void)
{
	allocations++;
	return malloc(32);
}

static void use_one(void)
{
	char *p = malloc(32);

	allocations++;
	p[0] = 1;
	free(p);
	frees++;
}

static char *number(char *to, long n)
{
	char digits[24];
	int i = 0;

	do
		digits[i++] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	while (i > 0)
		*to++ = digits[--i];
	*to++ = ' ';
	return to;
}

int main(int argc, char **argv)
{
	struct timespec nap = {0, 5000000};
	char line[128], *end;
	int fd;

	if (argc < 3)
		return 2;
	signal(SIGTERM, on_term);
	for (long i = 0; i < atol(argv[2]); i++) {
		if (i % 2 == 0)
			keep_one()[0] = 1;
		else
			use_one();
	}
	while (argc > 3 && !over) {
		use_one();
		nanosleep(&nap, NULL);
	}
	end = number(number(number(line, getpid()), allocations), frees);
	end[-1] = '\n';
	fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return 3;
	return write(fd, line, (size_t)(end - line)) != end - line;
}
