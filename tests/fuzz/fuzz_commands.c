/* Fuzz: what clients of the service send, whole and in pieces: commands must be the same however they are cut. */
#include "spoken.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST  64 /* bytes of a line, so that the limit is met */
#define HEARD 512
#define STREAM_ROOM 1000

typedef struct {
    uint64_t sums[HEARD]; /* one for each command and each stream */
    size_t count;
} heard;

typedef struct {
    bool ave, session, in_stream, deaf;
    kav_chunks chunks;
    uint64_t content;
    uint8_t *rest;
    size_t rest_len, seen;
    heard *heard;
} trial;

static uint64_t mix(uint64_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) sum = (sum ^ bytes[i]) * 1099511628211u;
    return sum;
}

static void note(trial *t, uint64_t sum)
{
    if (t->heard->count < HEARD) t->heard->sums[t->heard->count++] = sum;
}

static size_t on_line(trial *t, const uint8_t *bytes, size_t len)
{
    kav_line line;
    unsigned how = t->session ? KAV_CLAMD_SESSION : 0;
    size_t used = t->ave ? kav_ave_line(bytes, len, MOST, &t->seen, &line)
                         : kav_clamd_line(bytes, len, MOST, how, &t->seen, &line);
    if (!used) return 0;
    if (used > len) abort();
    t->seen = 0;
    if (line.verb == KAV_VERB_NONE) return used;
    uint64_t sum = mix(line.verb + line.prefix, line.argument, line.argument_len);
    note(t, mix(sum, line.option, line.option_len));
    if (line.verb == KAV_VERB_IDSESSION) t->session = true;
    t->in_stream = line.verb == KAV_VERB_INSTREAM;
    t->deaf = line.verb == KAV_VERB_TOO_LONG || (!t->ave && !t->session && !t->in_stream) ||
              (!t->ave && (line.verb == KAV_VERB_UNKNOWN || line.verb == KAV_VERB_END));
    t->chunks = (kav_chunks){.room = STREAM_ROOM};
    t->content = 0;
    return used;
}

static size_t on_stream(trial *t, uint8_t *bytes, size_t len)
{
    uint8_t *content;
    size_t used, content_len;
    enum kav_chunks_end end = kav_chunks_take(&t->chunks, bytes, len, &used, &content, &content_len);
    if (used > len || content < bytes || content + content_len > bytes + used) abort();
    if (end == KAV_CHUNKS_MORE && used != len) abort();
    t->content = mix(t->content, content, content_len);
    if (end == KAV_CHUNKS_MORE) return used;
    note(t, t->content + end);
    t->in_stream = false;
    t->deaf = end == KAV_CHUNKS_TOO_LARGE || !t->session;
    return used;
}

/* One piece as it comes from a socket, behind what was left. */
static void feed(trial *t, const uint8_t *data, size_t size)
{
    size_t len = t->rest_len + size, at = 0, used = 1;
    uint8_t *bytes = malloc(len ? len : 1);
    if (!bytes) abort();
    if (t->rest_len) memcpy(bytes, t->rest, t->rest_len);
    if (size) memcpy(bytes + t->rest_len, data, size);
    if (t->ave) len = t->rest_len + kav_ave_strip(bytes + t->rest_len, size);
    while (at < len && used && !t->deaf) {
        used = t->in_stream ? on_stream(t, bytes + at, len - at) : on_line(t, bytes + at, len - at);
        at += used;
    }
    if (t->deaf) at = len;
    free(t->rest);
    t->rest_len = len - at;
    t->rest = malloc(t->rest_len ? t->rest_len : 1);
    if (!t->rest || (!t->in_stream && t->rest_len > MOST + 1)) abort();
    memcpy(t->rest, bytes + at, t->rest_len);
    free(bytes);
}

/* Old commands without an end are taken as they come, so there the cut does matter: only prefixed ones are compared. */
static bool same_however_cut(const uint8_t *data, size_t size, bool ave)
{
    return ave || (size && (*data == 'n' || *data == 'z'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096) return 0;
    bool ave = data[0] & 1;
    size_t step = data[0] / 2 % 16 + 1;
    heard whole = {.count = 0}, pieces = {.count = 0};
    trial one = {.ave = ave, .heard = &whole}, other = {.ave = ave, .heard = &pieces};
    data++;
    size--;
    feed(&one, data, size);
    for (size_t at = 0; at < size; at += step) feed(&other, data + at, size - at < step ? size - at : step);
    if (same_however_cut(data, size, ave)) {
        if (whole.count != pieces.count) abort();
        if (memcmp(whole.sums, pieces.sums, whole.count * sizeof *whole.sums) != 0) abort();
    }
    free(one.rest);
    free(other.rest);
    return 0;
}
