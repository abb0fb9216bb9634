"""Packs of signatures made at run time, signed with keys of our own."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import random
import tarfile
from typing import NamedTuple

from kavfs.signatures.dsig import DIGITS, HASH, SALT, Key, Keys

SIGNS = {value: chr(sign) for sign, value in DIGITS.items()}
SMALL_PRIMES = [n for n in range(3, 2000) if all(n % p for p in range(2, int(n**0.5) + 1))]


class Secret(NamedTuple):
    """A pair of keys of RSA."""

    public: Key
    private: int


@functools.cache
def secret(bits: int) -> Secret:
    """The same one each time: what is signed with it protects nothing."""
    rng = random.Random(bits)
    exponent = 65537
    p, q = (_prime(bits // 2, exponent, rng) for _ in range(2))
    return Secret(Key(p * q, exponent), pow(exponent, -1, (p - 1) * (q - 1)))


def keys() -> Keys:
    """What has to be trusted for what is made here."""
    return Keys(secret(1024).public, secret(2048).public)


def head(version: int = 7, count: int = 1, md5: str = "X", signature: str = "X", level: int = 90) -> str:
    return f"ClamAV-VDB:01 Feb 2026 10-00 +0000:{version}:{count}:{level}:{md5}:{signature}:builder:1769940000"


def make_info(members: dict[str, bytes], *, version: int = 7, signed: bool = True) -> bytes:
    """The list of members, signed or not."""
    rows = "".join(f"{n}:{len(text)}:{hashlib.sha256(text).hexdigest()}\n" for n, text in members.items())
    text = f"{head(version)}\n{rows}".encode()
    return text + b"DSIG:" + sign_text(text).encode() + b"\n" if signed else text


def make_tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


def seal(tar: bytes, *, version: int = 7) -> bytes:
    """A .cvd of what is to stand behind its head."""
    digest = hashlib.md5(tar).digest()
    return head(version, md5=digest.hex(), signature=sign_number(1024, digest)).ljust(512).encode() + tar


def make_pack(members: dict[str, bytes], *, kind: str = "cvd", version: int = 7, info: bytes | None = None) -> bytes:
    """A pack: .cvd compressed and wholly signed, .cld bare with signed .info, .cud compressed and unsigned."""
    if info is None:
        info = make_info(members, version=version, signed=kind != "cud")
    tar = make_tar({"COPYING": b"free\n", "some.info": info, **members})
    if kind == "cld":
        return head(version).ljust(512).encode() + tar
    packed = gzip.compress(tar, mtime=0)
    return seal(packed, version=version) if kind == "cvd" else head(version).ljust(512).encode() + packed


def sign_number(bits: int, message: bytes) -> str:
    public, private = secret(bits)
    value = pow(int.from_bytes(message, "big"), private, public.modulus)
    return "".join(SIGNS[value >> shift & 63] for shift in range(0, bits + 5, 6)).rstrip("a") or "a"


def sign_text(text: bytes) -> str:
    """RSA-PSS with SHA-256, written the long way round: not the code under test backwards."""
    salt = bytes(range(SALT))
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(text).digest() + salt).digest()
    block = bytes(256 - HASH - 1 - SALT - 1) + b"\x01" + salt
    mask = b"".join(hashlib.sha256(digest + bytes([0, 0, 0, i])).digest() for i in range(8))
    masked = bytearray(a ^ b for a, b in zip(block, mask, strict=False))
    masked[0] &= 0x7F
    return sign_number(2048, bytes(masked) + digest + b"\xbc")


def _prime(bits: int, exponent: int, rng: random.Random) -> int:
    while True:
        number = rng.getrandbits(bits) | 3 << (bits - 2) | 1
        if all(number % p for p in SMALL_PRIMES) and number % exponent != 1 and _is_prime(number, rng):
            return number


def _is_prime(number: int, rng: random.Random) -> bool:
    odd = (number - 1) & (1 - number)  # the power of two in it
    for _ in range(20):
        x = pow(rng.randrange(2, number - 1), (number - 1) // odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(odd.bit_length() - 2):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True
