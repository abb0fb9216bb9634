"""Pictures made by hand: PNG files of any kind that the format has."""

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
