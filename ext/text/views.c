#include "views.h"

#include "markup.h"
#include "plain.h"
#include "script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK     (64u << 10)
#define TEXT_MAX  (20u << 20) /* ClamAV's MaxScriptNormalize */
#define HELD_MAX  (1u << 20)  /* of that in memory */
#define PAGE_MAX  (48u << 20) /* more than a page of 40 MB, its MaxHTMLNormalize, becomes */
#define WORDS_MAX (16u << 20) /* the same of 8 MB, MaxHTMLNoTags */
#define OVERLAP   (64u << 10) /* of two pieces of something larger */
#define TAG_MAX   16          /* bytes of the longest tag that makes a page */

static const kav_type PAGE = {KAV_FMT_HTML, KAV_T_HTML};
static const kav_type SCRIPT_PAGE = {KAV_FMT_SCRIPT, KAV_T_HTML};
static const kav_type TEXT = {KAV_FMT_TEXT, KAV_T_TEXT};
static const kav_type SCRIPT = {KAV_FMT_SCRIPT, KAV_T_TEXT};

/* The chunk at offset: where it lies in memory, else read into room. 0: none. */
static size_t chunk_at(const kav_source *source, uint64_t offset, uint8_t *room, const uint8_t **chunk)
{
    if (offset >= source->size) return 0;
    uint64_t left = source->size - offset;
    size_t n = left < CHUNK ? (size_t)left : CHUNK;
    *chunk = source->memory ? source->memory + offset : room;
    if (source->memory) return n;
    ssize_t got = kav_source_read(source, offset, room, n);
    return got > 0 ? (size_t)got : 0;
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t *data;
    size_t len, room;
    size_t kept; /* bytes of this form that lie elsewhere, before those in data */
    bool here;   /* all of it stays in memory */
} text_form;

/* Everything but the last bytes goes elsewhere. Non-zero: no memory. */
static int keep(text_form *f, size_t left, const kav_views *views)
{
    if (views->keep(views->context, f->data, f->len - left) != 0) {
        f->here = f->kept == 0;
        return f->here ? 0 : -ENOMEM;
    }
    memmove(f->data, f->data + f->len - left, left);
    f->kept += f->len - left;
    f->len = left;
    return 0;
}

/* All that there is of a form. The last bytes of it stay, as the first of the next one. Non-zero: stop. */
static int show_text(text_form *f, size_t left, const kav_views *views)
{
    int rc;
    if (f->kept == 0) {
        rc = views->view(views->context, TEXT, f->data, f->len);
        memmove(f->data, f->data + f->len - left, left);
    } else {
        if (f->len < left) return -ENOMEM;
        if (views->keep(views->context, f->data, f->len) != 0) return -ENOMEM;
        rc = views->view_kept(views->context, TEXT);
        memmove(f->data, f->data + f->len - left, left);
    }
    f->len = left;
    f->kept = 0;
    return rc != 0;
}

/* Room for one chunk more; what is there is shown first when it is as much as may be. Non-zero: stop. */
static int make_room(text_form *f, size_t more, const kav_views *views)
{
    if (f->kept + f->len + more > TEXT_MAX + CHUNK) return show_text(f, OVERLAP, views);
    if (f->room - f->len >= more) return 0;
    if (f->len >= HELD_MAX && !f->here && views->keep) {
        int rc = keep(f, OVERLAP, views);
        if (rc != 0 || !f->here) return rc;
    }
    size_t room = f->len + more > 2 * f->room ? f->len + more : 2 * f->room;
    if (room > TEXT_MAX + CHUNK) room = TEXT_MAX + CHUNK;
    uint8_t *data = realloc(f->data, room);
    if (!data) return -ENOMEM;
    f->data = data;
    f->room = room;
    return 0;
}

