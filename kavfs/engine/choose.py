"""Choose: which engines take part in a scan, from what was asked for and what is there.

    choice = choose("native,clamd", places)
    choice.uses       what ScanOptions.engines takes
    choice.notes      what `auto` runs without, once
    choice.knowledge  a number for the settings under which facts are kept

An engine that was asked for by its name and is not there is an EngineMissing before anything is scanned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from kavfs.engine import AUTO, ENGINES
from kavfs.engine.contract import EngineMissing, EngineModule
from kavfs.options import NATIVE, EnginePlaces, EngineUse, When

AUTO_USES = {"clamav": When.ELSEWHERE, "yara": When.EVERY}
"""What `auto` asks besides the native engine. Not clamd: it would be told of every object, and be asked for most."""


@dataclass(frozen=True)
class Choice:
    uses: tuple[EngineUse, ...] = (NATIVE,)
    notes: tuple[str, ...] = ()

    @property
    def knowledge(self) -> int:
        """63 bits over engines, their versions and databases; 0 for the native engine alone, whose knowledge is the
        image's generation. Facts of one number hold for no other."""
        if self.uses == (NATIVE,):
            return 0
        text = "\n".join(f"{use.name}\0{use.when:d}\0{use.knowledge}" for use in self.uses)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1 or 1


def parse(text: str) -> tuple[str, ...]:
    """The names in ``NAME[,NAME]``, in the order of ENGINES, each once; ValueError says what cannot be asked for."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in (*ENGINES, AUTO):
            raise ValueError(f"there is no engine '{name}'; there are {', '.join(ENGINES)} and {AUTO}")
    if AUTO in names:
        if set(names) != {AUTO}:
            raise ValueError(f"'{AUTO}' stands alone: it asks every engine that is there")
        return (AUTO,)
    return tuple(name for name in ENGINES if name in names)


def choose(names: str | Sequence[str], places: EnginePlaces) -> Choice:
    """Ask every engine that is meant whether it can take part. ValueError, EngineMissing."""
    wanted = parse(names if isinstance(names, str) else ",".join(names))
    if wanted == (AUTO,):
        return _whatever_is_there(places)
    uses = []
    for name in wanted:
        try:
            uses.append(_use(name, When.EVERY, places))
        except EngineMissing as error:
            raise EngineMissing(f"engine {name}: {error}") from None
    return Choice(tuple(uses))


def _whatever_is_there(places: EnginePlaces) -> Choice:
    uses = [NATIVE]
    without = []
    for name, when in AUTO_USES.items():
        try:
            uses.append(_use(name, when, places))
        except EngineMissing as error:
            without.append(f"{name} ({error})")
    notes = (f"engine {AUTO} runs without {', '.join(without)}",) if without else ()
    return Choice(tuple(uses), notes)


def _use(name: str, when: When, places: EnginePlaces) -> EngineUse:
    if name == NATIVE.name:
        return NATIVE
    offer = module_of(name).offer(places)
    return EngineUse(
        name=name,
        when=when,
        knowledge=offer.knowledge,
        setup=offer.setup,
        jobs=offer.jobs,
        resident=offer.resident,
        memory=offer.memory,
        spill=offer.spill,
        start_seconds=offer.start_seconds,
    )


def module_of(name: str) -> EngineModule:
    """The module of this folder that is the engine called *name*; EngineMissing where this build has none. What it
    needs itself (libclamav, a Python package) is its own to look for."""
    module = f"kavfs.engine.{name}"
    if find_spec(module) is None:
        raise EngineMissing("not part of this build")
    found: EngineModule = import_module(module)  # tests/contract holds it to that
    return found
