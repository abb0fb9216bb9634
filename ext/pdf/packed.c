/* Objects inside of an object stream: pairs of number and place, then the objects, one behind the other. */
#include "pdf.h"

#include <errno.h>
#include <stdlib.h>

static size_t behind_number(const uint8_t *p, size_t at, size_t len)
{
    while (at < len && p[at] >= '0' && p[at] <= '9') at++;
    while (at < len && kav_pdf_is_space(p[at])) at++;
    return at;
}

/* The pair at *at: false, there is none. */
static bool read_pair(const uint8_t *p, size_t *at, size_t len, int64_t *number, int64_t *place)
{
    *number = kav_pdf_number(p, *at, len);
    if (*number < 0) return false;
    size_t second = behind_number(p, *at, len);
    *place = kav_pdf_number(p, second, len);
    *at = behind_number(p, second, len);
    return *place >= 0;
}

int kav_pdf_packed_read(kav_pdf *p, uint8_t *bytes, size_t len, int64_t first, int64_t count)
{
    if (kav_pdf_grow((void **)&p->packed, p->packed_count, &p->packed_room, sizeof *p->packed) != 0) {
        p->held -= len;
        free(bytes);
        return -ENOMEM;
    }
    p->packed[p->packed_count++] = (kav_pdf_packed){bytes, len};
    if (first < 0 || (uint64_t)first >= len) return 0;
    size_t at = 0, head = (size_t)first;
    int64_t number, place, next_number = 0, next_place = 0;
    bool more = read_pair(bytes, &at, head, &number, &place);
    for (int64_t i = 0; i < count && more; i++) {
        if ((uint64_t)place > len - head) break;
        more = i + 1 < count && read_pair(bytes, &at, head, &next_number, &next_place);
        if (more && (next_place <= place || (uint64_t)next_place > len - head)) break;
        kav_pdf_object o = {.id = (uint32_t)number << 8, .start = head + (uint64_t)place, .packed = p->packed_count};
        o.size = (more ? head + (uint64_t)next_place : len) - o.start;
        uint32_t object = p->count;
        if (kav_pdf_object_add(p, &o) != 0) return -ENOMEM;
        if (object == p->count) break; /* too many */
        if (kav_pdf_names_read(p, object) != 0) return -ENOMEM;
        number = next_number;
        place = next_place;
    }
    return 0;
}
