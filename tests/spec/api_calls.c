/*
 * api_calls.c - one call of the C library, as the spec asks for it; prints the error's name and what came.
 *   api_calls ROOT start NAME FILE [WORD=NUMBER...]   api_calls ROOT query|flush|stop NAME|HANDLE
 *   api_calls ROOT update_to NAME FILE
 *   api_calls ROOT update NAME [WORD=NUMBER...]    api_calls ROOT threads     api_calls ROOT mark TEXT [NAME]
 * Words of start and update: mode flags buffer minimum maximum size timer policy length (of the properties) pid ids
 * (so many ids of type alloc) odd (so many of unknown provider and type) free (one of type free).
 */
#include <firstalloc.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fa_trace_properties p;
static struct fa_stack_event_id ids[1000];
static uint32_t pids[2000], pid_count, id_count;
static int32_t pid_errors[2000];

static void take(const char *word, uint32_t n)
{
	static const unsigned char heap[16] = FA_HEAP_PROVIDER;
	static const struct {
		const char *name;
		uint32_t *to;
	} number[] = {{"mode", &p.settings.log_file_mode},  {"flags", &p.settings.flags},
		      {"buffer", &p.settings.buffer_size},  {"minimum", &p.settings.minimum_buffers},
		      {"maximum", &p.settings.maximum_buffers}, {"size", &p.settings.maximum_file_size},
		      {"timer", &p.settings.flush_timer},   {"policy", &p.settings.policy},
		      {"length", &p.size}};

	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		if (strcmp(word, number[i].name) == 0)
			*number[i].to = n;
	if (strcmp(word, "pid") == 0)
		pids[pid_count++] = n;
	for (; (strcmp(word, "ids") == 0 || strcmp(word, "odd") == 0) && n > 0; n--) {
		memcpy(ids[id_count].provider, heap, word[0] == 'i' || n % 2 ? 16 : 3);
		ids[id_count++].type = word[0] == 'i' ? FA_HEAP_TYPE_ALLOC : 0x7f;
	}
	if (strcmp(word, "free") == 0) {
		memcpy(ids[id_count].provider, heap, 16);
		ids[id_count++].type = FA_HEAP_TYPE_FREE;
	}
}

static void say(const char *what, const struct fa_trace_settings *s)
{
	printf(" %s: buffer %u minimum %u maximum %u size %u timer %u mode %u policy %u flags %u\n", what,
	       s->buffer_size, s->minimum_buffers, s->maximum_buffers, s->maximum_file_size,
	       s->flush_timer, s->log_file_mode, s->policy, s->flags);
}

static int done(int e)
{
	printf("%s\n", fa_error_name(e));
	if (e != FA_OK)
		fprintf(stderr, "%s\n", fa_error_message());
	return e != FA_OK;
}

static void take_words(int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		char *equals = strchr(argv[i], '=');

		*equals = '\0';
		take(argv[i], (uint32_t)strtoul(equals + 1, NULL, 0));
	}
}

static int start(int argc, char **argv)
{
	fa_trace_handle handle = 77;
	int e;

	p.size = sizeof(p);
	p.pid_errors = pid_errors;
	memset(pid_errors, 0x7f, sizeof(pid_errors));
	snprintf(p.log_file_name, sizeof(p.log_file_name), "%s", argv[4]);
	take_words(argc - 5, argv + 5);
	e = fa_start_heap_trace(&handle, &p, argv[3], pid_count ? pids : NULL, pid_count,
				id_count ? ids : NULL, id_count);
	(void)done(e);
	printf(" handle %" PRIu64 "\n", handle);
	say("requested", &p.requested);
	say("effective", &p.settings);
	printf(" joined %u woken %u attached %u failed %u:", p.joined, p.woken, p.pids_attached, p.pids_failed);
	for (uint32_t i = 0; i < pid_count; i++)
		printf(" %s", fa_error_name(pid_errors[i]));
	printf("\n");
	if (e == FA_OK && p.pids_failed > 0)
		fprintf(stderr, "%s\n", fa_error_message());
	return e != FA_OK;
}

static int control(const char *verb, const char *which, int argc, char **argv)
{
	char *end;
	fa_trace_handle handle = strtoull(which, &end, 10);
	const char *name = *end != '\0' ? which : NULL;
	int e;

	p.size = sizeof(p);
	p.pid_errors = pid_errors;
	if (strcmp(verb, "update_to") == 0)
		snprintf(p.log_file_name, sizeof(p.log_file_name), "%s", argv[0]);
	else
		take_words(argc, argv);
	e = strcmp(verb, "query") == 0   ? fa_query_trace(handle, name, &p)
	    : strcmp(verb, "flush") == 0 ? fa_flush_trace(handle, name, &p)
	    : strcmp(verb, "stop") == 0  ? fa_stop_trace(handle, name, &p)
					 : fa_update_heap_trace(&p, name, pids, pid_count, ids, id_count);
	if (done(e) == 0) {
		printf(" name %s state %u events %" PRIu64 " lost %" PRIu64 " written %" PRIu64
		       " bytes %" PRIu64 " processes %u file %s\n",
		       p.session_name, p.state, p.events, p.events_lost, p.buffers_written,
		       p.bytes_written, p.processes, p.log_file_name);
		say("requested", &p.requested);
		say("effective", &p.settings);
		printf(" attached %u failed %u\n", p.pids_attached, p.pids_failed);
	}
	return e != FA_OK;
}

/* Each thread has a message of its own. */
static void *fail_and_wait(void *other)
{
	pthread_barrier_t *both = other;

	(void)fa_query_trace(0, "no/name", NULL);
	pthread_barrier_wait(both);
	return NULL;
}

static int threads(void)
{
	struct fa_trace_properties q = {.size = 3};
	pthread_barrier_t both;
	pthread_t t;

	pthread_barrier_init(&both, NULL, 2);
	pthread_create(&t, NULL, fail_and_wait, &both);
	(void)fa_query_trace(1, NULL, &q);
	pthread_barrier_wait(&both);
	pthread_join(t, NULL);
	return strstr(fa_error_message(), "properties of 3 bytes") == NULL;
}

int main(int argc, char **argv)
{
	if (argc < 3 || fa_set_root(argv[1]) != FA_OK)
		return 2;
	if (strcmp(argv[2], "threads") == 0)
		return threads();
	if (strcmp(argv[2], "mark") == 0)
		return done(fa_mark(argv[3], argc > 4 ? argv[4] : NULL));
	return argc < 4 ? 2 : strcmp(argv[2], "start") == 0 ? start(argc, argv) : control(argv[2], argv[3], argc - 4, argv + 4);
}
