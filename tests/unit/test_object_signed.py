"""Programs with a signature: what is found in them by rules for certificates. That the list of cases is what clamscan
prints, tests/differential says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from tests.support import authenticode
from tests.support.authenticode import Identity, digest_of, identity, item, rule, sign, signature, with_table
from tests.support.objects import F_SUPPRESSED, Verdict, image_of, scan, scanner
from tests.support.signed_programs import BODY, CASES, FOUND, changed, leaf, program, root


def look(
    folder: Path, data: bytes, rules: str, *, switches: Switch = EVERYTHING | Switch.ALL_MATCH, **more: str
) -> Verdict:
    files = {"a.crb": rules, "a.ndb": BODY, **{name.replace("_", "."): text for name, text in more.items()}}
    return scan(data, scanner(switches=switches, of=image_of(folder, files)))


def names(verdict: Verdict) -> set[str]:
    return {name.decode() for _, name in verdict.threats}


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_in_a_signed_program(tmp_path: Path, name: str) -> None:
    case = CASES[name]()
    verdict = scan(
        case.data,
        scanner(
            switches=EVERYTHING | Switch.ALL_MATCH, of=image_of(tmp_path, {"a.crb": case.rules, **dict(case.files)})
        ),
    )
    assert names(verdict) == case.names
    assert not verdict.reasons
    assert verdict.status is (Status.INFECTED if case.names else Status.CLEAN)


def test_a_trusted_program_is_not_remembered(tmp_path: Path) -> None:
    """It may be trusted until its certificate is over."""
    data = sign(program(), leaf(), [root()])
    assert look(tmp_path, data, rule(root(), "Root")).flags & F_SUPPRESSED
    assert not look(tmp_path, changed(data, 0x200), rule(root(), "Root")).flags & F_SUPPRESSED


def test_a_blocking_rule_can_be_ignored_by_name_and_a_file_excepted(tmp_path: Path) -> None:
    data = sign(program(), leaf(), [root()])
    rules = rule(leaf(), "Blocked.One", trusted=False)
    assert names(look(tmp_path, data, rules, a_ign2="Blocked.One\n")) == FOUND
    good = f"{hashlib.md5(data).hexdigest()}:{len(data)}:good\n"
    assert look(tmp_path, data, rules, a_fp=good).threats == []


def test_a_key_with_another_exponent_is_trusted_by_no_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ClamAV trusts it, because a rule has no exponent: so everybody could sign in the name of a trusted key, with an
    exponent of 1."""
    monkeypatch.setattr(authenticode, "key", lambda name: rsa.generate_private_key(3, 1024))
    odd = identity("Odd", uses="code")
    data = sign(program(), odd)
    assert names(look(tmp_path, data, rule(odd, "Odd", uses="100"))) == FOUND
    assert names(look(tmp_path, data, rule(odd, "Odd", trusted=False))) == FOUND | {"Odd"}


def forged(of: Identity) -> bytes:
    """The certificate with an exponent of 1, which needs no key to sign with."""
    exponent = bytes.fromhex("0203010001")
    assert of.der.count(exponent) == 1
    return of.der.replace(exponent, bytes.fromhex("0203000001"))


def test_a_forged_exponent_signs_nothing(tmp_path: Path) -> None:
    by = leaf()
    true = signature(digest_of(program()), by)
    data = with_table(program(), true.replace(by.der, forged(by)))
    assert names(look(tmp_path, data, rule(by, "Leaf", uses="100"))) == FOUND
    assert look(tmp_path, with_table(program(), true), rule(by, "Leaf", uses="100")).clean


def test_more_certificates_than_any_program_has_are_not_trusted_but_looked_at(tmp_path: Path) -> None:
    crowd = [identity(f"Crowd {i % 3}", serial=1000 + i) for i in range(80)]
    data = sign(program(), leaf(), [root(), *crowd])
    assert names(look(tmp_path, data, rule(root(), "Root"))) == FOUND
    assert names(look(tmp_path, data, rule(crowd[79], "Last", trusted=False))) == FOUND | {"Last"}
    assert look(tmp_path, sign(program(), leaf(), [root(), *crowd[:60]]), rule(root(), "Root")).clean


def test_a_signature_of_many_megabytes_is_not_read_and_that_is_said(tmp_path: Path) -> None:
    data = with_table(program(), item(0x30, bytes(5 << 20)))
    assert look(tmp_path, data, rule(root(), "Root")).reasons & Reason.MATCH
    assert not look(tmp_path, data, "# none\n").reasons


@pytest.mark.parametrize("cut", [1, 2, 5, 20, 100, 400, 700])
def test_a_signature_that_is_cut_short_is_none(tmp_path: Path, cut: int) -> None:
    whole = signature(digest_of(program()), leaf(), [root()])
    assert names(look(tmp_path, with_table(program(), whole[:-cut]), rule(root(), "Root"))) == FOUND
