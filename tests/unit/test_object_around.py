"""Signatures that ask what is around a layer: members, and members of members."""

from __future__ import annotations

from pathlib import Path

import pytest

from kavfs.model import Status
from kavfs.signatures.image import Image
from tests.support.archives import make_tar, make_zip
from tests.support.objects import image_of, scan, scanner
from tests.support.tnef import attached, tnef

WORD = b"a word that is looked for"
TEXT = WORD + b" among plain words that nobody minds\n" * 200


def image_asking(folder: Path, attribute: str) -> Image:
    return image_of(folder, {"a.ldb": f"Hit;Engine:81-255,{attribute},Target:0;0;{WORD.hex()}\n"})


@pytest.mark.parametrize(
    ("attribute", "data", "near"),
    [
        ("Container:CL_TYPE_ZIP", make_zip({"a": TEXT}), make_tar({"a": TEXT})),
        (
            "Container:CL_TYPE_ZIP",
            make_tar({"z": make_zip({"a": TEXT})}),
            make_zip({"t": make_tar({"a": TEXT}, "w:gz")}),
        ),
        ("Container:CL_TYPE_TNEF", tnef(attached(b"a", TEXT)), make_zip({"a": TEXT})),
        ("Container:CL_TYPE_ANY", TEXT, make_zip({"a": TEXT})),
        (
            "Intermediates:CL_TYPE_POSIX_TAR>CL_TYPE_ZIP",
            make_tar({"z": make_zip({"a": TEXT})}),
            make_zip({"t": make_tar({"a": TEXT}, "w:gz")}),
        ),
    ],
)
def test_a_member_is_infected_only_in_its_container(tmp_path: Path, attribute: str, data: bytes, near: bytes) -> None:
    using = scanner(of=image_asking(tmp_path, attribute))
    assert scan(data, using).status is Status.INFECTED
    assert scan(near, using).status is Status.CLEAN
