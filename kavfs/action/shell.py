"""Shell: where in a command line a byte stands, and which words are around it.

Enough of the shell's grammar to know how a macro would be quoted there. What cannot be told for every shell is refused
(ValueError) instead of guessed at.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

_CASE = re.compile(rb"(?<![\w-])case(?![\w-])")
_VARIABLE = re.compile(rb"\$(\w+|[@*]|\[[^]]*\])")
_BLANKS = b" \t\n"
_ENDS = b";|&()\n"  # of a simple command
_SEPARATORS = _BLANKS + _ENDS + b"<>"
_OPENING = frozenset((b"{", b"if", b"while", b"until", b"for", b"case"))
_CLOSING = frozenset((b"}", b"fi", b"done", b"esac"))
_BETWEEN = frozenset((b"!", b"then", b"else", b"elif", b"do"))


class Where(enum.Enum):
    """How a byte is quoted; the value is for messages."""

    PLAIN = "outside of quotes"
    DOUBLE = "inside double quotes"
    SINGLE = "inside single quotes"
    BACKTICK = "inside backticks"
    SUBSTITUTION = "inside $() or ${}"
    HERE = "behind <<"
    COMMENT = "in a comment"
    ESCAPED = "behind a backslash"


class Line(NamedTuple):
    """A command line and the quoting of each of its bytes."""

    text: bytes
    where: tuple[Where, ...]

    def splits(self, at: int) -> bool:
        """Whether the byte ends a simple command."""
        around = self.text[at - 1 : at] + self.text[at + 1 : at + 2]  # & of a redirection: 2>&1, &>file
        return (
            self.text[at] in _ENDS
            and self.where[at] is Where.PLAIN
            and not (self.text[at] == 0x26 and (around[:1] in (b"<", b">") or around[1:] == b">"))
        )

    def begins_word(self, at: int) -> bool:
        """Whether nothing but quotes stands between the byte and the blank, or the like, before it."""
        before = at - 1
        while before >= 0 and (self.text[before] in b"\"'" or self._goes_on(before)):
            before -= 1
        return before < 0 or (self.text[before] in _SEPARATORS and self.where[before] is Where.PLAIN)

    def _goes_on(self, at: int) -> bool:
        """Whether the byte belongs to a backslash and the line's end behind it, which together are nothing."""
        pair = self.text[at - 1 : at + 1] if self.text[at] == 0x0A else self.text[at : at + 2]
        return self.where[at] is Where.ESCAPED and pair == b"\\\n"

    def is_target(self, at: int, signs: bytes = b"<>") -> bool:
        """Whether the word around the byte is the file of a redirection, by one of these signs."""
        while at > 0 and not (self.text[at - 1] in _SEPARATORS and self.where[at - 1] is Where.PLAIN):
            at -= 1
        before = self.text[:at].rstrip(b" \t")
        return before[-1:] in (b"<", b">") and (before[-1] in signs or before[-2:-1] in signs.split())

    def words_before(self, at: int) -> list[bytes]:
        """The words of the simple command around the byte that stand before it, without quotes; the last is the
        beginning of its own, maybe empty."""
        start = at
        while start > 0 and not self.splits(start - 1):
            start -= 1
        return self._words(start, at)

    def piped_to(self, at: int) -> list[bytes]:
        """The words of all commands that read what the command around the byte prints, or what a group of commands
        around it prints. Each command begins with an empty word."""
        readers: list[bytes] = []
        depth = lowest = 0  # of groups; what is printed goes where the lowest one that we have left goes
        over = piped = False
        while at < len(self.text):
            if not self.splits(at):
                at += 1
                continue
            char, double = self.text[at : at + 1], self.text[at + 1 : at + 2] == self.text[at : at + 1]
            depth += (char == b"(") - (char == b")")
            if depth < lowest:
                lowest, over = depth, False
            elif depth == lowest and char in b";&|\n":
                is_pipe = char == b"|" and not double
                over = over or not is_pipe
                piped = is_pipe and not over
            at += 2 if double and char in b"|&" else 1 + (char == b"|" and self.text[at + 1 : at + 2] == b"&")
            words = [word for word in self._words(at, self._end(at)) if word]
            readers += [b"", *words] if piped else []
            change = _depth_of(words)
            depth += change
            if depth < lowest:
                lowest, over, piped = depth, False, False
        return readers

    def commands(self) -> Iterator[list[bytes]]:
        """The words of each simple command, without quotes and redirections."""
        start = 0
        while start < len(self.text):
            end = self._end(start)
            if words := [word for word in self._words(start, end) if word]:
                yield words
            start = end + 1

    def open_groups(self, end: int) -> int:
        """How many groups of commands are begun and not ended before *end*."""
        open_: list[bytes] = []
        start = 0
        while start < end:
            stop = min(self._end(start), end)
            for word in self._words(start, stop):
                if word in _OPENING:
                    open_.append(word)
                elif word in _CLOSING and open_:
                    open_.pop()
                elif word not in _BETWEEN:
                    break
            sign = self.text[stop : stop + 1] if stop < end else b""
            if sign == b"(":
                open_.append(sign)
            elif sign == b")" and open_[-1:] == [b"("]:  # that of a pattern ends no group
                open_.pop()
            start = stop + 1
        return len(open_)

    def expansions(self) -> Iterator[tuple[int, int]]:
        """Where variables and what commands print take the place of text: begin and end of each."""
        at = 0
        while at < len(self.text):
            where, end = self.where[at], at + 1
            if where is Where.SUBSTITUTION:
                end = _substitution(self.text, at)
            elif where is Where.BACKTICK:
                end = _backticks(self.text, at)
            elif where in (Where.PLAIN, Where.DOUBLE) and (match := _VARIABLE.match(self.text, at)):
                end = match.end()
            if end > at + 1:
                yield at, end
            at = end

    def _end(self, at: int) -> int:
        while at < len(self.text) and not self.splits(at):
            at += 1
        return at

    def _words(self, start: int, end: int) -> list[bytes]:
        """Without quotes, backslashes and redirections; the last is what stands before *end*, maybe empty."""
        words, target, at = [b""], False, start
        while at < end:
            char, where = self.text[at : at + 1], self.where[at]
            if char in b"<>" and where is Where.PLAIN:
                words[-1] = b"" if words[-1].isdigit() else words[-1]
                words += [b""] if words[-1] else []
                target = True
            elif char in _SEPARATORS and where is Where.PLAIN:
                if target and words[-1] and char != b"&":
                    words[-1], target = b"", False
                words += [b""] if words[-1] else []
            elif where is Where.ESCAPED:  # two bytes; a line that goes on is nothing at all
                at += 1
                words[-1] += self.text[at : at + 1].strip(b"\n")
            elif not _is_quote(self.text[at], where):
                words[-1] += char
            at += 1
        return [*words[:-1], b""] if target else words


