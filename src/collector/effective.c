/* effective.c - see effective.h. */
#include "collector/effective.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "collector/drain.h"
#include "format/index_format.h"

static_assert((int)FA_WALK_ALLOC == FA_STACK_ALLOC && (int)FA_WALK_REALLOC == FA_STACK_REALLOC &&
		      (int)FA_WALK_FREE == FA_STACK_FREE && FA_WALK_GIVEN == FA_SESSION_STACKS,
	      "the configuration has the same bits");
static_assert((int)FA_CONFIG_IMAGES == FA_SESSION_IMAGES, "and as many images");

static void number(struct fa_autologger *a, const char *key, uint64_t requested, uint64_t effective,
		   const char *why)
{
	char was[24], is[24];

	(void)snprintf(was, sizeof(was), "%llu", (unsigned long long)requested);
	(void)snprintf(is, sizeof(is), "%llu", (unsigned long long)effective);
	fa_config_override(a, key, was, is, why);
}

static void clock_type(struct fa_autologger *a)
{
	if (a->clock_type != FA_CLOCK_TYPE_CYCLES || fa_drain_clock_source() == FA_CLOCK_TSC)
		return;
	a->clock_type = FA_CLOCK_TYPE_COUNTER;
	fa_config_override(a, "ClockType", "3", "1",
			   "the kernel does not trust this machine's cycle counter: CLOCK_MONOTONIC");
}

static void without_file(struct fa_autologger *a)
{
	static const char why[] = "a session that buffers has no file";

	if (a->file_name_given)
		fa_config_override(a, "FileName", a->file_name, "(memory)",
				   "a session that buffers has no file: 'firstalloc save' writes one");
	if (a->file_max != 0)
		number(a, "FileMax", a->file_max, 0, why);
	if (a->max_file_size != 0)
		number(a, "MaxFileSize", a->max_file_size >> 20, 0, why);
	a->file_max = 0;
	a->max_file_size = 0;
}

void fa_autologger_effective(struct fa_autologger *a)
{
	clock_type(a);
	if (a->buffer_size > FA_BUFFER_SIZE_MAX) {
		number(a, "BufferSize", a->buffer_size >> 10, FA_BUFFER_SIZE_MAX >> 10,
		       "no block of a trace is larger");
		a->buffer_size = FA_BUFFER_SIZE_MAX;
	}
	if (a->maximum_buffers != 0 && a->maximum_buffers < a->minimum_buffers) {
		number(a, "MaximumBuffers", a->maximum_buffers, a->minimum_buffers,
		       "not fewer than MinimumBuffers");
		a->maximum_buffers = a->minimum_buffers;
	}
	if (strcmp(a->mode, "buffering") == 0)
		without_file(a);
	if (a->post_boot_delay != 0 && a->stop_after != 0) {
		number(a, "PostBootDelay", a->post_boot_delay, 0, "StopAt is a time already");
		a->post_boot_delay = 0;
	}
	/* The boot is over when what it was to reach has been reached. */
	if (a->post_boot_delay != 0 && a->stop_target[0] == '\0')
		(void)snprintf(a->stop_target, sizeof(a->stop_target), "default.target");
}

void fa_autologger_options(const struct fa_autologger *a, struct fa_session_options *o)
{
	size_t at = 0;

	memset(o, 0, sizeof(*o));
	(void)snprintf(o->name, sizeof(o->name), "%s", a->name);
	o->flags = FA_SESSION_AUTOLOGGER;
	o->policy = a->count ? FA_POLICY_COUNT : FA_POLICY_WAIT;
	o->buffer_size = a->buffer_size;
	o->minimum_buffers = a->minimum_buffers;
	o->maximum_buffers = a->maximum_buffers;
	o->flush_timer = a->flush_timer;
	o->log_file_mode =
		fa_log_mode_of(a->mode) | (a->preallocate ? (uint32_t)FA_LOG_PREALLOCATE : 0);
	o->maximum_file_size = a->max_file_size;
	o->minimum_free = a->min_free;
	o->stacks = a->stacks;
	while (o->image_count < FA_SESSION_IMAGES &&
	       fa_config_next_image(a, &at, o->image[o->image_count], FA_IMAGE_NAME))
		o->image_count++;
}

uint64_t fa_minimum_free(uint64_t session, uint64_t machine, const struct statvfs *v)
{
	uint64_t five;

	if (session == ~0ull)
		return 0;
	if (session != 0 || machine != 0 || v == NULL)
		return session != 0 ? session : machine;
	five = (uint64_t)v->f_blocks * v->f_frsize / 20;
	return five > 1u << 30 ? five : 1u << 30;
}
