/* Listed: verdicts out of a store of which nothing but paths has to be told: the object and, if it is a container, its
 * members, all of them clean and complete. A report writes thousands of these at once instead of each for itself.
 *
 *     kav_listing listing = {0};
 *     for each replay of a message that passed kav_wire_replay:  if (!kav_listing_take(&listing, replay)) ...
 *     kav_listing_tell(&listing, events, message, end);
 *
 * As text an object without members is its path and a NUL; one with members is its path and two NULs, then for each of
 * them the path of the object, '/', that of the member and a NUL.
 */
#ifndef KAV_LISTED_H
#define KAV_LISTED_H

#include <stdbool.h>

#include "event.h"

#define KAV_LISTED_MAX (1u << 20) /* bytes of text of one message: each member repeats the path of its object */

/* What of a message is listed so far. */
typedef struct {
    uint64_t files;
    size_t data_len, text_len;
} kav_listing;

/* The next replay of the message; false = it is none to be listed, or there is no room. */
bool kav_listing_take(kav_listing *listing, const uint8_t *replay);

/* One KAV_EV_LISTED for all that were taken, if there are any. 0 or -ENOMEM. */
int kav_listing_tell(const kav_listing *listing, kav_events *events, const uint8_t *message, const uint8_t *end);

#endif
