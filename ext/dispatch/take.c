/* A frame arrives. It is checked here from its first to its last field before anything of it is believed. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "state.h"
#include "wire.h"

#define MESSAGES_AT_ONCE 16 /* from one peer, before the others have their turn */

typedef struct {
    ssize_t len; /* 0: the other end is closed; -errno */
    int flags;
    int fds[KAV_BATCH_FILES];
    uint32_t fd_count;
    const char *wrong; /* descriptors that nobody asked for */
} received;

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] >= 0) close(fds[i]);
}

/* room 0: whoever sends descriptors breaks the protocol, and the kernel closes them for us. */
static void receive(kav_dispatch *d, int socket, uint32_t room, received *got)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * KAV_BATCH_FILES)];
    } control;
    struct iovec part = {.iov_base = d->message, .iov_len = KAV_MESSAGE_MAX};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = room ? &control : NULL;
    message.msg_controllen = room ? CMSG_LEN(sizeof(int) * room) : 0;
    got->fd_count = 0;
    got->wrong = NULL;
    do got->len = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got->len < 0 && errno == EINTR);
    got->flags = message.msg_flags;
    if (got->len < 0) {
        got->len = -errno;
        return;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        got->fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(got->fds, CMSG_DATA(c), got->fd_count * sizeof(int));
    }
    if (got->flags & MSG_TRUNC) got->wrong = "message too long";
    else if (got->flags & MSG_CTRUNC && got->fd_count == room) got->wrong = "too many descriptors";
}

static const char *check_batch(kav_dispatch *d, received *got)
{
    if (got->wrong) return got->wrong;
    const char *wrong = kav_wire_batch(d->message, (size_t)got->len);
    if (wrong) return wrong;
    uint32_t want = ((const kav_batch_header *)d->message)->fd_count;
    if (got->fd_count > want) return "descriptors do not match files";
    /* Fewer with MSG_CTRUNC: our own table was full, which is no fault of the walker's. */
    if (got->fd_count < want && !(got->flags & MSG_CTRUNC)) return "descriptors do not match files";
    for (uint32_t i = got->fd_count; i < want; i++) got->fds[i] = -1;
    return NULL;
}

static int take_item(kav_dispatch *d, kav_item *item)
{
    static const char full[] = "no descriptor free for it";
    d->outstanding++;
    if (item->fd < 0) return kav_settle_failed(d, item, KAV_R_UNREADABLE, full, sizeof full - 1);
    d->fds_held++;
    if (item->entry->flags & KAV_EF_DEDUP) {
        bool joined;
        int failed = kav_settle_join(d, item, &joined);
        if (failed || joined) return failed;
    }
    kav_give_push(d, item);
    return 0;
}

/* Which file systems the walker's newest stamp is about. */
static void note_device(kav_walker *walker, const kav_entry *entry)
{
    if (entry->kind != KAV_E_FILE || !(entry->flags & KAV_EF_KEEP)) return;
    for (uint32_t i = walker->device_count; i-- > 0;)
        if (walker->devices[i] == entry->dev) return;
    if (walker->device_count < KAV_WALKER_DEVICES) walker->devices[walker->device_count++] = entry->dev;
}

static int take_batch(kav_dispatch *d, kav_walker *walker, received *got)
{
    const kav_batch_header *header = (const kav_batch_header *)d->message;
    const kav_entry *entries = kav_wire_entries(d->message);
    const uint8_t *blob = kav_wire_blob(d->message);
    for (uint32_t i = 0; i < header->count; i++) {
        note_device(walker, &entries[i]);
        int failed = kav_settle_entry(d, walker->id, &entries[i], blob);
        if (failed) {
            close_all(got->fds, got->fd_count);
            return failed;
        }
    }
    if (!header->fd_count) return 0;
    kav_frame *frame = kav_frame_new(d->message, (size_t)got->len, got->fds);
    if (!frame) {
        close_all(got->fds, got->fd_count);
        return -ENOMEM;
    }
    uint32_t items = frame->count; /* the frame may go with its last item */
    kav_item *item = frame->items;
    int failed = 0;
    for (uint32_t i = 0; i < items; i++) {
        int now = take_item(d, &item[i]);
        if (!failed) failed = now;
    }
    return failed;
}

