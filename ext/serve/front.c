/* The front as a whole: its beginning, its steps, its end (contract: serve.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "front.h"

static int open_parts(kav_front *f)
{
    const kav_front_options *o = &f->options;
    uint64_t *lengths = f->deadlines.length_ms;
    f->scratch_size = (size_t)o->line_max + 2 * RECEIVE_MAX;
    f->scratch = malloc(f->scratch_size);
    f->conns = calloc(o->connections, sizeof *f->conns);
    f->clients = kav_clients_new(o->connections);
    f->spill_dir = strdup(o->spill_dir);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->apart = kav_stream_seal(&(kav_stream){.fd = -1});
    int failed = kav_deadlines_open(&f->deadlines, o->connections + 1);
    if (failed) return failed;
    if (f->epoll < 0) return -errno;
    if (f->apart < 0) return f->apart;
    if (!f->scratch || !f->conns || !f->clients || !f->spill_dir) return -ENOMEM;
    lengths[KAV_WAIT_IDLE] = o->idle_ms;
    lengths[KAV_WAIT_INPUT] = o->stall_ms;
    lengths[KAV_WAIT_OUTPUT] = o->send_ms;
    lengths[KAV_WAIT_QUIET] = KAV_SERVE_QUIET_MS;
    lengths[KAV_WAIT_LINGER] = KAV_SERVE_LINGER_MS;
    lengths[KAV_WAIT_ACCEPT] = KAV_SERVE_ACCEPT_MS;
    for (uint32_t i = 0; i < o->connections; i++)
        f->conns[i] = (kav_conn){.fd = -1, .next = i + 1 < o->connections ? i + 1 : KAV_NOBODY};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TAG_TIMER};
    return epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->deadlines.timer, &event) ? -errno : 0;
}

int kav_front_new(const kav_front_options *options, kav_front **front)
{
    *front = NULL;
    if (!options->connections || options->connections > CONNECTIONS || !options->line_max ||
        options->line_max > 1 << 20)
        return -EINVAL;
    kav_front *f = calloc(1, sizeof *f);
    if (!f) return -ENOMEM;
    f->options = *options;
    f->epoll = f->apart = f->deadlines.timer = -1;
    f->accepting = true;
    f->again_first = f->again_last = KAV_NOBODY;
    int failed = open_parts(f);
    f->budget = (kav_stream_budget){.spill_dir = f->spill_dir,
                                    .memory_each = options->memory_max,
                                    .memory_total = options->memory_total,
                                    .spill_total = options->spill_total};
    if (failed) kav_front_free(f);
    else *front = f;
    return failed;
}

void kav_front_drop(kav_front *f)
{
    f->ending = true;
    for (uint32_t i = 0; f->conns && i < f->options.connections; i++)
        if (f->conns[i].phase != KAV_FREE) kav_conn_drop(f, &f->conns[i]);
    kav_inbox_clear(&f->inbox, 0);
}

void kav_front_free(kav_front *f)
{
    if (!f) return;
    kav_front_drop(f);
    for (uint32_t i = 0; i < f->listener_count; i++) close(f->listeners[i].fd);
    for (int protocol = 0; protocol <= KAV_CLAMD; protocol++)
        for (int which = 0; which < KAV_TEXTS; which++) free(f->texts[protocol][which].bytes);
    kav_inbox_free(&f->inbox);
    kav_deadlines_close(&f->deadlines);
    kav_clients_free(f->clients);
    if (f->epoll >= 0) close(f->epoll);
    if (f->apart >= 0) close(f->apart);
    free(f->conns);
    free(f->scratch);
    free(f->spill_dir);
    free(f);
}

int kav_front_fileno(const kav_front *f)
{
    return f->epoll;
}

int kav_front_say(kav_front *f, enum kav_protocol protocol, enum kav_front_text which, const void *text, size_t len)
{
    kav_text *own = &f->texts[protocol][which];
    uint8_t *copy = malloc(len + 2);
    size_t used = len;
    if (!copy) return -ENOMEM;
    if (len) memcpy(copy, text, len);
    if (len && protocol == KAV_AVE) copy[used++] = '\r';
    if (len) copy[used++] = '\n';
    free(own->bytes);
    *own = (kav_text){copy, used};
    return 0;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static void on_event(kav_front *f, uint64_t id, uint32_t events)
{
    if (kav_conn_unread(f, id)) return;
    kav_conn *c = kav_conn_find(f, id);
    bool gone = events & (EPOLLHUP | EPOLLERR);
    if (c && events & EPOLLIN && (!gone || kav_input_wanted(c))) kav_input(f, c);
    if ((c = kav_conn_find(f, id)) && gone) kav_conn_drop(f, c);
    else if (c && events & EPOLLOUT && kav_outgoing_waits(&c->out)) kav_output_flush(f, c);
}

static void go_on(kav_front *f)
{
    uint32_t last = f->again_last, at = KAV_NOBODY;
    while (at != last && (at = f->again_first) != KAV_NOBODY) {
        kav_conn *c = &f->conns[at];
        f->again_first = c->next;
        if (f->again_first == KAV_NOBODY) f->again_last = KAV_NOBODY;
        c->again = false;
        kav_input_again(f, c);
    }
}

static void stall(kav_front *f, kav_conn *c)
{
    uint64_t id = kav_conn_id(f, c);
    f->counts.stalled++;
    if (c->flying && kav_inbox_add_id(&f->inbox, id)) f->failed = -ENOMEM;
    while (c->flying) kav_conn_land(f, c, c->flights);
    kav_output_text(f, c, KAV_TEXT_LATE);
    kav_front_end(f, id);
}

static void on_time(kav_front *f, uint32_t index)
{
    kav_conn *c = &f->conns[index];
    switch (f->deadlines.of[index].kind) {
    case KAV_WAIT_ACCEPT:
        kav_deadlines_set(&f->deadlines, index, KAV_WAIT_NONE, 0, 0);
        f->resting = false;
        kav_accept_watch(f);
        break;
    case KAV_WAIT_INPUT: stall(f, c); break;
    case KAV_WAIT_QUIET: kav_input_whole(f, c); break;
    case KAV_WAIT_OUTPUT: f->counts.slow++; /* fall through */
    default: kav_conn_drop(f, c);
    }
}

