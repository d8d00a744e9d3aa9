/*
 * run_delay.h - how long this thread was ready to run and had no processor, in ns, since it began: what a busy
 * machine costs it, which is no fault of who is measured. 0 where the kernel does not tell.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long run_delay_ns(void)
{
	char text[64] = "", *second;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	second = n > 0 ? strchr(text, ' ') : NULL;
	return second == NULL ? 0 : strtoul(second, NULL, 10);
}
