"""Logical signatures with a HandlerType, files for them, and what is found in each."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.archives import make_zip
from tests.support.databases import body
from tests.support.executables import Part, pe

WORD, MARK, INNER = "magicword", "mark that a type has", "a member of an archive"
SIGNATURES = (
    body("Any.Mark", MARK)
    + "".join(body(f"{name}.Mark", MARK, target) for name, target in (("Page", 3), ("Picture", 5), ("Text", 7)))
    + body("Paper.Mark", MARK, 10)
    + body("Any.Inner", INNER)
)
PROGRAM = pe([Part(b".text", b"\x90" * 64 + f"{WORD} and {MARK}".encode())])
BINARY = b"\0\1\2" + f"{WORD} and {MARK}".encode() + bytes(40)


def rule(name: str, target: int, handler: str, word: str = WORD) -> str:
    return f"{name};Engine:81-255,HandlerType:CL_TYPE_{handler},Target:{target};0;{word.encode().hex()}\n"


@dataclass(frozen=True)
class Case:
    data: bytes
    rules: str
    names: frozenset[str]


def case(data: bytes, rules: str, *names: str) -> Case:
    return Case(data, rules, frozenset(f"{name}.UNOFFICIAL" for name in names))


CASES = {
    "a program as a paper": case(PROGRAM, rule("H", 1, "PDF"), "Any.Mark", "Paper.Mark"),
    "a program as a picture": case(PROGRAM, rule("H", 1, "GRAPHICS"), "Any.Mark", "Picture.Mark"),
    "a program as a page": case(PROGRAM, rule("H", 1, "HTML"), "Any.Mark", "Page.Mark"),
    "a program as a script": case(PROGRAM, rule("H", 1, "SCRIPT"), "Any.Mark", "Text.Mark"),
    "a program as a program": case(PROGRAM, rule("H", 1, "MSEXE"), "Any.Mark", "H"),
    "any target": case(PROGRAM, rule("H", 0, "PDF"), "Any.Mark", "Paper.Mark", "H"),
    "any target, binary": case(BINARY, rule("H", 0, "PDF"), "Any.Mark", "Paper.Mark", "H"),
    "no match": case(PROGRAM, rule("H", 1, "PDF", "otherword"), "Any.Mark"),
    "another target": case(BINARY, rule("H", 1, "PDF"), "Any.Mark"),
    "two of them": case(PROGRAM, rule("H1", 1, "PDF") + rule("H2", 1, "GRAPHICS"), "Any.Mark", "Paper.Mark", "H2"),
    "an archive behind it": case(
        PROGRAM + make_zip({"a": INNER.encode()}), rule("H", 1, "ZIP"), "Any.Mark", "Any.Inner"
    ),
}
