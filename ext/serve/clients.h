/* Clients: how many connections each has, by user on UNIX sockets, by address on others (IPv6: by its first 64 bits,
 * which is what one household gets). A table of fixed size; its hash has a secret, for addresses are chosen by others.
 */
#ifndef KAV_SERVE_CLIENTS_H
#define KAV_SERVE_CLIENTS_H

#include <stdint.h>

#include "stream.h"

#define KAV_NO_CLIENT UINT32_MAX

enum kav_client_kind { KAV_CLIENT_USER = 1, KAV_CLIENT_IP4, KAV_CLIENT_IP6, KAV_CLIENT_NAMED };

typedef struct kav_clients kav_clients;

/* Room for as many clients as there can be connections. NULL: out of memory. */
kav_clients *kav_clients_new(uint32_t connections);
void kav_clients_free(kav_clients *clients);

/* One connection more of this client; its number, or KAV_NO_CLIENT when it has `most` already (0: no limit). */
uint32_t kav_clients_enter(kav_clients *clients, enum kav_client_kind kind, uint64_t name, uint32_t most);

/* One less; with the last one goes what it holds, which is nothing then. */
void kav_clients_leave(kav_clients *clients, uint32_t client);

/* What its streams hold. Stays where it is as long as the client has a connection. */
kav_stream_share *kav_clients_share(kav_clients *clients, uint32_t client);

#endif
