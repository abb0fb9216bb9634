"""Digital signatures of packs, as ClamAV up to 1.4 makes and checks them: two RSA keys, two ways.

The head of a .cvd is signed by raw RSA over the MD5 of all that follows it; the list of members (.info) by RSA-PSS
(SHA-256, a salt of 32 bytes) over its text. Signatures are written as digits of base 64, the lowest first.
The keys are public facts; whoever wants others trusted changes TRUSTED here, there is no switch for it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple


class Key(NamedTuple):
    """A public key of RSA."""

    modulus: int
    exponent: int


class Keys(NamedTuple):
    """The two keys that a publisher of packs signs with."""

    head: Key  # 1024 bits
    info: Key  # 2048 bits


TRUSTED = Keys(
    head=Key(
        int(
            "1186409955516453426030700016584531897515277744120277437465994057432431426074641447673610606406558447"
            "4976078889002228342492276248891756555100246777110966959818941043469903453223222862159108950817859142"
            "8456220796841621637175567590476666928698770143328137383952820383197532047771780196576957695822641224"
            "262693037"
        ),
        100001027,
    ),
    info=Key(
        int(
            "1108889498304854547365955610662719492392894179179504762059165869741358104332271591217249680652538105"
            "5880964520618400224333320534660299233983755341740679502866829909679955734391392668378361221524205396"
            "6310901051516412708572770803107343209516537005089417174191687239425078907029047027075874516216910507"
            "5430785038339986534648720379846417853739221140278648135982446119723110289541509377039421666632448459"
            "3935762408468516826633192140826667923494822045805347809932848454845886971706424360558667862775876072"
            "0594377033653802091016977385775154769350854694552799941131459779940846183284821510131423933733163375"
            "19977244732747977"
        ),
        100002049,
    ),
)

DIGITS = {sign: value for value, sign in enumerate(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/")}

HASH = 32  # bytes of SHA-256
SALT = 32


def signs_digest(key: Key, signature: bytes, md5: bytes) -> bool:
    """Whether *signature* is that of the owner of *key* under an MD5 digest."""
    opened = _opened(key, signature)
    return opened is not None and opened == int.from_bytes(md5, "big")


def signs_text(key: Key, signature: bytes, text: bytes) -> bool:
    """Whether *signature* is that of the owner of *key* under a text (EMSA-PSS, RFC 8017)."""
    opened = _opened(key, signature)
    bits = key.modulus.bit_length() - 1
    length = (bits + 7) // 8
    if opened is None or opened.bit_length() > bits or length < HASH + SALT + 2:
        return False
    block = opened.to_bytes(length, "big")
    masked, digest, last = block[: length - HASH - 1], block[length - HASH - 1 : -1], block[-1]
    mask = _mask(digest, len(masked))
    plain = bytearray(a ^ b for a, b in zip(masked, mask, strict=True))
    plain[0] &= 0xFF >> (8 * length - bits)
    padding, salt = plain[:-SALT], plain[-SALT:]
    if last != 0xBC or padding != bytes(len(padding) - 1) + b"\x01":
        return False
    wanted = hashlib.sha256(bytes(8) + hashlib.sha256(text).digest() + salt).digest()
    return hmac.compare_digest(wanted, digest)


def _opened(key: Key, signature: bytes) -> int | None:
    """The number that was signed; None when this is no signature at all."""
    value = 0
    if not 0 < len(signature) <= key.modulus.bit_length() // 6 + 2:
        return None
    for sign in reversed(signature):
        digit = DIGITS.get(sign)
        if digit is None:
            return None
        value = value << 6 | digit
    return pow(value, key.exponent, key.modulus) if value < key.modulus else None


def _mask(seed: bytes, length: int) -> bytes:
    rounds = -(-length // HASH)
    return b"".join(hashlib.sha256(seed + i.to_bytes(4, "big")).digest() for i in range(rounds))[:length]
