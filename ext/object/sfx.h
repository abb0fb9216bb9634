/* Sfx: an archive that rides behind a program. */
#ifndef KAV_SFX_H
#define KAV_SFX_H

#include "opener.h"

#include <stdbool.h>

/* True when a program (PE, ELF) carries an archive that kav_open_sfx can open. */
bool kav_sfx_present(const kav_source *source);

int kav_open_sfx(const kav_source *source, kav_type type, kav_unpack *u);

#endif
