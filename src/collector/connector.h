/*
 * connector.h - what the kernel's proc connector tells: starts, forks and ends of all processes.
 *
 * It speaks to the first pid and user namespace only; elsewhere it stays silent without an error. Since Linux
 * 6.6 to every user, before that to root.
 */
#ifndef FA_CONNECTOR_H
#define FA_CONNECTOR_H

#include <linux/cn_proc.h>

#include "base/attr.h"

/* Does not block. -ENODEV: not in the first namespaces; -EPERM, -errno. */
int fa_connector_open(int receive_buffer) FA_MUST_USE;

/* What came with one message. 1: there may be more; 0: there is none; -ENOBUFS: some are lost. */
int fa_connector_read(int fd, void (*tell)(void *ctx, const struct proc_event *e), void *ctx) FA_MUST_USE;

#endif