static const char *check_known(const kav_dispatch *d, size_t len)
{
    const char *wrong = kav_wire_known(d->message, len);
    if (wrong || !d->options.want_clean) return wrong;
    return ((const kav_known_header *)d->message)->names ? NULL : "known files without their names";
}

static const char *check_walker(kav_dispatch *d, received *got)
{
    size_t len = (size_t)got->len;
    uint32_t magic = 0;
    if (len >= sizeof magic) memcpy(&magic, d->message, sizeof magic);
    if (magic == KAV_BATCH_MAGIC) return check_batch(d, got);
    if (got->wrong) return got->wrong;
    if (got->fd_count || got->flags & MSG_CTRUNC) return "descriptors for what needs no scan";
    switch (magic) {
    case KAV_KNOWN_MAGIC: return check_known(d, len);
    case KAV_REPLAY_MAGIC: return kav_wire_replay(d->message, len);
    case KAV_RENEW_MAGIC: return kav_wire_renew(d->message, len);
    case KAV_GONE_MAGIC: return kav_wire_gone(d->message, len);
    default: return "no known message";
    }
}

static int take_checked(kav_dispatch *d, kav_walker *walker, received *got)
{
    uint32_t magic;
    memcpy(&magic, d->message, sizeof magic);
    switch (magic) {
    case KAV_KNOWN_MAGIC: return kav_settle_known(d, (const kav_known_header *)d->message);
    case KAV_REPLAY_MAGIC: return kav_settle_replay(d, d->message, (size_t)got->len);
    case KAV_RENEW_MAGIC: return kav_keep_renew(&d->keep, d->message);
    case KAV_GONE_MAGIC: return kav_keep_gone(&d->keep, d->message);
    default: return take_batch(d, walker, got);
    }
}

/* 0 = more may be there; 1 = nothing more now, and the walker may be gone; -ENOMEM */
static int take_from_walker(kav_dispatch *d, kav_walker *walker)
{
    received got;
    receive(d, walker->socket, KAV_BATCH_FILES, &got);
    if (got.len == -EAGAIN) return 1;
    if (got.len <= 0) {
        close_all(got.fds, got.fd_count); /* an empty message can carry some */
        int failed = kav_events_say(&d->events, KAV_EV_WALKED, walker->id, "");
        kav_dispatch_close_walker(d, walker);
        return failed ? failed : 1;
    }
    walker->still_ms = 0;
    const char *wrong = check_walker(d, &got);
    if (wrong) {
        close_all(got.fds, got.fd_count);
        int failed = kav_watch_stalled(d, walker, wrong);
        return failed ? failed : 1;
    }
    return take_checked(d, walker, &got);
}

int kav_take_walker(kav_dispatch *d, kav_walker *walker)
{
    int state = 0;
    for (int i = 0; i < MESSAGES_AT_ONCE && !state && kav_dispatch_may_read(d); i++)
        state = take_from_walker(d, walker);
    return state < 0 ? state : 0;
}

static kav_work *find_work(const kav_worker *worker, uint64_t id)
{
    kav_work *work = worker->works;
    while (work && work->id != id) work = work->next;
    return work;
}

/* Whose descriptor cannot even be asked (a file server that is gone) has no identity, and is an Error. */
static bool is_about(const kav_result *record, const kav_entry *entry)
{
    if (record->dev == entry->dev && record->ino == entry->ino) return true;
    return !record->dev && !record->ino && record->status == KAV_ERROR && record->reasons == KAV_R_UNREADABLE;
}

