/* test_config.c - firstalloc.ini: values, drop-ins, and what is said of mistakes. libs: base */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/paths.h"
#include "tests/unit/test.h"

static char root[64];
static struct fa_config c;

static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	if (f == NULL)
		return;
	fputs(text, f);
	fclose(f);
}

static void drop(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	unlink(full);
}

static int ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && strcmp(text + a - b, end) == 0;
}

SPEC(no_file_is_all_defaults)
{
	CHECK(fa_config_read(root, &c) == 0);
	CHECK(c.workers == 4 && c.autologgers == 0 && c.problems == 0);
	CHECK(fa_config_autologger(&c, "boot") == NULL);
}

SPEC(every_value_is_read_in_its_unit)
{
	const struct fa_autologger *a;

	put(FA_PATH_INI,
	    "; comment\n[Daemon]\nWorkers = 8\nMappedPerUser=3\nWrittenPerUser = 2\n\n"
	    "[Autologger boot]\nStart=1\nBufferSize = 128\nMinimumBuffers = 2\n"
	    "MaximumBuffers = 64\nFlushTimer = 5\nLogFileMode = circular, preallocate\n"
	    "MaxFileSize = 10\nFileName = /var/log/x.falloc\nPolicy = count\nStatus = 0\n"
	    "FileMax = 16\nFileCounter = 3\n");
	CHECK(fa_config_read(root, &c) == 0);
	CHECK(c.problems == 0);
	CHECK(c.workers == 8 && c.mapped_per_user == 3 << 20 && c.written_per_user == 2 << 20);
	a = fa_config_autologger(&c, "boot");
	CHECK(a != NULL && a->start && a->buffer_size == 128 << 10 && a->minimum_buffers == 2 &&
	      a->maximum_buffers == 64 && a->flush_timer == 5 && a->max_file_size == 10 << 20 &&
	      a->count && a->preallocate && strcmp(a->mode, "circular") == 0 &&
	      a->file_max == 16 && strcmp(a->file_name, "/var/log/x.falloc") == 0);
}

SPEC(a_heading_alone_has_all_defaults)
{
	const struct fa_autologger *a;

	put(FA_PATH_INI, "[Autologger quiet]\n");
	CHECK(fa_config_read(root, &c) == 0);
	a = fa_config_autologger(&c, "quiet");
	CHECK(a != NULL && !a->start && a->problem[0] == '\0' && !a->preallocate &&
	      strcmp(a->mode, "sequential") == 0 &&
	      strcmp(a->file_name, FA_DIR_LOG "/quiet.falloc") == 0);
}

SPEC(a_broken_section_names_file_line_and_key_and_breaks_only_itself)
{
	const struct fa_autologger *bad, *good;

	put(FA_PATH_INI, "[Autologger bad]\nStart = 1\nBufferSize = many\n"
			 "[Autologger good]\nStart = 1\n");
	CHECK(fa_config_read(root, &c) == 0);
	bad = fa_config_autologger(&c, "bad");
	good = fa_config_autologger(&c, "good");
	CHECK(bad != NULL && strstr(bad->problem, "firstalloc.ini:3:") != NULL &&
	      strstr(bad->problem, "BufferSize") != NULL && strstr(bad->problem, "many") != NULL);
	CHECK(good != NULL && good->start && good->problem[0] == '\0');
	CHECK(c.problems == 1);
}

SPEC(unknown_keys_and_lines_that_are_nothing_are_told)
{
	put(FA_PATH_INI, "[Autologger a]\nBuferSize = 4\n[Autologger b]\nStart\n[Autologger c\n"
			 "[Daemon]\nWorkers = 1000\n[Nothing]\nX = 1\n");
	CHECK(fa_config_read(root, &c) == 0);
	CHECK(strstr(fa_config_autologger(&c, "a")->problem, ":2: [Autologger a] BuferSize") !=
	      NULL);
	CHECK(strstr(fa_config_autologger(&c, "b")->problem, ":4:") != NULL);
	CHECK(c.problems >= 5 && c.workers == 4);
}

