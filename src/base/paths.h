/* paths.h - where everything lives, below --root where one is given. */
#ifndef FA_PATHS_H
#define FA_PATHS_H

#define FA_DIR_ETC      "/etc/firstalloc"
#define FA_PATH_INDEX   "/etc/firstalloc/registry.idx"
#define FA_PATH_BELL    "/etc/firstalloc/door/bell"
#define FA_PATH_INI     "/etc/firstalloc/firstalloc.ini"
#define FA_DIR_INI      "/etc/firstalloc/firstalloc.ini.d"
#define FA_PATH_EARLY   "/etc/firstalloc/early"
#define FA_DIR_STATE    "/var/lib/firstalloc"
#define FA_PATH_DB      "/var/lib/firstalloc/registry.db"
#define FA_PATH_LOCK    "/var/lib/firstalloc/publish.lock"
#define FA_DIR_LOG      "/var/log/firstalloc"
#define FA_DIR_RUN      "/run/firstalloc"
#define FA_PATH_CONTROL "/run/firstalloc/control"
#define FA_PATH_KEEPER  "/run/firstalloc/keeper"
#define FA_PATH_PID     "/run/firstalloc/firstallocd.pid"
#define FA_PATH_ADOPTABLE "/run/firstalloc/early" /* it runs since the initramfs, and waits for its unit */
#define FA_PATH_PRELOAD "/etc/ld.so.preload"
#define FA_SHIM_NAME    "libfirstalloc_preload.so"
#define FA_USER         "_firstalloc"
#define FA_GROUP        "firstalloc"

#endif
