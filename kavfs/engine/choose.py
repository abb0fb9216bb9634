"""Choose: which engines take part in a scan, from what was asked for and what is there.

    choice = choose(("native", "clamd"), places)
    choice.uses       what ScanOptions.engines takes
    choice.notes      what `auto` runs without, once
    choice.knowledge  a number for the settings under which facts are kept

An engine that was asked for by its name and is not there is an EngineMissing before anything is scanned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from kavfs.engine.contract import EngineMissing, EngineModule
from kavfs.options import AUTO, NATIVE, EngineChoice, EnginePlaces, EngineUse, When

AUTO_USES = {"clamav": When.ELSEWHERE, "yara": When.EVERY}
"""What `auto` asks besides the native engine. Not clamd: it would be told of every object, and be asked for most."""


def choose(names: Sequence[str], places: EnginePlaces) -> EngineChoice:
    """Ask every engine that is meant (engine_names) whether it can take part. EngineMissing."""
    if tuple(names) == (AUTO,):
        return _whatever_is_there(places)
    uses = []
    for name in names:
        try:
            uses.append(_use(name, When.EVERY, places))
        except EngineMissing as error:
            raise EngineMissing(f"engine {name}: {error}") from None
    return EngineChoice(tuple(uses), (), knowledge_of(uses))


def _whatever_is_there(places: EnginePlaces) -> EngineChoice:
    uses = [NATIVE]
    without = []
    for name, when in AUTO_USES.items():
        try:
            uses.append(_use(name, when, places))
        except EngineMissing as error:
            without.append(f"{name} ({error})")
    notes = (f"engine {AUTO} runs without {', '.join(without)}",) if without else ()
    return EngineChoice(tuple(uses), notes, knowledge_of(uses))


def knowledge_of(uses: Sequence[EngineUse]) -> int:
    """A digest of engines, versions and databases. What native knows is the generation of its image."""
    if list(uses) == [NATIVE]:
        return 0
    text = "\n".join(f"{use.name}\0{use.when:d}\0{use.knowledge}" for use in uses)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1 or 1


def _use(name: str, when: When, places: EnginePlaces) -> EngineUse:
    if name == NATIVE.name:
        return NATIVE
    offer = module_of(name).offer(places)
    if not offer.knowledge:  # facts would be used again whatever it learns
        raise EngineMissing("it does not say which version and databases it has")
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
        lasting=offer.lasting,
    )


def module_of(name: str) -> EngineModule:
    """The module of this folder that is the engine called *name*; EngineMissing where this build has none. What it
    needs itself (libclamav, a Python package) is its own to look for."""
    module = f"kavfs.engine.{name}"
    if find_spec(module) is None:
        raise EngineMissing("not part of this build")
    found: EngineModule = import_module(module)  # tests/contract holds it to that
    return found
