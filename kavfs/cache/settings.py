"""Settings: what an answer depends on besides bytes and signatures, as digests that stand in the stores.

    mine = Settings.of(limits, switches)           mine.digest, 16 bytes: facts of a scan like this one
    holds(other, mine)                             whether complete clean facts of the other hold here too
    seen, changed = remember(read(text, secret), mine, now)
    text = write(seen, secret)

A fact that is clean and complete met no limit. So it also holds where everything is opened alike and every limit is as
wide or wider; which other settings these are, the small list `settings.json` in the folder of stores tells. The list is
sealed; a damaged one is an empty one and costs scans, never an answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from kavfs.cache.libraries import installed
from kavfs.limits import Limits
from kavfs.model import Switch

FORMAT = 6
"""Goes up when stores keep something else, or the same switches come to mean something else: another format is opened,
and what was clean as long as it stayed closed may not be so any more."""

OPENING = (
    Switch.PACKED | Switch.ARCHIVES | Switch.SFX | Switch.MAILBASES | Switch.MAILPLAIN | Switch.HEURISTIC
    | Switch.NO_CERTIFICATES
)  # fmt: skip
REPORTING = Switch.ALL_MEMBERS  # a digest that was not computed is told as not known

LISTED = 32  # settings that are kept, those used last
LIST_MAX = 64 << 10  # bytes that the list can have
ASKED = 4  # KAV_SETTINGS_MAX in ext/cache/lookup.h: our own, then others
TOUCH = 86400  # seconds: the list is written again only when its date of our settings is older

_SEAL = 32  # hexadecimal digits


class Settings(NamedTuple):
    """What answers depend on of limits, switches and the system; whole numbers only."""

    max_file_size: int  # bytes; 0 = any size
    max_member_size: int
    max_unpacked: int
    max_depth: int
    max_members: int
    time_base: int  # milliseconds, as in kav_limits
    time_rate: int  # bytes per second; the higher, the shorter the time
    memory: int
    spill: int
    switches: int
    distrust: int  # 1: only files to which nobody but root and the scanning user may write are remembered
    libraries: int  # the files of them; what other ones made of an object holds for none
    engines: int  # which others were asked, their versions and databases (EngineChoice.knowledge); 0 = native alone

    @classmethod
    def of(cls, limits: Limits, switches: Switch, distrust_owners: bool = False, engines: int = 0) -> Settings:
        return cls(
            limits.max_file_size,
            limits.max_member_size,
            limits.max_unpacked,
            limits.max_depth,
            limits.max_members,
            int(limits.time_base * 1000),
            limits.time_rate,
            limits.memory,
            limits.spill,
            int(switches & (OPENING | REPORTING)),
            int(distrust_owners),
            installed(),
            engines,
        )

    @property
    def digest(self) -> bytes:
        """16 bytes."""
        return _digest(b"settings", self)

    @property
    def context(self) -> bytes:
        """16 bytes for the object cache: what decides how an object is opened, besides the budget that its records
        carry. The limits that stand here are not in that budget. No signature of today asks for anything outside the
        object. Other engines are not in it: the native one alone looks up and learns there, what it does not cover
        wholly with a mark (KAV_L_ELSEWHERE), so that they are asked all the same."""
        opening = self.switches & OPENING
        return _digest(b"context", (self.max_member_size, self.memory, self.spill, opening, self.libraries))


class Seen(NamedTuple):
    """Settings that some scan had, and when the last one did."""

    settings: Settings
    used: int  # seconds since 1970


def _digest(kind: bytes, numbers: tuple[int, ...]) -> bytes:
    text = " ".join(str(number) for number in (FORMAT, *numbers))
    return hashlib.blake2b(text.encode(), digest_size=16, person=kind).digest()


def holds(other: Settings, mine: Settings) -> bool:
    """Whether a clean and complete verdict under *other* is what a scan with *mine* would say."""
    if other.libraries != mine.libraries or other.distrust < mine.distrust:
        return False
    if other.engines != mine.engines:  # more engines are no safer: what one leaves out, another may have seen
        return False
    if (other.switches ^ mine.switches) & OPENING or mine.switches & ~other.switches & REPORTING:
        return False
    if mine.max_file_size and not 0 < other.max_file_size <= mine.max_file_size:
        return False
    return other.time_rate >= mine.time_rate and all(
        narrow <= wide
        for narrow, wide in (
            (other.max_member_size, mine.max_member_size),
            (other.max_unpacked, mine.max_unpacked),
            (other.max_depth, mine.max_depth),
            (other.max_members, mine.max_members),
            (other.time_base, mine.time_base),
            (other.memory, mine.memory),
            (other.spill, mine.spill),
        )
    )


def asked(mine: Settings, seen: Iterable[Seen]) -> tuple[bytes, ...]:
    """Digests that a scan with *mine* asks for: its own, then those used last of the others that hold for it."""
    others = [s for s in seen if s.settings != mine and holds(s.settings, mine)]
    others.sort(key=lambda s: s.used, reverse=True)
    return (mine.digest, *(s.settings.digest for s in others[: ASKED - 1]))


# -- the list --------------------------------------------------------------------------------------------------------


def remember(seen: list[Seen], mine: Settings, now: int) -> tuple[list[Seen], bool]:
    """The list with *mine* in front, the others as they were used last, and whether it has to be written."""
    if seen and seen[0].settings == mine and 0 <= now - seen[0].used < TOUCH:
        return seen, False
    rest = [one for one in seen if one.settings != mine]
    rest.sort(key=lambda one: one.used, reverse=True)
    return [Seen(mine, now), *rest][:LISTED], True


def write(seen: Iterable[Seen], secret: bytes) -> bytes:
    """The list as the text of its file."""
    rows = [{**one.settings._asdict(), "digest": one.settings.digest.hex(), "used": one.used} for one in seen]
    body = json.dumps(rows).encode()
    return _seal(body, secret) + b"\n" + body + b"\n"


def read(text: bytes, secret: bytes) -> list[Seen]:
    """The list of a file; empty when it is damaged, of another format, or sealed with another key."""
    seal, _, body = text.partition(b"\n")
    body = body.removesuffix(b"\n")
    if seal != _seal(body, secret):
        return []
    return [_row(row) for row in json.loads(body)]  # what is sealed was written above


def _row(row: dict[str, int]) -> Seen:
    return Seen(Settings(*(row[name] for name in Settings._fields)), row["used"])


def _seal(body: bytes, secret: bytes) -> bytes:
    person = b"settings %d" % FORMAT  # another program's rows may have other fields
    return hashlib.blake2b(body, digest_size=_SEAL // 2, key=secret, person=person).hexdigest().encode()
