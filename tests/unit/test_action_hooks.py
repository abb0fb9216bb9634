"""Hooks: no name can become a command, wherever its macro stands."""

from __future__ import annotations

import os
import random
import select
import stat
import time
from pathlib import Path

import pytest

from kavfs.action.hooks import Subject, run, translate
from kavfs.report.names import shown_path

HARD = [
    b"-rf",
    b"--help",
    b"a b",
    b" ",
    b"a\nb",
    b"a\rtouch pwned",
    b"$(touch pwned)",
    b"`touch pwned`",
    b"${IFS}",
    b"$KAVFS_LIST",
    b"'",
    b'"',
    b"\\",
    b"'; touch pwned; '",
    b'"; touch pwned; "',
    b"'$(touch pwned)'",
    b"\"'`",
    b"; touch pwned",
    b"| touch pwned",
    b"&& touch pwned",
    b"> pwned",
    b"*",
    b"?",
    b"[a-z]",
    b"~",
    b"~root",
    b"#x",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xc3(",
    "\u202egpj.exe".encode(),
    b"%FILENAME%",
    b"%s%n",
    b"!!",
    b"\n",
    b"\n-x",
    b"a\\nb",
    b"=x",
    b"A=b",
    b"{a,b}",
]


def names() -> list[bytes]:
    """500 names: those above, and mixtures of them."""
    chance = random.Random(5)
    mixed = [b"".join(chance.sample(HARD, chance.randint(2, 4))) for _ in range(500 - len(HARD))]
    return [name[:250] for name in (*HARD, *mixed)]


def ran(command: bytes, path: bytes, folder: Path, virus: str = "Bad.Thing", listing: bytes = b"") -> None:
    subject = Subject(path, virus, "INFECTED", listing, shown_path(path))
    done = run(translate(command), subject, seconds=20, folder=os.fsencode(folder))
    assert done.why == "", done


# Each writes what it was given, with a NUL behind it, into the file $OUT.
POSITIONS = {
    "unquoted": b"printf '%s\\0' x%FILENAME% >> $OUT",
    "unquoted, a word of its own": b"printf '%s\\0' %FILENAME% >> $OUT",
    "double quotes": b"printf '%s\\0' \"a %FILENAME% 'b'\" >> $OUT",
    "behind a path": b"printf '%s\\0' %FULLPATH%/%FILENAME% >> $OUT",
    "path in double quotes": b"printf '%s\\0' \"%FULLPATH%/%FILENAME%\" >> $OUT",
    "an assignment": b"name=%FILENAME%; printf '%s\\0' \"$name\" >> $OUT",
    "a pipe": b"printf '%s\\0' x%FILENAME% | cat >> $OUT",
    "a test": b'[ x"%FILENAME%" != y ] && printf \'%s\\0\' x"%FILENAME%" >> $OUT',
    "a script's argument": b'sh -c \'printf "%s\\0" "$1" >> "$OUT"\' script x%FILENAME%',
    "a loop": b"for name in x%FILENAME%; do printf '%s\\0' \"$name\" >> $OUT; done",
    "a function": b"f() { printf '%s\\0' \"$1\" >> $OUT; }; f x%FILENAME%",
    "a case": b"case x%FILENAME% in y) false;; *) printf '%s\\0' x%FILENAME% >> $OUT;; esac",
    "a variable in a group": b'name=x%FILENAME%; { [ -n "$name" ] && printf \'%s\\0\' "$name"; } >> $OUT',
    "what a command prints": b"name=x%FILENAME%; printf '%s' \"$(printf '%s' \"$name\" | wc -c)\" >/dev/null; "
    b"printf '%s\\0' \"$name\" >> $OUT",
    "our own variable": b"printf '%s\\0' \"x$KAVFS_FILENAME\" >> $OUT",
    "a shell with our own variable": b'sh -c \'printf "%s\\0" "x$KAVFS_FILENAME" >> "$OUT"\'',
    "a subshell": b"( cd / && printf '%s\\0' x%FILENAME% ) >> $OUT",
    "twice": b"printf '%s%s\\0' x%FILENAME% '' \"%FILENAME%\" '' >> $OUT",
}


@pytest.mark.parametrize("position", POSITIONS)
def test_hostile_names_are_one_piece_of_data(position: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    are_data(HARD, position, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("position", POSITIONS)
def test_500_hostile_names_are_one_piece_of_data(
    position: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    are_data(names(), position, tmp_path)


def are_data(hostile: list[bytes], position: str, tmp_path: Path) -> None:
    command = POSITIONS[position]
    for name in hostile:
        (tmp_path / "out").unlink(missing_ok=True)
        ran(command, b"/some folder/" + name, tmp_path)
        safe = b"./" + name if name.startswith(b"-") else name
        expected = {
            "unquoted, a word of its own": [safe],
            "double quotes": [b"a " + name + b" 'b'"],
            "behind a path": [b"/some folder/" + name],
            "path in double quotes": [b"/some folder/" + name],
            "an assignment": [name],
            "twice": [b"x" + name, safe],
        }.get(position, [b"x" + name])
        assert (tmp_path / "out").read_bytes().split(b"\0")[:-1] == expected
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert not os.path.lexists("/pwned")


def test_a_hostile_name_as_redirection_stays_in_its_folder(tmp_path: Path) -> None:
    for name in HARD:
        ran(b"echo hello > %FULLPATH%/%FILENAME%", os.fsencode(tmp_path) + b"/" + name, tmp_path)
    assert sorted(os.listdir(os.fsencode(tmp_path))) == sorted(HARD)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (b"echo '%FILENAME%'", "inside single quotes"),
        (b'echo "\'" \'"%FILENAME%"\'', "inside single quotes"),
        (b"echo `cat %FILENAME%`", "inside backticks"),
        (b'echo "`cat %FILENAME%`"', "inside backticks"),
        (b"echo $(cat %FILENAME%)", "inside $() or ${}"),
        (b'echo "$(cat "%FILENAME%")"', "inside $() or ${}"),
        (b"echo $((1 + %FILENAME%))", "inside $() or ${}"),
        (b"echo ${x:-%FILENAME%}", "inside $() or ${}"),
        (b"cat <<END %FILENAME%", "behind <<"),
        (b"true # %FILENAME%", "in a comment"),
        (b"echo \\%FILENAME%", "behind a backslash"),
        (b'echo "\\%FILENAME%"', "behind a backslash"),
        (b"echo $%FILENAME%", "behind a $"),
        (b"echo $'a' %FILENAME%", "another thing in every shell"),
        (b"if true; then LANG=C eval echo %FILENAME%; fi", "as a command by eval"),
        (b"sudo -u x ssh host %FILENAME%", "as a command by ssh"),
        (b"eval echo %FILENAME%", "as a command by eval"),
        (b'sh -c "echo %FILENAME%"', "as a command by sh"),
        (b'/bin/bash -lc "echo %FILENAME%"', "as a command by bash"),
        (b'true; timeout 5 sh -c "echo %FILENAME%"', "as a command by sh"),
        (b'find / -exec sh -c "echo %FILENAME%" \\;', "as a command by sh"),
        (b'su -c "echo %FILENAME%" user', "as a command by su"),
        (b'su --command="echo %FILENAME%" user', "as a command by su"),
        (b"perl -e \"print '%FILENAME%'\"", "as a command by perl"),
        (b"python3 -c \"print('%FILENAME%')\"", "as a command by python"),
        (b'awk "/%FILENAME%/"', "as a command by awk"),
        (b'sed -i -e "s/x/%FILENAME%/" f', "as a command by sed"),
        (b'ssh host "echo %FILENAME%"', "as a command by ssh"),
        (b'trap "echo %FILENAME%" EXIT', "as a command by trap"),
        (b"echo rm %FULLPATH% | sh", "read by sh"),
        (b"echo %FILENAME% | sort | xargs rm", "read by xargs"),
        (b"echo \"insert '%FILENAME%'\" | mysql", "read by mysql"),
        (b"(echo rm %FILENAME%; echo) | sh", "read by sh"),
        (b"{ echo rm %FILENAME%; } | LANG=C sh", "read by sh"),
        (b"echo %FILENAME% | (cd /; sh)", "read by sh"),
        (b"echo %FILENAME% |& sudo bash", "read by bash"),
        (b"echo %FILENAME% 2>&1 | sh", "read by sh"),
        (b"if true; then echo %FILENAME%; fi | sh", "read by sh"),
        (b"2>/dev/null eval %FILENAME%", "as a command by eval"),
        (b'2>&1 >/dev/null sh -c "%FILENAME%"', "as a command by sh"),
        (b'b\\ash -c "%FILENAME%"', "as a command by bash"),
        (b"ev\\\nal %FILENAME%", "as a command by eval"),
        (b'docker exec box sh -c "%FILENAME%"', "as a command by sh"),
        (b"mysql -e \"insert '%FILENAME%'\"", "as a command by mysql"),
        (b"[[ %FILENAME% -eq 1 ]]", "as a command by [["),
        (b"unset %FILENAME%", "as a command by unset"),
        (b"((x=%FILENAME%))", "another thing in every shell"),
        (b"sh <(echo %FILENAME%)", "not known to every shell"),
        (b"%FULLPATH%/%FILENAME% --version", "a program or a script"),
        (b"LANG=C exec %FILENAME%", "a program or a script"),
        (b". %FULLPATH%/%FILENAME%", "a program or a script"),
        (b"sh -x %FULLPATH%/%FILENAME%", "a program or a script"),
        (b"x[%FILENAME%]=1", "a program or a script"),
        (b"echo %FILENAMES%", "no macro %FILENAMES%"),
        (b'echo "%FILENAME%', "a double quote is not closed"),
        (b"echo $(cat", "$( is not closed"),
        (b"echo x\\", "a backslash ends"),
        (b'echo "$(case x in a) echo %FILENAME%;; esac)"', "'case' inside $()"),
    ],
)
def test_where_a_macro_cannot_be_safe_it_is_refused(command: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        translate(command)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (b"f=%FILENAME%; eval rm $f", "$f would be read as a command by eval"),
        (b'f=%FILENAME%; sh -c "rm $f"', "$f would be read as a command by sh"),
        (b"f=%FILENAME%; $f", "$f cannot stand where a program"),
        (b"f=%FILENAME%; echo $f | sh", "$f is printed and then read by sh"),
        (b"f=%FILENAME%; ssh host rm ${f}", "$f would be read as a command by ssh"),
        (b"f=%FILENAME%; g=$f; eval rm $g", "$g would be read as a command by eval"),
        (b"f=%FILENAME%; x=$(eval echo $f)", "$f would be read as a command by eval"),
        (b"f=%FILENAME%; x=`eval echo \\$f`", "$f would be read as a command by eval"),
        (b'f=%FILENAME%; eval "$(printf %s "$f")"', "what $() prints would be read as a command by eval"),
        (b"f=%FILENAME%; echo $((f))", "read as a number"),
        (b"f=%FILENAME%; echo ${x:-$(eval $f)}", "cannot be followed"),
        (b"set -- %FILENAME%; eval echo $1", "$1 would be read as a command by eval"),
        (b'f() { eval "$@"; }; f %FILENAME%', "$@ would be read as a command by eval"),
        (b"for f in %FILENAME%; do eval $f; done", "$f would be read as a command by eval"),
        (b"while read f; do eval $f; done < %LIST%", "$f would be read as a command by eval"),
        (b'eval "rm $KAVFS_FILENAME"', "$KAVFS_FILENAME would be read as a command by eval"),
        (b"echo $KAVFS_FILENAME | xargs rm", "$KAVFS_FILENAME is printed and then read by xargs"),
        (b"e=eval; $e rm %FILENAME%", "a program that cannot be told here"),
        (b"$(echo eval) %FILENAME%", "a program that cannot be told here"),
        (b"`echo eval` %FILENAME%", "a program that cannot be told here"),
        (b'"$SHELL" -c "rm %FILENAME%"', "a program that cannot be told here"),
        (b"sh < %LIST%", "what sh reads commands from"),
        (b"< %LIST% xargs rm", "what xargs reads commands from"),
        (b"(cd /; bash -s) < %FULLPATH%/%FILENAME%", "what bash reads commands from"),
        (b"PATH=%FULLPATH% ls", "would become PATH"),
        (b"export IFS=%FILENAME%; ls", "would become IFS"),
        (b"LD_PRELOAD=%FULLPATH%/%FILENAME% ls", "would become LD_PRELOAD"),
        (b"echo hello # note", "in a comment would be lost"),
        (b"echo hello # note; remove", "in a comment would be lost"),
        (b"cat <<END", "behind << would be lost"),
        (b"{ echo hello", "is not closed"),
        (b"if true; then echo hello", "is not closed"),
        (b"(echo hello", "is not closed"),
    ],
)
def test_a_command_that_carries_a_name_further_is_refused(command: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        translate(command)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        b'f=%FILENAME%; rm -- "$f"',
        b"$HOME/bin/clean.sh %FULLPATH%/%FILENAME%",
        b"eval $HOOK; logger %FILENAME%",
        b"f=x; eval rm $f",
        b"sh -c 'rm -- \"$KAVFS_FILENAME\"'",
        b"sh /opt/mail.sh < %LIST%",
        b'while read line; do logger "$line"; done < %LIST%',
        b"logger $(hostname) %FILENAME% $((1 + 1)) ${#x} $#",
        b"test $# = 0",
        b"echo a#b '# c' \\# %FILENAME%",
        b"date +%Y%m%d",
        b"echo `date` $(date) '%F' \"%FILENAME%\"",
        b"sh /opt/vox.sh %FULLPATH%/%FILENAME%",
        b"sed -i s/a/b/ %FULLPATH%/%FILENAME%",
        b"echo %FILENAME% || sh /opt/failed.sh",
        b"echo %FILENAME%; sh /opt/next.sh",
        b"env LANG=C logger %FILENAME%",
        b"(echo %FILENAME%; date | sh) > /tmp/list",
        b"echo %FILENAME% | (logger); sh /opt/next.sh",
        b"echo %FILENAME% > /tmp/list; date | sh",
        b"> %FULLPATH%/%FILENAME%",
        b"name=%FULLPATH%/%FILENAME%",
        b"sh -s %FILENAME% < /opt/script",
        b"case %FILENAME% in *.exe) logger %FILENAME%;; esac",
        b"for name in %FILENAME%; do logger $name; done",
        b"echo found at %FULLPATH%/%FILENAME%, sh -c and eval sed %FILENAME%",
    ],
)
def test_what_is_safe_is_not_refused(command: bytes) -> None:
    translate(command)


