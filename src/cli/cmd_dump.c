/*
 * cmd_dump.c - `firstalloc dump FILE`: every record of a trace, for people and for programs.
 *
 * The file is read twice: stamps become time only with the last CLOCK record of the trace.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/command.h"
#include "cli/dump_internal.h"
#include "cli/range.h"

static struct {
	uint32_t pid;
	uint32_t process;
	const char *records;
	bool stats;
	bool no_events;
	const char *range;
} options;

/* The processes that --pid and --process chose, with their arenas. */
struct chosen {
	struct {
		uint32_t process;
		uint32_t arena;
	} * item;
	size_t count;
	size_t cap;
};

static void free_chosen(struct chosen *c)
{
	free(c->item);
}

static bool filtered(void)
{
	return options.pid != 0 || options.process != 0;
}

static int choose(struct chosen *c, const struct fa_rec_process *p)
{
	if ((options.pid != 0 && (uint32_t)p->pid != options.pid) ||
	    (options.process != 0 && p->process != options.process))
		return 0;
	if (c->count == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		void *bigger = reallocarray(c->item, cap, sizeof(*c->item));

		if (bigger == NULL)
			return -ENOMEM;
		c->item = bigger;
		c->cap = cap;
	}
	c->item[c->count].process = p->process;
	c->item[c->count++].arena = p->arena;
	return 0;
}

static bool has_process(const struct chosen *c, uint32_t process)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->item[i].process == process)
			return true;
	return false;
}

static bool has_arena(const struct chosen *c, uint32_t arena)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->item[i].arena == arena)
			return true;
	return false;
}

/* Does the filter show this record? What belongs to no process is always shown. */
static bool is_chosen(const struct chosen *c, const struct fa_trace_record *rec)
{
	uint32_t first;

	memcpy(&first, rec->head, sizeof(first));
	switch (rec->tag) {
	case FA_TAG_PROCESS:
	case FA_TAG_PROCESS_END:
	case FA_TAG_THREAD:
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
	case FA_TAG_EXTENTS:
	case FA_TAG_THREAD_END:
	case FA_TAG_LOST:
	case FA_TAG_THREAD_LOST:
		return has_process(c, first);
	case FA_TAG_MODULE:
	case FA_TAG_NODES:
		return has_arena(c, first);
	case FA_TAG_COVERAGE:
		return options.pid == first;
	default:
		return true;
	}
}

/* --- --records --- */

static uint64_t bits_of_word(const char *word, size_t len)
{
	for (unsigned tag = 0; tag < 32; tag++) {
		const char *name = fa_dump_tag_name(tag);

		if (fa_trace_tag_size(tag) >= 0 && strlen(name) == len &&
		    strncasecmp(word, name, len) == 0)
			return FA_DUMP_BIT(tag) |
			       (tag == FA_TAG_EVENTS  ? ~0ULL << 32 & ~FA_DUMP_EVENT_BIT(FA_EV_CALL)
				: tag == FA_TAG_CALLS ? FA_DUMP_EVENT_BIT(FA_EV_CALL)
						      : 0);
	}
	for (unsigned kind = FA_EV_FREE; kind <= FA_EV_CALL; kind++) {
		const char *name = fa_dump_event_name(kind);

		if (strlen(name) == len && strncasecmp(word, name, len) == 0)
			return FA_DUMP_EVENT_BIT(kind);
	}
	return 0;
}

static int unknown_word(const struct fa_cli *cli, const char *word, size_t len)
{
	static const char *const names[] = {
#define X(name, number, type, text) #name,
		FA_TRACE_RECORDS(X)
#undef X
			"ALLOC",
		"REALLOC", "FREE", "STAMP", "CALL"};
	char given[64], upper[64];
	const char *near;

	(void)snprintf(given, sizeof(given), "%.*s", (int)(len > 63 ? 63 : len), word);
	for (size_t i = 0; i < sizeof(upper); i++)
		upper[i] = (char)(given[i] >= 'a' && given[i] <= 'z' ? given[i] - 32 : given[i]);
	near = fa_did_you_mean(upper, names, (int)(sizeof(names) / sizeof(names[0])));
	if (near != NULL)
		return fa_usage(cli, "--records: there is no record '%s'; did you mean '%s'?",
				given, near);
	return fa_usage(cli, "--records: there is no record '%s'", given);
}

