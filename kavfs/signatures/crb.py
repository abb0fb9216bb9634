"""Reader of rules for Authenticode certificates, one on each line:

    Name;Trusted;Subject;Serial;PublicKey;Exponent;CodeSign;TimeSign;CertSign;NotBefore;Comment[;MinLevel[;MaxLevel]]

Trusted is 1, or 0 for a certificate whose programs are detected; Subject and Serial are SHA-1 digests, Serial may be
empty. Signatures of programs are not verified here, so a good line is counted by what it is for, and not taken.
"""

from __future__ import annotations

from kavfs.signatures.lines import LATER, Rejected, Tally, check_level, number, read_lines

TRUST = {b"1": "trusted certificate", b"0": "blocked certificate"}
HEX = b"0123456789abcdefABCDEF"


def read_crb(text: bytes, tally: Tally) -> None:
    def take(line: bytes, row: int) -> None:
        fields = line.split(b";")
        if not 11 <= len(fields) <= 13:
            raise Rejected("wrong number of fields")
        _name, trusted, subject, serial, key, _exponent, *uses, _before, _comment = fields[:11]
        check_level(*[number(level, "engine level") for level in fields[11:]])
        if trusted[:1] not in TRUST or any(use[:1] not in TRUST for use in uses):
            raise Rejected("malformed trust or use of a certificate")
        if not _is_digest(subject) or (serial and not _is_digest(serial)):
            raise Rejected("malformed digest")
        if not key or key.strip(HEX):
            raise Rejected("malformed key of a certificate")
        raise Rejected(f"{LATER}{TRUST[trusted[:1]]}")

    read_lines(text, take, tally)


def _is_digest(word: bytes) -> bool:
    return len(word) == 40 and not word.strip(HEX)