int kav_views_text(const kav_source *source, const kav_views *views)
{
    text_form form = {.data = NULL};
    uint8_t *room = source->memory ? NULL : malloc(CHUNK);
    const uint8_t *chunk;
    bool space = false;
    int rc = source->memory || room ? 0 : -ENOMEM;
    uint64_t at = 0;
    for (size_t n; rc == 0 && (n = chunk_at(source, at, room, &chunk)) > 0; at += n) {
        if (at && views->tick(views->context) != 0) rc = 1;
        else rc = make_room(&form, n, views);
        if (rc == 0) form.len += kav_plain(chunk, n, form.data + form.len, &space);
    }
    if (rc == 0 && form.len) rc = show_text(&form, 0, views);
    free(room);
    free(form.data);
    return rc < 0 ? rc : 0;
}

bool kav_views_late_page(const kav_source *source, const kav_views *views)
{
    uint8_t *room = source->memory ? NULL : malloc(CHUNK);
    const uint8_t *chunk;
    bool page = false;
    size_t n;
    if (!source->memory && !room) return false;
    for (uint64_t at = KAV_TYPE_HEAD - TAG_MAX; !page && (n = chunk_at(source, at, room, &chunk)) > TAG_MAX;
         at += n - TAG_MAX) {
        if (views->tick(views->context) != 0) break;
        page = kav_type_has_tag(chunk, n);
    }
    free(room);
    return page;
}

/* ---- pages ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const kav_views *views;
    kav_text_out page, words, scripts;
    kav_script *script;
    bool stop;
} page_forms;

static void show(page_forms *p, kav_type type, const kav_text_out *out)
{
    if (!p->stop && out->len) p->stop = p->views->view(p->views->context, type, out->data, out->len) != 0;
}

static void keep_overlap(kav_text_out *out)
{
    memmove(out->data, out->data + out->len - OVERLAP, OVERLAP);
    out->len = OVERLAP;
}

static void page_full(kav_text_out *out, void *context)
{
    show(context, PAGE, out);
    keep_overlap(out);
}

static void scripts_full(kav_text_out *out, void *context)
{
    show(context, SCRIPT_PAGE, out);
    show(context, SCRIPT, out);
    keep_overlap(out);
}

static void on_script(void *context, const uint8_t *text, size_t len)
{
    page_forms *p = context;
    if (!p->script) p->script = kav_script_new(&p->scripts);
    if (p->script) kav_script_feed(p->script, text, len);
    else p->scripts.failed = true;
}

static void on_script_end(void *context)
{
    page_forms *p = context;
    if (!p->script) p->script = kav_script_new(&p->scripts);
    if (p->script) kav_script_end(p->script);
    else p->scripts.failed = true;
}

static int on_tick(void *context)
{
    page_forms *p = context;
    return p->stop || p->views->tick(p->views->context) != 0;
}

static bool is_utf16(const kav_source *source)
{
    uint8_t head[KAV_TYPE_TAGS];
    ssize_t n = kav_source_read(source, 0, head, sizeof head);
    return n > 0 && kav_type_page(head, (size_t)n) == KAV_PAGE_UTF16;
}

int kav_views_page(const kav_source *source, const kav_views *views, bool *inline_data)
{
    page_forms p = {.views = views};
    p.page = (kav_text_out){.limit = PAGE_MAX, .full = page_full, .context = &p};
    p.words = (kav_text_out){.limit = WORDS_MAX, .full = page_full, .context = &p};
    p.scripts = (kav_text_out){.limit = WORDS_MAX, .full = scripts_full, .context = &p};
    kav_markup_job job = {.page = &p.page,
                          .words = &p.words,
                          .script = on_script,
                          .script_end = on_script_end,
                          .tick = on_tick,
                          .context = &p,
                          .utf16 = is_utf16(source)};
    int rc = kav_markup_run(source, &job);
    show(&p, PAGE, &p.page);
    show(&p, PAGE, &p.words);
    show(&p, SCRIPT_PAGE, &p.scripts);
    show(&p, SCRIPT, &p.scripts);
    if (p.page.failed || p.words.failed || p.scripts.failed || (p.script && kav_script_failed(p.script))) rc = -ENOMEM;
    *inline_data = job.inline_data;
    kav_script_free(p.script);
    kav_text_out_free(&p.page);
    kav_text_out_free(&p.words);
    kav_text_out_free(&p.scripts);
    return rc;
}