def test_a_dash_behind_a_line_that_goes_on_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    ran(b"printf '%s' \\\n%FILENAME% > $OUT", b"/some/-rf", tmp_path)
    assert (tmp_path / "out").read_bytes() == b"./-rf"


@pytest.mark.parametrize(
    "command", [b'(echo "Subject: %FILENAME%"; echo) | sendmail -t', b'echo "To: %FULLPATH%" | LANG=C nice sendmail -t']
)
def test_what_a_group_prints_for_sendmail_is_on_one_line(command: bytes) -> None:
    assert b"_SHOWN}" in translate(command)


def test_echo_makes_no_line_of_a_name_in_a_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """echo of /bin/sh may read \\n as a line break: also the one that stands for a line break in a report."""
    out = tmp_path / "out"
    (tmp_path / "sendmail").write_text(f"#!/bin/sh\ncat > {out}\n")
    (tmp_path / "sendmail").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in (b"a\nBcc: x", b"a\\nBcc: x", b"a\\012Bcc: x", b"a\\cx"):
        ran(b'echo "Subject: %VIRUSNAME% %FULLPATH%/%FILENAME%" | sendmail -t', b"/some/" + name, tmp_path, "a\\nBcc")
        (line,) = out.read_bytes().splitlines()
        assert line.startswith(b"Subject: a_nBcc /some/a")


