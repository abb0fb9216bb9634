/* Sfx: an archive that rides behind something else: a self-extracting program, a script, a picture.
 *
 * Today that is a zip, which is found from its end.
 */
#ifndef KAV_SFX_H
#define KAV_SFX_H

#include "opener.h"

#include <stdbool.h>

/* True when a layer that is no container by its beginning carries an archive that kav_open_sfx can open. Programs are
 * searched as far as a zip's comment may reach; for everything else one short read must do. */
bool kav_sfx_present(const kav_source *source, kav_type type);

int kav_open_sfx(const kav_source *source, kav_type type, kav_unpack *u);

#endif
