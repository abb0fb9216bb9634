/* How many connections each client has (contract: clients.h). */
#include <stdlib.h>
#include <sys/random.h>

#include "clients.h"

typedef struct {
    uint64_t name;
    uint32_t kind, connections;
    uint32_t next; /* in its bucket, or among the free ones */
    kav_stream_share share;
} row;

struct kav_clients {
    uint64_t secret[2];
    uint32_t mask, free, rows_max;
    uint32_t *buckets;
    row *rows;
};

kav_clients *kav_clients_new(uint32_t connections)
{
    kav_clients *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    uint32_t buckets = 16;
    while (buckets < connections && buckets < 1u << 30) buckets <<= 1;
    c->mask = buckets - 1;
    c->rows_max = connections;
    c->buckets = malloc(sizeof *c->buckets * buckets);
    c->rows = calloc(connections ? connections : 1, sizeof *c->rows);
    if (!c->buckets || !c->rows || getrandom(c->secret, sizeof c->secret, 0) != sizeof c->secret) {
        kav_clients_free(c);
        return NULL;
    }
    for (uint32_t i = 0; i < buckets; i++) c->buckets[i] = KAV_NO_CLIENT;
    for (uint32_t i = 0; i < connections; i++) c->rows[i].next = i + 1 < connections ? i + 1 : KAV_NO_CLIENT;
    c->free = connections ? 0 : KAV_NO_CLIENT;
    return c;
}

void kav_clients_free(kav_clients *c)
{
    if (!c) return;
    free(c->buckets);
    free(c->rows);
    free(c);
}

/* A product of 128 bits, folded: with both factors secret, which names meet in a bucket cannot be told from outside. */
static uint32_t *bucket(kav_clients *c, uint32_t kind, uint64_t name)
{
    unsigned __int128 product = (unsigned __int128)(name ^ c->secret[0]) * ((c->secret[1] + kind) | 1);
    return &c->buckets[(uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & c->mask];
}

uint32_t kav_clients_enter(kav_clients *c, enum kav_client_kind kind, uint64_t name, uint32_t most)
{
    uint32_t *head = bucket(c, kind, name);
    uint32_t at = *head;
    while (at != KAV_NO_CLIENT && (c->rows[at].name != name || c->rows[at].kind != kind)) at = c->rows[at].next;
    if (at == KAV_NO_CLIENT) {
        at = c->free;
        if (at == KAV_NO_CLIENT) return at;
        c->free = c->rows[at].next;
        c->rows[at] = (row){.name = name, .kind = kind, .next = *head};
        *head = at;
    } else if (most && c->rows[at].connections >= most) {
        return KAV_NO_CLIENT;
    }
    c->rows[at].connections++;
    return at;
}

kav_stream_share *kav_clients_share(kav_clients *c, uint32_t client)
{
    return &c->rows[client].share;
}

void kav_clients_leave(kav_clients *c, uint32_t client)
{
    row *gone = &c->rows[client];
    if (--gone->connections) return;
    uint32_t *link = bucket(c, gone->kind, gone->name);
    while (*link != client) link = &c->rows[*link].next;
    *link = gone->next;
    gone->next = c->free;
    c->free = client;
}
