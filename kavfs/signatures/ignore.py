"""Reader of lists of signatures that are to be silent (.ign, .ign2): a name on each line.

Also taken, as ClamAV takes them: ``file:line:Name``, where file and line are not compared; and the name as it stands
in a report, with ``.UNOFFICIAL`` behind it.
"""

from __future__ import annotations

from kavfs.signatures.lines import LATER, Rejected, Tally, read_lines

MARK = b".UNOFFICIAL"


def read_ign2(text: bytes, tally: Tally) -> list[bytes]:
    """The names in *text*, each once, in order."""
    names: dict[bytes, None] = {}

    def take(line: bytes, row: int) -> None:
        fields = line.split(b":")
        if len(fields) in (2, 4):
            raise Rejected(f"{LATER}ignoring by digest of the line")
        if len(fields) not in (1, 3):
            raise Rejected("wrong number of fields")
        name = fields[-1].removesuffix(MARK)
        if not name:
            raise Rejected("no name")
        names[name] = None

    read_lines(text, take, tally)
    return list(names)
