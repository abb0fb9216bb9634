/* One path of kavfs.conf, for programs in C that need no other of its keys. */
#ifndef KAV_CONF_H
#define KAV_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    CONF_NONE,  /* the key is not there */
    CONF_PATH,  /* an absolute path, in `into` */
    CONF_OTHER, /* something else: nothing, or "no" */
};

/* Looks for *key* in [*section*]. One of these, or -1: errno. */
int conf_path(const char *conf, const char *section, const char *key, char *into, size_t room);

#endif
