/* Mail: one message, taken apart by GMime; each MIME part is a member, decoded.
 *
 * The parser leaves the contents of parts where they are (streams over the source) and keeps headers and structure in
 * memory. An enclosed message is handed over whole and opened in its turn by whoever scans the member. What GMime
 * cannot read right is lenient business, not damage: the text of the whole message has been matched before it comes
 * here, where the structure is in doubt loose.c reads it a second time, and what says of itself that it is encoded and
 * was not read is read after all (transfer.c).
 */
#define _GNU_SOURCE
#include "mailstream.h"

#include <errno.h>
#include <iconv.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 32768,
    BLANKS_MAX = 128,  /* between an equals sign and the end of its line */
    NESTING_MAX = 256, /* multiparts inside multiparts; GMime itself stops at 1024 */
    READINGS_MAX = 4   /* different encodings that the headers of one part name */
};

/* A content that was read, where it lies. */
typedef struct {
    uint64_t start, end;
    GMimeContentEncoding encoding;
} body;

typedef struct {
    kav_mail_io io;
    kav_unpack *unpack;
    body *bodies;
    size_t count, room;
    bool stop;     /* the budget is used up */
    bool doubtful; /* loose.c is wanted */
    bool no_memory;
    uint8_t raw[BLANKS_MAX + PIECE], plain[2 * (BLANKS_MAX + PIECE) + 256]; /* not initialised */
} mail;

/* A part's place among its siblings and theirs: "1.2.3". */
typedef struct place {
    const struct place *above;
    int number;
} place;

/* What the names of attachments are written in besides UTF-8, and what the C library finds for it in files. */
static const char *const CHARSETS[] = {
    "ISO-8859-1", "ISO-8859-2", "ISO-8859-5", "ISO-8859-7",  "ISO-8859-8", "ISO-8859-9", "ISO-8859-15",
    "CP1250",     "CP1251",     "CP1252",     "CP1253",      "CP1254",     "CP1255",     "CP1256",
    "KOI8-R",     "KOI8-U",     "BIG5",       "GBK",         "GB18030",    "SHIFT_JIS",  "EUC-JP",
    "EUC-KR",     "TIS-620",    "UTF-16",     "ISO-2022-JP", "UTF-7",
};

/* Converters stay loaded for the life of the process: closing them would let the C library unload them. */
static void load_charsets(void)
{
    for (size_t i = 0; i < sizeof CHARSETS / sizeof *CHARSETS; i++) iconv_open("UTF-8", CHARSETS[i]);
}

/* GLib ends the process when memory runs out; a worker that dies is replaced and its object reported, so that this is
 * no reason against it. Character-set tables are loaded here, before limits and filters on system calls are set. */
void kav_mail_init(void)
{
    g_mime_init();
    kav_mail_stream_register();
    load_charsets();
}

static size_t put_place(const place *p, char *out, size_t room)
{
    size_t n = p->above ? put_place(p->above, out, room) : 0;
    int more = g_snprintf(out + n, room - n, n ? ".%d" : "part-%d", p->number);
    return n + (size_t)more < room ? n + (size_t)more : room - 1;
}

static bool begin(mail *m, GMimeObject *object, const place *at)
{
    char number[512];
    const char *name = GMIME_IS_PART(object) ? g_mime_part_get_filename((GMimePart *)object) : NULL;
    if (!name || !*name) {
        number[put_place(at, number, sizeof number)] = 0;
        name = number;
    }
    if (kav_unpack_begin(m->unpack, name, strlen(name), UINT64_MAX, KAV_M_MAILPART)) m->stop = true;
    return !m->stop;
}

static void end(mail *m, uint32_t reasons)
{
    if (kav_unpack_end(m->unpack, reasons)) m->stop = true;
}

/* ---- the content of one part ----------------------------------------------------------------------------------- */

/* Where decoded bytes go. Non-zero: no more are wanted. */
typedef int (*eater)(void *context, const uint8_t *bytes, size_t len);

/* Blanks behind an equals sign at the end of a line: for most readers of quoted-printable the line goes on all the
 * same, for GMime it does not. */
