/* config_internal.h - values of an autologger that take more than a number, for config.c (config_values.c). */
#ifndef FA_CONFIG_INTERNAL_H
#define FA_CONFIG_INTERNAL_H

#include "base/config.h"

/* All: 1 taken, -EINVAL. */
int fa_config_take_clock(struct fa_autologger *a, const char *value);
int fa_config_take_stacks(struct fa_autologger *a, const char *value);
int fa_config_take_images(struct fa_autologger *a, const char *value);
int fa_config_take_stop(struct fa_autologger *a, const char *value);
/* One of ETW's that means nothing here: 1, and an override. 0: no such key. */
int fa_config_take_foreign(struct fa_autologger *a, const char *key, const char *value);
void fa_config_no_override(struct fa_autologger *a, const char *key);

#endif
