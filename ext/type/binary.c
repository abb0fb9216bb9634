/* Formats that are known by their bytes. A magic number that is also a word ("PK", "BZh", "MZ", "BM") needs a second
 * sign: a container that is none costs an attempt and could make a clean text Corrupted. */
#include "type_parts.h"
#include "numbers.h"

static kav_type plain(enum kav_format format)
{
    return (kav_type){(uint16_t)format, KAV_T_ANY};
}

static kav_type with(enum kav_format format, enum kav_target target)
{
    return (kav_type){(uint16_t)format, (uint8_t)target};
}

static bool is_text(const kav_head *h)
{
    return kav_text_kind_of(h) != KAV_TEXT_NONE;
}

static bool all_in(const kav_head *h, size_t from, size_t to, const char *set)
{
    if (h->len < to) return false;
    for (size_t i = from; i < to; i++)
        if (!h->head[i] || !strchr(set, h->head[i])) return false;
    return true;
}

/* CAFEBABE opens Java classes and fat Mach-O files. The next word is (minor, major) there, the number of architectures
 * here; the first Java had major version 45 and nobody has built for 45 architectures. */
static kav_type cafebabe(const kav_head *h)
{
    if (h->len < 8) return plain(KAV_FMT_UNKNOWN);
    uint32_t word = kav_u32(h->head + 4, true);
    if ((word & 0xffff) >= 45 && (word & 0xffff) < 256) return with(KAV_FMT_JAVA, KAV_T_JAVA);
    if (word > 0 && word < 45) return with(KAV_FMT_MACHO_FAT, KAV_T_MACHO);
    return plain(KAV_FMT_UNKNOWN);
}

static bool is_bmp(const kav_head *h)
{
    if (h->len < 26) return false;
    uint32_t info = kav_le32(h->head + 14), pixels = kav_le32(h->head + 10);
    return (info == 12 || (info >= 16 && info <= 124)) && pixels >= 14 + info && kav_le32(h->head + 6) == 0;
}

static bool is_lha(const kav_head *h)
{
    const uint8_t *p = h->head;
    if (h->len < 22 || p[2] != '-' || p[6] != '-' || p[20] > 3 || !p[5]) return false;
    if (p[3] == 'l' && p[4] == 'h') return strchr("0123456789dx", p[5]) != NULL;
    if (p[3] == 'l' && p[4] == 'z') return strchr("s2345678", p[5]) != NULL;
    return p[3] == 'p' && p[4] == 'm' && strchr("012s", p[5]);
}

static bool is_cpio_text(const kav_head *h)
{
    static const char octal[] = "01234567", hex[] = "0123456789abcdefABCDEF";
    if (KAV_HEAD_AT(h, 0, "070707")) return all_in(h, 6, 76, octal);
    if (KAV_HEAD_AT(h, 0, "070701") || KAV_HEAD_AT(h, 0, "070702")) return all_in(h, 6, 110, hex);
    return KAV_HEAD_AT(h, 0, "070727") && all_in(h, 6, 14, hex); /* large ASCII of afio */
}

/* The old binary header: 16-bit words in either order; a known file type and a name that is there. */
static bool is_cpio_binary(const kav_head *h)
{
    if (h->len < 26) return false;
    bool big = h->head[0] == 0x71;
    const uint8_t *p = h->head;
    unsigned mode = big ? p[6] << 8 | p[7] : kav_le16(p + 6), name = big ? p[20] << 8 | p[21] : kav_le16(p + 20);
    unsigned kind = mode >> 12;
    return (kind == 1 || kind == 2 || kind == 4 || kind == 6 || kind == 8 || kind == 9 || kind == 10 || kind == 12) &&
           name >= 2 && name <= 4096;
}

/* LZMA alone has no magic: properties, a dictionary size that encoders write, a length that is unknown or below 256
 * GiB, and the coder's first byte, which is always 0. */
static bool is_lzma(const kav_head *h)
{
    const uint8_t *p = h->head;
    if (h->len < 18 || p[0] >= 9 * 5 * 5 || p[13] != 0) return false;
    uint32_t dictionary = kav_le32(p + 1), high = kav_le32(p + 9);
    uint32_t top = dictionary & ~(dictionary - 1); /* lowest bit: 2^n or 2^n + 2^(n+1) */
    if (dictionary < 4096 || (dictionary != top && dictionary != top * 3u && dictionary != UINT32_MAX)) return false;
    if (high == UINT32_MAX) return kav_le32(p + 5) == UINT32_MAX;
    return high < 64 && (high || kav_le32(p + 5)) && p[0] == 0x5d;
}

