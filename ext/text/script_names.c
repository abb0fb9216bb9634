#include "script_parts.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 256, SCOPES_ASKED = 64 };

static uint32_t hash_bytes(const uint8_t *p, size_t len)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * 0x100000001b3ull;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_pair(uint32_t scope, uint32_t symbol)
{
    uint64_t h = ((uint64_t)scope << 32 | symbol) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(h >> 32);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static bool grow_symbol_slots(kav_script *s)
{
    uint32_t count = s->symbol_slot_count ? 2 * s->symbol_slot_count : FIRST_SLOTS;
    uint32_t *slots = malloc(count * sizeof *slots);
    if (!slots) return false;
    memset(slots, 0xff, count * sizeof *slots);
    for (uint32_t i = 0; i < s->symbol_count; i++) {
        uint32_t at = hash_bytes(s->text.data + s->symbols[i].at, s->symbols[i].len) & (count - 1);
        while (slots[at] != KAV_SCRIPT_NONE) at = (at + 1) & (count - 1);
        slots[at] = i;
    }
    free(s->symbol_slots);
    s->symbol_slots = slots;
    s->symbol_slot_count = count;
    return true;
}

static uint32_t add_symbol(kav_script *s, uint32_t at, uint32_t len)
{
    if (s->symbol_count == s->symbol_room) {
        uint32_t room = s->symbol_room ? 2 * s->symbol_room : FIRST_SLOTS;
        kav_symbol *symbols = realloc(s->symbols, room * sizeof *symbols);
        if (!symbols) return KAV_SCRIPT_NONE;
        s->symbols = symbols;
        s->symbol_room = room;
    }
    s->symbols[s->symbol_count] = (kav_symbol){at, len, false};
    return s->symbol_count++;
}

uint32_t kav_script_intern(kav_script *s, uint32_t at)
{
    uint32_t len = (uint32_t)s->text.len - at;
    if (2 * s->symbol_count >= s->symbol_slot_count && !grow_symbol_slots(s)) return KAV_SCRIPT_NONE;
    const uint8_t *text = s->text.data + at;
    uint32_t slot = (len ? hash_bytes(text, len) : hash_bytes(NULL, 0)) & (s->symbol_slot_count - 1);
    for (; s->symbol_slots[slot] != KAV_SCRIPT_NONE; slot = (slot + 1) & (s->symbol_slot_count - 1)) {
        const kav_symbol *there = &s->symbols[s->symbol_slots[slot]];
        if (there->len != len || (len && memcmp(s->text.data + there->at, text, len) != 0)) continue;
        s->text.len = at;
        return s->symbol_slots[slot];
    }
    uint32_t symbol = add_symbol(s, at, len);
    if (symbol != KAV_SCRIPT_NONE) s->symbol_slots[slot] = symbol;
    return symbol;
}

/* ---- declarations ----------------------------------------------------------------------------------------------- */

static kav_declared *slot_of(kav_declared *slots, uint32_t count, uint32_t scope, uint32_t symbol)
{
    uint32_t at = hash_pair(scope, symbol) & (count - 1);
    while (slots[at].scope != KAV_SCRIPT_NONE && (slots[at].scope != scope || slots[at].symbol != symbol))
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static bool grow_declared(kav_script *s)
{
    uint32_t count = s->declared_slots ? 2 * s->declared_slots : FIRST_SLOTS;
    kav_declared *slots = malloc(count * sizeof *slots);
    if (!slots) return false;
    memset(slots, 0xff, count * sizeof *slots);
    for (uint32_t i = 0; i < s->declared_slots; i++) {
        const kav_declared *d = &s->declared[i];
        if (d->scope != KAV_SCRIPT_NONE) *slot_of(slots, count, d->scope, d->symbol) = *d;
    }
    free(s->declared);
    s->declared = slots;
    s->declared_slots = count;
    return true;
}

void kav_script_declare(kav_script *s, uint32_t symbol)
{
    uint32_t id = s->next_id++; /* a name that is declared again gets a new number for all its places */
    if (2 * s->declared_count >= s->declared_slots && !grow_declared(s)) {
        s->failed = true;
        return;
    }
    kav_declared *d = slot_of(s->declared, s->declared_slots, s->current, symbol);
    if (d->scope == KAV_SCRIPT_NONE) s->declared_count++;
    *d = (kav_declared){s->current, symbol, id};
    s->symbols[symbol].declared = true;
}

uint32_t kav_script_id(const kav_script *s, uint32_t scope, uint32_t symbol)
{
    if (!s->symbols[symbol].declared) return KAV_SCRIPT_NONE;
    for (int asked = 0; scope != KAV_SCRIPT_NONE; asked++) {
        const kav_declared *d = slot_of(s->declared, s->declared_slots, scope, symbol);
        if (d->scope != KAV_SCRIPT_NONE) return d->id;
        scope = s->scopes[scope].parent;
        if (asked == SCOPES_ASKED && scope != KAV_SCRIPT_NONE) scope = 0; /* nobody nests that deep but to cost time */
    }
    return KAV_SCRIPT_NONE;
}

void kav_script_forget(kav_script *s)
{
    if (s->symbol_slots) memset(s->symbol_slots, 0xff, s->symbol_slot_count * sizeof *s->symbol_slots);
    if (s->declared) memset(s->declared, 0xff, s->declared_slots * sizeof *s->declared);
    s->symbol_count = s->declared_count = s->next_id = 0;
}
