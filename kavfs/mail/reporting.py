"""Reporting: what the readers of a message are told in it, in plain English. Names in findings are harmless by now."""

from __future__ import annotations

from collections.abc import Sequence

from kavfs.mail.case import Finding
from kavfs.mail.headers import PRODUCT
from kavfs.mail.rules import Action
from kavfs.model import Status

LINES_MAX = 100  # findings that are told one by one

SAID = {
    Status.INFECTED: "is infected",
    Status.CURED: "was infected",
    Status.SUSPICIOUS: "is suspicious",
    Status.WARNING: "may be unwanted software",
    Status.CORRUPTED: "is damaged and could not be checked wholly",
    Status.PROTECTED: "is protected by a password and could not be checked",
    Status.ERROR: "could not be checked",
    Status.FILTERED: "is not allowed here",
}
DONE = {
    Action.REMOVE: "It was removed.",
    Action.CURED: "What was infected in it was removed.",
    Action.UNCHANGED: "It was left as it is.",
}


def note(findings: Sequence[Finding]) -> str:
    """What stands in place of a part, and why."""
    return "\n".join(f"{told(one)} It was removed.\n" for one in findings[:LINES_MAX])


def report(findings: Sequence[tuple[Finding, Action]]) -> str:
    """What was found in a message and what was done about it."""
    lines = [f"{PRODUCT} has checked this message.", ""]
    lines += [f"{told(one)} {DONE[action]}" for one, action in findings[:LINES_MAX]]
    if len(findings) > LINES_MAX:
        lines.append(f"... and {len(findings) - LINES_MAX} more.")
    if any(one.status is Status.PROTECTED and action is Action.UNCHANGED for one, action in findings):
        lines += ["", "What is protected may be infected: open it only if you know who sent it."]
    return "\n".join(lines) + "\n"


def told(finding: Finding) -> str:
    """One finding as a sentence."""
    subject = f'The attachment "{finding.name}"' if finding.part is not None else "This message"
    why = ", ".join(finding.threats) or finding.why
    return f"{subject} {SAID[finding.status]}{f' ({why})' if why else ''}."