def test_in_a_mail_s_header_a_name_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for name in ("mail", "sendmail"):
        (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {out}\ncat >> {out}\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = b"/d/x\nBcc: evil@example.org"
    ran(b'echo body | mail -s "found %FILENAME%" admin', path, tmp_path)
    assert out.read_text() == "-s\nfound x?nBcc: evil@example.org\nadmin\nbody\n"
    ran(b'printf "Subject: %s\\n" %FULLPATH%/%FILENAME% | sendmail -t', path, tmp_path)
    assert out.read_text() == "-t\nSubject: /d/x?nBcc: evil@example.org\n"


def test_a_virus_name_has_nothing_to_hide_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran(f"printf '%s' %VIRUSNAME% > {out}".encode(), b"/x", tmp_path, virus="-a b\n$(c)\u202e")
    assert out.read_text() == "_a_b_$(c)_"


def test_the_list_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "temp").mkdir()
    out = tmp_path / "out"
    command = f'stat -c \'%a %F\' %LIST% > {out}; stat -c %a "$(dirname "$KAVFS_LIST")" >> {out}; cat %LIST% >> {out}'
    subject = Subject(b"/x", "Bad", "INFECTED", b"/x/a INFECTED Bad\n")
    assert run(translate(command.encode()), subject, seconds=20, folder=os.fsencode(tmp_path / "temp")).why == ""
    assert out.read_text() == "600 regular file\n700\n/x/a INFECTED Bad\n"
    assert os.listdir(tmp_path / "temp") == []


