"""Subsignatures that are no patterns, made at random but the same for the same seed, and files that are near them."""

from __future__ import annotations

import random

HEAD = b"GIF89a" + bytes(24)
"""An image: nobody looks at it in another form."""

REFERENCE = b"ref~"
NUMBERS = ["0", "1", "5", "10", "16", "18", "255", "256", "0x10", "0x12", "010", "4660", "0x1234", "-5", "65535", "12"]
TEXTS = [
    b"5", b"10", b"16", b"012", b"0x10", b"0X1f", b"0x123", b"  12", b"\t\n7 ", b"-5", b"+12", b"ff", b"FFz", b"zz",
    b"0x", b"0xg1", b"3412", b"12x4", b"x012", b"99999999999999999999", b"7fffffffffffffff", b"\x10\x00", b"\x00\x10",
    b"    ", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x12\x34\x00\x00\x00\x00\x00\x00", b"1234", b"0x1234", b"255",
    b"ten", b"1 2",
]  # fmt: skip


def compare_row(rng: random.Random) -> str:
    """One byte comparison; most can be loaded."""
    kind = rng.choice("hdiah")
    order = rng.choice(["", "l", "b", "b", "l"])
    if kind == "d" and order == "l":
        order = "b"
    exact = rng.choice(["", "e"])
    letters = [kind, order, exact]
    count = rng.choice([1, 2, 4, 8]) if kind == "i" else rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 18])
    place = rng.choice(["", ">>4", ">>4", ">>5", ">>0x4", "<<3", ">>6", "<<100", ">>200"])
    comparisons = [rng.choice("<>=") + rng.choice(NUMBERS) for _ in range(rng.choice([1, 1, 2]))]
    written = rng.choice([str(count), hex(count), f"0{count:o}"])
    return f"0({place}#{''.join(letters)}{written}#{','.join(comparisons)})"


def compare_file(rng: random.Random) -> bytes:
    """References with texts behind them, sometimes before them."""
    out = bytearray(HEAD)
    for _ in range(rng.randint(1, 3)):
        out += rng.choice(TEXTS) if rng.random() < 0.3 else bytes(rng.randrange(8))
        out += REFERENCE + rng.choice(TEXTS) + rng.choice(TEXTS)
    return bytes(out)


EXPRESSIONS = [
    "b+c", "^.{2}b", "ab$", "a.c", "(a|b)+x", "(?P<n>a+)b(?P=n)", "\\/x;y", "[a-c]{3,5}", "B+C", "a b c", "x*?c", "^b",
    "c\\Z", "\\x00b", "(?i)AB", "b(?=c)", "(?<=a)b", "a\\nb", "a+", "\\Gab", "(*COMMIT)b+c",
]  # fmt: skip
OFFSETS = ["", "", "", "*:", "30:", "31,3:", "0:", "EOF-5:", "EOF-8,4:", "32,20:", "400:"]
TRIGGERS = ["0", "0>1", "0=1", "(0|1)", "0&1", "0<3", "(0|1)>2", "1"]


def regex_row(rng: random.Random) -> tuple[str, str]:
    """(logical expression, regular expression with offset, trigger and flags)"""
    flags = "".join(flag for flag in "greismxAEU" if rng.random() < 0.2)
    row = f"{rng.choice(OFFSETS)}{rng.choice(TRIGGERS)}/{rng.choice(EXPRESSIONS)}/{flags}"
    return rng.choice(["2", "2", "0&2", "2>1", "2=1", "(0|1)&2", "2=0|1", "2>2"]), row


def regex_file(rng: random.Random) -> bytes:
    size = rng.choice([4, 12, 40, 200])
    noise = "".join(rng.choice("aaabbbccx \nABC/;y") for _ in range(size)).encode()
    marks = [rng.choice([b"one~", b"two~", b""]) for _ in range(3)]
    zero = rng.choice([b"", b"\x00b"])
    return (
        rng.choice([HEAD, HEAD + b"ab"])
        + marks[0]
        + noise[: size // 2]
        + marks[1]
        + zero
        + noise[size // 2 :]
        + marks[2]
    )


def macro_row(rng: random.Random) -> str:
    least = rng.choice([0, 3, 4, 5, 8])
    return f"${{{least}-{least + rng.choice([0, 1, 4, 20])}}}{rng.choice([1, 2, 7])}$"


MEMBERS = "M1:0:$1$:64643164\nM2:0:$1:64643264\nM3:0:$2$:6464??64\nM4:0:$7$:65656565(61|62)\n"


def macro_file(rng: random.Random) -> bytes:
    parts = [b"ref~", b"ref~", b"dd1d", b"dd2d", b"eeeea", b"..", b".", b"....", b""]
    return HEAD + b"".join(rng.choice(parts) for _ in range(rng.randint(2, 14)))
