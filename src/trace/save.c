/* save.c - see save.h. */
#include "trace/save.h"

#include <errno.h>
#include <unistd.h>

#include "trace/reader.h"

static int copy_blocks(struct fa_trace_reader *reader, struct fa_trace_writer *writer)
{
	struct fa_block_header block;
	const unsigned char *stored;
	int e = 0;

	while (e == 0 && fa_trace_reader_next_stored(reader, &block, &stored) == 1)
		e = fa_trace_writer_copy(writer, &block, stored);
	return e == 0 && fa_trace_reader_damage(reader).damaged ? -EBADMSG : e;
}

int fa_trace_save(int ring, int to, uint64_t minimum_free, const struct fa_rec_end *end,
		  const char *text, uint64_t *ret_bytes)
{
	const struct fa_trace_writer_options o = {.codec = FA_CODEC_LZ4,
						  .minimum_free = minimum_free,
						  .unsynced = true};
	struct fa_trace_reader *reader = NULL;
	struct fa_trace_writer *writer = NULL;
	int fd = dup(ring);
	int e = fd < 0 ? -errno : fa_trace_reader_open_fd(fd, &reader);

	if (e == 0)
		e = fa_trace_writer_open(to, &o, &writer);
	if (e == 0)
		e = copy_blocks(reader, writer);
	if (e == 0)
		e = fa_trace_writer_end(writer, end, text);
	if (e == 0)
		*ret_bytes = fa_trace_writer_bytes(writer);
	fa_trace_writer_free(writer);
	fa_trace_reader_free(reader);
	return e;
}