/* A skippable frame (zstd and lz4 share it) counts only with what follows it, as far as it can be seen. */
static kav_type skippable(const kav_head *h)
{
    if (h->len < 8) return plain(KAV_FMT_UNKNOWN);
    uint64_t next = 8 + (uint64_t)kav_le32(h->head + 4);
    if (next >= h->size) return plain(KAV_FMT_UNKNOWN);
    if (next > h->len - 4) return plain(next < h->len ? KAV_FMT_UNKNOWN : KAV_FMT_ZSTD);
    uint32_t magic = kav_le32(h->head + next);
    if (magic == 0x184d2204u) return plain(KAV_FMT_LZ4);
    return plain(magic == 0xfd2fb528u || (magic & ~15u) == 0x184d2a50u ? KAV_FMT_ZSTD : KAV_FMT_UNKNOWN);
}

static bool is_bzip2(const kav_head *h)
{
    return h->len >= 10 && h->head[3] >= '1' && h->head[3] <= '9' &&
           (KAV_HEAD_AT(h, 4, "1AY&SY") || KAV_HEAD_AT(h, 4, "\x17\x72\x45\x38\x50\x90"));
}

static bool is_compress(const kav_head *h)
{
    unsigned bits = h->len >= 3 ? h->head[2] & 0x1f : 0;
    return bits >= 9 && bits <= 16 && !(h->head[2] & 0x60);
}

static bool is_gzip(const kav_head *h)
{
    return h->len >= 10 && h->head[2] == 8 && !(h->head[3] & 0xe0);
}

