/* Mail stream: a kav_source as GMime reads it, and an unpack sink as GMime writes to it. For mail.c alone. */
#ifndef KAV_MAILSTREAM_H
#define KAV_MAILSTREAM_H

#include "mail.h"

#include <gmime/gmime.h>

/* Shared by all streams of one message; outlives them. */
typedef struct {
    const kav_source *source; /* read from */
    kav_unpack *unpack;       /* written to: the member that is open */
    bool full; /* the open member takes no more: writes are swallowed and reads end, until it is cleared */
    bool stop; /* time is up or the source cannot be read: every read ends from here on */
} kav_mail_io;

void kav_mail_stream_register(void); /* again is harmless */
GMimeStream *kav_mail_stream_new(kav_mail_io *io);

/* Where in the source the stream reads; false when it does not read there at all. */
bool kav_mail_stream_range(GMimeStream *stream, uint64_t *start, uint64_t *end);

#endif