typedef struct {
    bool wanted; /* leave such blanks out */
    bool met;    /* there may be some */
    bool equals; /* an equals sign stands before what comes next, or before the blanks that are held */
    size_t held;
    uint8_t blanks[BLANKS_MAX];
} trailing;

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Whether a blank follows an equals sign, which nothing well encoded has. */
static void look_for_trailing(trailing *t, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    if (t->equals && is_blank(*p)) t->met = true;
    t->equals = end[-1] == '=';
    while (!t->met && (p = memchr(p, '=', (size_t)(end - p))) && ++p < end) t->met = is_blank(*p);
}

/* From in to out, which begins BLANKS_MAX bytes before it. How many bytes there are. */
static size_t without_trailing(trailing *t, const uint8_t *in, size_t n, uint8_t *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (t->equals && is_blank(in[i]) && t->held < BLANKS_MAX) {
            t->blanks[t->held++] = in[i];
            continue;
        }
        if (t->held && in[i] != '\n' && in[i] != '\r') memcpy(out + len, t->blanks, t->held), len += t->held;
        t->held = 0;
        t->equals = in[i] == '=';
        out[len++] = in[i];
    }
    return len;
}

/* False: it is no base64, a letter is left over. */
static bool decode(mail *m, GMimeStream *stream, GMimeContentEncoding encoding, trailing *t, eater eat, void *context)
{
    GMimeEncoding state;
    kav_base64 base64 = {0};
    ssize_t n;
    uint8_t *raw = m->raw + BLANKS_MAX;
    g_mime_encoding_init_decode(&state, encoding);
    g_mime_stream_reset(stream);
    while ((n = g_mime_stream_read(stream, (char *)raw, PIECE)) > 0) {
        size_t len = (size_t)n;
        if (encoding == GMIME_CONTENT_ENCODING_BASE64) {
            len = kav_base64_decode(&base64, raw, len, m->plain);
        } else {
            const uint8_t *from = raw;
            if (t && t->wanted) len = without_trailing(t, raw, len, m->raw), from = m->raw;
            else if (t && encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE) look_for_trailing(t, raw, len);
            if (g_mime_encoding_outlen(&state, len) > sizeof m->plain) return true;
            len = g_mime_encoding_step(&state, (const char *)from, len, (char *)m->plain);
        }
        if (len && eat(context, m->plain, len)) return true;
    }
    if (encoding == GMIME_CONTENT_ENCODING_BASE64) return base64.count != 6;
    size_t len = g_mime_encoding_flush(&state, NULL, 0, (char *)m->plain);
    if (len) eat(context, m->plain, len);
    return true;
}

typedef struct {
    kav_unpack *unpack;
    uint32_t hint; /* of kav_inline_hint */
} member;

static int eat_member(void *context, const uint8_t *bytes, size_t len)
{
    member *part = context;
    kav_inline_hint(&part->hint, bytes, len);
    return kav_unpack_data(part->unpack, bytes, len);
}

static int eat_inline(void *context, const uint8_t *bytes, size_t len)
{
    return kav_inline_feed(context, bytes, len);
}

/* A part that says of itself that it is encrypted. What S/MIME signs or carries certificates in is not. */
static uint32_t part_reasons(GMimePart *part)
{
    GMimeContentType *type = g_mime_object_get_content_type((GMimeObject *)part);
    if (!g_mime_content_type_is_type(type, "application", "pkcs7-mime") &&
        !g_mime_content_type_is_type(type, "application", "x-pkcs7-mime"))
        return 0;
    const char *kind = g_mime_content_type_get_parameter(type, "smime-type");
    if (kind && (!g_ascii_strcasecmp(kind, "signed-data") || !g_ascii_strcasecmp(kind, "certs-only"))) return 0;
    return kind && !g_ascii_strcasecmp(kind, "compressed-data") ? KAV_R_METHOD : KAV_R_ENCRYPTED;
}

