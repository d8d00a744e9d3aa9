/* reading.c - see reading.h. */
#include "cli/reading.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"

struct fa_reading_options fa_reading_options;
static const struct fa_reading_options *const o = &fa_reading_options;

/* ---- filters ---- */

static bool frame_matches(const struct fa_reading *r, const struct fa_frame *f)
{
	return (o->function == NULL ||
		(f->function != NULL && regexec(&r->function, f->function, 0, NULL, 0) == 0)) &&
	       (o->module == NULL ||
		(f->module != NULL && regexec(&r->module, f->module, 0, NULL, 0) == 0));
}

/* A stack is wanted when one of its frames is: with both filters, the same frame. */
static bool stack_wanted(void *ctx, const struct fa_arena *a, uint32_t stack)
{
	struct fa_reading *r = ctx;
	struct fa_frame *frames;
	size_t count;
	uint32_t marks, chain = fa_resolver_chain(r->whole, a, stack);
	bool found = false;

	if (chain == 0 || fa_resolver_frames(r->whole, chain, 0, &frames, &count, &marks) < 0)
		return false;
	for (size_t i = 0; i < count && !found; i++)
		found = frame_matches(r, &frames[i]);
	free(frames);
	return found;
}

static int compile(const char *option, const char *text, regex_t *ret, bool *ret_compiled)
{
	char why[128];
	int r = text == NULL ? 0 : regcomp(ret, text, REG_EXTENDED | REG_NOSUB);

	*ret_compiled = r == 0 && text != NULL;
	if (r == 0)
		return FA_EXIT_OK;
	(void)regerror(r, ret, why, sizeof(why));
	return fa_fail(FA_EXIT_USAGE, "--%s: '%s' is no regular expression: %s", option, text, why);
}

static int read_range(const struct fa_cli *cli, const char *option, const char *text,
		      int (*one)(const char *, uint64_t *), uint64_t *ret_lo, uint64_t *ret_hi)
{
	if (text == NULL || fa_parse_range(text, one, ret_lo, ret_hi) == 0)
		return FA_EXIT_OK;
	return fa_usage(cli,
			"--%s: '%s' is no range: give two values, the smaller first, with a comma "
			"between; either may be left out",
			option, text);
}

static int read_filters(struct fa_reading *r)
{
	struct fa_replay_options *f = &r->filter;
	int status;

	for (int i = 0; i < o->pids.count; i++) {
		uint32_t pid;

		if (fa_parse_u32(o->pids.item[i], &pid) < 0 || pid > INT32_MAX)
			return fa_usage(r->cli, "--pid: '%s' is no process id", o->pids.item[i]);
		r->pids[i] = (int32_t)pid;
	}
	f->snapshot = o->snapshot;
	f->pids = r->pids;
	f->pid_count = o->pids.count;
	f->images = o->images.item;
	f->image_count = o->images.count;
	f->threads = o->threads.item;
	f->thread_count = o->threads.count;
	status = read_range(r->cli, "size", o->size, fa_parse_size, &f->size_lo, &f->size_hi);
	if (status == 0)
		status = read_range(r->cli, "lifetime", o->lifetime, fa_parse_duration,
				    &f->lifetime_lo, &f->lifetime_hi);
	return status;
}

/* ---- progress ---- */

static void show_progress(void *ctx, uint64_t done, uint64_t size)
{
	struct fa_reading *r = ctx;

	/* Whoever waits less than a second needs no comfort. */
	if (!r->cli->progress || fa_mono_ns() - r->started_ns < 1000000000u || size == 0)
		return;
	(void)fprintf(stderr, "\rreading %3" PRIu64 " %%", done / (size / 100 + 1));
	r->progress_shown = true;
}

void fa_reading_end(struct fa_reading *r)
{
	if (r->progress_shown)
		(void)fputs("\r              \r", stderr);
	r->progress_shown = false;
}

/* ---- files ---- */

int fa_reading_failed(const char *path, int error)
{
	if (error == -EBADMSG)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: not a firstalloc trace, or its first bytes are damaged", path);
	if (error == -EPROTONOSUPPORT)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: written by a newer firstalloc, which this one (%s) cannot "
			       "read; update firstalloc",
			       path, FA_VERSION);
	return fa_fail(fa_exit_of(error), "%s: %s", path, fa_strerror(error));
}

