"""Fingerprints: GMAC under a key of the secret, the same however the content comes."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs._native.worker import Fingerprint

SECRET = bytes(range(32))


def by_openssl(secret: bytes, data: bytes, folder: Path) -> bytes:
    """The same from the command, under the key as the header says that it is made."""
    key = hashlib.sha256(b"kavfs content fingerprint" + secret).hexdigest()
    file = folder / "data"
    file.write_bytes(data)
    words = ["openssl", "mac", "-cipher", "AES-256-GCM", "-macopt", f"hexkey:{key}", "-macopt", f"hexiv:{'00' * 12}"]
    run = subprocess.run([*words, "-in", str(file), "GMAC"], check=True, capture_output=True, text=True)
    return bytes.fromhex(run.stdout.strip())


@pytest.mark.parametrize("length", [1, 15, 16, 17, 255, 4096, 100_003])
def test_it_is_gmac_under_a_key_made_of_the_secret(tmp_path: Path, length: int) -> None:
    assert shutil.which("openssl"), "the openssl command is needed"
    data = random.Random(length).randbytes(length)
    assert Fingerprint(SECRET).of(data) == by_openssl(SECRET, data, tmp_path)


def test_it_does_not_depend_on_how_the_content_is_cut() -> None:
    chance = random.Random(1)
    data = chance.randbytes(5000)
    fingerprint = Fingerprint(SECRET)
    whole = fingerprint.of(data)
    for _ in range(50):
        cuts = sorted(chance.sample(range(5001), 5))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, 5000], strict=True)]
        assert fingerprint.of(*pieces) == whole


def test_every_bit_the_length_and_the_secret_count() -> None:
    data = random.Random(2).randbytes(64)
    fingerprint = Fingerprint(SECRET)
    seen = {fingerprint.of(data), fingerprint.of(data + b"\0"), fingerprint.of(data[:-1]), fingerprint.of()}
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        seen.add(fingerprint.of(changed))
    for bit in range(256):
        other = bytearray(SECRET)
        other[bit // 8] ^= 1 << bit % 8
        seen.add(Fingerprint(bytes(other)).of(data))
    assert len(seen) == 4 + 8 * len(data) + 256


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Fingerprint(bytes(16))