/* The content of the member that is begun, and then the blocks in it. False: as decode. */
static bool read_once(mail *m, GMimeStream *stream, GMimeContentEncoding encoding, uint32_t reasons, trailing *t)
{
    member eaten = {.unpack = m->unpack};
    trailing again = *t;
    bool good = decode(m, stream, encoding, t, eat_member, &eaten);
    end(m, reasons);
    if (m->stop || eaten.hint != 2) return good;

    kav_inline *in = kav_inline_new(m->unpack);
    if (!in) {
        m->no_memory = m->stop = true;
        return good;
    }
    decode(m, stream, encoding, &again, eat_inline, in);
    if (kav_inline_end(in)) m->stop = true;
    return good;
}

/* The same, and once more where it depends on the reader which lines go on. */
static bool read_body(mail *m, GMimeStream *stream, GMimeContentEncoding encoding, uint32_t reasons)
{
    trailing usual = {0}, left_out = {.wanted = true};
    bool good = read_once(m, stream, encoding, reasons, &usual);
    if (m->stop || !usual.met) return good;
    if (kav_unpack_begin(m->unpack, "", 0, UINT64_MAX, KAV_M_MAILPART)) m->stop = true;
    return m->stop || read_once(m, stream, encoding, reasons, &left_out);
}

/* Remember that a content is read in the usual way. */
static void note_body(mail *m, GMimeStream *stream, GMimeContentEncoding encoding)
{
    body new = {.encoding = encoding};
    if (!kav_mail_stream_range(stream, &new.start, &new.end)) return;
    if (m->count == m->room) {
        size_t room = m->room ? 2 * m->room : 16;
        body *more = realloc(m->bodies, room * sizeof *more);
        if (!more) {
            m->no_memory = m->stop = true;
            return;
        }
        m->bodies = more;
        m->room = room;
    }
    m->bodies[m->count++] = new;
}

/* Whatever else stands there: comments, quotes. */
static GMimeContentEncoding encoding_of(const char *value)
{
    if (strcasestr(value, "base64")) return GMIME_CONTENT_ENCODING_BASE64;
    return strcasestr(value, "quoted") ? GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE : GMIME_CONTENT_ENCODING_BINARY;
}

/* The encodings that a part's headers name, each once. uuencoded contents are found as blocks in the text, because
 * their names stand there. */
static int encodings_of(GMimePart *part, GMimeContentEncoding *out)
{
    GMimeHeaderList *headers = g_mime_object_get_header_list((GMimeObject *)part);
    int n = 0, count = g_mime_header_list_get_count(headers);
    for (int i = 0; i < count && n < READINGS_MAX; i++) {
        GMimeHeader *header = g_mime_header_list_get_header_at(headers, i);
        if (g_ascii_strcasecmp(g_mime_header_get_name(header), "Content-Transfer-Encoding")) continue;
        const char *value = g_mime_header_get_value(header);
        GMimeContentEncoding encoding = encoding_of(value ? value : "");
        int known = 0;
        while (known < n && out[known] != encoding) known++;
        if (known == n) out[n++] = encoding;
    }
    if (n == 0) out[n++] = GMIME_CONTENT_ENCODING_BINARY;
    return n;
}

static GMimeStream *content_of(GMimePart *part)
{
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    return content ? g_mime_data_wrapper_get_stream(content) : NULL;
}

/* One way to read a part. Non-zero: as it stands, some would show it. */
static bool take_reading(mail *m, GMimePart *part, GMimeStream *stream, GMimeContentEncoding encoding, const place *at)
{
    note_body(m, stream, encoding);
    if (m->stop || !begin(m, (GMimeObject *)part, at)) return false;
    return !read_body(m, stream, encoding, part_reasons(part));
}

static void take_part(mail *m, GMimePart *part, const place *at)
{
    GMimeContentEncoding encoding[READINGS_MAX];
    GMimeStream *stream = content_of(part);
    if (!stream) return;
    int n = encodings_of(part, encoding);
    bool plain = false, odd = false;
    for (int i = 0; i < n && !m->stop; i++) {
        odd |= take_reading(m, part, stream, encoding[i], at);
        plain |= encoding[i] == GMIME_CONTENT_ENCODING_BINARY;
    }
    if (odd && !plain && !m->stop) take_reading(m, part, stream, GMIME_CONTENT_ENCODING_BINARY, at);
}

