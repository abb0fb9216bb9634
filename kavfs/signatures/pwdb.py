"""Reader of passwords that are tried on encrypted archives: ``Name;Attributes;StorageType;Password``, one on each line.

Attributes are those of logical signatures, of which Engine and Container count: ``CL_TYPE_ANY``, zip or rar. Storage
type 0 is plain text, 1 hexadecimal digits.
"""

from __future__ import annotations

import binascii
import struct

from kavfs.signatures.cdb import Rows
from kavfs.signatures.lines import LATER, Rejected, Tally, check_level, number, read_lines

ROW = struct.Struct("=6I")  # kav_password in ext/match/format.h
CONTAINERS = {b"": 0, b"CL_TYPE_ANY": 0, b"CL_TYPE_ZIP": 1, b"CL_TYPE_RAR": 2}
PASSWORD_MAX = 255


def read_pwdb(text: bytes, rows: Rows, tally: Tally) -> None:
    def take(line: bytes, row: int) -> None:
        fields = line.split(b";", 3)
        if len(fields) != 4:
            raise Rejected("wrong number of fields")
        name, attributes, storage, password = fields
        if not name:
            raise Rejected("no name")
        container = _container(attributes)
        kind = number(storage, "storage type")
        if kind > 1:
            raise Rejected(f"{LATER}storage type of a password")
        if kind == 1:
            try:
                password = binascii.unhexlify(password)
            except ValueError:
                raise Rejected("malformed hex") from None
        if not 0 < len(password) <= PASSWORD_MAX or b"\0" in password:
            raise Rejected("malformed password")
        rows.rows.append(ROW.pack(row, *rows.keep(name), *rows.keep(password), container))

    read_lines(text, take, tally)


def _container(attributes: bytes) -> int:
    """Which archives a password is for."""
    container = b""
    for item in attributes.split(b",") if attributes else ():
        key, colon, value = item.partition(b":")
        if not colon or not value:
            raise Rejected("malformed attributes")
        if key == b"Engine":
            least, dash, most = value.partition(b"-")
            if not dash:
                raise Rejected("malformed range in attributes")
            check_level(number(least, "engine level"), number(most, "engine level"))
        elif key == b"Container":
            container = value
        elif key != b"Target":
            raise Rejected("unknown attribute")
    if container not in CONTAINERS:
        raise Rejected("container that has no passwords")
    return CONTAINERS[container]
