#include "probe.h"
#include "bytecompare.h"
#include "macro.h"
#include "pcreprobe.h"
#include "pictureprobe.h"

#include <string.h>

const char *kav_probe_parse(kav_text text, uint32_t own, enum kav_probe_kind *kind, kav_buffer *out)
{
    union {
        kav_bytecompare compare;
        kav_macro macro;
        uint64_t hash;
    } made;
    const char *why;
    if (memchr(text.text, '\0', text.length)) return "NUL in a subsignature";
    if (text.length && text.text[0] == '$') {
        *kind = KAV_PROBE_MACRO;
        why = kav_macro_parse(text, &made.macro);
        if (!why) kav_buffer_add(out, &made.macro, sizeof made.macro);
    } else if (text.length > sizeof KAV_PICTURE_WORD - 1 &&
               memcmp(text.text, KAV_PICTURE_WORD, sizeof KAV_PICTURE_WORD - 1) == 0) {
        *kind = KAV_PROBE_PICTURE;
        why = kav_pictureprobe_parse(text, &made.hash);
        if (!why) kav_buffer_add(out, &made.hash, sizeof made.hash);
    } else if (memchr(text.text, '/', text.length)) {
        *kind = KAV_PROBE_PCRE;
        why = kav_pcre_parse(text, own, out);
    } else {
        *kind = KAV_PROBE_COMPARE;
        why = kav_bytecompare_parse(text, &made.compare);
        if (!why) kav_buffer_add(out, &made.compare, sizeof made.compare);
    }
    if (!why && !kav_buffer_ok(out)) why = "out of memory";
    return why;
}

/* The probe of a subsignature, or NULL: it is a pattern. */
static const kav_probe *probe_of(const kav_probe_row *row, uint32_t index)
{
    uint32_t sub = index < row->count ? row->subsigs[index] : 0;
    return sub & KAV_SUB_PROBE ? &row->probes[sub & ~KAV_SUB_PROBE] : NULL;
}

static const void *data_of(const kav_probe_row *row, const kav_probe *probe)
{
    return row->data + probe->data;
}

bool kav_probe_check(const kav_probe_row *row)
{
    for (uint32_t i = 0; i < row->count; i++) {
        const kav_probe *p = probe_of(row, i);
        if (!p) continue;
        if (p->data % 8) return false;
        const void *data = data_of(row, p);
        switch (p->kind) {
        case KAV_PROBE_PCRE:
            if (!kav_pcre_check(data, p->length, i)) return false;
            break;
        case KAV_PROBE_COMPARE:
            if (p->length < sizeof(kav_bytecompare) || !kav_bytecompare_check(data)) return false;
            break;
        case KAV_PROBE_MACRO:
            if (p->length < sizeof(kav_macro) || ((const kav_macro *)data)->group >= KAV_MACRO_GROUPS) return false;
            break;
        case KAV_PROBE_PICTURE:
            if (p->length < sizeof(uint64_t)) return false;
            break;
        default: return false;
        }
    }
    return true;
}

kav_probe_wants kav_probe_wanted(const kav_probe_row *row)
{
    kav_probe_wants wants = {1, 0, 0, false};
    for (uint32_t i = 0; i < row->count; i++) {
        const kav_probe *p = probe_of(row, i);
        if (!p) continue;
        if (p->kind == KAV_PROBE_PCRE) {
            const kav_pcre *pcre = data_of(row, p);
            uint32_t cap = kav_expression_cap(kav_pcre_code(pcre), pcre->code_count);
            if (cap > wants.cap) wants.cap = cap;
            wants.headers |= pcre->place >= KAV_AT_ENTRY;
        } else if (p->kind == KAV_PROBE_COMPARE) {
            wants.early |= UINT64_C(1) << ((const kav_bytecompare *)data_of(row, p))->reference;
        } else if (i > 0 && p->kind == KAV_PROBE_MACRO) {
            wants.all |= UINT64_C(1) << (i - 1);
        }
    }
    return wants;
}

uint32_t kav_probe_count(const void *counts, const kav_code *leaf)
{
    return ((const uint32_t *)counts)[leaf->index];
}

/* A probe names subsignatures before it, or patterns anywhere; so going through them in order is enough. */
static uint32_t outlook(const kav_probe_row *row, uint32_t own, const uint32_t *counts)
{
    const kav_probe *p = probe_of(row, own);
    bool possible = false;
    if (p->kind == KAV_PROBE_PCRE) {
        const kav_pcre *pcre = data_of(row, p);
        possible = kav_expression_eval(kav_pcre_code(pcre), pcre->code_count, kav_probe_count, counts) != KAV_FALSE;
    } else if (p->kind == KAV_PROBE_COMPARE) {
        uint32_t reference = ((const kav_bytecompare *)data_of(row, p))->reference;
        possible = reference < row->count && counts[reference];
    } else if (p->kind == KAV_PROBE_PICTURE) {
        possible = true;
    } else {
        possible = own > 0 && counts[own - 1] > 1;
    }
    return possible ? KAV_ANY_COUNT : 0;
}

void kav_probe_outlook(const kav_probe_row *row, uint32_t counts[KAV_SUBSIGS_MAX])
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (probe_of(row, i)) counts[i] = 0;
    }
    for (uint32_t i = 0; i < row->count; i++) {
        const kav_probe *next = probe_of(row, i + 1);
        if (next && next->kind == KAV_PROBE_MACRO && counts[i] > 1) counts[i] = KAV_ANY_COUNT;
        if (probe_of(row, i)) counts[i] = outlook(row, i, counts);
    }
}
