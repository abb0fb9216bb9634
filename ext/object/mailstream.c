/* GMime's own streams would move the position of a descriptor that other processes share, or copy a layer that is in
 * memory. The class is looked up by name instead of being kept in a static variable. */
#include "mailstream.h"

#include <string.h>

static const char class_name[] = "KavMailStream";

typedef struct {
    GMimeStream parent;
    kav_mail_io *io;
} mail_stream;

static uint64_t stream_end(const GMimeStream *stream)
{
    const mail_stream *s = (const mail_stream *)stream;
    return stream->bound_end < 0 ? s->io->source->size : (uint64_t)stream->bound_end;
}

static ssize_t stream_read(GMimeStream *stream, char *buf, size_t len)
{
    kav_mail_io *io = ((mail_stream *)stream)->io;
    uint64_t at = (uint64_t)stream->position, end = stream_end(stream);
    if (io->stop || io->full || at >= end) return 0;
    if (kav_unpack_tick(io->unpack)) {
        io->stop = true;
        return 0;
    }
    if (len > end - at) len = (size_t)(end - at);
    ssize_t n = kav_source_read(io->source, at, buf, len);
    if (n < 0) {
        kav_unpack_flag(io->unpack, KAV_R_UNREADABLE);
        io->stop = true;
        return -1;
    }
    if (n == 0) stream->bound_end = stream->position; /* the file has shrunk; GMime reads on until eos says so */
    stream->position += n;
    return n;
}

static ssize_t stream_write(GMimeStream *stream, const char *buf, size_t len)
{
    kav_mail_io *io = ((mail_stream *)stream)->io;
    if (!io->full && kav_unpack_data(io->unpack, buf, len)) io->full = true;
    return (ssize_t)len; /* GMime 3.2 leaks a filter when a write fails */
}

static int stream_nothing(GMimeStream *stream)
{
    (void)stream;
    return 0;
}

static gboolean stream_eos(GMimeStream *stream)
{
    const kav_mail_io *io = ((mail_stream *)stream)->io;
    return io->stop || io->full || (uint64_t)stream->position >= stream_end(stream);
}

static int stream_reset(GMimeStream *stream)
{
    stream->position = stream->bound_start;
    return 0;
}

static gint64 stream_seek(GMimeStream *stream, gint64 offset, GMimeSeekWhence whence)
{
    gint64 from = whence == GMIME_STREAM_SEEK_CUR   ? stream->position
                  : whence == GMIME_STREAM_SEEK_END ? (gint64)stream_end(stream)
                                                    : 0;
    if ((offset > 0 && from > G_MAXINT64 - offset) || from + offset < stream->bound_start) return -1;
    return stream->position = from + offset;
}

static gint64 stream_tell(GMimeStream *stream)
{
    return stream->position;
}

static gint64 stream_length(GMimeStream *stream)
{
    return (gint64)stream_end(stream) - stream->bound_start;
}

static GMimeStream *stream_new(GType type, kav_mail_io *io, gint64 start, gint64 end)
{
    mail_stream *s = g_object_new(type, NULL);
    g_mime_stream_construct(&s->parent, start, end);
    s->io = io;
    return &s->parent;
}

static GMimeStream *stream_substream(GMimeStream *stream, gint64 start, gint64 end)
{
    return stream_new(G_OBJECT_TYPE(stream), ((mail_stream *)stream)->io, start, end);
}

static void class_init(gpointer class, gpointer data)
{
    GMimeStreamClass *c = class;
    (void)data;
    c->read = stream_read;
    c->write = stream_write;
    c->flush = stream_nothing;
    c->close = stream_nothing;
    c->eos = stream_eos;
    c->reset = stream_reset;
    c->seek = stream_seek;
    c->tell = stream_tell;
    c->length = stream_length;
    c->substream = stream_substream;
}

void kav_mail_stream_register(void)
{
    if (g_type_from_name(class_name)) return;
    g_type_register_static_simple(GMIME_TYPE_STREAM, class_name, sizeof(GMimeStreamClass), class_init,
                                  sizeof(mail_stream), NULL, 0);
}

GMimeStream *kav_mail_stream_new(kav_mail_io *io)
{
    return stream_new(g_type_from_name(class_name), io, 0, -1);
}

bool kav_mail_stream_range(GMimeStream *stream, uint64_t *start, uint64_t *end)
{
    if (G_OBJECT_TYPE(stream) != g_type_from_name(class_name)) return false;
    *start = (uint64_t)stream->bound_start;
    *end = stream_end(stream);
    return true;
}