SPEC(drop_ins_are_read_by_name_and_the_last_value_counts)
{
	const struct fa_autologger *a;

	put(FA_PATH_INI, "[Autologger boot]\nStart = 0\nFlushTimer = 2\n");
	put(FA_DIR_INI "/10.ini", "[Autologger boot]\nStart = 1\n[Autologger more]\nStart = 1\n");
	put(FA_DIR_INI "/20.ini", "[Autologger more]\nStart = 0\n");
	put(FA_DIR_INI "/30.txt", "[Autologger boot]\nStart = 0\n");
	CHECK(fa_config_read(root, &c) == 0);
	a = fa_config_autologger(&c, "boot");
	CHECK(a != NULL && a->start && a->flush_timer == 2 &&
	      ends_with(a->source, "firstalloc.ini"));
	a = fa_config_autologger(&c, "more");
	CHECK(a != NULL && !a->start && ends_with(a->source, "10.ini"));
	drop(FA_DIR_INI "/10.ini");
	drop(FA_DIR_INI "/20.ini");
	drop(FA_DIR_INI "/30.txt");
}

SPEC(long_lines_and_too_many_sections_do_no_harm)
{
	static char text[40000];
	size_t at = 0;

	at += (size_t)sprintf(text, "[Daemon]\nWorkers = ");
	memset(text + at, '9', 5000);
	at += 5000;
	text[at++] = '\n';
	for (int i = 0; i < 100; i++)
		at += (size_t)sprintf(text + at, "[Autologger n%d]\nStart = 1\n", i);
	put(FA_PATH_INI, text);
	CHECK(fa_config_read(root, &c) == 0);
	CHECK(c.workers == 4 && c.autologgers == FA_CONFIG_AUTOLOGGERS);
	CHECK(c.problems == FA_CONFIG_PROBLEMS);
}

SPEC(stacks_by_name_and_number)
{
	const struct fa_autologger *a;

	put(FA_PATH_INI, "[Autologger a]\nStackWalkingFilter = HeapAlloc+0x1024\n"
			 "[Autologger b]\nStackWalkingFilter = 0x1022, VirtualAlloc\n"
			 "[Autologger c]\nStackWalkingFilter = none\n"
			 "[Autologger d]\nStackWalkingFilter = HeapAloc\n");
	CHECK(fa_config_read(root, &c) == 0);
	a = fa_config_autologger(&c, "a");
	CHECK(a->stacks == (FA_WALK_GIVEN | FA_WALK_ALLOC | FA_WALK_FREE) && a->overrides == 0);
	a = fa_config_autologger(&c, "b");
	CHECK(a->stacks == (FA_WALK_GIVEN | FA_WALK_REALLOC) && a->overrides == 1 &&
	      strcmp(a->override[0].requested, "0x1022, VirtualAlloc") == 0 &&
	      strcmp(a->override[0].effective, "realloc") == 0);
	CHECK(fa_config_autologger(&c, "c")->stacks == FA_WALK_GIVEN);
	CHECK(strstr(fa_config_autologger(&c, "d")->problem, ":8: [Autologger d] StackWalkingFilter: 'HeapAloc'") != NULL);
	CHECK(c.problems == 1);
}

SPEC(images_come_one_by_one)
{
	const struct fa_autologger *a;
	char name[64];
	size_t at = 0;

	put(FA_PATH_INI, "[Autologger a]\nImages = nginx,  my prog-2,\n[Autologger b]\nImages = /bin/sh\n"
			 "[Autologger c]\nImages = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n"
			 "[Autologger d]\nImages = firstallocd\n");
	CHECK(fa_config_read(root, &c) == 0);
	a = fa_config_autologger(&c, "a");
	CHECK(fa_config_next_image(a, &at, name, sizeof(name)) && strcmp(name, "nginx") == 0);
	CHECK(fa_config_next_image(a, &at, name, sizeof(name)) && strcmp(name, "my") == 0);
	CHECK(fa_config_next_image(a, &at, name, sizeof(name)) && strcmp(name, "prog-2") == 0);
	CHECK(!fa_config_next_image(a, &at, name, sizeof(name)));
	CHECK(c.problems == 3);
}