/* ---- structure ------------------------------------------------------------------------------------------------- */

/* Whether the message, handed over as a member, is known as one. */
static bool is_opened(GMimeMessage *message)
{
    char *header = g_mime_object_get_headers((GMimeObject *)message, NULL);
    size_t len = header ? strlen(header) : 0;
    bool opened = header && kav_type_detect((const uint8_t *)header, len, len).format == KAV_FMT_MAIL;
    g_free(header);
    return opened;
}

/* Remember contents inside an enclosed message: whoever opens it reads them. */
static void note_inside(mail *m, GMimeObject *object, int depth)
{
    if (!object || m->stop || depth == NESTING_MAX) return;
    if (GMIME_IS_MULTIPART(object)) {
        GMimeMultipart *parts = (GMimeMultipart *)object;
        int count = g_mime_multipart_get_count(parts);
        for (int i = 0; i < count; i++) note_inside(m, g_mime_multipart_get_part(parts, i), depth + 1);
    } else if (GMIME_IS_MESSAGE_PART(object)) {
        GMimeMessage *message = g_mime_message_part_get_message((GMimeMessagePart *)object);
        if (message && is_opened(message)) note_inside(m, g_mime_message_get_mime_part(message), depth + 1);
    } else if (GMIME_IS_PART(object)) {
        GMimeContentEncoding encoding[READINGS_MAX];
        GMimeStream *stream = content_of((GMimePart *)object);
        int n = stream ? encodings_of((GMimePart *)object, encoding) : 0;
        for (int i = 0; i < n && !m->stop; i++) note_body(m, stream, encoding[i]);
    }
}

static void take_message(mail *m, GMimeMessagePart *part, const place *at)
{
    GMimeMessage *message = g_mime_message_part_get_message(part);
    if (!message || !begin(m, (GMimeObject *)part, at)) return;
    GMimeStream *out = kav_mail_stream_new(&m->io);
    g_mime_object_write_to_stream((GMimeObject *)message, NULL, out);
    g_object_unref(out);
    m->io.full = false;
    end(m, 0);
    note_inside(m, (GMimeObject *)part, 0);
}

static void take(mail *m, GMimeObject *object, const place *above, int number, int depth)
{
    place at = {above, number};
    if (!object || m->stop) return;
    if (kav_unpack_tick(m->unpack)) m->stop = true;
    else if (depth == NESTING_MAX) kav_unpack_flag(m->unpack, KAV_R_DEPTH);
    else if (GMIME_IS_MULTIPART(object)) {
        GMimeMultipart *parts = (GMimeMultipart *)object;
        if (GMIME_IS_MULTIPART_ENCRYPTED(object)) kav_unpack_flag(m->unpack, KAV_R_ENCRYPTED);
        int count = g_mime_multipart_get_count(parts);
        if (count == 0) m->doubtful = true;
        for (int i = 0; i < count && !m->stop; i++) take(m, g_mime_multipart_get_part(parts, i), &at, i + 1, depth + 1);
    } else if (GMIME_IS_MESSAGE_PART(object)) {
        take_message(m, (GMimeMessagePart *)object, &at);
    } else if (GMIME_IS_PART(object)) {
        take_part(m, (GMimePart *)object, &at);
    }
}

static void on_warning(gint64 offset, GMimeParserWarning what, const gchar *item, gpointer data)
{
    mail *m = data;
    (void)offset, (void)item;
    switch (what) {
    case GMIME_CRIT_NESTING_OVERFLOW: kav_unpack_flag(m->unpack, KAV_R_DEPTH); break;
    case GMIME_CRIT_CONFLICTING_HEADER:
    case GMIME_CRIT_CONFLICTING_PARAMETER:
    case GMIME_CRIT_MULTIPART_WITHOUT_BOUNDARY:
    case GMIME_CRIT_INVALID_HEADER_NAME:
    case GMIME_CRIT_PART_WITHOUT_HEADERS_OR_CONTENT:
    case GMIME_WARN_MALFORMED_MULTIPART: m->doubtful = true; break;
    default: break;
    }
}

