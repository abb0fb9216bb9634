/* Who is at the other end of a connection. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "front.h"

static int read_groups(int fd, kav_peer *peer)
{
    gid_t few[64];
    socklen_t len = sizeof few;
    gid_t *groups = few;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &len) != 0) {
        if (errno != ERANGE) return -errno;
        groups = malloc(len);
        if (!groups) return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0) len = 0;
    }
    peer->group_count = len / sizeof *groups;
    peer->groups = malloc(len ? len : 1);
    for (size_t i = 0; peer->groups && i < peer->group_count; i++) peer->groups[i] = groups[i];
    if (groups != few) free(groups);
    return peer->groups ? 0 : -ENOMEM;
}

static void read_address(int fd, kav_peer *peer)
{
    struct sockaddr_storage address = {0};
    char text[INET6_ADDRSTRLEN] = "";
    socklen_t len = sizeof address;
    in_port_t port = 0;
    if (getpeername(fd, (struct sockaddr *)&address, &len) != 0) return;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
        port = four->sin_port;
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
        port = six->sin6_port;
    }
    if (*text) snprintf(peer->address, sizeof peer->address, "%s %u", text, ntohs(port));
}

int kav_front_peer(const kav_front *f, uint64_t id, kav_peer *peer)
{
    const kav_conn *c = kav_conn_find(f, id);
    *peer = (kav_peer){.pid = -1, .uid = -1, .gid = -1};
    if (!c) return -ENOENT;
    if (c->transport == KAV_RELAY) snprintf(peer->address, sizeof peer->address, "%s", c->address);
    if (c->transport == KAV_TCP) read_address(c->fd, peer);
    if (c->transport != KAV_UNIX) return 0;
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) return -errno;
    peer->pid = who.pid;
    peer->uid = who.uid;
    peer->gid = who.gid;
    return read_groups(c->fd, peer);
}
