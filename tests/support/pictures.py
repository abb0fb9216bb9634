"""Pictures made by hand: PNG, BMP, GIF and TIFF files of any kind that the formats have."""

from __future__ import annotations

import random
import struct
import zlib


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, kind: int = 2, depth: int = 8, seed: int = 1) -> bytes:
    """Some blotches. *kind*: 0 gray, 2 colours, 3 palette, 4 gray and alpha, 6 colours and alpha."""
    rng = random.Random(seed)
    waves = [(rng.uniform(1, 6), rng.uniform(1, 6), rng.randrange(256)) for _ in range(4)]
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    lines = b""
    for y in range(height):
        bits, used = 0, width * channels * depth
        for x in range(width):
            for channel in range(channels):
                across, down, shift = waves[channel]
                value = int(x * across * 256 / width + y * down * 200 / height + shift + x * y * 7 / width) & 255
                bits = bits << depth | (value * 257 >> 16 - depth if depth < 16 else value << 8 | (x & 255))
        lines += b"\0" + (bits << -used % 8).to_bytes((used + 7) // 8, "big")
    palette = bytes(rng.randrange(256) for _ in range(3 << min(depth, 8)))
    head = struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + (chunk(b"PLTE", palette) if kind == 3 else b"")
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


Pixels = list[list[tuple[int, int, int]]]


def blotches(width: int, height: int, seed: int = 1) -> Pixels:
    rng = random.Random(seed)
    waves = [(rng.uniform(1, 5), rng.uniform(1, 5), rng.randrange(256)) for _ in range(3)]

    def value(x: int, y: int, across: float, down: float, shift: int) -> int:
        value = int(x * across * 256 / width + y * down * 200 / height + shift)
        return abs(value % 511 - 255)

    return [
        [(value(x, y, *waves[0]), value(x, y, *waves[1]), value(x, y, *waves[2])) for x in range(width)]
        for y in range(height)
    ]


def _grays(pixels: Pixels, levels: int) -> list[list[int]]:
    """Numbers of colours in a palette of grays."""
    return [[(r * 299 + g * 587 + b * 114) // 1000 * levels // 256 for r, g, b in line] for line in pixels]


def _palette(levels: int, room: int, pad: bytes) -> bytes:
    return b"".join(bytes([index * 255 // max(levels - 1, 1)] * 3) + pad for index in range(room))


def _bits(line: list[int], depth: int) -> bytes:
    """Numbers of so many bits each, the first in the highest."""
    number = 0
    for value in line:
        number = number << depth | value
    spare = -len(line) * depth % 8
    return (number << spare).to_bytes((len(line) * depth + spare) // 8, "big")


def _runs(line: list[int], half: bool) -> bytes:
    """A line of a BMP in runs: the first pixels as they are, then pairs."""
    out, at = b"", 0
    while at < len(line):
        plain = line[at : at + 5]
        if at == 0 and len(plain) == 5:
            held = _bits(plain, 4) if half else bytes(plain)
            out += bytes([0, 5]) + held + bytes(len(held) & 1)
            at += 5
            continue
        count = next((n for n in range(1, len(line) - at) if line[at + n] != line[at]), len(line) - at)
        out += bytes([min(count, 255), line[at] * 17 if half else line[at]])
        at += min(count, 255)
    return out + b"\0\0"


def bmp(pixels: Pixels, depth: int = 24, *, runs: bool = False, downwards: bool = False, head: int = 40) -> bytes:
    """*head* 12 is OS/2's. 16 bits: five of red, six of green, five of blue by masks."""
    width, height = len(pixels[0]), len(pixels)
    masked = depth == 16
    palette, lines = b"", []
    if depth <= 8:
        levels = 1 << depth
        palette = _palette(levels, levels, b"" if head == 12 else b"\0")
        numbers = _grays(pixels, levels)
        lines = [_runs(line, depth == 4) if runs else _bits(line, depth) for line in numbers]
    elif depth == 16:
        lines = [
            b"".join(struct.pack("<H", r >> 3 << 11 | g >> 2 << 5 | b >> 3) for r, g, b in line) for line in pixels
        ]
    else:
        lines = [b"".join(bytes([b, g, r, 7][: depth // 8]) for r, g, b in line) for line in pixels]
    if not runs:
        lines = [line + bytes(-len(line) % 4) for line in lines]
    content = b"".join(lines if downwards else reversed(lines)) + (b"\0\1" if runs else b"")
    packing = {4: 2, 8: 1}[depth] if runs else 3 if masked else 0
    if head == 12:
        about = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        tall = -height if downwards else height
        about = struct.pack("<IiiHHIIIIII", head, width, tall, 1, depth, packing, len(content), 0, 0, 0, 0)
        masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F) if masked else b""
        about = (about + masks).ljust(head, b"\0") if head > 40 else about + masks
    at = 14 + len(about) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(content), 0, 0, at) + about + palette + content


def lzw(values: list[int], least: int) -> bytes:
    """As GIF packs: codes from the lowest bit on."""
    clear, number, used, width = 1 << least, 0, 0, least + 1
    known: dict[tuple[int, ...], int] = {}

    def put(code: int) -> None:
        nonlocal number, used
        number |= code << used
        used += width

    put(clear)
    known = {(value,): value for value in range(clear)}
    following, run = clear + 2, ()
    for value in values:
        if (*run, value) in known:
            run = (*run, value)
            continue
        put(known[run])
        if following < 4096:
            known[(*run, value)] = following
            width = max(width, following.bit_length())
            following += 1
        else:
            put(clear)
            known = {(one,): one for one in range(clear)}
            following, width = clear + 2, least + 1
        run = (value,)
    put(known[run])
    if following < 4096:
        width = max(width, following.bit_length())
    put(clear + 1)
    return number.to_bytes((used + 7) // 8, "little")


def gif(
    pixels: Pixels, *, screen: tuple[int, int] | None = None, at: tuple[int, int] = (0, 0), interlaced: bool = False,
    own_palette: bool = False, transparent: int | None = None, least: int = 7,
) -> bytes:  # fmt: skip
    width, height = len(pixels[0]), len(pixels)
    levels = 1 << least
    lines = _grays(pixels, levels)
    if interlaced:
        lines = [*lines[0::8], *lines[4::8], *lines[2::4], *lines[1::2]]
    packed = lzw([value for line in lines for value in line], least)
    blocks = b"".join(bytes([len(packed[i : i + 255])]) + packed[i : i + 255] for i in range(0, len(packed), 255))
    palette, flags = _palette(levels, levels, b""), 0x80 | least - 1
    wide, tall = screen or (width, height)
    control = b"" if transparent is None else b"\x21\xf9\x04" + bytes([1, 0, 0, transparent, 0])
    frame = struct.pack("<4HB", *at, width, height, interlaced << 6 | (flags if own_palette else 0))
    return (
        b"GIF89a" + struct.pack("<HHBBB", wide, tall, 0 if own_palette else flags, 0, 0)
        + (b"" if own_palette else palette) + b"\x21\xfe\x03abc\0" + control + b"," + frame
        + (palette if own_palette else b"") + bytes([least]) + blocks + b"\0;"
    )  # fmt: skip


def tiff(pixels: Pixels, *, kind: str = "rgb", packing: int = 1, big: bool = False, rows: int = 16) -> bytes:
    """*kind*: rgb, rgba (the last with an alpha of little use), gray, bits, cmyk; *packing*: 1 none, 8 deflate, 32773
    PackBits."""
    order, width, height = ">" if big else "<", len(pixels[0]), len(pixels)
    samples = {"rgb": 3, "rgba": 4, "gray": 1, "bits": 1, "cmyk": 4}[kind]
    lines = {
        "rgb": lambda line: b"".join(bytes(p) for p in line),
        "rgba": lambda line: b"".join(bytes((*p, p[0])) for p in line),
        "cmyk": lambda line: b"".join(bytes((*(255 - c for c in p), 0)) for p in line),
        "gray": lambda line: bytes(_grays([line], 256)[0]),
        "bits": lambda line: _bits(_grays([line], 2)[0], 1),
    }[kind]
    pack = {1: lambda b: b, 8: zlib.compress, 32773: lambda b: b"".join(bytes([0, one]) for one in b)}[packing]
    strips = [pack(b"".join(map(lines, pixels[at : at + rows]))) for at in range(0, height, rows)]
    places, at = [], 8
    for strip in strips:
        places.append(at)
        at += len(strip)
    extra = b""

    def longs(values: list[int], letter: str) -> int:
        """Where these lie behind the strips."""
        nonlocal extra
        place = at + len(extra)
        extra += struct.pack(f"{order}{len(values)}{letter}", *values)
        return place

    fields = [(256, 3, 1, width), (257, 3, 1, height)]
    fields.append(
        (258, 3, samples, longs([8] * samples, "H")) if samples > 2 else (258, 3, 1, 1 if kind == "bits" else 8)
    )
    fields += [(259, 3, 1, packing), (262, 3, 1, {"gray": 1, "bits": 1, "cmyk": 5}.get(kind, 2))]
    fields.append((273, 4, len(places), longs(places, "I") if len(places) > 1 else places[0]))
    fields += [(277, 3, 1, samples), (278, 3, 1, rows)]
    sizes = [len(strip) for strip in strips]
    fields.append((279, 4, len(sizes), longs(sizes, "I") if len(sizes) > 1 else sizes[0]))
    if kind == "rgba":
        fields.append((338, 3, 1, 2))
    table = struct.pack(f"{order}H", len(fields))
    for tag, form, count, value in fields:
        short = form == 3 and count == 1
        table += struct.pack(
            f"{order}HHI" + ("HH" if short else "I"), tag, form, count, *((value, 0) if short else (value,))
        )
    extra += bytes(len(extra) & 1)
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", at + len(extra))
    return head + b"".join(strips) + extra + table + bytes(4)


def others(pixels: Pixels) -> dict[str, bytes]:
    """One of each kind that is no PNG."""
    found = {f"bmp-{depth}": bmp(pixels, depth) for depth in (1, 4, 8, 16, 24, 32)}
    found |= {f"bmp-runs-{depth}": bmp(pixels, depth, runs=True) for depth in (4, 8)}
    found |= {f"bmp-old-{depth}": bmp(pixels, depth, head=12) for depth in (8, 24)}
    found |= {"bmp-down": bmp(pixels, downwards=True), "bmp-v5": bmp(pixels, 16, head=124)}
    found |= {"gif": gif(pixels), "gif-interlaced": gif(pixels, interlaced=True), "gif-bits": gif(pixels, least=2)}
    found["gif-transparent"] = gif(pixels, transparent=1)
    found["gif-own"] = gif(pixels, own_palette=True)
    for kind in ("rgb", "rgba", "gray", "bits", "cmyk"):
        found[f"tiff-{kind}"] = tiff(pixels, kind=kind)
    found |= {"tiff-big": tiff(pixels, big=True), "tiff-deflate": tiff(pixels, packing=8)}
    found["tiff-packbits"] = tiff(pixels, packing=32773, rows=len(pixels))
    return found
