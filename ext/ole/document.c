/* Ole: opens compound files. Every stream is a part; then come the parts that streams hold in a form of their own. */
#include "document.h"
#include "inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    kav_unpack *unpack;
    uint8_t head[6];
    size_t head_len;
    bool stopped;
} passing;

static bool pass_bytes(void *context, const uint8_t *bytes, size_t len)
{
    passing *p = context;
    size_t want = sizeof p->head - p->head_len;
    if (want > len) want = len;
    memcpy(p->head + p->head_len, bytes, want);
    p->head_len += want;
    return kav_unpack_data(p->unpack, bytes, len) == 0;
}

/* ActiveMime and its like: a length, then a stream of zlib. */
static bool is_packed(const passing *p)
{
    return p->head_len == sizeof p->head && p->head[4] == 0x78 && p->head[5] == 0x9c;
}

static bool pass_packed(kav_cfb *c, const kav_cfb_entry *e, const char *path, size_t path_len, kav_unpack *u)
{
    uint8_t *bytes;
    size_t len;
    kav_inflated done;
    uint32_t reasons = kav_cfb_load(c, e, KAV_OLE_LOAD_MAX, &bytes, &len) & (KAV_R_SIZE | KAV_R_MEMORY | KAV_R_TIME);
    bool going = true;
    if (len > 4) {
        kav_source source = {.memory = bytes, .fd = -1, .size = len};
        going = kav_unpack_begin(u, path, path_len, UINT64_MAX, KAV_M_PART) == 0;
        if (going) {
            /* Bytes that only look like that are no damage: the stream itself was passed. */
            reasons |= kav_inflate(u, KAV_INFLATE_ZLIB, &source, 4, len - 4, KAV_INFLATE_UNKNOWN, &done) &
                       ~(uint32_t)KAV_R_DAMAGED;
            going = kav_unpack_end(u, reasons) == 0;
        }
    }
    free(bytes);
    return going;
}

static bool pass_stream(kav_cfb *c, const kav_cfb_entry *e, kav_unpack *u)
{
    char path[KAV_CFB_PATH];
    size_t path_len = kav_cfb_path(c, e, path);
    passing p = {.unpack = u};
    if (kav_unpack_begin(u, path, path_len, e->size, KAV_M_PART) != 0) return false;
    uint32_t reasons = kav_cfb_read(c, e, pass_bytes, &p);
    if (kav_unpack_end(u, reasons) != 0) return false;
    return !is_packed(&p) || pass_packed(c, e, path, path_len, u);
}

/* Streams that hold files in a form of their own. */
static bool pass_inner(kav_cfb *c, const kav_cfb_entry *e, kav_unpack *u)
{
    bool native = kav_cfb_named(e, "\1Ole10Native"), slides = kav_cfb_named(e, "PowerPoint Document");
    char path[KAV_CFB_PATH];
    uint8_t *bytes;
    size_t len;
    if (kav_cfb_named(e, "dir")) return kav_vba_pass(c, e, u);
    if ((kav_cfb_named(e, "Workbook") || kav_cfb_named(e, "Book")) && kav_workbook_has_macro_sheet(c, e))
        kav_unpack_elsewhere(u); /* ClamAV writes out their formulas, and signatures may ask for that text */
    if (!native && !slides) return true;
    uint32_t reasons = kav_cfb_load(c, e, KAV_OLE_LOAD_MAX, &bytes, &len);
    kav_unpack_flag(u, reasons & ~(uint32_t)KAV_R_DAMAGED);
    size_t path_len = kav_cfb_path(c, e, path);
    bool going = native ? kav_native_pass(bytes, len, path, path_len, u) : kav_powerpoint_pass(bytes, len, u);
    free(bytes);
    return going;
}

int kav_open_ole(const kav_source *source, kav_type type, kav_unpack *u)
{
    kav_cfb *c;
    uint32_t count;
    bool going = true;
    (void)type;
    int rc = kav_cfb_open(&c, source, u);
    if (rc != 0) return rc;
    const kav_cfb_entry *entries = kav_cfb_entries(c, &count);
    kav_unpack_flag(u, kav_ole_protected(c));
    for (uint32_t i = 0; going && i < count; i++)
        if (entries[i].kind == KAV_CFB_STREAM) going = pass_stream(c, &entries[i], u) && pass_inner(c, &entries[i], u);
    kav_cfb_close(c);
    return 0;
}
