/*
 * loads - modules that come and go. cflags: -D_GNU_SOURCE -rdynamic
 *   loads basic A B          each is opened and closed; A twice
 *   loads loop A B N         in turns, N times, so that one lies where the other did
 *   loads threads A B N      four threads do that, each with one of them
 *   loads wrong A BAD        what fails, and what dlopen says then
 *   loads caller HOST NAME A by a library with a RUNPATH; by RTLD_NEXT; in a namespace of its own; RTLD_DEEPBIND
 *   loads libc A             libc loads a converter by itself
 *   loads fork A             opened here, closed in a child
 *   loads wait A             opens A, says so, makes a heap call for each line, closes it at the line "close"
 */
#include <dlfcn.h>
#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int plugin_choice(void)
{
	return 1;
}

/* A heap call, as programs make them all the time. */
static void *use(void *lib)
{
	void *(*alloc)(int) = lib == NULL ? NULL : (void *(*)(int))dlsym(lib, "plugin_alloc");
	void *volatile p = alloc == NULL ? malloc(10) : alloc(10);

	free(p);
	return lib;
}

static void *open_a(const char *path)
{
	return use(dlopen(path, RTLD_NOW));
}

static void *open_b(const char *path)
{
	return use(dlopen(path, RTLD_LAZY));
}

static int close_a(void *lib)
{
	int r = dlclose(lib);

	free(malloc(1));
	return r;
}

static int close_b(void *lib)
{
	int r = dlclose(lib);

	free(malloc(2));
	return r;
}

static int basic(char **argv)
{
	void *a = open_a(argv[0]), *again = open_a(argv[0]), *b = open_b(argv[1]);

	return a == NULL || a != again || b == NULL || close_a(a) != 0 || close_b(b) != 0 ||
	       close_a(again) != 0;
}

static int loop(char **argv)
{
	for (int n = atoi(argv[2]); n > 0; n--) {
		void *lib = open_a(argv[0]);

		if (lib == NULL || close_a(lib) != 0 || (lib = open_b(argv[1])) == NULL ||
		    close_b(lib) != 0)
			return 1;
	}
	return 0;
}

static char **of_threads;

static void *a_thread(void *is_b)
{
	for (int n = atoi(of_threads[2]); n > 0; n--) {
		void *lib = is_b != NULL ? open_b(of_threads[1]) : open_a(of_threads[0]);

		if (lib == NULL || (is_b != NULL ? close_b(lib) : close_a(lib)) != 0)
			return of_threads;
	}
	return NULL;
}

static int threads(char **argv)
{
	pthread_t t[4];
	int bad = 0;

	of_threads = argv;
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, a_thread, i % 2 == 0 ? NULL : argv);
	for (unsigned i = 0; i < 4; i++) {
		void *r;

		pthread_join(t[i], &r);
		bad |= r != NULL;
	}
	return bad;
}

static int wrong(char **argv)
{
	int before;

	errno = 77;
	printf("%s, ", dlopen("/nonexistent/libnothing.so", RTLD_NOW) == NULL ? "none" : "some");
	printf("%s\n", dlerror());
	printf("%s, ", dlopen(argv[1], RTLD_NOW) == NULL ? "none" : "some");
	printf("%s\n", strstr(dlerror(), "nobody_has_this") != NULL ? "it says what" : "?");
	printf("%s\n", dlopen(argv[0], RTLD_NOW | RTLD_NOLOAD) == NULL ? "none" : "some");
	errno = 77;
	void *a = open_a(argv[0]);

	before = errno;
	printf("errno %d, %d, %d\n", before, close_a(a), errno);
	return 0;
}

static int caller(char **argv)
{
	void *host = dlopen(argv[0], RTLD_NOW), *lib;
	void *(*host_open)(const char *) = (void *(*)(const char *))dlsym(host, "host_open");
	int (*choice)(void) = (int (*)(void))dlsym(host, "host_choice");
	void *(*next)(const char *, int) =
		(void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");

	printf("%s\n", dlopen(argv[1], RTLD_NOW) == NULL ? "not by main" : "by main");
	lib = host_open(argv[1]);
	printf("%s, %d\n", lib != NULL ? "by the host" : dlerror(), lib == NULL ? 0 : close_a(use(lib)));
	lib = next(argv[2], RTLD_NOW);
	printf("%s, %d\n", lib != NULL ? "by the next" : dlerror(), close_a(use(lib)));
	lib = dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW);
	free(malloc(3));
	printf("%s, %d\n", lib != NULL ? "in a namespace" : dlerror(), dlclose(lib));
	printf("choice %d", choice());
	dlclose(host);
	host = dlopen(argv[0], RTLD_NOW | RTLD_DEEPBIND);
	choice = (int (*)(void))dlsym(host, "host_choice");
	printf(", %d\n", choice());
	return 0;
}

static int by_libc(char **argv)
{
	iconv_t c = iconv_open("UTF-16", "ISO-8859-15");
	void *a = open_a(argv[0]);

	return c == (iconv_t)-1 || a == NULL || close_a(a) != 0 || iconv_close(c) != 0;
}

static int forks(char **argv)
{
	void *a = open_a(argv[0]);
	int status = 1;

	if (fork() == 0)
		_exit(close_a(a));
	wait(&status);
	return status;
}

static int waits(char **argv)
{
	void *a = open_a(argv[0]);
	char line[8];

	puts("opened");
	fflush(stdout);
	/* A process that is woken is traced from the next heap call on. */
	while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "close\n") != 0)
		free(malloc(4));
	return close_a(a) != 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*does)(char **argv);
	} ways[] = {{"basic", basic},	{"loop", loop},	   {"threads", threads}, {"wrong", wrong},
		    {"caller", caller}, {"libc", by_libc}, {"fork", forks},      {"wait", waits}};

	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (argc > 2 && strcmp(argv[1], ways[i].name) == 0) {
			int r = ways[i].does(argv + 2);

			puts(r == 0 ? "loads ok" : "loads failed");
			return r;
		}
	return 2;
}
