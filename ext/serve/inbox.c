/* What Python has not heard of yet (contract: inbox.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inbox.h"

#define KEPT_BYTES 65536 /* more is given back after a busy moment */

static int grow(void **items, size_t *room, size_t wanted, size_t each)
{
    if (wanted <= *room) return 0;
    size_t more = *room ? *room * 2 : 64;
    while (more < wanted) more *= 2;
    void *grown = realloc(*items, more * each);
    if (!grown) return -ENOMEM;
    *items = grown;
    *room = more;
    return 0;
}

int kav_inbox_add(kav_inbox *inbox, const kav_request *r)
{
    if (grow((void **)&inbox->rows, &inbox->rows_max, inbox->count + 1, sizeof *inbox->rows) ||
        grow((void **)&inbox->bytes, &inbox->bytes_max, inbox->used + r->option_len + r->argument_len, 1))
        return -ENOMEM;
    inbox->rows[inbox->count++] = (kav_inbox_row){
        .connection = r->connection,
        .number = r->number,
        .at = inbox->used,
        .option_len = (uint32_t)r->option_len,
        .argument_len = (uint32_t)r->argument_len,
        .verb = r->verb,
        .fd = r->fd,
    };
    if (r->option_len) memcpy(inbox->bytes + inbox->used, r->option, r->option_len);
    if (r->argument_len) memcpy(inbox->bytes + inbox->used + r->option_len, r->argument, r->argument_len);
    inbox->used += r->option_len + r->argument_len;
    return 0;
}

int kav_inbox_add_id(kav_inbox *inbox, uint64_t id)
{
    if (grow((void **)&inbox->ids, &inbox->ids_max, inbox->ids_count + 1, sizeof *inbox->ids)) return -ENOMEM;
    inbox->ids[inbox->ids_count++] = id;
    return 0;
}

void kav_inbox_add_unwanted(kav_inbox *inbox, int64_t uid, int fd)
{
    size_t count = inbox->unwanted_count + 1;
    if (grow((void **)&inbox->unwanted, &inbox->unwanted_max, count, sizeof *inbox->unwanted)) close(fd);
    else inbox->unwanted[inbox->unwanted_count++] = (kav_unwanted){.uid = uid, .fd = fd};
}

kav_request kav_inbox_get(const kav_inbox *inbox, size_t i)
{
    const kav_inbox_row *row = &inbox->rows[i];
    return (kav_request){
        .connection = row->connection,
        .number = row->number,
        .verb = row->verb,
        .fd = row->fd,
        .option = inbox->bytes + row->at,
        .argument = inbox->bytes + row->at + row->option_len,
        .option_len = row->option_len,
        .argument_len = row->argument_len,
    };
}

void kav_inbox_clear(kav_inbox *inbox, size_t first)
{
    for (size_t i = first; i < inbox->count; i++)
        if (inbox->rows[i].fd >= 0) kav_inbox_add_unwanted(inbox, -1, inbox->rows[i].fd);
    inbox->count = inbox->used = 0;
    if (inbox->bytes_max > KEPT_BYTES) {
        free(inbox->bytes);
        inbox->bytes = NULL;
        inbox->bytes_max = 0;
    }
}

void kav_inbox_free(kav_inbox *inbox)
{
    kav_inbox_clear(inbox, 0);
    while (inbox->unwanted_count) close(inbox->unwanted[--inbox->unwanted_count].fd);
    free(inbox->unwanted);
    free(inbox->rows);
    free(inbox->bytes);
    free(inbox->ids);
    *inbox = (kav_inbox){0};
}
