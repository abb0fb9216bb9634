"""Where nameless temporary files are made when nobody says where."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

from kavfs import temporary
from kavfs.errors import SystemFailure
from kavfs.scan.children import open_spill


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write to a folder")
@pytest.mark.parametrize(("mode", "made"), [(0o755, "/tmp"), (0o1777, None)])
def test_the_usual_place_that_is_closed_has_another_beside_it(mode, made):
    code = (
        "import os, sys; from kavfs import temporary; temporary.USUAL = os.fsencode(sys.argv[1]);"
        "os.setgid(65534); os.setuid(65534); print(os.fsdecode(temporary.writable(temporary.USUAL)))"
    )
    with tempfile.TemporaryDirectory(prefix="kavfs-") as usual:  # pytest's own folders are closed to others
        os.chmod(usual, mode)
        ran = subprocess.run([sys.executable, "-c", code, usual], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == (made or usual), ran.stderr


def test_a_place_that_somebody_named_is_not_exchanged(tmp_path):
    named = os.fsencode(tmp_path / "missing")
    assert temporary.writable(named) == named
    with pytest.raises(SystemFailure, match=r"no temporary file can be made in .*missing"):
        open_spill(temporary.writable(named))
