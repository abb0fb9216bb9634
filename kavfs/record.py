"""Record: classes with a few fields, for modules that every start imports.

    @record
    class Totals:
        files: int = 0
        statuses: dict[Status, int] = field(default_factory=dict)

As far as we use one the same as a dataclass, and type checkers take it for one. The standard library's writes a program
for each class and compiles it: with its own imports that was a quarter of what a scan of one small file computes.
Whatever a start does not need may as well be a dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar, dataclass_transform, overload

Made = TypeVar("Made", bound=type)
Value = TypeVar("Value")


class _Field(NamedTuple):
    make: Callable[[], object] | None  # None: its value must be given
    shown: bool


class _Plan(NamedTuple):
    """What is known of a class."""

    names: tuple[str, ...]  # of its fields, in their order
    values: dict[str, object]  # defaults that all objects share
    makers: dict[str, Callable[[], object]]  # of defaults that each has for itself
    hidden: tuple[str, ...]


def field(*, default_factory: Callable[[], Value] | None = None, repr: bool = True) -> Value:
    """A field with a default of its own for each object, or one that is never shown."""
    return _Field(default_factory, repr)  # type: ignore[return-value]  # stands in the class until record() sees it


@overload
def record(made: Made) -> Made: ...
@overload
def record(*, frozen: bool = False) -> Callable[[Made], Made]: ...
@dataclass_transform(field_specifiers=(field,))
def record(made: Made | None = None, *, frozen: bool = False) -> Made | Callable[[Made], Made]:
    """Give the class __init__, __repr__ and __eq__; *frozen*: its objects cannot be changed, and have a hash."""
    if made is None:
        return lambda later: _completed(later, frozen)
    return _completed(made, frozen)


def replace(of: Value, **changes: object) -> Value:
    """A copy with other values of some fields."""
    return type(of)(**{**vars(of), **changes})


def asdict(of: object) -> dict[str, object]:
    """A record as a dict, and so each record in it, whatever tuples, lists and dicts it is in."""
    return {name: _plain(value) for name, value in vars(of).items()}


def _plain(value: object) -> object:
    if hasattr(value, "_plan"):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _completed(made: Made, frozen: bool) -> Made:
    names = tuple(made.__annotations__)
    values = {name: made.__dict__[name] for name in names if name in made.__dict__}
    fields = {name: values.pop(name) for name in names if isinstance(values.get(name), _Field)}
    for name in fields:
        delattr(made, name)
    makers = {name: one.make for name, one in fields.items() if one.make is not None}
    plan = _Plan(names, values, makers, tuple(name for name, one in fields.items() if not one.shown))
    methods = {"_plan": plan, "__init__": _init, "__repr__": _repr, "__eq__": _eq, "__hash__": None}
    if frozen:
        methods.update(__hash__=_hash, __setattr__=_refuse, __delattr__=_refuse)
    for name, method in methods.items():
        setattr(made, name, method)
    return made


def _init(self: object, *values: object, **given: object) -> None:
    made = type(self)
    plan: _Plan = made._plan  # type: ignore[attr-defined]
    if len(values) > len(plan.names):
        raise TypeError(f"{made.__name__} has {len(plan.names)} fields, not {len(values)}")
    own = vars(self)
    for name, value in zip(plan.names, values, strict=False):
        own[name] = value
    for name in plan.names[len(values) :]:  # in their order, whatever that of the words was
        if name in given:
            own[name] = given.pop(name)
        elif name in plan.values:
            own[name] = plan.values[name]
        elif name in plan.makers:
            own[name] = plan.makers[name]()
        else:
            raise TypeError(f"{made.__name__} needs {name}")
    if given:
        raise TypeError(f"{made.__name__} cannot take {', '.join(given)}, or not twice")


def _repr(self: object) -> str:
    hidden = type(self)._plan.hidden  # type: ignore[attr-defined]
    shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name not in hidden)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: object, other: object) -> bool:
    return vars(self) == vars(other) if type(other) is type(self) else NotImplemented


def _hash(self: object) -> int:
    return hash(tuple(vars(self).values()))


def _refuse(self: object, name: str, *value: object) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")
