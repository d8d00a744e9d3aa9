/*
 * heritage.c - families whose known processes have all ended.
 *
 * A fork child is seen when it uses the heap first, which may be hours after its parent has gone. So the arena goes
 * only when the doorman says that nobody has it mapped any more (heirs.c). Where he cannot say, or does not answer, it
 * goes all the same, and that something may be missing stands in the trace.
 */
#include "daemon/collector.h"

enum { ASK_EVERY_MS = 1000, UNANSWERED_MS = 10000 };

static void ask(struct family *fam, uint64_t now)
{
	struct fa_part_msg m = {.u.heirs.handle = fam->info.handle};

	/* Lost: it is asked again. */
	if (fam->c->peer_fd >= 0)
		(void)msg_send(fam->c->peer_fd, &m, FA_MSG_ANYBODY, NULL, 0);
	fam->heirs_asked_ns = now;
}

bool family_is_over(struct family *fam, uint64_t now)
{
	if (!fa_family_over(fam->f)) {
		fam->heirs_asked_ns = fam->heirs_told_ns = fam->heirs = 0;
		return false;
	}
	if (fam->mask == 0 || fam->heirs == FA_HEIRS_NOBODY)
		return true;
	if (fam->heirs_asked_ns == 0)
		fam->heirs_told_ns = now;
	if (now - fam->heirs_told_ns >= UNANSWERED_MS * 1000000ull)
		fam->heirs = FA_HEIRS_UNKNOWN;
	if (fam->heirs == FA_HEIRS_UNKNOWN) {
		if (!fam->going)
			family_doubt(fam);
		return true;
	}
	if (fam->heirs_asked_ns == 0 || now - fam->heirs_asked_ns >= ASK_EVERY_MS * 1000000ull)
		ask(fam, now);
	return false;
}

void family_heirs(struct collector *c, const struct fa_msg_heirs *m)
{
	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		/* Asked no more: somebody has come meanwhile. */
		if (fam->info.handle != m->handle || fam->heirs_asked_ns == 0)
			continue;
		fam->heirs = m->heirs;
		fam->heirs_told_ns = fam->heirs_asked_ns;
	}
}