void fa_reading_damage(const char *path, const struct fa_replay *r)
{
	const struct fa_trace_damage *d = &r->damage;

	if (d->damaged)
		fa_warn("%s: damaged at byte %" PRIu64 " (%s): %" PRIu64
			" bytes from there to the end are not in this report",
			path, d->offset, d->what, d->bytes);
	else if (d->cut && d->bytes != 0)
		fa_warn("%s: cut at byte %" PRIu64 ": the last %" PRIu64
			" bytes are not in this report",
			path, d->offset, d->bytes);
	else if (d->cut)
		fa_warn("%s: the trace was not ended properly; all of its %" PRIu64
			" bytes were read",
			path, d->offset);
	if (r->unknown_records != 0 || d->unknown_records != 0)
		fa_warn("%s: records of a newer version were skipped; update firstalloc", path);
	if (r->senseless_records != 0)
		fa_warn("%s: %" PRIu64 " records speak of nothing that is known and were skipped",
			path, r->senseless_records);
}

int fa_reading_selection(const char *path, const struct fa_replay *r)
{
	const struct fa_model *m = &r->model;
	const char *names[64];
	int n = 0;

	if (r->snapshot > m->takes)
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "%s: there is no snapshot %u; `firstalloc report --view snapshots` "
			       "lists them",
			       path, r->snapshot);
	if (m->process_count == 0 || (o->pids.count | o->images.count) == 0)
		return FA_EXIT_OK;
	for (size_t i = 0; i < m->process_count; i++) {
		if (m->processes[i]->selected)
			return FA_EXIT_OK;
		if (n < 64)
			names[n++] = m->processes[i]->image;
	}
	if (o->images.count == 0)
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "%s: no process with pid %s; `firstalloc report --view processes` "
			       "lists them",
			       path, o->pids.item[0]);
	const char *near = fa_did_you_mean(o->images.item[0], names, n);

	return fa_fail(FA_EXIT_NOT_FOUND, "%s: no process '%s'%s%s%s", path, o->images.item[0],
		       near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
		       near != NULL ? "'?" : "");
}

unsigned fa_terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint32_t width;

	if (columns != NULL && fa_parse_u32(columns, &width) == 0 && width >= 40)
		return width;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		return size.ws_col;
	return 80;
}

int fa_reading_status(const struct fa_replay *r)
{
	if (r->damage.damaged)
		return FA_EXIT_USAGE;
	if ((r->lost != 0 || r->lost_unknown) && !o->tolerate_lost)
		return FA_EXIT_LOST;
	return FA_EXIT_OK;
}

/* ---- all of it ---- */

static int make_tools(struct fa_reading *r)
{
	const struct fa_symbols_options how = {
		.debug_dirs = o->debug_dirs.item,
		.debug_dir_count = o->debug_dirs.count,
		.debuginfod = o->debuginfod,
	};
	int e = fa_symbols_new(&how, &r->symbols);

	if (e == 0)
		e = fa_resolver_new(r->symbols, !o->no_cull, &r->resolver);
	if (e == 0 && o->fold_recursion)
		fa_resolver_fold(r->resolver);
	if (e == 0 && (o->function != NULL || o->module != NULL)) {
		e = fa_resolver_new(r->symbols, false, &r->whole);
		r->filter.stack_wanted = stack_wanted;
	}
	return e < 0 ? fa_fail(FA_EXIT_FAILED, "%s: %s", r->cli->command, fa_strerror(e))
		     : FA_EXIT_OK;
}

int fa_reading_init(struct fa_reading *r, const struct fa_cli *cli)
{
	int status;

	r->cli = cli;
	r->filter.progress = show_progress;
	r->filter.ctx = r;
	status = read_filters(r);
	if (status == FA_EXIT_OK)
		status = compile("function", o->function, &r->function, &r->has_function);
	if (status == FA_EXIT_OK)
		status = compile("module", o->module, &r->module, &r->has_module);
	return status == FA_EXIT_OK ? make_tools(r) : status;
}

void fa_reading_begin(struct fa_reading *r)
{
	r->started_ns = fa_mono_ns();
}

void fa_reading_done(struct fa_reading *r)
{
	if (r->has_function)
		regfree(&r->function);
	if (r->has_module)
		regfree(&r->module);
	fa_resolver_free(r->resolver);
	fa_resolver_free(r->whole);
	fa_symbols_free(r->symbols);
}
