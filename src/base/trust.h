/* trust.h - may root work in a folder? Any thread. */
#ifndef FA_TRUST_H
#define FA_TRUST_H

#include "base/attr.h"

/* Can only root change this folder and those above it? 0; 1 yes, but anybody may make files in it;
 * -EPERM, -errno. */
int fa_path_trust(const char *path) FA_MUST_USE;

#endif
