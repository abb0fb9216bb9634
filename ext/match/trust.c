#include "trust.h"
#include "image.h"

_Static_assert(KAV_TU_CODE == (int)KAV_TR_CODE && KAV_TU_TIME == (int)KAV_TR_TIME && KAV_TU_CERT == (int)KAV_TR_CERT,
               "uses are taken over as they are");

uint32_t kav_image_trust_count(const kav_image *image)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < image->listed_count; i++)
        if (image->listed[i].kind == KAV_P_TRUST) count += image->listed[i].count;
    return count;
}

static kav_trust_rule rule_of(const kav_image_listed *l, const kav_trust_row *row, uint32_t part)
{
    return (kav_trust_rule){.subject = row->subject,
                            .serial = row->flags & KAV_TR_ANY_SERIAL ? NULL : row->serial,
                            .key = l->text + row->key,
                            .key_len = row->key_len,
                            .name = (const char *)l->text + row->name,
                            .name_len = row->name_len,
                            .line = row->line,
                            .part = part,
                            .not_before = row->not_before,
                            .uses = (uint8_t)(row->flags & (KAV_TR_CODE | KAV_TR_TIME | KAV_TR_CERT)),
                            .blocked = row->flags & KAV_TR_BLOCKED};
}

uint32_t kav_image_trust_rules(const kav_image *image, kav_trust_rule *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < image->listed_count; i++) {
        const kav_image_listed *l = &image->listed[i];
        for (uint32_t k = 0; l->kind == KAV_P_TRUST && k < l->count; k++) {
            const kav_trust_row *row = (const kav_trust_row *)l->rows + k;
            if (kav_image_ignores(image, (const char *)l->text + row->name, row->name_len)) continue;
            out[count++] = rule_of(l, row, i + 1);
        }
    }
    return count;
}