def test_a_command_has_nothing_of_ours(tmp_path: Path) -> None:
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    out = tmp_path / "out"
    try:
        ran(
            f"readlink /proc/self/fd/0 > {out}; ls /proc/$$/fd >> {out}; cut -d' ' -f6 /proc/$$/stat >> {out}".encode(),
            b"/x",
            tmp_path,
        )
    finally:
        os.close(secret)
    standard, *fds = out.read_text().split()
    assert standard == "/dev/null"
    assert str(secret) not in fds[:-1]
    assert int(fds[-1]) != os.getsid(0)


@pytest.mark.parametrize(
    ("command", "why", "output"),
    [
        (b"echo fine", "", "fine"),
        (b"echo no >&2; exit 3", "exit code 3", "no"),
        (b"false; echo never", "exit code 1", ""),
        (b"kill -9 $$", "killed by signal 9", ""),
        (b"/no/such/program", "exit code 127", "not found"),
    ],
)
def test_how_it_ended_is_told(command: bytes, why: str, output: str, tmp_path: Path) -> None:
    done = run(translate(command), Subject(b"/x", "", ""), seconds=20, folder=os.fsencode(tmp_path))
    assert done.why == why
    assert output in done.output


def test_what_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = f"trap '' TERM; sleep 1000 & echo $! > {pid}; wait; wait".encode()
    begun = time.monotonic()
    done = run(command, Subject(b"/x", "", ""), seconds=1, folder=os.fsencode(tmp_path))
    assert done.why == "ended after its 1 seconds"
    assert time.monotonic() - begun < 30
    assert is_gone(int(pid.read_text()))


def is_gone(pid: int) -> bool:
    """Whoever was killed goes soon."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([end], [], [], 30)[0])
    finally:
        os.close(end)


def test_endless_output_is_cut_and_does_not_hang(tmp_path: Path) -> None:
    done = run(b"yes | head -c 50000000", Subject(b"/x", "", ""), seconds=50, folder=os.fsencode(tmp_path))
    assert done.why == ""
    assert set(done.output) == {"y", "\n"}
    assert len(done.output) <= 2000


def test_what_runs_on_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = f"( read line < {fifo} ) & echo started".encode()
    assert run(command, Subject(b"/x", "", ""), seconds=50, folder=os.fsencode(tmp_path)).output == "started"
    with open(fifo, "w") as end:
        end.write("now\n")
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_path_that_no_process_can_be_given_is_a_failure(tmp_path: Path) -> None:
    done = run(b"true", Subject(b"/" + b"x" * 200_000, "", ""), seconds=20, folder=os.fsencode(tmp_path))
    assert done.why == "cannot be run: Argument list too long"