/* ---- what the structure does not show ------------------------------------------------------------------------- */

/* Without the line end that belongs to the boundary below. */
static bool reaches(const body *b, uint64_t stop)
{
    return stop <= b->end || stop - b->end <= 2;
}

static bool is_read(const mail *m, uint64_t at, uint64_t stop, enum kav_transfer how)
{
    for (size_t i = 0; i < m->count; i++) {
        const body *b = &m->bodies[i];
        if (b->start > at || !reaches(b, stop)) continue;
        switch (how) {
        case KAV_TRANSFER_BASE64:
            if (b->start == at && b->encoding == GMIME_CONTENT_ENCODING_BASE64) return true;
            break;
        case KAV_TRANSFER_QUOTED:
            if (b->start == at && b->encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE) return true;
            break;
        case KAV_TRANSFER_INLINE:
            if (b->encoding != GMIME_CONTENT_ENCODING_BASE64) return true;
            break;
        }
    }
    return false;
}

static int take_blocks(mail *m, GMimeStream *stream)
{
    kav_inline *in = kav_inline_new(m->unpack);
    if (!in) m->no_memory = m->stop = true;
    if (!in) return 1;
    decode(m, stream, GMIME_CONTENT_ENCODING_BINARY, NULL, eat_inline, in);
    if (kav_inline_end(in)) m->stop = true;
    return m->stop;
}

static int on_transfer(void *context, uint64_t at, uint64_t stop, enum kav_transfer how)
{
    mail *m = context;
    if (is_read(m, at, stop, how)) return 0;
    GMimeStream *whole = kav_mail_stream_new(&m->io);
    GMimeStream *stream = g_mime_stream_substream(whole, (gint64)at, (gint64)stop);
    if (how == KAV_TRANSFER_INLINE) {
        take_blocks(m, stream);
    } else {
        bool base64 = how == KAV_TRANSFER_BASE64;
        GMimeContentEncoding encoding = base64 ? GMIME_CONTENT_ENCODING_BASE64 : GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE;
        note_body(m, stream, encoding); /* several fields may mean the same content */
        if (!m->stop && kav_unpack_begin(m->unpack, "", 0, UINT64_MAX, KAV_M_MAILPART)) m->stop = true;
        if (!m->stop) read_body(m, stream, encoding, 0);
    }
    g_object_unref(stream);
    g_object_unref(whole);
    return m->stop;
}

static GMimeMessage *parse(mail *m)
{
    GMimeParserOptions *options = g_mime_parser_options_new();
    GMimeStream *stream = kav_mail_stream_new(&m->io);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    g_mime_parser_options_set_warning_callback(options, on_warning, m);
    g_mime_parser_set_format(parser, GMIME_FORMAT_MESSAGE);
    GMimeMessage *message = g_mime_parser_construct_message(parser, options);
    g_object_unref(parser);
    g_object_unref(stream);
    g_mime_parser_options_free(options);
    return message;
}

int kav_open_mail(const kav_source *source, kav_type type, kav_unpack *u)
{
    (void)type;
    mail *m = malloc(sizeof *m);
    if (!m) return -ENOMEM;
    memset(m, 0, offsetof(mail, raw));
    m->unpack = u;
    m->io = (kav_mail_io){.source = source, .unpack = u};
    GMimeMessage *message = parse(m);
    if (message) take(m, g_mime_message_get_mime_part(message), NULL, 1, 0);
    if ((!message || m->doubtful) && !m->stop && !m->io.stop && kav_loose_parts(source, u)) m->stop = true;
    if (!m->stop && !m->io.stop && kav_transfer_find(source, u, on_transfer, m) == -ENOMEM) m->no_memory = true;
    if (message) g_object_unref(message);
    int no_memory = m->no_memory;
    free(m->bodies);
    free(m);
    return no_memory ? -ENOMEM : 0;
}
