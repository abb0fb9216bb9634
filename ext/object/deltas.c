#include "deltas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kav_deltas_init(kav_deltas *d, const kav_object_delta *rows, size_t count)
{
    memset(d, 0, sizeof *d);
    d->broken = calloc(count + 1, 1);
    if (d->broken == NULL) return -ENOMEM;
    d->rows = rows;
    d->count = count;
    return 0;
}

static void close_one(kav_delta_open *open)
{
    kav_session_free(open->session);
    kav_image_close(open->image);
    *open = (kav_delta_open){.row = 0};
}

void kav_deltas_free(kav_deltas *d)
{
    for (int i = 0; i < KAV_DELTAS_OPEN; i++) close_one(&d->open[i]);
    free(d->broken);
    d->broken = NULL;
}

static bool open_one(const kav_object_delta *row, kav_delta_open *open)
{
    char why[160];
    if (kav_image_open(row->parts, row->count, &open->image, why, sizeof why) == KAV_IMAGE_OK) {
        open->session = kav_session_new(open->image);
        if (open->session != NULL) return true;
    }
    close_one(open);
    return false;
}

const kav_delta_open *kav_deltas_get(kav_deltas *d, uint32_t row)
{
    if (row == 0 || row > d->count || d->rows[row - 1].count == 0 || d->broken[row - 1]) return NULL;
    kav_delta_open *oldest = &d->open[0];
    d->clock++;
    for (int i = 0; i < KAV_DELTAS_OPEN; i++) {
        kav_delta_open *open = &d->open[i];
        if (open->row == row) {
            open->used = d->clock;
            return open;
        }
        if (open->used < oldest->used) oldest = open;
    }
    close_one(oldest);
    if (!open_one(&d->rows[row - 1], oldest)) {
        d->broken[row - 1] = 1;
        return NULL;
    }
    oldest->row = row;
    oldest->used = d->clock;
    return oldest;
}
