"""Policy: action lists and what -i, Cure= and --keep-container make of them."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from kavfs.action.policy import Policy, Step, make_policy, read_list
from kavfs.errors import ConfigError
from kavfs.model import Result, Status, Threat


class Rule(NamedTuple):
    section: str
    key: str
    value: bytes
    place: str = "kavfs.conf:7"


def result(status: Status = Status.INFECTED, container: bool = False, member: bytes = b"") -> Result:
    threats = (Threat("Bad", status, "native", member),) if status is not Status.CLEAN else ()
    return Result(b"/x", status, threats=threats, container=container)


def verbs(policy: Policy, about: Result) -> list[str]:
    return [step.verb for step in policy.steps(about)]


# ---- lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (b"", ()),
        (b"remove", (Step("remove"),)),
        (b"movePath /tmp/infected/", (Step("movePath", b"/tmp/infected"),)),
        (b"MOVE /a b", (Step("move", b"/a b"),)),
        (b"rename .bad; quarantine ;", (Step("rename", b".bad"), Step("quarantine"))),
        (b"exec a 'b; remove' \"c; move\"; remove", (Step("exec", b"a 'b; remove' \"c; move\""), Step("remove"))),
        (b"exec mv a b; chmod -x b", (Step("exec", b"mv a b; chmod -x b"),)),
        (b"exec (cd /x; remove y); remove", (Step("exec", b"(cd /x; remove y)"), Step("remove"))),
        (b"exec { cd /x; remove; }; remove", (Step("exec", b"{ cd /x; remove; }"), Step("remove"))),
        (
            b"exec if a; then exec b; fi; quarantine",
            (Step("exec", b"if a; then exec b; fi"), Step("quarantine")),
        ),
        (
            b"exec case a in (b) move;; c) remove; remove;; esac; remove",
            (Step("exec", b"case a in (b) move;; c) remove; remove;; esac"), Step("remove")),
        ),
        (b"exec find . \\; remove", (Step("exec", b"find . \\; remove"),)),
        (b"exec one; exec two", (Step("exec", b"one"), Step("exec", b"two"))),
        (b"quarantine; exec echo gone", (Step("quarantine"), Step("exec", b"echo gone"))),
    ],
)
def test_a_list_is_its_actions_in_order(text: bytes, steps: tuple[Step, ...]) -> None:
    assert read_list(text) == steps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"delete", "no action 'delete'; there are movePath, move, remove"),
        (b"; remove", "no action ''"),
        (b"move", "move needs the absolute path"),
        (b"movePath infected", "movePath needs the absolute path"),
        (b"move /", "left out of the scan"),
        (b"remove /x", "remove takes no argument, but there is '/x'"),
        (b"rename", "rename needs"),
        (b"rename ../x", "without a '/'"),
        (b"remove; rename .x", "nothing is left for rename after remove"),
        (b"quarantine; move /x", "nothing is left for move after quarantine"),
        (b"exec", "needs a command"),
        (b"exec  ; remove", "needs a command"),
        (b"exec echo 'x", "a single quote is not closed"),
        (b"exec rename a b; rename s/a/b/", "without a '/'"),
        (b"exec logger found # see below; remove", "in a comment would be lost, with every action"),
        (b"exec f=%FILENAME%; eval rm $f; remove", "$f would be read as a command by eval"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_policy([Rule("scanner.object", "OnInfected", text)])
    assert str(caught.value).startswith("kavfs.conf:7: OnInfected: ")
    assert said in str(caught.value)


# ---- which list, and what -i adds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "statuses"),
    [
        ("OnInfected", {Status.INFECTED, Status.CUREFAILED}),
        ("OnSuspicion", {Status.SUSPICIOUS}),
        ("OnWarning", {Status.WARNING}),
        ("OnCured", {Status.CURED}),
        ("OnProtected", {Status.PROTECTED}),
        ("OnCorrupted", {Status.CORRUPTED}),
        ("OnError", {Status.ERROR}),
    ],
)
def test_each_status_has_its_list_for_objects_and_containers(key: str, statuses: set[Status]) -> None:
    objects = make_policy([Rule("scanner.object", key, b"quarantine")])
    containers = make_policy([Rule("scanner.container", key, b"quarantine")])
    for status in Status:
        expected = ["quarantine"] if status in statuses else []
        assert verbs(objects, result(status)) == verbs(containers, result(status, container=True)) == expected
        assert not objects.concerns(result(status, container=True))
        assert not containers.concerns(result(status))


INSIDE = {"container": True, "member": b"bad.com"}


@pytest.mark.parametrize(
    ("mode", "cures", "simple", "inside", "kept"),
    [
        (0, False, [], [], []),
        (1, True, [], [], []),
        (2, True, ["remove"], [], []),
        (3, True, ["remove"], ["remove"], []),
        (4, False, ["remove"], ["remove"], []),
    ],
)
def test_what_the_digits_mean(mode: int, cures: bool, simple: list[str], inside: list[str], kept: list[str]) -> None:
    policy = make_policy([], mode, cure=not cures)
    assert policy.cures(result()) == cures
    assert not policy.cures(result(Status.SUSPICIOUS))
    for status in (Status.INFECTED, Status.CUREFAILED):
        assert verbs(policy, result(status)) == simple
        assert verbs(policy, result(status, container=True)) == simple  # a container that is infected itself
        assert verbs(policy, result(status, container=True, member=b"in")) == inside
        keeping = make_policy([], mode, keep_container=True)
        assert verbs(keeping, result(status, container=True, member=b"in")) == kept
        assert verbs(keeping, result(status)) == simple
    for status in set(Status) - {Status.INFECTED, Status.CUREFAILED}:
        assert not verbs(policy, result(status))


def test_the_configuration_decides_about_cure_where_no_option_does() -> None:
    assert make_policy([], None, cure=True).cures(result())
    assert not make_policy([], None, cure=False).acts
    assert not make_policy([], 0, cure=True).acts


def test_a_list_comes_before_the_removal_and_may_stand_for_it() -> None:
    telling = make_policy([Rule("scanner.object", "OnInfected", b"exec echo")], 3)
    assert verbs(telling, result()) == ["exec", "remove"]
    keeping = make_policy([Rule("scanner.object", "OnInfected", b"exec echo; quarantine")], 3)
    assert verbs(keeping, result()) == ["exec", "quarantine"]


def test_lists_hold_with_i0_as_in_the_manual() -> None:
    policy = make_policy([Rule("scanner.object", "OnInfected", b"movePath /tmp/infected")], 0, cure=True)
    assert verbs(policy, result()) == ["movePath"]
    assert not policy.cures(result())
    assert policy.folders == (b"/tmp/infected",)
