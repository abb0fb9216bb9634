/* Sfx: an archive that rides behind something else: a self-extracting program, a script, a picture.
 *
 * Today that is a zip, which is found from its end.
 */
#ifndef KAV_SFX_H
#define KAV_SFX_H

#include "opener.h"

#include <stdbool.h>

/* True when a layer that is no container by its beginning carries an archive that kav_open_sfx can open. It is looked
 * for as far from the end as a zip's comment may reach, because those who open zips look there too. */
bool kav_sfx_present(const kav_source *source);

/* True when the very end of a layer is that of a zip: for containers, in which a zip near the end is likely a member.
 */
bool kav_sfx_at_end(const kav_source *source);

int kav_open_sfx(const kav_source *source, kav_type type, kav_unpack *u);

#endif
