/* handlers N - heap calls in signal handlers that come at any moment of the main program's own, as
 * far as malloc allows: the handler only allocates while the interrupted code is not in malloc. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

static volatile sig_atomic_t count;
static sigjmp_buf away;
static volatile sig_atomic_t jump;

static void on_alarm(int sig)
{
	(void)sig;
	count++;
	if (jump)
		siglongjmp(away, 1);
}

int main(int argc, char **argv)
{
	int want = argc > 1 ? atoi(argv[1]) : 200;
	struct itimerval every = {{0, 500}, {0, 500}};

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	while (count < want) {
		void *p = malloc(100);

		free(p);
		if (sigsetjmp(away, 1) == 0) {
			jump = 1;
			for (volatile int i = 0; i < 100; i++)
				;
		}
		jump = 0;
	}
	puts("handlers ok");
	return 0;
}