static int parse_kinds(const struct fa_cli *cli, uint64_t *ret)
{
	const char *p = options.records;
	uint64_t kinds = p == NULL ? ~0ULL : 0;

	while (p != NULL && *p != '\0') {
		size_t len = strcspn(p, ",");
		uint64_t bits = bits_of_word(p, len);

		if (bits == 0)
			return unknown_word(cli, p, len);
		kinds |= bits;
		p += len + (p[len] == ',');
	}
	if (options.no_events)
		kinds &= ~0ULL >> 32;
	*ret = kinds;
	return 0;
}

/* --- the two readings --- */

static int open_failed(const char *path, int error)
{
	if (error == -EBADMSG)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: not a firstalloc trace, or its first bytes are damaged", path);
	if (error == -EPROTONOSUPPORT)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: written by a newer firstalloc, which this one (%s) cannot "
			       "read; update firstalloc",
			       path, FA_VERSION);
	if (error == -ESPIPE)
		return fa_fail(FA_EXIT_FAILED, "%s: a trace is read from a regular file only",
			       path);
	return fa_fail(fa_exit_of(error), "%s: %s", path, fa_strerror(error));
}

static void free_reader(struct fa_trace_reader **r)
{
	fa_trace_reader_free(*r);
}

static int read_clocks(const char *path, struct fa_dump *d)
{
	FA_CLEANUP(free_reader) struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	int e = fa_trace_reader_open(path, &r);

	if (e < 0)
		return e;
	while (fa_trace_reader_next(r, &rec)) {
		if (rec.tag == FA_TAG_CLOCK)
			fa_trace_clock_add(&d->clock, rec.head);
		else if (rec.tag == FA_TAG_MACHINE)
			fa_trace_clock_machine(&d->clock, rec.head);
	}
	d->start_ns = (int64_t)d->clock.first.mono_ns;
	return 0;
}

/* Says on stderr what could not be shown. Returns the exit status. */
static int end_status(const char *path, const struct fa_dump *d, const struct fa_trace_damage *g)
{
	int status = FA_EXIT_OK;

	if (g->damaged)
		status = fa_fail(FA_EXIT_USAGE,
				 "%s: damaged at byte %" PRIu64 " (%s): %" PRIu64
				 " bytes from there to the end could not be read",
				 path, g->offset, g->what, g->bytes);
	else if (g->cut && g->bytes != 0)
		status = fa_fail(FA_EXIT_USAGE,
				 "%s: cut at byte %" PRIu64 " (%s): the last %" PRIu64
				 " bytes could not be used",
				 path, g->offset, g->what, g->bytes);
	else if (g->cut)
		fa_warn("%s: the trace was not ended properly; all of its %" PRIu64
			" bytes were read",
			path, g->offset);
	if (g->unknown_records != 0)
		fa_warn("%s: %" PRIu64 " records of a newer version were skipped", path,
			g->unknown_records);
	if (d->malformed != 0)
		status = fa_fail(FA_EXIT_USAGE, "%s: %" PRIu64 " records have malformed contents",
				 path, d->malformed);
	return status;
}

/* fd: the same file, for the headers of its blocks. */
static int show(struct fa_trace_reader *r, int fd, struct fa_dump *d)
{
	FA_CLEANUP(free_chosen) struct chosen chosen = {0};
	struct fa_dump_stats stats = {0};
	struct fa_trace_damage damage;
	struct fa_trace_record rec;

	while (!ferror(d->out) && fa_trace_reader_next(r, &rec)) {
		if (rec.tag == FA_TAG_PROCESS && filtered() && choose(&chosen, rec.head) < 0)
			return -ENOMEM;
		if (filtered() && !is_chosen(&chosen, &rec))
			continue;
		if (options.stats)
			fa_dump_count(&stats, fd, &rec);
		else
			fa_dump_record(d, &rec);
	}
	damage = fa_trace_reader_damage(r);
	if (options.stats)
		fa_dump_print_stats(d, &stats, fa_trace_reader_size(r), &damage);
	return 0;
}

