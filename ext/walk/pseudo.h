/* Pseudo: file systems whose files are windows into the kernel, not stored bytes. */
#ifndef KAV_PSEUDO_H
#define KAV_PSEUDO_H

#include <stdbool.h>

/* By statfs magic. False for everything that stores what was written: tmpfs, ramfs and devtmpfs are walked (the nodes
 * of devtmpfs are special and never opened). Also false when the file system does not tell. */
bool kav_is_pseudo(int fd);

#endif