static const char *check_results(kav_dispatch *d, const kav_worker *worker, const received *got, kav_work **work)
{
    if (got->wrong) return got->wrong;
    if (got->flags & MSG_CTRUNC) return "sent descriptors";
    const char *wrong = kav_wire_results(d->message, (size_t)got->len);
    if (wrong) return wrong;
    const kav_result_header *header = (const kav_result_header *)d->message;
    *work = find_work(worker, header->batch);
    if (!*work) return "result for work that is not its own";

    const kav_result *records = kav_wire_records(d->message);
    const uint8_t *payload = kav_wire_payload(d->message);
    uint64_t answered = 0; /* in this message */
    uint32_t speaking = (*work)->speaking;
    for (uint32_t i = 0; i < header->count; i++) {
        const kav_result *record = &records[i];
        if (record->index >= (*work)->count) return "index out of range";
        kav_item *item = (*work)->items[record->index];
        if (!item || answered & (1ull << record->index)) return "answered twice";
        wrong = kav_wire_record(record, payload + record->payload_off, worker->engine, &item->gravest);
        if (wrong) return wrong;
        if (speaking && speaking != record->index + 1) return "two objects at a time";
        speaking = record->flags & KAV_F_MORE ? record->index + 1 : 0;
        if (speaking) continue; /* holds nothing but notes */
        if (!is_about(record, item->entry)) return "result for another inode";
        if (record->flags & KAV_F_DELTA && !kav_item_delta(item)) return "delta that was not asked for";
        answered |= 1ull << record->index;
    }
    uint32_t left = (*work)->left - (uint32_t)__builtin_popcountll(answered);
    if (header->flags & KAV_RF_LAST && left) return "last message, but not all objects answered";
    (*work)->speaking = speaking;
    return NULL;
}

/* Notes beyond the bound are left out: the verdict stands in the last record and is not changed by them. */
static int take_record(kav_dispatch *d, const kav_worker *worker, kav_work *work, const kav_result *record,
                       const uint8_t *payload)
{
    kav_item *item = work->items[record->index];
    size_t notes_len = kav_wire_notes_len(record);
    bool room = notes_len <= KAV_DISPATCH_NOTES - item->notes_len;
    if (record->flags & KAV_F_MORE) return room ? kav_item_add_notes(item, payload, notes_len, record->notes) : 0;
    const uint8_t *layers = payload + notes_len;
    kav_said said = {
        .result = record,
        .notes = payload,
        .notes_len = room ? notes_len : 0,
        .layers = layers,
        .learned = (const kav_learned *)(layers + record->layers_len),
    };
    work->items[record->index] = NULL;
    work->left--;
    d->classes[worker->engine].flying--;
    return kav_settle(d, item, &said);
}

static const char *check_greeting(kav_dispatch *d, const received *got)
{
    const kav_result_header *header = (const kav_result_header *)d->message;
    if (got->wrong || got->flags & MSG_CTRUNC || kav_wire_results(d->message, (size_t)got->len)) return "did not greet";
    return header->batch == KAV_READY_BATCH && !header->count ? NULL : "did not greet";
}

/* 0 = more may be there; 1 = nothing more now; -ENOMEM */
static int take_message(kav_dispatch *d, kav_worker *worker)
{
    received got;
    receive(d, worker->socket, 0, &got);
    if (got.len == -EAGAIN) return 1;
    if (got.len <= 0) {
        int failed = kav_watch_lose(d, worker, "closed its socket");
        return failed ? failed : 1;
    }
    if (!worker->ready) {
        const char *wrong = check_greeting(d, &got);
        worker->ready = !wrong;
        worker->in_hand_ms = 0;
        if (!wrong) return 0;
        int failed = kav_watch_lose(d, worker, wrong);
        return failed ? failed : 1;
    }
    kav_work *work = NULL;
    const char *wrong = check_results(d, worker, &got, &work);
    const kav_result_header *header = (const kav_result_header *)d->message;
    const kav_result *records = kav_wire_records(d->message);
    uint32_t left = wrong ? 0 : work->left;
    for (uint32_t i = 0; !wrong && i < header->count; i++) {
        int failed = take_record(d, worker, work, &records[i], kav_wire_payload(d->message) + records[i].payload_off);
        if (failed) return failed;
    }
    if (wrong) {
        int failed = kav_watch_lose(d, worker, wrong);
        return failed ? failed : 1;
    }
    if (work->left < left) worker->in_hand_ms = 0;
    if (header->flags & KAV_RF_LAST) kav_give_forget(d, worker, work);
    return 0;
}

int kav_take_results(kav_dispatch *d, kav_worker *worker)
{
    int state = 0;
    worker->refuses = false;
    for (int i = 0; i < MESSAGES_AT_ONCE && !state; i++) state = take_message(d, worker);
    return state < 0 ? state : 0;
}
