"""PDF and Flash files made for tests: streams behind any filters, object streams, encryption of every revision.

Nothing here knows how kavfs reads them: filters and ciphers are written from the standard. AES comes from the
library `cryptography`, because Python has none.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def flate(data: bytes) -> bytes:
    return zlib.compress(data)


def hexed(data: bytes) -> bytes:
    return data.hex().encode() + b">"


def ascii85(data: bytes) -> bytes:
    out = bytearray()  # adding to bytes would copy all of them each time
    for i in range(0, len(data), 4):
        group = data[i : i + 4]
        number = int.from_bytes(group.ljust(4, b"\0"), "big")
        letters = b""
        for _ in range(5):
            number, digit = divmod(number, 85)
            letters = bytes([digit + 33]) + letters
        out += b"z" if letters == b"!!!!!" and len(group) == 4 else letters[: len(group) + 1]
    return bytes(out + b"~>")


def runs(data: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data):
        same = 1
        while same < 128 and data[at + same : at + same + 1] == data[at : at + 1]:
            same += 1
        if same > 1:
            out += bytes([257 - same]) + data[at : at + 1]
            at += same
        else:
            out += bytes([min(len(data) - at, 5) - 1]) + data[at : at + 5]
            at += 5
    return bytes(out + b"\x80")


def lzw(data: bytes, early: int = 1) -> bytes:
    """With a table that is cleared when it is full."""
    out = bytearray()
    bits = 0  # that are not out yet
    value = 0

    def put(code: int, width: int) -> None:
        nonlocal bits, value
        value = value << width | code
        bits += width
        while bits >= 8:
            bits -= 8
            out.append(value >> bits)
            value &= (1 << bits) - 1

    table: dict[bytes, int] = {}
    width = 9
    put(256, width)
    table = {bytes([i]): i for i in range(256)}
    following = 258
    old = b""
    for i in range(len(data)):
        longer = old + data[i : i + 1]
        if longer in table:
            old = longer
            continue
        put(table[old], width)
        table[longer] = following
        following += 1
        if following + early > 1 << width and width < 12:
            width += 1
        if following >= 4095:
            put(256, width)
            table = {bytes([j]): j for j in range(256)}
            following, width = 258, 9
        old = data[i : i + 1]
    if old:
        put(table[old], width)
        if following + 1 + early > 1 << width and width < 12:
            width += 1
    put(257, width)
    if bits:
        put(0, 8 - bits)
    return bytes(out)


def escaped(text: bytes) -> bytes:
    """As it stands between the brackets of a string."""
    return re.sub(rb"[\\()]", rb"\\\g<0>", text)


FILTERS: dict[str, Callable[[bytes], bytes]] = {
    "FlateDecode": flate,
    "ASCIIHexDecode": hexed,
    "ASCII85Decode": ascii85,
    "RunLengthDecode": runs,
    "LZWDecode": lzw,
}


def encoded(data: bytes, filters: Iterable[str]) -> bytes:
    """What a reader that applies *filters* one after the other makes data of."""
    for name in reversed(list(filters)):
        data = FILTERS[name](data)
    return data


def rc4(key: bytes, data: bytes) -> bytes:
    s = list(range(256))
    j = 0
    for i in range(256):
        j = (j + s[i] + key[i % len(key)]) % 256
        s[i], s[j] = s[j], s[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + s[i]) % 256
        s[i], s[j] = s[j], s[i]
        out.append(byte ^ s[(s[i] + s[j]) % 256])
    return bytes(out)


def aes(key: bytes, iv: bytes, data: bytes, pad: bool = True) -> bytes:
    if pad:
        data += bytes([16 - len(data) % 16]) * (16 - len(data) % 16)
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def hash6(password: bytes, salt: bytes, user: bytes = b"") -> bytes:
    """ISO 32000-2, algorithm 2.B."""
    key = hashlib.sha256(password + salt + user).digest()
    count = 0
    while True:
        block = aes(key[:16], key[16:32], (password + key + user) * 64, pad=False)
        key = [hashlib.sha256, hashlib.sha384, hashlib.sha512][sum(block[:16]) % 3](block).digest()
        count += 1
        if count >= 64 and block[-1] <= count - 32:
            return key[:32]


@dataclass
class Lock:
    """The standard security handler; *password* is the user's."""

    revision: int
    aes: bool = False
    password: bytes = b""
    owner: bytes = b"\x55"  # the owner's password
    identity: bytes = b"0123456789abcdef"
    permissions: int = -44
    key: bytes = b""
    entries: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.revision >= 5:
            self._new()
        else:
            self._old()

    def _old(self) -> None:
        length = 5 if self.revision == 2 else 16
        padded = (self.password + PADDING)[:32]
        digest = hashlib.md5((self.owner + PADDING)[:32]).digest()
        for _ in range(50 if self.revision >= 3 else 0):
            digest = hashlib.md5(digest[:length]).digest()
        owner = padded
        for i in range(20 if self.revision >= 3 else 1):
            owner = rc4(bytes(b ^ i for b in digest[:length]), owner)
        digest = hashlib.md5(padded + owner + struct.pack("<i", self.permissions) + self.identity).digest()
        for _ in range(50 if self.revision >= 3 else 0):
            digest = hashlib.md5(digest[:length]).digest()
        self.key = digest[:length]
        if self.revision == 2:
            user = rc4(self.key, PADDING)
        else:
            user = hashlib.md5(PADDING + self.identity).digest()
            for i in range(20):
                user = rc4(bytes(b ^ i for b in self.key), user)
            user += bytes(16)
        self.entries = {"O": owner, "U": user}

    def _hash(self, password: bytes, salt: bytes, user: bytes = b"") -> bytes:
        if self.revision == 6:
            return hash6(password, salt, user)
        return hashlib.sha256(password + salt + user).digest()

    def _new(self) -> None:
        self.aes = True
        self.key = bytes(range(32))
        user = self._hash(self.password, b"validate") + b"validatekey-salt"
        user_key = aes(self._hash(self.password, b"key-salt"), bytes(16), self.key, pad=False)
        owner = self._hash(self.owner, b"VALIDATE", user) + b"VALIDATEKEY-SALT"
        owner_key = aes(self._hash(self.owner, b"KEY-SALT", user), bytes(16), self.key, pad=False)
        self.entries = {"O": owner, "U": user, "OE": owner_key, "UE": user_key, "Perms": bytes(16)}

    def dictionary(self) -> bytes:
        version = {2: 1, 3: 2, 4: 4, 5: 5, 6: 5}[self.revision]
        out = b"<</Filter/Standard/V %d/R %d/P %d/Length %d" % (
            version,
            self.revision,
            self.permissions,
            8 * len(self.key),
        )
        if self.revision >= 4:
            method = b"AESV3" if self.revision >= 5 else b"AESV2" if self.aes else b"V2"
            out += b"/CF<</StdCF<</AuthEvent/DocOpen/CFM/%s/Length %d>>>>/StmF/StdCF/StrF/StdCF" % (
                method,
                len(self.key),
            )
        return out + b"".join(b"/%s<%s>" % (k.encode(), v.hex().encode()) for k, v in self.entries.items()) + b">>"

    def seal(self, data: bytes, number: int) -> bytes:
        key = self.key
        if self.revision < 5:
            seed = key + struct.pack("<I", number)[:3] + b"\0\0" + (b"sAlT" if self.aes else b"")
            key = hashlib.md5(seed).digest()[: min(len(self.key) + 5, 16)]
        iv = b"a random IV here"
        return iv + aes(key, iv, data) if self.aes else rc4(key, data)


