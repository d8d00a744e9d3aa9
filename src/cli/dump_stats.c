/*
 * dump_stats.c - `dump --stats`: what a trace consists of. Blocks are counted when their first
 * record comes by; their headers are read again from the file, which the reader has checked.
 */
#include <inttypes.h>
#include <unistd.h>

#include "cli/dump_internal.h"

static const char *const codecs[] = {"raw", "lz4", "zstd"};

static void count_block(struct fa_dump_stats *s, int fd, uint64_t offset)
{
	struct fa_block_header h;

	if (offset == s->last_block)
		return;
	s->last_block = offset;
	if (pread(fd, &h, sizeof(h), (off_t)offset) != (ssize_t)sizeof(h) ||
	    h.codec > FA_CODEC_ZSTD)
		return;
	s->codec[h.codec].blocks++;
	s->codec[h.codec].stored += sizeof(h) + h.stored_size;
	s->codec[h.codec].raw += h.raw_size;
}

static void count_events(struct fa_dump_stats *s, const struct fa_trace_record *rec)
{
	const struct fa_rec_events *r = rec->head;
	struct fa_event_state st = r->state;
	const unsigned char *p = rec->tail;
	size_t left = rec->tail_len;
	struct fa_event e;

	s->event_bytes += rec->tail_len;
	while (left > 0 && r->codec == FA_EVENT_CODEC) {
		int n = fa_event_get(p, left, &st, &e);

		if (n <= 0)
			return;
		s->kind[e.kind]++;
		p += n;
		left -= (size_t)n;
	}
}

void fa_dump_count(struct fa_dump_stats *s, int fd, const struct fa_trace_record *rec)
{
	count_block(s, fd, rec->block_offset);
	s->record[rec->tag].count++;
	s->record[rec->tag].bytes += sizeof(struct fa_record_header) + rec->tail_len +
				     (uint64_t)fa_trace_tag_size(rec->tag);
	if (rec->tag == FA_TAG_EVENTS || rec->tag == FA_TAG_CALLS)
		count_events(s, rec);
}

static uint64_t events_of(const struct fa_dump_stats *s)
{
	return s->kind[FA_EV_FREE] + s->kind[FA_EV_ALLOC] + s->kind[FA_EV_REALLOC] +
	       s->kind[FA_EV_CALL];
}

static double per_event(const struct fa_dump_stats *s, uint64_t bytes)
{
	return events_of(s) != 0 ? (double)bytes / (double)events_of(s) : 0;
}

static void print_json(const struct fa_dump *d, const struct fa_dump_stats *s, uint64_t file_bytes,
		       const struct fa_trace_damage *damage)
{
	struct fa_json j = d->j;

	fa_json_object(&j, NULL);
	fa_json_u64(&j, "file_bytes", file_bytes);
	fa_json_object(&j, "records");
	for (unsigned tag = 0; tag < 32; tag++) {
		if (s->record[tag].count == 0)
			continue;
		fa_json_object(&j, fa_dump_tag_name(tag));
		fa_json_u64(&j, "count", s->record[tag].count);
		fa_json_u64(&j, "bytes", s->record[tag].bytes);
		fa_json_end_object(&j);
	}
	fa_json_end_object(&j);
	fa_json_object(&j, "events");
	for (unsigned kind = FA_EV_FREE; kind <= FA_EV_CALL; kind++)
		fa_json_u64(&j, fa_dump_event_name(kind), s->kind[kind]);
	fa_json_end_object(&j);
	fa_json_object(&j, "blocks");
	for (unsigned codec = 0; codec < 3; codec++) {
		fa_json_object(&j, codecs[codec]);
		fa_json_u64(&j, "count", s->codec[codec].blocks);
		fa_json_u64(&j, "stored_bytes", s->codec[codec].stored);
		fa_json_u64(&j, "raw_bytes", s->codec[codec].raw);
		fa_json_end_object(&j);
	}
	fa_json_end_object(&j);
	fa_json_double(&j, "encoded_bytes_per_event", per_event(s, s->event_bytes));
	fa_json_double(&j, "file_bytes_per_event", per_event(s, file_bytes));
	fa_json_u64(&j, "unknown_records", damage->unknown_records);
	fa_json_bool(&j, "damaged", damage->damaged);
	fa_json_bool(&j, "cut", damage->cut);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static void print_text(FILE *out, const struct fa_dump_stats *s, uint64_t file_bytes)
{
	(void)fprintf(out, "%-14s %14s %16s\n", "record", "count", "bytes");
	for (unsigned tag = 0; tag < 32; tag++)
		if (s->record[tag].count != 0)
			(void)fprintf(out, "%-14s %14" PRIu64 " %16" PRIu64 "\n",
				      fa_dump_tag_name(tag), s->record[tag].count,
				      s->record[tag].bytes);
	(void)fprintf(out, "\n%-14s %14s\n", "event", "count");
	for (unsigned kind = FA_EV_FREE; kind <= FA_EV_CALL; kind++)
		(void)fprintf(out, "%-14s %14" PRIu64 "\n", fa_dump_event_name(kind),
			      s->kind[kind]);
	(void)fprintf(out, "\n%-14s %14s %16s %16s\n", "codec", "blocks", "stored", "raw");
	for (unsigned codec = 0; codec < 3; codec++)
		if (s->codec[codec].blocks != 0)
			(void)fprintf(out, "%-14s %14" PRIu64 " %16" PRIu64 " %16" PRIu64 "\n",
				      codecs[codec], s->codec[codec].blocks, s->codec[codec].stored,
				      s->codec[codec].raw);
	(void)fprintf(out, "\nfile: %" PRIu64 " bytes", file_bytes);
	if (events_of(s) != 0)
		(void)fprintf(out, ", %.2f an event; events encoded in %.2f bytes each",
			      per_event(s, file_bytes), per_event(s, s->event_bytes));
	(void)fputc('\n', out);
}

void fa_dump_print_stats(const struct fa_dump *d, const struct fa_dump_stats *s,
			 uint64_t file_bytes, const struct fa_trace_damage *damage)
{
	if (d->json)
		print_json(d, s, file_bytes, damage);
	else
		print_text(d->out, s, file_bytes);
}
