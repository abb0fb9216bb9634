/* Type: the order of the questions, and the words for the answers.
 *
 * Formats with a magic number come first, then mail (whose header decides, whatever the body holds), then text. What
 * ClamAV would choose as target was learned by giving it files and watching which target's signatures match.
 */
#include "type_parts.h"

kav_type kav_type_detect(const uint8_t *head, size_t len, uint64_t size)
{
    kav_head h = {head, len < KAV_TYPE_HEAD ? len : KAV_TYPE_HEAD, size};
    if (len == 0) return (kav_type){size ? KAV_FMT_UNKNOWN : KAV_FMT_EMPTY, KAV_T_ANY};

    kav_type found = kav_type_binary(&h);
    if (found.format != KAV_FMT_UNKNOWN) return found;
    enum kav_format message = kav_type_message(&h);
    if (message != KAV_FMT_UNKNOWN) return (kav_type){(uint16_t)message, KAV_T_MAIL};
    enum kav_text_kind kind = kav_text_kind_of(&h);
    return kind == KAV_TEXT_NONE ? kav_type_data(&h) : kav_type_text(&h, kind);
}

bool kav_type_is_archive(uint16_t format)
{
    return (format >= KAV_FMT_ZIP && format <= KAV_FMT_LZOP) || format == KAV_FMT_MAIL || format == KAV_FMT_MBOX ||
           format == KAV_FMT_TNEF;
}

bool kav_type_is_foreign(uint16_t format)
{
    return format >= KAV_FMT_ARJ && format <= KAV_FMT_UDF && format != KAV_FMT_TNEF;
}

const char *kav_format_name(uint16_t format)
{
    static const char *const name[] = {
        [KAV_FMT_UNKNOWN] = "unknown",
        [KAV_FMT_EMPTY] = "empty",
        [KAV_FMT_TEXT] = "text",
        [KAV_FMT_HTML] = "html",
        [KAV_FMT_SCRIPT] = "script",
        [KAV_FMT_MAIL] = "mail",
        [KAV_FMT_MBOX] = "mbox",
        [KAV_FMT_PE] = "pe",
        [KAV_FMT_ELF] = "elf",
        [KAV_FMT_MACHO] = "macho",
        [KAV_FMT_MACHO_FAT] = "macho-fat",
        [KAV_FMT_OLE2] = "ole2",
        [KAV_FMT_PDF] = "pdf",
        [KAV_FMT_FLASH] = "flash",
        [KAV_FMT_JAVA] = "java",
        [KAV_FMT_PNG] = "png",
        [KAV_FMT_JPEG] = "jpeg",
        [KAV_FMT_GIF] = "gif",
        [KAV_FMT_BMP] = "bmp",
        [KAV_FMT_TIFF] = "tiff",
        [KAV_FMT_RTF] = "rtf",
        [KAV_FMT_ZIP] = "zip",
        [KAV_FMT_TAR] = "tar",
        [KAV_FMT_CPIO] = "cpio",
        [KAV_FMT_AR] = "ar",
        [KAV_FMT_7Z] = "7z",
        [KAV_FMT_RAR] = "rar",
        [KAV_FMT_CAB] = "cab",
        [KAV_FMT_LHA] = "lha",
        [KAV_FMT_ISO] = "iso",
        [KAV_FMT_XAR] = "xar",
        [KAV_FMT_WARC] = "warc",
        [KAV_FMT_RPM] = "rpm",
        [KAV_FMT_GZIP] = "gzip",
        [KAV_FMT_BZIP2] = "bzip2",
        [KAV_FMT_XZ] = "xz",
        [KAV_FMT_LZMA] = "lzma",
        [KAV_FMT_ZSTD] = "zstd",
        [KAV_FMT_LZ4] = "lz4",
        [KAV_FMT_COMPRESS] = "compress",
        [KAV_FMT_UU] = "uu",
        [KAV_FMT_LZIP] = "lzip",
        [KAV_FMT_LZOP] = "lzop",
        [KAV_FMT_VBA] = "vba",
        [KAV_FMT_ARJ] = "arj",
        [KAV_FMT_CHM] = "chm",
        [KAV_FMT_TNEF] = "tnef",
        [KAV_FMT_SZDD] = "szdd",
        [KAV_FMT_BINHEX] = "binhex",
        [KAV_FMT_EGG] = "egg",
        [KAV_FMT_ALZ] = "alz",
        [KAV_FMT_SIS] = "sis",
        [KAV_FMT_HWP3] = "hwp3",
        [KAV_FMT_UDF] = "udf",
        [KAV_FMT_PYC] = "pyc",
        [KAV_FMT_GGUF] = "gguf",
        [KAV_FMT_OOXML_WORD] = "ooxml-word",
        [KAV_FMT_OOXML_PPT] = "ooxml-ppt",
        [KAV_FMT_OOXML_XL] = "ooxml-xl",
        [KAV_FMT_ONENOTE] = "onenote",
    };
    _Static_assert(sizeof name / sizeof *name == KAV_FMT_COUNT, "a format has no name");
    return format < KAV_FMT_COUNT ? name[format] : name[KAV_FMT_UNKNOWN];
}
