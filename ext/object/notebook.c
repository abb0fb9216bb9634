#include "notebook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int reserve(kav_notebook *n, size_t more)
{
    if (more > KAV_NOTEBOOK_MAX - n->len) return -ENOSPC;
    if (n->len + more <= n->room) return 0;
    size_t room = n->room ? n->room : 4096;
    while (room < n->len + more) room *= 2;
    uint8_t *bytes = realloc(n->bytes, room);
    if (bytes == NULL) return -ENOMEM;
    n->bytes = bytes;
    n->room = room;
    return 0;
}

static void put(kav_notebook *n, const void *bytes, size_t length)
{
    if (length > 0) memcpy(n->bytes + n->len, bytes, length);
    n->len += length;
}

int kav_notebook_add(kav_notebook *n, const kav_note *note, const char *name, const char *member)
{
    int error = reserve(n, sizeof *note + (size_t)note->name_len + note->member_len);
    if (error != 0) return error;
    put(n, note, sizeof *note);
    put(n, name, note->name_len);
    put(n, member, note->member_len);
    return 0;
}

int kav_notebook_replay(const kav_notebook *n, kav_note_sink sink, void *context)
{
    int rc = 0;
    for (size_t at = 0; at < n->len && rc == 0;) {
        kav_note note;
        memcpy(&note, n->bytes + at, sizeof note);
        const char *text = (const char *)n->bytes + at + sizeof note;
        rc = sink(context, &note, text, text + note.name_len);
        at += sizeof note + (size_t)note.name_len + note.member_len;
    }
    return rc;
}

void kav_notebook_free(kav_notebook *n)
{
    free(n->bytes);
    *n = (kav_notebook){.bytes = NULL};
}
