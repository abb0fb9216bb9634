#include "entity.h"
#include "markup_state.h"

/* A byte into the page, and into the value when the reference stands in one. */
static void put(kav_markup *m, uint8_t c)
{
    if (m->then == KAV_MS_VALUE) kav_markup_keep(&m->value, c);
    kav_markup_page(m, c);
}

static void leave(kav_markup *m)
{
    kav_markup_go(m, m->then, KAV_MS_BROKEN);
}

void kav_markup_ref(kav_markup *m)
{
    if (*m->p == '#') {
        m->number = 0;
        m->hex = false;
        m->p++;
        m->state = KAV_MS_NUMBER;
    } else {
        m->state = KAV_MS_ENTITY;
    }
}

static void put_unknown(kav_markup *m)
{
    put(m, '&');
    for (size_t i = 0; i < m->entity.len; i++) put(m, kav_lower(m->entity.text[i]));
}

static bool in_name(uint8_t c)
{
    return (kav_lower(c) >= 'a' && kav_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == ':' || c == '-';
}

void kav_markup_entity(kav_markup *m)
{
    uint8_t form[8];
    if (*m->p == ';') {
        size_t n = kav_code_form(kav_entity_code(m->entity.text, m->entity.len), form);
        if (n) {
            for (size_t i = 0; i < n; i++) put(m, form[i]);
        } else {
            put_unknown(m);
            put(m, ';');
        }
        m->p++;
    } else if (in_name(*m->p) && m->entity.len < sizeof m->entity.text) {
        kav_markup_keep(&m->entity, *m->p++);
        return;
    } else {
        put_unknown(m);
    }
    m->entity.len = 0;
    leave(m);
}

void kav_markup_ref_end(kav_markup *m)
{
    uint8_t form[8];
    size_t n = kav_code_form(kav_entity_code(m->entity.text, m->entity.len), form);
    m->then = KAV_MS_BROKEN;
    for (size_t i = 0; i < n; i++) kav_markup_page(m, form[i]);
    if (n == 0 && m->entity.len) put_unknown(m);
}

/* "&#1234;" is complete: a value keeps its low byte, the page has the character. */
static void put_number(kav_markup *m)
{
    uint8_t form[8];
    if (m->then == KAV_MS_VALUE) kav_markup_keep(&m->value, (uint8_t)m->number);
    if (m->number < 0x80) {
        kav_markup_page(m, kav_lower((uint8_t)m->number));
        return;
    }
    size_t n = kav_code_form((uint16_t)m->number, form);
    for (size_t i = 0; i < n; i++) kav_markup_page(m, form[i]);
}

/* One digit more. False: the number is beyond all bounds. */
static bool take_digit(kav_markup *m, int digit)
{
    if (m->hex && m->number < INT64_MAX / 16) m->number *= 16;
    else if (m->number < INT64_MAX / 10) m->number *= 10;
    else return false;
    if (m->number > INT64_MAX - digit) return false;
    m->number += digit;
    return true;
}

void kav_markup_number(kav_markup *m)
{
    uint8_t c = *m->p, low = kav_lower(c);
    if (m->number == 0 && low == 'x') {
        m->hex = true;
        m->p++;
    } else if (c == ';') {
        put_number(m);
        m->p++;
        leave(m);
    } else if ((c >= '0' && c <= '9') || (m->hex && low >= 'a' && low <= 'f')) {
        m->p++;
        if (take_digit(m, c <= '9' ? c - '0' : low - 'a' + 10)) return;
        kav_markup_page(m, (uint8_t)m->number);
        leave(m);
    } else {
        kav_markup_page(m, (uint8_t)m->number);
        leave(m);
    }
}
