"""demo: writes a tree of files that shows every status there is, for a first scan.

    python -m kavfs.cli.demo DIR        (also: kavfs demo DIR)

The tree is kept between runs: only what is missing is written, nothing is ever overwritten. What is "infected" is the
EICAR test string, which is harmless and made for this; it is put together here and stands nowhere whole. Nothing but
the standard library is used, because this runs before anything else is known to work.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence

from kavfs.cli.program import put, run_program, say
from kavfs.cli.request import absolute
from kavfs.errors import SystemFailure, UsageError
from kavfs.report.names import shown_text

_DATE = (2026, 1, 1, 0, 0, 0)
_README = b"""This tree was written by kavfs to show what a scan reports. It is harmless: what is found in
it is the EICAR test string, which every scanner knows and which does nothing, and texts
that only the starter signatures of kavfs know.
"""


def main() -> int:
    """``python -m kavfs.cli.demo DIR``."""
    return run_program("kavfs demo", demo)


def demo(words: Sequence[bytes]) -> int:
    """Writes the tree into the one directory named."""
    if len(words) != 1 or words[0].startswith(b"-"):
        raise UsageError("one directory is needed: kavfs demo DIR")
    folder = absolute(words[0])
    made = write_tree(folder)
    put(f"demonstration tree: {shown_text(os.fsdecode(folder))} ({made} written, {len(_TREE) - made} there already)\n")
    return 0


def write_tree(folder: bytes) -> int:
    """Makes what is missing below *folder* and returns how many entries that were."""
    made = 0
    for name, make in _TREE.items():
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            continue
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            make(path)
            made += 1
        except OSError as error:
            if error.errno in (errno.EILSEQ, errno.EINVAL) and name == _ODD_NAME:  # some file systems take only UTF-8
                say("kavfs demo", f"left out a name that is not UTF-8: {error.strerror}")
                continue
            raise SystemFailure(f"cannot write {os.fsdecode(path)}: {error.strerror}") from None
    return made


def eicar() -> bytes:
    """The EICAR test string."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-" + b"TEST-FILE!$H+H*"


def _phrases(kind: str) -> bytes:
    """What the starter signatures report as unwanted ("test") or as suspicious ("doubtful"); put together, or this file
    would be it."""
    return "".join(f"kavfs {kind} phrase {which} of two:\n" for which in ("one", "two")).encode()


