"""Words: the numbers of ext/common/kav.h are those of kavfs/model.py, name by name."""

from __future__ import annotations

import enum
import re
import subprocess
from pathlib import Path

import pytest

from kavfs import model
from kavfs.scan import records
from tests.support import dispatching

CHECKOUT = Path(__file__).resolve().parents[2]
HEADER = CHECKOUT / "ext" / "common" / "kav.h"

PAIRS: list[tuple[str, str, type[enum.IntEnum] | type[enum.IntFlag]]] = [
    ("kav_status", "KAV_", model.Status),
    ("kav_reason", "KAV_R_", model.Reason),
    ("kav_target", "KAV_T_", model.Target),
    ("kav_entry_kind", "KAV_E_", model.Entry),
    ("kav_switch", "KAV_S_", model.Switch),
]


def names_of(enumeration: str) -> list[str]:
    """The names that an enum of the header declares, without its count."""
    body = re.search(rf"enum {enumeration} \{{(.*?)\}};", HEADER.read_text("utf-8"), re.DOTALL)
    assert body, enumeration
    plain = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    return [name for name in re.findall(r"\b(KAV_\w+)", plain) if not name.endswith("_COUNT")]


def run_c(folder: Path, statements: list[str]) -> list[int]:
    """The integers that a small C program prints, one for each expression."""
    source, program = folder / "words.c", folder / "words"
    body = "".join(f'    printf("%lld\\n", (long long)({s}));\n' for s in statements)
    source.write_text(f'#include <stdio.h>\n#include "kav.h"\nint main(void)\n{{\n{body}    return 0;\n}}\n')
    subprocess.run(["gcc", f"-I{HEADER.parent}", "-o", str(program), str(source)], check=True)
    return [int(line) for line in subprocess.run([str(program)], check=True, capture_output=True).stdout.split()]


@pytest.mark.parametrize(("enumeration", "prefix", "words"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_numbers_are_the_same_on_both_sides(
    tmp_path: Path, enumeration: str, prefix: str, words: type[enum.IntEnum] | type[enum.IntFlag]
) -> None:
    names = names_of(enumeration)
    in_c = dict(zip((name.removeprefix(prefix) for name in names), run_c(tmp_path, names), strict=True))
    assert in_c == {word.name: int(word) for word in words}


def test_the_graver_status_is_the_same_on_both_sides(tmp_path: Path) -> None:
    statuses = list(model.Status)
    ranks = run_c(tmp_path, [f"kav_status_rank({int(s)})" for s in statuses])
    by_rank = [status for _, status in sorted(zip(ranks, statuses, strict=True), reverse=True)]
    assert by_rank == list(model.OUTCOMES)


def test_partial_coverage_gives_the_same_status_on_both_sides(tmp_path: Path) -> None:
    singles = [int(reason) for reason in model.Reason]
    sets = [0, *singles, *(a | b for a in singles for b in singles if a < b)]
    in_c = run_c(tmp_path, [f"kav_status_of_reasons({bits}u)" for bits in sets])
    assert in_c == [int(model.status_of_reasons(model.Reason(bits))) for bits in sets]


def test_every_reason_and_every_status_has_its_word() -> None:
    assert set(model.REASON_WORDS) == set(model.Reason)
    assert set(model.OUTCOMES) == set(model.Status)


def test_numbers_that_decoding_spells_out_are_those_of_the_header(tmp_path: Path) -> None:
    spelled = {
        "KAV_F_SHA256": records.F_SHA256,
        "KAV_F_CONTAINER": records.F_CONTAINER,
        "KAV_F_SUPPRESSED": records.F_SUPPRESSED,
        "KAV_F_CACHED": records.F_CACHED,
        "KAV_EF_DIR": records.FLAG_DIR,
        "KAV_EF_ROOT": records.FLAG_ROOT,
    }
    assert run_c(tmp_path, list(spelled)) == list(spelled.values())


def test_messages_that_tests_make_are_those_of_the_header(tmp_path: Path) -> None:
    made = {
        "KAV_BATCH_MAGIC": dispatching.BATCH_MAGIC,
        "KAV_KNOWN_MAGIC": dispatching.KNOWN_MAGIC,
        "KAV_REPLAY_MAGIC": dispatching.REPLAY_MAGIC,
        "KAV_RENEW_MAGIC": dispatching.RENEW_MAGIC,
        "KAV_GONE_MAGIC": dispatching.GONE_MAGIC,
        "KAV_EF_KEEP": dispatching.KEEP,
        "KAV_EF_COLD": dispatching.COLD,
        "sizeof(kav_entry)": dispatching.ENTRY.size,
        "sizeof(kav_result)": dispatching.RESULT.size,
        "sizeof(kav_known_header)": dispatching.KNOWN.size,
        "sizeof(kav_replay_header)": dispatching.REPLAY.size + dispatching.ENTRY.size,
        "sizeof(kav_renew_header)": dispatching.RENEW.size,
        "sizeof(kav_gone_header)": dispatching.GONE.size,
    }
    assert run_c(tmp_path, list(made)) == list(made.values())
