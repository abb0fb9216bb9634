"""Digests: a JSON record names every object by its SHA-256, clean ones too; a text report costs none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.support.kavscanner import run


def test_a_json_record_has_the_digest_of_every_file(tmp_path: Path) -> None:
    contents = {"a.txt": b"nothing but text\n", "b.bin": bytes(range(256)) * 5000, "empty": b""}
    folder = tmp_path / "tree"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    done = run(["--json", "-", folder], tmp_path)
    records = [json.loads(line) for line in done.lines]
    digests = {Path(r["path"]).name: r["sha256"] for r in records if r["type"] == "result"}
    assert digests == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