/* Bytes at 0 that decide; grouped by the first so that one jump rules out nearly everything. */
static kav_type by_magic(const kav_head *h)
{
    const uint8_t *p = h->head;
    switch (p[0]) {
    case 'M':
        if (KAV_HEAD_AT(h, 0, "MZ") && !is_text(h)) return with(KAV_FMT_PE, KAV_T_PE);
        if (KAV_HEAD_AT(h, 0, "MSCF\0\0\0\0")) return plain(KAV_FMT_CAB);
        if (KAV_HEAD_AT(h, 0, "MM\0*")) return with(KAV_FMT_TIFF, KAV_T_GRAPHICS);
        break;
    case 0x7f:
        if (KAV_HEAD_AT(h, 0,
                        "\x7f"
                        "ELF"))
            return with(KAV_FMT_ELF, KAV_T_ELF);
        break;
    case 'P':
        if (KAV_HEAD_AT(h, 0, "PK\3\4") || KAV_HEAD_AT(h, 0, "PK\5\6") || KAV_HEAD_AT(h, 0, "PK\7\x08PK\3\4") ||
            KAV_HEAD_AT(h, 0, "PK00PK\3\4"))
            return plain(kav_type_zip(h));
        break;
    case 0xd0:
        if (KAV_HEAD_AT(h, 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) return with(KAV_FMT_OLE2, KAV_T_OLE2);
        break;
    case 0xe4:
        if (KAV_HEAD_AT(h, 0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"))
            return plain(KAV_FMT_ONENOTE);
        break;
    case 0x89:
        if (KAV_HEAD_AT(h, 0, "\x89PNG\r\n\x1a\n")) return with(KAV_FMT_PNG, KAV_T_GRAPHICS);
        if (KAV_HEAD_AT(h, 0, "\x89LZO\0\r\n\x1a\n")) return plain(KAV_FMT_LZOP);
        break;
    case 0xff:
        if (KAV_HEAD_AT(h, 0, "\xff\xd8\xff")) return with(KAV_FMT_JPEG, KAV_T_GRAPHICS);
        break;
    case 'G':
        if (KAV_HEAD_AT(h, 0, "GIF87a") || KAV_HEAD_AT(h, 0, "GIF89a")) return with(KAV_FMT_GIF, KAV_T_GRAPHICS);
        break;
    case 'I':
        if (KAV_HEAD_AT(h, 0, "II*\0")) return with(KAV_FMT_TIFF, KAV_T_GRAPHICS);
        break;
    case 'B':
        if (KAV_HEAD_AT(h, 0, "BZh") && is_bzip2(h)) return plain(KAV_FMT_BZIP2);
        if (KAV_HEAD_AT(h, 0, "BM") && is_bmp(h)) return with(KAV_FMT_BMP, KAV_T_GRAPHICS);
        break;
    case 'F':
    case 'C':
    case 'Z':
        if (KAV_HEAD_AT(h, 1, "WS") && h->len >= 8 && p[3] >= 1 && p[3] <= 60 && !is_text(h))
            return with(KAV_FMT_FLASH, KAV_T_FLASH);
        break;
    case 0xca:
        if (KAV_HEAD_AT(h, 0, "\xca\xfe\xba\xbe")) return cafebabe(h);
        if (KAV_HEAD_AT(h, 0, "\xca\xfe\xba\xbf\0\0\0")) return with(KAV_FMT_MACHO_FAT, KAV_T_MACHO);
        break;
    case 0xbe:
    case 0xbf:
        if (KAV_HEAD_AT(h, 1, "\xba\xfe\xca") && h->len >= 8 && kav_le32(p + 4) < 45)
            return with(KAV_FMT_MACHO_FAT, KAV_T_MACHO);
        break;
    case 0xfe:
        if (KAV_HEAD_AT(h, 0, "\xfe\xed\xfa\xce") || KAV_HEAD_AT(h, 0, "\xfe\xed\xfa\xcf"))
            return with(KAV_FMT_MACHO, KAV_T_MACHO);
        break;
    case 0xce:
    case 0xcf:
        if (KAV_HEAD_AT(h, 1, "\xfa\xed\xfe")) return with(KAV_FMT_MACHO, KAV_T_MACHO);
        break;
    default: break;
    }
    return plain(KAV_FMT_UNKNOWN);
}

/* The same for containers that have no target of their own. */
static enum kav_format container_by_magic(const kav_head *h)
{
    const uint8_t *p = h->head;
    switch (p[0]) {
    case 0x1f:
        if (KAV_HEAD_AT(h, 0, "\x1f\x8b") && is_gzip(h)) return KAV_FMT_GZIP;
        if (KAV_HEAD_AT(h, 0, "\x1f\x9d") && is_compress(h)) return KAV_FMT_COMPRESS;
        break;
    case '0':
        if (is_cpio_text(h)) return KAV_FMT_CPIO;
        break;
    case 0x71:
    case 0xc7:
        if ((KAV_HEAD_AT(h, 0, "\x71\xc7") || KAV_HEAD_AT(h, 0, "\xc7\x71")) && is_cpio_binary(h)) return KAV_FMT_CPIO;
        break;
    case '!':
        if (KAV_HEAD_AT(h, 0, "!<arch>\n")) return KAV_FMT_AR;
        break;
    case '7':
        if (KAV_HEAD_AT(h, 0, "7z\xbc\xaf\x27\x1c")) return KAV_FMT_7Z;
        break;
    case 'R':
        if (KAV_HEAD_AT(h, 0, "Rar!\x1a\x07\0") || KAV_HEAD_AT(h, 0, "Rar!\x1a\x07\1\0")) return KAV_FMT_RAR;
        break;
    case 'x':
        if (KAV_HEAD_AT(h, 0, "xar!") && KAV_HEAD_AT(h, 6, "\0\1")) return KAV_FMT_XAR;
        break;
    case 'W':
        if (KAV_HEAD_AT(h, 0, "WARC/0.") || KAV_HEAD_AT(h, 0, "WARC/1.")) return KAV_FMT_WARC;
        break;
    case 0xed:
        if (KAV_HEAD_AT(h, 0, "\xed\xab\xee\xdb")) return KAV_FMT_RPM;
        break;
    case 0xfd:
        if (KAV_HEAD_AT(h, 0,
                        "\xfd"
                        "7zXZ\0"))
            return KAV_FMT_XZ;
        break;
    case 0x28:
        if (KAV_HEAD_AT(h, 0, "\x28\xb5\x2f\xfd")) return KAV_FMT_ZSTD;
        break;
    case 0x04:
        if (KAV_HEAD_AT(h, 0, "\x04\x22\x4d\x18")) return KAV_FMT_LZ4;
        break;
    case 0x02:
        if (KAV_HEAD_AT(h, 0, "\x02\x21\x4c\x18")) return KAV_FMT_LZ4;
        break;
    case 'L':
        if (KAV_HEAD_AT(h, 0, "LZIP") && h->len >= 6 && p[4] <= 1 && (p[5] & 31) >= 12 && (p[5] & 31) <= 29)
            return KAV_FMT_LZIP;
        break;
    default:
        if ((p[0] & 0xf0) == 0x50 && KAV_HEAD_AT(h, 1, "\x2a\x4d\x18")) return skippable(h).format;
        break;
    }
    return KAV_FMT_UNKNOWN;
}

/* What is known and not opened. Each has at least four bytes of its own, or more signs than its magic. */
static enum kav_format foreign_by_magic(const kav_head *h)
{
    const uint8_t *p = h->head;
    if (h->len < 16) return KAV_FMT_UNKNOWN;
    switch (p[0]) {
    case 0x60:
        return p[1] == 0xea && kav_le16(p + 2) >= 30 && kav_le16(p + 2) <= 2600 && p[4] >= 30 && p[4] < 64
                   ? KAV_FMT_ARJ
                   : KAV_FMT_UNKNOWN;
    case 'I': return KAV_HEAD_AT(h, 0, "ITSF\3\0\0\0") ? KAV_FMT_CHM : KAV_FMT_UNKNOWN;
    case 0x78: return KAV_HEAD_AT(h, 0, "\x78\x9f\x3e\x22") ? KAV_FMT_TNEF : KAV_FMT_UNKNOWN;
    case 'S': return KAV_HEAD_AT(h, 0, "SZDD\x88\xf0'3") ? KAV_FMT_SZDD : KAV_FMT_UNKNOWN;
    case '(':
        return KAV_HEAD_AT(h, 0, "(This file must be converted with BinHex 4.0") ? KAV_FMT_BINHEX : KAV_FMT_UNKNOWN;
    case 'E': return KAV_HEAD_AT(h, 0, "EGGA\0\1") ? KAV_FMT_EGG : KAV_FMT_UNKNOWN;
    case 'A': return KAV_HEAD_AT(h, 0, "ALZ\1") ? KAV_FMT_ALZ : KAV_FMT_UNKNOWN;
    case 'H': return KAV_HEAD_AT(h, 0, "HWP Document File V3.00") ? KAV_FMT_HWP3 : KAV_FMT_UNKNOWN;
    case 'G': return KAV_HEAD_AT(h, 0, "GGUF") && kav_le32(p + 4) < 16 ? KAV_FMT_GGUF : KAV_FMT_UNKNOWN;
    case 0x7a: return KAV_HEAD_AT(h, 0, "\x7a\x1a\x20\x10") ? KAV_FMT_SIS : 0;
    default: break;
    }
    if (KAV_HEAD_AT(h, 8, "\x19\x04\0\x10")) return KAV_FMT_SIS;
    if (KAV_HEAD_AT(h, 32769, "BEA01")) return KAV_FMT_UDF;
    bool python = p[2] == '\r' && p[3] == '\n' && kav_le16(p) >= 3000 && kav_le16(p) < 4000 && kav_le32(p + 4) < 4;
    return python ? KAV_FMT_PYC : KAV_FMT_UNKNOWN;
}

/* The number in a tar header's checksum field: octal digits between blanks or NULs; -1 = none. */
static long tar_number(const uint8_t *p)
{
    long value = 0;
    int digits = 0;
    for (int i = 0; i < 8; i++) {
        if (p[i] >= '0' && p[i] <= '7') value = value * 8 + (p[i] - '0'), digits++;
        else if (p[i] != ' ' && p[i] != 0) return -1;
        else if (digits) break;
    }
    return digits ? value : -1;
}

/* A tar header that says ustar is taken at its word, because tar programs go on behind a header with a wrong checksum;
 * the old style has nothing but the checksum. */
static bool is_tar(const kav_head *h)
{
    if (h->len < 512) return false;
    if (KAV_HEAD_AT(h, 257, "ustar\0") || KAV_HEAD_AT(h, 257, "ustar  \0")) return true;
    long want = tar_number(h->head + 148), sum = 8 * ' ', signed_sum = 8 * ' ';
    if (want <= 8 * ' ') return false;
    for (int i = 0; i < 512; i++) {
        if (i >= 148 && i < 156) continue;
        sum += h->head[i];
        signed_sum += (int8_t)h->head[i];
    }
    return h->head[0] && (sum == want || signed_sum == want);
}

static bool is_pdf(const kav_head *h)
{
    size_t near = h->len < KAV_TYPE_NEAR ? h->len : KAV_TYPE_NEAR;
    const uint8_t *p = h->head, *end = h->head + near;
    for (; (p = memchr(p, '%', (size_t)(end - p))); p++)
        if (end - p >= 5 && memcmp(p, "%PDF-", 5) == 0) return true;
    return false;
}

static bool is_iso(const kav_head *h)
{
    return h->len > 32774 && KAV_HEAD_AT(h, 32769, "CD001");
}

kav_type kav_type_binary(const kav_head *h)
{
    kav_type found = by_magic(h);
    if (found.format != KAV_FMT_UNKNOWN) return found;
    enum kav_format container = container_by_magic(h);
    if (container != KAV_FMT_UNKNOWN) return plain(container);
    if (is_tar(h)) return plain(KAV_FMT_TAR);
    if (is_iso(h)) return plain(KAV_FMT_ISO);
    if (is_lha(h)) return plain(KAV_FMT_LHA);
    if (is_lzma(h)) return plain(KAV_FMT_LZMA);
    if (is_pdf(h)) return with(KAV_FMT_PDF, KAV_T_PDF);
    enum kav_format foreign = foreign_by_magic(h);
    if (foreign != KAV_FMT_UNKNOWN) return plain(foreign);
    return plain(KAV_FMT_UNKNOWN);
}
