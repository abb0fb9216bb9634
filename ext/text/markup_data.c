#include "markup_state.h"

static void note_escape(kav_markup *m)
{
    m->escape = *m->p == '\\';
}

/* A quote that ends the value. */
static bool closes(const kav_markup *m)
{
    if (m->escape) return false;
    return (*m->p == '\'' && m->quote == KAV_MQ_SINGLE) || (*m->p == '"' && m->quote == KAV_MQ_DOUBLE);
}

static void give_up(kav_markup *m)
{
    m->arg.len = 0;
    kav_markup_go(m, KAV_MS_SKIP, KAV_MS_ARG);
}

void kav_markup_data_type(kav_markup *m)
{
    uint8_t c = *m->p;
    if (c == '\'' || c == '"') {
        if (closes(m)) give_up(m);
        else kav_markup_keep(&m->value, '"');
        m->p++;
    } else if (kav_is_space(c) || c == '>') {
        if (m->quote == KAV_MQ_NONE) {
            give_up(m);
        } else {
            kav_markup_keep(&m->value, c == '>' ? '>' : ' ');
            m->quote = KAV_MQ_NONE;
            m->p++;
            kav_markup_go(m, KAV_MS_SKIP, KAV_MS_DATA_TYPE);
        }
    } else if (c == ',') {
        m->p++;
        kav_markup_go(m, KAV_MS_DATA_INIT, KAV_MS_BROKEN);
    } else {
        kav_markup_keep(&m->value, kav_lower(c));
        m->p++;
    }
    note_escape(m);
}

void kav_markup_data_init(kav_markup *m)
{
    kav_markup_job *job = m->job;
    if (m->in_data && job->data_end) job->data_end(job->context);
    if (job->data_begin) job->data_begin(job->context, m->value.text, m->value.len);
    job->inline_data = true;
    m->in_data = true;
    m->binary = true;
    m->state = KAV_MS_DATA;
}

static void put(kav_markup *m, uint8_t c)
{
    if (m->job->data) m->job->data(m->job->context, &c, 1);
}

void kav_markup_data(kav_markup *m)
{
    uint8_t c = *m->p;
    if (c == '&') {
        kav_markup_go(m, KAV_MS_REF, KAV_MS_DATA);
    } else if (c == '%') {
        m->digits = 0;
        m->number = 0;
        kav_markup_go(m, KAV_MS_DATA_HEX, KAV_MS_DATA_BYTE);
    } else if (closes(m) || ((kav_is_space(c) || c == '>') && m->quote == KAV_MQ_NONE)) {
        m->state = KAV_MS_DATA_END;
    } else {
        put(m, c);
    }
    m->p++;
    note_escape(m);
}

/* Two bytes behind '%'; one that is no digit ends the number and counts as 0. */
void kav_markup_data_hex(kav_markup *m)
{
    uint8_t c = *m->p++, low = kav_lower(c);
    bool decimal = c >= '0' && c <= '9', letter = low >= 'a' && low <= 'f';
    m->number *= 16;
    m->digits++;
    if (decimal) m->number += c - '0';
    else if (letter) m->number += low - 'a' + 10;
    if (m->digits == 2 || !(decimal || letter)) m->state = m->then;
}

void kav_markup_data_byte(kav_markup *m)
{
    if (m->digits == 2) {
        put(m, (uint8_t)m->number);
    } else {
        put(m, '%');
        if (m->digits == 1) put(m, (uint8_t)(m->number + '0'));
    }
    m->state = KAV_MS_DATA;
}

void kav_markup_data_end(kav_markup *m)
{
    if (m->in_data && m->job->data_end) m->job->data_end(m->job->context);
    m->in_data = false;
    m->binary = false;
    m->escape = false;
    m->quote = KAV_MQ_NONE;
    kav_markup_go(m, KAV_MS_SKIP, KAV_MS_ARG);
}