static int dump_file(const char *path, struct fa_dump *d)
{
	FA_CLEANUP(free_reader) struct fa_trace_reader *r = NULL;
	FA_CLEANUP(fa_close) int fd = -1;
	struct fa_trace_damage damage;
	int e = fa_trace_reader_open(path, &r);

	if (e < 0)
		return open_failed(path, e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return open_failed(path, -errno);
	e = options.stats ? 0 : read_clocks(path, d);
	if (e < 0)
		return open_failed(path, e);
	e = show(r, fd, d);
	if (e < 0)
		return fa_fail(fa_exit_of(e), "%s: %s", path, fa_strerror(e));
	/* Lines that were written before the complaint stand before it. */
	(void)fflush(d->out);
	damage = fa_trace_reader_damage(r);
	return end_status(path, d, &damage);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_dump d = {.out = stdout, .json = cli->json, .range_hi = UINT64_MAX};
	int status;

	if (argc != 1)
		return fa_usage(cli, argc == 0 ? "which trace file?" : "one trace file at a time");
	status = parse_kinds(cli, &d.kinds);
	if (status == 0)
		status = fa_range_parse(cli, options.range, argv[0], &d.range_lo, &d.range_hi);
	if (status != 0)
		return status;
	fa_json_init(&d.j, stdout, false);
	return dump_file(argv[0], &d);
}

static const struct fa_option dump_options[] = {
	{0, "pid", "PID", FA_OPT_U32, &options.pid, "only processes with this pid", NULL},
	{0, "process", "N", FA_OPT_U32, &options.process, "only process N of the trace", NULL},
	{0, "range", "T1,T2", FA_OPT_STRING, &options.range,
	 "only what happened from T1 up to T2: 2s,10s or mark:TEXT,mark:TEXT", NULL},
	{0, "records", "KIND,...", FA_OPT_STRING, &options.records,
	 "only these kinds: process, module, events, alloc, free, ...", NULL},
	{0, "no-events", NULL, FA_OPT_FLAG, &options.no_events, "leave the single events out",
	 NULL},
	{0, "stats", NULL, FA_OPT_FLAG, &options.stats,
	 "count records, events and blocks instead of showing them", NULL},
	{0},
};

const struct fa_command fa_cmd_dump = {
	.name = "dump",
	.group = "Traces",
	.summary = "print every record of a trace",
	.synopsis = "FILE [--pid PID] [--process N] [--range T1,T2] [--records KIND,...] [--no-events] [--stats]",
	.description =
		"Prints one line for each record of the trace and one for each heap event in it: "
		"the time in seconds since the session began, the kind, then its values. Stack "
		"ids are node ids: the frame of a node is in its node line, the caller's frame in "
		"that of its parent.\n\n"
		"With --json each line is an object; times are in nanoseconds, addresses are "
		"strings in hexadecimal.\n\n"
		"The time of an event that carries no stamp of its own is that of the stamp "
		"before it in its thread.\n\n"
		"--range leaves out what happened before T1, or at T2 and later; records that "
		"define something (processes, modules, nodes) are shown in any case. mark:TEXT is "
		"the moment of the first mark with that text (firstalloc mark).\n\n"
		"A damaged trace is shown up to the damage; then the exit status is 2 and a line "
		"on stderr says where it is. A trace that was not ended properly, because it is "
		"still being written or the machine went down, is shown up to its last whole "
		"block.",
	.examples = "firstalloc dump daily.falloc | less # look at everything\n"
		    "firstalloc dump daily.falloc --stats # what the file consists of\n"
		    "firstalloc dump daily.falloc --pid 4711 --records alloc,free --json "
		    "# events of one process, for a program",
	.options = dump_options,
	.run = run,
};
