"""Reader of rules for certificates of programs (Authenticode), one on each line:

    Name;Trusted;Subject;Serial;PublicKey;Exponent;CodeSign;TimeSign;CertSign;NotBefore;Comment[;MinLevel[;MaxLevel]]

Trusted is 1: a program whose signature leads to this certificate is clean; or 0: a program that carries this one is
detected under the line's name. Subject and Serial are SHA-1 digests, Serial may be empty, for any. The key is the
modulus of an RSA key; its exponent is 65537, whatever stands in the line, as in ClamAV.
"""

from __future__ import annotations

import binascii
import struct

from kavfs.signatures.cdb import NAME_MAX, Rows
from kavfs.signatures.lines import Rejected, Tally, check_level, number, read_lines

ROW = struct.Struct("=qIIIIII20s20s")  # kav_trust_row in ext/match/format.h
CODE, TIME, CERT, BLOCKED, ANY_SERIAL = 1, 2, 4, 8, 16  # enum kav_trust_flag
HEX = b"0123456789abcdefABCDEF"
KEY_MAX = 2048  # digits; the longest key that is verified has half of them
NAMELESS = b"(unnamed CRB rule)"


def read_crb(text: bytes, rows: Rows, tally: Tally) -> None:
    def take(line: bytes, row: int) -> None:
        fields = line.split(b";")
        if not 11 <= len(fields) <= 13:
            raise Rejected("wrong number of fields")
        name, trusted, subject, serial, key, _exponent, code, time, cert, before, _comment = fields[:11]
        check_level(*[number(level, "engine level") for level in fields[11:]])
        if len(name) > NAME_MAX:
            raise Rejected("no name")
        flags = 0 if _bit(trusted) else BLOCKED
        for word, flag in ((code, CODE), (time, TIME), (cert, CERT)):
            flags |= flag if _bit(word) else 0
        flags |= 0 if serial else ANY_SERIAL
        words = *rows.keep(name or NAMELESS), *rows.keep(_key(key))
        digests = _digest(subject), _digest(serial) if serial else bytes(20)
        rows.rows.append(ROW.pack(number(before, "date"), row, *words, flags, *digests))

    read_lines(text, take, tally)


def _bit(word: bytes) -> bool:
    """Of these fields ClamAV reads the first sign."""
    if word[:1] not in (b"0", b"1"):
        raise Rejected("malformed trust or use of a certificate")
    return word[:1] == b"1"


def _digest(word: bytes) -> bytes:
    if len(word) != 40 or word.strip(HEX):
        raise Rejected("malformed digest")
    return binascii.unhexlify(word)


def _key(word: bytes) -> bytes:
    if not word or len(word) > KEY_MAX or word.strip(HEX):
        raise Rejected("malformed key of a certificate")
    return binascii.unhexlify(word.rjust(len(word) + len(word) % 2, b"0")).lstrip(b"\0")
