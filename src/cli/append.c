/*
 * append.c - see append.h. The trace is read by the caller, not by firstallocd: it may be long, and it is the
 * caller's.
 */
#include "cli/append.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/command.h"
#include "format/control_format.h"
#include "trace/reader.h"

struct found {
	bool machine;
	char boot_id[64];
	uint32_t highest;
};

static void raise_to(struct found *f, uint32_t id)
{
	if (id > f->highest)
		f->highest = id;
}

/* The strings of MACHINE: kernel name, release, version, machine, host name, boot id. */
static void take_machine(struct found *f, const struct fa_trace_record *rec)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;

	f->machine = true;
	for (int i = 0; i < 5; i++)
		(void)fa_trace_string(&tail, &len);
	(void)snprintf(f->boot_id, sizeof(f->boot_id), "%s", fa_trace_string(&tail, &len));
}

static void take(struct found *f, const struct fa_trace_record *rec)
{
	const struct fa_rec_process *p = rec->head;

	if (rec->tag == FA_TAG_MACHINE) {
		take_machine(f, rec);
	} else if (rec->tag == FA_TAG_PROCESS) {
		raise_to(f, p->process);
		raise_to(f, p->arena);
	}
}

static bool same_boot(const struct found *f)
{
	char *boot = NULL;
	size_t len;
	bool same;

	if (fa_read_file("/proc/sys/kernel/random/boot_id", 64, &boot, &len) < 0)
		return false;
	boot[strcspn(boot, "\n")] = '\0';
	same = boot[0] != '\0' && strcmp(boot, f->boot_id) == 0;
	free(boot);
	return same;
}

/* NULL: it may be appended to. */
static const char *read_all(struct fa_trace_reader *r, struct found *f)
{
	struct fa_trace_record rec;
	struct fa_trace_damage d;

	if ((fa_trace_reader_header(r)->incompatible & FA_TRACE_CIRCULAR) != 0)
		return "it is a circular trace";
	while (fa_trace_reader_next(r, &rec) == 1)
		take(f, &rec);
	d = fa_trace_reader_damage(r);
	if (d.damaged)
		return "it is damaged";
	if (!f->machine)
		return "it does not say of which machine it is";
	if (!same_boot(f))
		return "it is of another machine, or of another boot of this one: its clock was "
		       "another";
	return f->highest > FA_FIRST_ID_MAX ? "its ids are used up" : NULL;
}

int fa_append_check(const char *path, int fd, uint32_t *ret_first_id)
{
	struct fa_trace_reader *r = NULL;
	struct found f = {0};
	const char *what;
	int own = dup(fd);
	int e = own < 0 ? -errno : fa_trace_reader_open_fd(own, &r);

	if (e == -EBADMSG)
		return fa_fail(FA_EXIT_FAILED, "%s cannot be appended to: it is no trace", path);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
	what = read_all(r, &f);
	fa_trace_reader_free(r);
	if (what != NULL)
		return fa_fail(FA_EXIT_FAILED, "%s cannot be appended to: %s", path, what);
	*ret_first_id = f.highest;
	return 0;
}