def _depth_of(words: list[bytes]) -> int:
    """How a command changes the depth of groups by the keywords that it begins with."""
    depth = 0
    for word in words:
        if word not in _OPENING | _CLOSING | _BETWEEN:
            break
        depth += (word in _OPENING) - (word in _CLOSING)
    return depth


def name_of(word: bytes) -> bytes:
    """The program that a word names, without its folder and without the digits of its version."""
    return word.rpartition(b"/")[2].rstrip(b"0123456789.")


def read_line(text: bytes) -> Line:
    """The line with the quoting of each byte; ValueError when it cannot be told, or a quote is not closed."""
    where = [Where.PLAIN] * len(text)
    at = 0
    while at < len(text):
        at = _step(text, at, where)
    return Line(text, tuple(where))


def _step(text: bytes, at: int, where: list[Where]) -> int:
    """One byte outside of quotes, or what begins with it; returns where the next begins."""
    char, two = text[at : at + 1], text[at : at + 2]
    if char == b"\\":
        return _mark(where, at, _escaped(text, at), Where.ESCAPED)
    if char == b"'":
        return _mark(where, at, _single(text, at), Where.SINGLE)
    if char == b'"':
        return _double(text, at, where)
    if char == b"`":
        return _mark(where, at, _backticks(text, at), Where.BACKTICK)
    if two in (b"$(", b"${"):
        return _mark(where, at, _substitution(text, at), Where.SUBSTITUTION)
    if two in (b"$'", b'$"'):
        raise ValueError(f"{two.decode()} means another thing in every shell")
    if two in (b"<(", b">("):
        raise ValueError(f"{two.decode()} is not known to every shell")
    if text[at : at + 2] == b"((":
        raise ValueError("(( means another thing in every shell")
    if two == b"<<":
        return _mark(where, at, len(text), Where.HERE)
    if char == b"#" and (at == 0 or text[at - 1] in _SEPARATORS):
        return _mark(where, at, len(text), Where.COMMENT)
    return at + 1


