/*
 * writer_resume.c - go on with a trace: whose writer died, or that was ended and is appended to.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "trace/writer_internal.h"

static void done(struct fa_trace_writer **w)
{
	fa_trace_writer_free(*w);
}

/*
 * How far the block at `at` reaches, of a file of `size` bytes: behind it, 0 when it is cut there, or
 * -errno. Only its frame is looked at: a block that was cut by the death of its writer is the last
 * one, and is found by its length.
 */
static int64_t block_end(const struct fa_trace_writer *w, uint64_t at, uint64_t size)
{
	struct fa_block_header block;
	ssize_t n = pread(w->fd, &block, sizeof(block), (off_t)at);

	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(block))
		return 0;
	/* Damage, not a cut: what stands behind it is not ours to throw away. */
	if (block.magic != FA_BLOCK_MAGIC_WORD || block.sequence != w->blocks ||
	    block.stored_size > FA_BLOCK_MAX)
		return -EBADMSG;
	at += sizeof(block) + block.stored_size;
	if (at > size)
		return 0;
	return block.flags & FA_BLOCK_LAST ? -EALREADY : (int64_t)at;
}

/* The session went on in another file; unless a successor finds that this was not committed. */
static bool is_end_next(const struct fa_trace_writer *w, uint64_t at)
{
	struct {
		struct fa_block_header block;
		struct fa_record_header record;
		struct fa_rec_end end;
	} b;

	return pread(w->fd, &b, sizeof(b), (off_t)at) == (ssize_t)sizeof(b) &&
	       b.block.codec == FA_CODEC_RAW && b.record.tag == FA_TAG_END &&
	       b.end.reason == FA_END_NEXT;
}

/* Find where the last whole block ends (that is to be kept), cut the file there, and go there. */
static int find_end(struct fa_trace_writer *w, uint64_t keep, bool append)
{
	struct fa_trace_header file;
	off_t size = lseek(w->fd, 0, SEEK_END);
	uint64_t kept, kept_blocks = 0;
	int64_t end;

	if (size < 0)
		return -errno;
	if (pread(w->fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file) ||
	    memcmp(file.magic, FA_TRACE_MAGIC, sizeof(file.magic)) != 0 ||
	    file.version != FA_TRACE_VERSION || file.header_size != sizeof(file) ||
	    file.incompatible != 0)
		return -EBADMSG;
	kept = w->bytes = sizeof(file);
	while ((end = block_end(w, w->bytes, (uint64_t)size)) > 0) {
		w->bytes = (uint64_t)end;
		w->blocks++;
		if (w->bytes <= keep) {
			kept = w->bytes;
			kept_blocks = w->blocks;
		}
	}
	/* END stands in a block of its own. */
	if (end == -EALREADY && (append || (kept == keep && is_end_next(w, w->bytes))))
		end = 0;
	if (end < 0)
		return (int)end;
	w->bytes = kept;
	w->blocks = kept_blocks;
	w->synced = w->bytes;
	if (ftruncate(w->fd, (off_t)w->bytes) < 0 || lseek(w->fd, (off_t)w->bytes, SEEK_SET) < 0)
		return -errno;
	return 0;
}

int fa_trace_writer_resume(int fd, const struct fa_trace_writer_options *options, uint64_t keep,
			   struct fa_trace_writer **ret)
{
	FA_CLEANUP(done) struct fa_trace_writer *w = NULL;
	int r = writer_new(fd, options, &w);

	if (r == 0)
		r = options->circular ? ring_resume(w, keep) : find_end(w, keep, options->append);
	if (r < 0)
		return r;
	*ret = fa_take_ptr(&w);
	return 0;
}
