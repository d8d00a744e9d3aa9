/* growth.c - arenas that need more room: asked of the doorman, who lengthens them and counts. */
#include "daemon/collector.h"

/* How far may it grow? MaximumBuffers of the most generous session that it is in. */
static bool may_grow(const struct family *fam, uint32_t more)
{
	uint64_t now = fa_family_mapped_bytes(fam->f);

	for (uint64_t m = fam->mask; m != 0; m &= m - 1) {
		const struct fa_session_options *o = &fam->c->session[__builtin_ctzll(m)].o;

		if (o->maximum_buffers == 0 || now + more <= o->maximum_buffers * fa_session_buffer_bytes(o))
			return true;
	}
	return fam->mask == 0 && fam->table;
}

/* As many as the shim asks for, and as MinimumBuffers of its sessions says: those are there when it comes to need them.
 * Nobody's memory is taken by that until they are written to. */
static unsigned wanted_segments(const struct family *fam)
{
	unsigned n = fa_family_wants_segments(fam->f);

	for (uint64_t m = fam->mask; m != 0; m &= m - 1) {
		unsigned least = fa_session_minimum_segments(&fam->c->session[__builtin_ctzll(m)].o, fam->info.size);

		n = least > n ? least : n;
	}
	return n;
}

void family_ask_segment(struct family *fam, uint64_t now)
{
	unsigned have = fa_family_segments(fam->f);
	struct fa_part_msg m = {.u.segment = {.handle = fam->info.handle, .segment = have}};

	if (fam->refused_segment || wanted_segments(fam) <= have ||
	    (fam->asked == have && now - fam->asked_ns < 100000000u))
		return;
	if (!may_grow(fam, fa_arena_segment_size(fam->info.size, have)))
		return;
	if (fam->c->peer_fd >= 0)
		(void)msg_send(fam->c->peer_fd, &m, FA_MSG_WANT_SEGMENT, NULL, 0);
	fam->asked = have;
	fam->asked_ns = now;
}

/* The doorman has counted it: the user's limit allows it, or not. */
void family_segment(struct collector *c, const struct fa_msg_segment *got)
{
	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		if (fam->info.handle != got->handle || got->segment != fa_family_segments(fam->f))
			continue;
		fam->refused_segment =
			got->error != 0 || fa_family_extend(fam->f, fam->fd, false) < 0;
	}
}
