/* Vba: the modules of a project, given twice, because signatures are written for both forms:
 *
 *     STORAGE/project.bas   one text: a line "REM NAME: value" for each record of the project's directory, and behind
 *                           those of a module its source, normalised (vbatext.h); matched by signatures for ANY
 *     STORAGE/MODULE.bas    the source as it stands, where Office keeps the project compiled beside it; matched by
 *                           signatures for OLE2 and ANY
 *
 * The words of the lines are fixed by the signatures that match them.
 */
#include "vbaproject.h"

#include <stdlib.h>
#include <string.h>

#define COMPILED_MIN 256 /* bytes of a "_VBA_PROJECT" that holds more than its own header */

typedef struct {
    kav_vba *v;
    bool normal;
    kav_vbatext text;
} source_passing;

static bool pass_source(void *context, const uint8_t *bytes, size_t len)
{
    source_passing *p = context;
    uint8_t utf8[KAV_OVBA_CHUNK * KAV_VBATEXT_GROWTH], out[sizeof utf8 + 2];
    if (!p->normal) return kav_unpack_data(p->v->unpack, bytes, len) == 0;
    size_t n = kav_vbatext_utf8(p->v->codepage, bytes, len, utf8);
    n = kav_vbatext_pass(&p->text, utf8, n, out);
    return n == 0 || kav_unpack_data(p->v->unpack, out, n) == 0;
}

uint32_t kav_vba_source(kav_vba *v, const kav_vba_module *m, bool normal)
{
    source_passing p = {.v = v, .normal = normal};
    uint8_t *bytes, rest[2];
    size_t len;
    uint32_t reasons = kav_cfb_load(v->cfb, m->stream, KAV_OLE_LOAD_MAX, &bytes, &len);
    bool whole = m->offset < len && kav_ovba_unpack(bytes + m->offset, len - m->offset, pass_source, &p);
    free(bytes);
    if (normal && (len = kav_vbatext_end(&p.text, rest)) > 0) kav_unpack_data(v->unpack, rest, len);
    return whole ? reasons : reasons | KAV_R_DAMAGED;
}

/* Whether the project's storage has it in compiled form too, as Office writes it. */
static bool is_compiled(kav_vba *v)
{
    static const uint16_t name[] = {'_', 'V', 'B', 'A', '_', 'P', 'R', 'O', 'J', 'E', 'C', 'T'};
    const kav_cfb_entry *e = kav_cfb_find(v->cfb, v->storage, name, sizeof name / sizeof name[0]);
    uint8_t *bytes;
    size_t len;
    if (e == NULL || e->size < COMPILED_MIN) return false;
    kav_cfb_load(v->cfb, e, 2, &bytes, &len);
    bool compiled = len == 2 && bytes[0] == 0xcc && bytes[1] == 0x61;
    free(bytes);
    return compiled;
}

/* The path of a part that stands for a stream: what it is called, with an ending of its own. */
static size_t path_of(kav_vba *v, const kav_cfb_entry *e, const char *ending, char path[KAV_CFB_PATH])
{
    size_t len = kav_cfb_path(v->cfb, e, path), more = strlen(ending);
    if (len + more > KAV_CFB_PATH) len = KAV_CFB_PATH - more;
    memcpy(path + len, ending, more);
    return len + more;
}

static bool pass_modules(kav_vba *v)
{
    kav_type type = {KAV_FMT_VBA, KAV_T_OLE2};
    char path[KAV_CFB_PATH];
    for (uint32_t i = 0; i < v->module_count; i++) {
        size_t len = path_of(v, v->modules[i].stream, ".bas", path);
        if (kav_unpack_begin(v->unpack, path, len, UINT64_MAX, KAV_M_PART) != 0) return false;
        kav_unpack_type(v->unpack, type);
        kav_vba_source(v, &v->modules[i], false); /* what is wrong with it is said of the text of all */
        if (kav_unpack_end(v->unpack, 0) != 0) return false;
    }
    return true;
}

static bool keep_directory(void *context, const uint8_t *bytes, size_t len)
{
    kav_vba *v = context;
    if (len == 0) return true;
    if (len > KAV_OLE_LOAD_MAX - v->directory_len) {
        kav_unpack_flag(v->unpack, KAV_R_SIZE);
        return false;
    }
    if (v->directory_room - v->directory_len < len) {
        size_t room = 2 * (v->directory_len + len);
        uint8_t *larger = realloc(v->directory, room);
        if (larger == NULL) {
            kav_unpack_flag(v->unpack, KAV_R_MEMORY);
            return false;
        }
        v->directory = larger;
        v->directory_room = room;
    }
    memcpy(v->directory + v->directory_len, bytes, len);
    v->directory_len += len;
    return true;
}

/* The project's directory unpacked. False: the stream only has its name. */
static bool load_directory(kav_vba *v, const kav_cfb_entry *dir)
{
    uint8_t *bytes;
    size_t len;
    uint32_t reasons = kav_cfb_load(v->cfb, dir, KAV_OLE_LOAD_MAX, &bytes, &len);
    kav_unpack_flag(v->unpack, reasons & ~(uint32_t)KAV_R_DAMAGED);
    kav_ovba_unpack(bytes, len, keep_directory, v);
    free(bytes);
    return v->directory_len >= 6 && kav_le16(v->directory) == KAV_VBA_FIRST;
}

bool kav_vba_pass(kav_cfb *c, const kav_cfb_entry *dir, kav_unpack *u)
{
    static const char title[] = "REM VBA project extracted from Microsoft Office document\n\n";
    kav_type type = {KAV_FMT_VBA, KAV_T_ANY};
    kav_vba v = {.cfb = c, .unpack = u, .storage = dir->parent, .codepage = KAV_CODEPAGE_LATIN};
    char path[KAV_CFB_PATH];
    bool going = true;
    if (load_directory(&v, dir)) {
        size_t len = path_of(&v, dir, "", path);
        len -= len >= 3 ? 3 : 0; /* "dir" gives way to what the part is */
        if (len + 11 > sizeof path) len = 0;
        memcpy(path + len, "project.bas", 11);
        going = kav_unpack_begin(u, path, len + 11, UINT64_MAX, KAV_M_PART) == 0;
        if (going) {
            kav_unpack_type(u, type);
            kav_unpack_data(u, title, sizeof title - 1);
            going = kav_unpack_end(u, kav_vba_records(&v)) == 0;
        }
        if (going && is_compiled(&v)) going = pass_modules(&v);
    }
    free(v.directory);
    free(v.modules);
    return going;
}