static void on_timer(kav_front *f)
{
    uint64_t now = kav_now_ms();
    uint32_t index;
    for (int i = 0; i < EVENTS && (index = kav_deadlines_over(&f->deadlines, now)) != KAV_NOBODY; i++)
        on_time(f, index);
    kav_deadlines_rang(&f->deadlines);
    if (f->again_first != KAV_NOBODY) kav_deadlines_ring(&f->deadlines); /* asked for since it rang: that is over now */
}

int kav_front_step(kav_front *f)
{
    struct epoll_event events[EVENTS];
    bool rang = false;
    int count = epoll_wait(f->epoll, events, EVENTS, 0);
    if (count < 0 && errno != EINTR) return -errno;
    go_on(f);
    for (int i = 0; i < count; i++) {
        uint64_t id = events[i].data.u64;
        if (id & TAG_LISTENER) kav_accept(f, &f->listeners[id & (LISTENERS - 1)]);
        else if (id & TAG_TIMER) rang = true;
        else on_event(f, id, events[i].events);
    }
    if (rang) on_timer(f);
    int failed = f->failed;
    f->failed = 0;
    return failed;
}

/* ---- what is handed out -------------------------------------------------------------------------------------------
 */

size_t kav_front_request_count(const kav_front *f)
{
    return f->inbox.count;
}

kav_request kav_front_request(const kav_front *f, size_t index)
{
    return kav_inbox_get(&f->inbox, index);
}

void kav_front_clear_requests(kav_front *f, size_t taken)
{
    kav_inbox_clear(&f->inbox, taken);
}

size_t kav_front_unwanted_count(const kav_front *f)
{
    return f->inbox.unwanted_count;
}

kav_unwanted kav_front_unwanted(const kav_front *f, size_t index)
{
    return f->inbox.unwanted[index];
}

void kav_front_clear_unwanted(kav_front *f)
{
    f->inbox.unwanted_count = 0;
}

size_t kav_front_gone_count(const kav_front *f)
{
    return f->inbox.ids_count;
}

uint64_t kav_front_gone(const kav_front *f, size_t index)
{
    return f->inbox.ids[index];
}

void kav_front_clear_gone(kav_front *f)
{
    f->inbox.ids_count = 0;
}

kav_front_counts kav_front_get_counts(const kav_front *f)
{
    kav_front_counts counts = f->counts;
    counts.spilled = f->budget.spilled;
    counts.memory_used = f->budget.memory_used;
    counts.spill_used = f->budget.spill_used;
    return counts;
}