SPEC(an_end_is_a_unit_or_a_time)
{
	const struct fa_autologger *a;

	put(FA_PATH_INI, "[Autologger a]\nStopAt = multi-user.target\nPostBootDelay = 7\n"
			 "[Autologger b]\nStopAt = 1m30s\n[Autologger c]\nStopAt = soon\n"
			 "[Autologger d]\nStopAt = --help.target\n");
	CHECK(fa_config_read(root, &c) == 0);
	a = fa_config_autologger(&c, "a");
	CHECK(strcmp(a->stop_target, "multi-user.target") == 0 && a->post_boot_delay == 7);
	CHECK(fa_config_autologger(&c, "b")->stop_after == 90);
	CHECK(c.problems == 2);
}

SPEC(what_cannot_be_had_is_overridden_and_the_last_value_counts)
{
	const struct fa_autologger *a;
	char text[400];

	put(FA_PATH_INI, "[Autologger a]\nClockType = 2\nFlushTimer = 0\nGuid = {1}\nBoot = 1\n"
			 "DisableRealtimePersistence = 0\nStatus = 5\nFileCounter = 3\nClockType = 1\n"
			 "[Autologger b]\nClockType = 4\n");
	CHECK(fa_config_read(root, &c) == 0);
	a = fa_config_autologger(&c, "a");
	CHECK(a->problem[0] == '\0' && a->overrides == 6 && a->clock_type == 1 && a->flush_timer == 1);
	for (int i = 0; i < a->overrides; i++)
		CHECK(strcmp(a->override[i].key, "ClockType") != 0);
	CHECK(strncmp(fa_override_text(text, sizeof(text), &a->override[0]), "FlushTimer: requested 0, effective 1: ",
		      38) == 0);
	CHECK(c.problems == 1);
}

SPEC(a_value_can_be_tried)
{
	char why[200];

	CHECK(fa_config_check_value("FileMax", "16", why, sizeof(why)) == 0);
	CHECK(fa_config_check_value("FileMax", "17", why, sizeof(why)) < 0 && strstr(why, "FileMax: '17'") != NULL);
	CHECK(fa_config_check_value("Filemax", "1", why, sizeof(why)) < 0 && strstr(why, "no such value") != NULL);
}

SPEC(the_file_that_is_installed_has_no_mistake)
{
	fa_config_defaults(&c);
	CHECK(fa_config_read_file("config/firstalloc.ini", &c) == 0);
	CHECK(c.problems == 0 && c.autologgers == 0);
}

static void make_root(void)
{
	char path[256];

	strcpy(root, "/tmp/firstalloc-config.XXXXXX");
	if (mkdtemp(root) == NULL)
		return;
	snprintf(path, sizeof(path), "mkdir -p %s" FA_DIR_INI, root);
	if (system(path) != 0)
		perror(path);
}

int main(void)
{
	char path[256];

	make_root();
	RUN(no_file_is_all_defaults);
	RUN(every_value_is_read_in_its_unit);
	RUN(a_heading_alone_has_all_defaults);
	RUN(a_broken_section_names_file_line_and_key_and_breaks_only_itself);
	RUN(unknown_keys_and_lines_that_are_nothing_are_told);
	RUN(drop_ins_are_read_by_name_and_the_last_value_counts);
	RUN(long_lines_and_too_many_sections_do_no_harm);
	RUN(stacks_by_name_and_number);
	RUN(images_come_one_by_one);
	RUN(an_end_is_a_unit_or_a_time);
	RUN(what_cannot_be_had_is_overridden_and_the_last_value_counts);
	RUN(a_value_can_be_tried);
	RUN(the_file_that_is_installed_has_no_mistake);
	snprintf(path, sizeof(path), "rm -rf %s", root);
	return system(path) != 0 ? 1 : TEST_RESULT();
}
