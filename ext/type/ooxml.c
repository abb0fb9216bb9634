/* Ooxml: zip archives that are documents of Office, as ClamAV tells them by the names of their first members. */
#define _GNU_SOURCE
#include "type_parts.h"

enum { LOCAL_HEADER = 30, SURE = 3 /* members that are looked at in every archive */, LONGEST = 22 };

static const struct {
    const char *name;
    enum kav_format format; /* KAV_FMT_ZIP: likely a document, its kind is told by another member */
} members[] = {
    {"xl/", KAV_FMT_OOXML_XL},
    {"ppt/", KAV_FMT_OOXML_PPT},
    {"word/", KAV_FMT_OOXML_WORD},
    {"docProps/", KAV_FMT_ZIP},
    {"customXml/", KAV_FMT_ZIP},
    {"_rels/.rels", KAV_FMT_ZIP},
    {"[Content_Types].xml", KAV_FMT_ZIP},
};

static enum kav_format told_by(const kav_head *h, size_t at, bool *likely)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (!kav_head_has(h, at, members[i].name, strlen(members[i].name))) continue;
        if (members[i].format != KAV_FMT_ZIP) return members[i].format;
        *likely = true;
    }
    return KAV_FMT_ZIP;
}

enum kav_format kav_type_zip(const kav_head *h)
{
    bool likely = false;
    size_t at = 0;
    for (unsigned seen = 0; (seen < SURE || likely) && at < h->len; seen++) {
        const uint8_t *found = memmem(h->head + at, h->len - at, "PK\3\4", 4);
        if (found == NULL) break;
        at = (size_t)(found - h->head) + LOCAL_HEADER;
        if (at + LONGEST >= h->len) break;
        enum kav_format told = told_by(h, at, &likely);
        if (told != KAV_FMT_ZIP) return told;
    }
    return KAV_FMT_ZIP;
}