def _mark(where: list[Where], start: int, end: int, mark: Where) -> int:
    where[start:end] = [mark] * (end - start)
    return end


def _escaped(text: bytes, at: int) -> int:
    if at + 1 >= len(text):
        raise ValueError("a backslash ends the command")
    return at + 2


def _single(text: bytes, at: int) -> int:
    end = text.find(b"'", at + 1)
    if end < 0:
        raise ValueError("a single quote is not closed")
    return end + 1


def _double(text: bytes, at: int, where: list[Where] | None = None) -> int:
    """A string in double quotes; returns where it ends."""
    where = [Where.PLAIN] * len(text) if where is None else where
    where[at] = Where.DOUBLE
    at += 1
    while at < len(text):
        char = text[at : at + 1]
        if char == b'"':
            return _mark(where, at, at + 1, Where.DOUBLE)
        if char == b"\\":
            at = _mark(where, at, _escaped(text, at), Where.ESCAPED)
        elif char == b"`":
            at = _mark(where, at, _backticks(text, at), Where.BACKTICK)
        elif text[at : at + 2] in (b"$(", b"${"):
            at = _mark(where, at, _substitution(text, at), Where.SUBSTITUTION)
        else:
            at = _mark(where, at, at + 1, Where.DOUBLE)
    raise ValueError("a double quote is not closed")


def _backticks(text: bytes, at: int) -> int:
    at += 1
    while at < len(text):
        if text[at : at + 1] == b"`":
            return at + 1
        at = _escaped(text, at) if text[at : at + 1] == b"\\" else at + 1
    raise ValueError("a backtick is not closed")


def _substitution(text: bytes, start: int) -> int:
    """$( ) or ${ }, with what is nested in it."""
    opening, closing = (b"(", b")") if text[start + 1 : start + 2] == b"(" else (b"{", b"}")
    depth, at = 1, start + 2
    while at < len(text):
        char = text[at : at + 1]
        if char == b"\\":
            at = _escaped(text, at)
        elif char == b"'" and opening == b"(":
            at = _single(text, at)
        elif char == b'"':
            at = _double(text, at)
        elif char == b"`":
            at = _backticks(text, at)
        elif text[at : at + 2] in (b"$(", b"${"):
            at = _substitution(text, at)
        else:
            at += 1
            depth += (char == opening) - (char == closing)
            if depth == 0:
                if opening == b"(" and _CASE.search(text, start, at):
                    raise ValueError("'case' inside $() cannot be followed; put it into a script")
                return at
    raise ValueError(f"${opening.decode()} is not closed")


def _is_quote(char: int, where: Where) -> bool:
    return (char == 0x22 and where is Where.DOUBLE) or (char == 0x27 and where is Where.SINGLE)
