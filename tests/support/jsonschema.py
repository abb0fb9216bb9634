"""A validator for the part of JSON Schema that our schemas use; an unknown keyword is an error, not passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_ABOUT = {"$schema", "$defs", "title", "description"}


def violations(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with *value*; an empty list when it fits."""
    return list(_check(value, schema, schema, "$"))


def _check(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for keyword, wanted in schema.items():
        if keyword not in _ABOUT:
            yield from _KEYWORDS[keyword](value, wanted, schema, root, at)


def _ref(value: Any, wanted: str, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    yield from _check(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, at)


def _one_of(value: Any, wanted: list[Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    fitting = sum(not list(_check(value, one, root, at)) for one in wanted)
    if fitting != 1:
        yield f"{at}: fits {fitting} of {len(wanted)} forms"


def _type(value: Any, wanted: str | list[str], schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    allowed = tuple(kind for name in names for kind in _TYPES[name])
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        yield f"{at}: {value!r} is no {wanted}"


def _properties(value: Any, wanted: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for name, one in wanted.items():
        if isinstance(value, dict) and name in value:
            yield from _check(value[name], one, root, f"{at}.{name}")


def _additional(value: Any, wanted: bool, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, dict) and not wanted:
        yield from (f"{at}: {name} is unknown" for name in value if name not in schema["properties"])


def _required(value: Any, wanted: list[str], schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{at}: {name} is missing" for name in wanted if name not in value)


def _items(value: Any, wanted: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, list):
        for i, one in enumerate(value):
            yield from _check(one, wanted, root, f"{at}[{i}]")


def _enum(value: Any, wanted: list[Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if value not in wanted:
        yield f"{at}: {value!r} is none of {wanted}"


def _const(value: Any, wanted: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if value != wanted:
        yield f"{at}: {value!r} is not {wanted!r}"


def _minimum(value: Any, wanted: float, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, int | float) and value < wanted:
        yield f"{at}: {value} is less than {wanted}"


def _pattern(value: Any, wanted: str, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(wanted, value):
        yield f"{at}: {value!r} does not match {wanted}"


_KEYWORDS = {
    "$ref": _ref,
    "oneOf": _one_of,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "enum": _enum,
    "const": _const,
    "minimum": _minimum,
    "pattern": _pattern,
}