@dataclass
class Pdf:
    """A document in the making; `build` gives its bytes."""

    lock: Lock | None = None
    objects: list[bytes] = field(default_factory=list)

    def add(self, body: bytes) -> int:
        self.objects.append(body)
        return len(self.objects)

    def stream(self, data: bytes, filters: Iterable[str] = (), extra: bytes = b"", length: int | None = None) -> int:
        filters = list(filters)
        content = encoded(data, filters)
        if self.lock:
            content = self.lock.seal(content, len(self.objects) + 1)
        names = b"".join(b"/" + name.encode() for name in filters)
        head = b"/Filter[%s]" % names if filters else b""
        size = len(content) if length is None else length
        return self.add(b"<<%s%s/Length %d>>\nstream\n%s\nendstream" % (head, extra, size, content))

    def packed(self, bodies: dict[int, bytes], filters: Iterable[str] = ("FlateDecode",)) -> int:
        """An object stream."""
        pairs, texts = b"", b""
        for number, body in bodies.items():
            pairs += b"%d %d " % (number, len(texts))
            texts += body + b"\n"
        extra = b"/Type/ObjStm/N %d/First %d" % (len(bodies), len(pairs))
        return self.stream(pairs + texts, filters, extra)

    def script(self, text: bytes) -> int:
        content = text
        if self.lock:
            content = self.lock.seal(text, len(self.objects) + 1)
            return self.add(b"<</S/JavaScript/JS <%s> >>" % content.hex().encode())
        return self.add(b"<</S /JavaScript /JS (%s) /Next 1 0 R>>" % content)

    def build(self) -> bytes:
        out = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
        objects = list(self.objects)
        trailer = b"/Size %d/Root 1 0 R" % (len(objects) + 1)
        if self.lock:
            objects.append(self.lock.dictionary())
            identity = self.lock.identity.hex().encode()
            trailer += b"/Encrypt %d 0 R/ID[<%s><%s>]" % (len(objects), identity, identity)
        places = []
        for number, body in enumerate(objects, 1):
            places.append(len(out))
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start = len(out)
        table = b"".join(b"%010d 00000 n \n" % place for place in places)
        out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
        return out + b"trailer\n<<%s>>\nstartxref\n%d\n%%%%EOF\n" % (trailer, start)


def document(data: bytes, filters: Iterable[str] = (), extra: bytes = b"", lock: Lock | None = None) -> bytes:
    """A document with this stream in it."""
    made = Pdf(lock)
    made.add(b"<</Type/Catalog/Pages 2 0 R>>")
    made.add(b"<</Type/Pages/Kids[]/Count 0>>")
    made.stream(data, filters, extra)
    return made.build()


def film(data: bytes, packing: str = "zlib", version: int = 10) -> bytes:
    """A Flash film with these bytes behind its header; packing: "zlib", "lzma" or "" for none."""
    header = bytes([version]) + struct.pack("<I", 8 + len(data))
    if packing == "zlib":
        return b"CWS" + header + zlib.compress(data)
    if packing == "lzma":
        alone = lzma.compress(data, format=lzma.FORMAT_ALONE)
        return b"ZWS" + header + struct.pack("<I", len(alone) - 13) + alone[:5] + alone[13:]
    return b"FWS" + header + data
