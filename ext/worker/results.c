#include "results.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TEXT_MAX 8192 /* bytes of a name or a member path in a note */

_Static_assert(KAV_LAYERS_MAX *(sizeof(kav_layer) + 72) + KAV_LEARNED_MAX * sizeof(kav_learned) <= KAV_PAYLOAD_MAX,
               "layers and learned records of one object fit into one message");

static int send_all(int fd, const struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    for (;;) {
        if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0) return 0; /* a packet goes whole or not at all */
        if (errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

static int flush(kav_results *r, uint32_t flags)
{
    if (r->error != 0) return r->error;
    r->header.flags = flags;
    struct iovec parts[3] = {{&r->header, sizeof r->header},
                             {r->records, r->header.count * sizeof r->records[0]},
                             {r->payload, r->header.payload_len}};
    r->error = send_all(r->socket, parts, 3);
    r->header.count = 0;
    r->header.payload_len = 0;
    r->begin = 0;
    r->notes = 0;
    return r->error;
}

void kav_results_start(kav_results *r, int socket, uint64_t batch)
{
    r->socket = socket;
    r->error = 0;
    r->begin = 0;
    r->header = (kav_result_header){.magic = KAV_RESULT_MAGIC, .batch = batch};
}

void kav_results_begin(kav_results *r, uint32_t index)
{
    r->index = index;
    r->notes = r->all_notes = r->threats = 0;
    r->begin = r->header.payload_len;
}

/* Close the record of the object in hand over the notes that stand in the payload. */
static void put_record(kav_results *r, const kav_result *result, uint32_t flags)
{
    kav_result *record = &r->records[r->header.count++];
    *record = *result;
    record->index = r->index;
    record->flags |= flags;
    record->notes = r->notes;
    record->payload_off = r->begin;
    record->payload_len = r->header.payload_len - r->begin;
}

/* Send what there is, the object in hand with a record that says that more follows. */
static int split(kav_results *r)
{
    static const kav_result EMPTY;
    if (r->notes > 0) put_record(r, &EMPTY, KAV_F_MORE);
    return flush(r, 0);
}

int kav_results_note(kav_results *r, const kav_note *note, const char *name, const char *member)
{
    kav_note copy = *note;
    if (copy.name_len > TEXT_MAX) copy.name_len = TEXT_MAX;
    if (copy.member_len > TEXT_MAX) copy.member_len = TEXT_MAX;
    if (r->error != 0) return r->error;
    if (r->all_notes >= KAV_NOTES_MAX || (copy.name_len > 0 && r->threats >= KAV_THREATS_MAX)) return 0;

    size_t text = (size_t)copy.name_len + copy.member_len, len = (sizeof copy + text + 7) & ~(size_t)7;
    if (len > KAV_PAYLOAD_MAX - r->header.payload_len && split(r) != 0) return r->error;
    uint8_t *at = r->payload + r->header.payload_len;
    memcpy(at, &copy, sizeof copy);
    if (copy.name_len > 0) memcpy(at + sizeof copy, name, copy.name_len);
    if (copy.member_len > 0) memcpy(at + sizeof copy + copy.name_len, member, copy.member_len);
    memset(at + sizeof copy + text, 0, len - sizeof copy - text);
    r->header.payload_len += (uint32_t)len;
    r->notes++;
    r->all_notes++;
    if (copy.name_len > 0) r->threats++;
    return 0;
}

static void put(kav_results *r, const void *bytes, size_t length)
{
    if (length > 0) memcpy(r->payload + r->header.payload_len, bytes, length);
    r->header.payload_len += (uint32_t)length;
}

int kav_results_end(kav_results *r, const kav_result *result, const uint8_t *layers, const kav_learned *learned)
{
    size_t learned_len = result->learned * sizeof *learned, more = result->layers_len + learned_len;
    if (r->header.count >= KAV_BATCH_FILES || more > KAV_PAYLOAD_MAX) return -EPROTO; /* no object gives that much */
    if (more > KAV_PAYLOAD_MAX - r->header.payload_len && split(r) != 0) return r->error;
    put(r, layers, result->layers_len);
    put(r, learned, learned_len);
    put_record(r, result, 0);
    return r->error;
}

int kav_results_finish(kav_results *r)
{
    return flush(r, KAV_RF_LAST);
}