def _file(content: Callable[[], bytes]) -> Callable[[bytes], None]:
    """A maker that writes the content under another name first, so that no half file is kept."""

    def make(path: bytes) -> None:
        part = path + b".part"
        try:
            with open(part, "wb") as file:
                file.write(content())
            os.rename(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

    return make


def _zip(members: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
    return memory.getvalue()


def _tar_gz(members: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return memory.getvalue()


def _mail() -> bytes:
    """A mail with the test string as an attachment in base64."""
    lines = [
        "From: demonstration <sender@example.org>",
        "To: <receiver@example.org>",
        "Subject: an attachment to find",
        "Date: Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID: <demonstration@example.org>",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="parts"',
        "",
        "--parts",
        "Content-Type: text/plain; charset=utf-8",
        "",
        "See the attachment.",
        "--parts",
        'Content-Type: application/octet-stream; name="eicar.com"',
        'Content-Disposition: attachment; filename="eicar.com"',
        "Content-Transfer-Encoding: base64",
        "",
        base64.encodebytes(eicar()).decode().strip(),
        "--parts--",
        "",
    ]
    return "\r\n".join(lines).encode()


def _encrypted_zip(name: bytes, content: bytes, password: bytes) -> bytes:
    """A zip with one stored member under the traditional encryption, which zipfile reads but does not write."""
    crc = zlib.crc32(content)
    data = _encrypt(bytes(range(11)) + bytes([crc >> 24]) + content, password)
    # version 2.0, flag 1 (encrypted), stored, 1980-01-01
    fields = b"".join(
        value.to_bytes(size, "little")
        for value, size in ((20, 2), (1, 2), (0, 2), (0, 2), (0x21, 2), (crc, 4), (len(data), 4), (len(content), 4))
    )
    lengths = len(name).to_bytes(2, "little") + bytes(2)
    local = b"PK\3\4" + fields + lengths + name + data
    central = b"PK\1\2" + (20).to_bytes(2, "little") + fields + lengths + bytes(14) + name
    end = b"PK\5\6" + bytes(4) + b"\1\0\1\0" + len(central).to_bytes(4, "little") + len(local).to_bytes(4, "little")
    return local + central + end + bytes(2)


def _encrypt(plain: bytes, password: bytes) -> bytes:
    """The traditional zip cipher: three keys that every byte of the plain text moves on."""
    table = [zlib.crc32(bytes([i]), 0xFFFFFFFF) ^ 0xFFFFFFFF for i in range(256)]
    keys = [0x12345678, 0x23456789, 0x34567890]

    def move(byte: int) -> None:
        keys[0] = keys[0] >> 8 ^ table[(keys[0] ^ byte) & 0xFF]
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 0x08088405 + 1) & 0xFFFFFFFF
        keys[2] = keys[2] >> 8 ^ table[(keys[2] ^ keys[1] >> 24) & 0xFF]

    for byte in password:
        move(byte)
    cipher = bytearray()
    for byte in plain:
        mask = keys[2] | 2
        cipher.append(byte ^ (mask * (mask ^ 1) >> 8) & 0xFF)
        move(byte)
    return bytes(cipher)


def _truncated_zip() -> bytes:
    """A zip whose second member is cut off in the middle."""
    noise = b"".join(zlib.crc32(bytes([i, i >> 3])).to_bytes(4, "big") for i in range(256))
    whole = _zip({"first.txt": b"readable", "second.bin": noise * 4})
    return whole[: len(whole) // 2]


def _unknown_method() -> bytes:
    """A zip whose only member says that it is packed by a method that nobody knows: it cannot be looked into."""
    whole = bytearray(_zip({"packed.bin": b"packed\n"}))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # local header, directory
        place = whole.index(mark) + at
        whole[place : place + 2] = (250).to_bytes(2, "little")
    return bytes(whole)


def _fifo(path: bytes) -> None:
    os.mkfifo(path)


def _broken_link(path: bytes) -> None:
    os.symlink(b"nowhere", path)


_ODD_NAME = b"names/caf\xe9.txt"

_TREE: dict[bytes, Callable[[bytes], None]] = {
    b"README.txt": _file(lambda: _README),
    b"clean/letter.txt": _file(lambda: b"Dear reader,\n\nnothing is wrong with this file.\n"),
    b"clean/archive.zip": _file(lambda: _zip({"one.txt": b"one\n", "two.txt": b"two\n"})),
    b"clean/empty": _file(lambda: b""),
    b"infected/eicar.com": _file(eicar),
    b"infected/eicar.zip": _file(lambda: _zip({"readme.txt": b"clean\n", "eicar.com": eicar()})),
    b"infected/nested.zip": _file(lambda: _zip({"inner.tar.gz": _tar_gz({"deep/eicar.com": eicar()})})),
    b"infected/mail.eml": _file(_mail),
    b"infected/digest.txt": _file(lambda: b"kavfs test object, known by its digest\n"),
    b"unwanted/phrases.txt": _file(lambda: _phrases("test")),
    b"suspicious/doubtful.txt": _file(lambda: _phrases("doubtful")),
    b"protected/secret.zip": _file(lambda: _encrypted_zip(b"secret.txt", b"clean but secret\n", b"password")),
    b"corrupted/truncated.zip": _file(_truncated_zip),
    b"error/method.zip": _file(_unknown_method),
    b"skipped/fifo": _fifo,
    b"skipped/broken-link": _broken_link,
    _ODD_NAME: _file(lambda: b"a name in Latin-1\n"),
}


if __name__ == "__main__":
    sys.exit(main())
