/* Type: which format a layer has and which signatures' target type that is.
 *
 * Decided from the first KAV_TYPE_HEAD bytes (fewer when the layer is shorter) and the size, never from the name.
 * Pure: no state, no allocation, never reads outside head[0 .. len).
 */
#ifndef KAV_TYPE_H
#define KAV_TYPE_H

#include "kav.h"

#include <stdbool.h>

#include <stdbool.h>

#define KAV_TYPE_HEAD 65536

/* Numbers go over the wire and into reports: append only. kav_format_name gives the word for reports. */
enum kav_format {
    KAV_FMT_UNKNOWN = 0, /* binary of no known format */
    KAV_FMT_EMPTY,
    KAV_FMT_TEXT, /* ASCII, UTF-8, UTF-16 text without a narrower format */
    KAV_FMT_HTML,
    KAV_FMT_SCRIPT, /* #! line or a known script opening; target TEXT */
    KAV_FMT_MAIL,   /* one RFC 822 message */
    KAV_FMT_MBOX,
    KAV_FMT_PE,
    KAV_FMT_ELF,
    KAV_FMT_MACHO,
    KAV_FMT_MACHO_FAT,
    KAV_FMT_OLE2,
    KAV_FMT_PDF,
    KAV_FMT_FLASH,
    KAV_FMT_JAVA,
    KAV_FMT_PNG,
    KAV_FMT_JPEG,
    KAV_FMT_GIF,
    KAV_FMT_BMP,
    KAV_FMT_TIFF,
    KAV_FMT_RTF,
    KAV_FMT_ZIP,
    KAV_FMT_TAR,
    KAV_FMT_CPIO,
    KAV_FMT_AR,
    KAV_FMT_7Z,
    KAV_FMT_RAR,
    KAV_FMT_CAB,
    KAV_FMT_LHA,
    KAV_FMT_ISO,
    KAV_FMT_XAR,
    KAV_FMT_WARC,
    KAV_FMT_RPM,
    KAV_FMT_GZIP,
    KAV_FMT_BZIP2,
    KAV_FMT_XZ,
    KAV_FMT_LZMA,
    KAV_FMT_ZSTD,
    KAV_FMT_LZ4,
    KAV_FMT_COMPRESS, /* .Z */
    KAV_FMT_UU,
    KAV_FMT_LZIP,
    KAV_FMT_LZOP,
    KAV_FMT_VBA, /* source of macros; never found by its bytes, given by the opener of the document */
    KAV_FMT_ARJ,
    KAV_FMT_CHM,
    KAV_FMT_TNEF,
    KAV_FMT_SZDD,
    KAV_FMT_BINHEX,
    KAV_FMT_EGG,
    KAV_FMT_ALZ,
    KAV_FMT_SIS,
    KAV_FMT_HWP3,
    KAV_FMT_UDF,
    KAV_FMT_PYC,
    KAV_FMT_GGUF,       /* weights of a model */
    KAV_FMT_OOXML_WORD, /* a zip as well */
    KAV_FMT_OOXML_PPT,
    KAV_FMT_OOXML_XL,
    KAV_FMT_ONENOTE,
    KAV_FMT_COUNT
};

typedef struct {
    uint16_t format; /* enum kav_format */
    uint8_t target;  /* enum kav_target: which signatures are looked for besides those for ANY */
} kav_type;

kav_type kav_type_detect(const uint8_t *head, size_t len, uint64_t size);

/* How a page (target HTML) is known. */
enum kav_page {
    KAV_PAGE_NONE,
    KAV_PAGE_NEAR,  /* by a tag in its first bytes: ClamAV matches signatures for HTML against the bytes as they are */
    KAV_PAGE_UTF16, /* the same, little-endian UTF-16: only against its normal forms */
    KAV_PAGE_FAR    /* by a tag further on: only against its normal forms */
};

#define KAV_TYPE_TAGS 1028 /* the first bytes */

enum kav_page kav_type_page(const uint8_t *head, size_t len);

/* One of the tags by which ClamAV knows pages. */
bool kav_type_has_tag(const uint8_t *bytes, size_t len);

/* Archives, packed single files and mail: what lies in them is found by opening them, not by looking for it. */
bool kav_type_is_archive(uint16_t format);

/* Known, and nobody here can open it. */
bool kav_type_is_foreign(uint16_t format);

/* "zip", "pe", "mail" ...; "unknown" for numbers out of range. Static strings. */
const char *kav_format_name(uint16_t format);

#endif
