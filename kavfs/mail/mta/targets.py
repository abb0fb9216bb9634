"""Targets: the configuration of each MTA as files of a root, for kept.py."""

from __future__ import annotations

import os
import tempfile

from kavfs.mail.mta import exim, files, postfix, postfix_run, sendmail, tools
from kavfs.mail.mta.kept import Contents
from kavfs.mail.mta.wish import Refused, Wish


class _Files:
    """Paths inside *root*."""

    name = ""

    def __init__(self, root: str, place: str) -> None:
        self.root = root
        self.place = place  # Postfix: a folder; Exim: see below; Sendmail: a folder

    def _read(self, paths: list[str]) -> Contents:
        return {path: files.read(self.root, path) for path in paths}


class Postfix(_Files):
    name = "postfix"

    def current(self) -> Contents:
        found = self._read([f"{self.place}/{name}" for name in (postfix.MASTER, postfix.MAIN)])
        for path, content in found.items():
            if content is None:
                raise Refused(f"there is no {path}")
        return found

    def cleaned(self, now: Contents) -> Contents:
        return self._contents(postfix.cleaned(_both(now), postfix_run.postconf))

    def wanted(self, clean: Contents, wish: Wish) -> Contents:
        return self._contents(postfix.wanted(_both(clean), wish, postfix_run.postconf))

    def complaints(self) -> list[str]:
        return postfix_run.complaints(files.real(self.root, self.place), whole=self.root == "/")

    def missing(self, now: Contents, wish: Wish) -> list[str]:
        return postfix.missing(_both(now), wish)

    def _contents(self, texts: dict[str, str]) -> Contents:
        return {f"{self.place}/{name}": texts[name].encode("latin-1") for name in (postfix.MASTER, postfix.MAIN)}


class Exim(_Files):
    """*place*: the one file, or Debian's folder."""

    name = "exim"

    def __init__(self, root: str, place: str, form: str) -> None:
        super().__init__(root, place)
        self.form = form  # file, template, split

    def current(self) -> Contents:
        if self.form != "split":
            found = self._read([self._file()])
            if None in found.values():
                raise Refused(f"there is no {self._file()}")
            return found
        paths = [f"{self.place}/conf.d/{part}/{exim.OURS}" for part in ("transport", "main", "router")]
        for part in ("main", "router", "transport"):
            folder = f"{self.place}/conf.d/{part}"
            for name in sorted(_names(files.real(self.root, folder))):
                if name.replace("_", "").replace("-", "").isalnum():  # what update-exim4.conf takes
                    paths.append(f"{folder}/{name}")
        return self._read(list(dict.fromkeys(paths)))

    def cleaned(self, now: Contents) -> Contents:
        return _bytes(exim.cleaned(_texts(now)))

    def wanted(self, clean: Contents, wish: Wish) -> Contents:
        texts = _texts(clean)
        if self.form == "split":
            return _bytes({**exim.wanted_split(texts, self.place, wish)})
        return _bytes({path: exim.wanted_file(text or "", wish) for path, text in texts.items()})

    def complaints(self) -> list[str]:
        if self.form == "file":
            program = next((name for name in ("exim4", "exim") if tools.which(name)), "exim")
            return tools.run(program, "-C", files.real(self.root, self.place), "-bV").wrong()
        with tempfile.TemporaryDirectory(prefix="kavfs-mta-") as folder:
            where = files.real(self.root, self.place)
            made = os.path.join(folder, "made")
            return tools.run("update-exim4.conf", "--check", "-d", where, "-o", made).wrong()

    def missing(self, now: Contents, wish: Wish) -> list[str]:
        return exim.missing(_texts(now), wish)

    def _file(self) -> str:
        return self.place if self.form == "file" else f"{self.place}/exim4.conf.template"


class Sendmail(_Files):
    name = "sendmail"

    def current(self) -> Contents:
        return self._read([f"{self.place}/{name}" for name in (sendmail.MC, sendmail.CF, sendmail.LISTEN)])

    def cleaned(self, now: Contents) -> Contents:
        return self._contents(sendmail.cleaned(_short(now)))

    def wanted(self, clean: Contents, wish: Wish) -> Contents:
        listen = f"{self.place}/{sendmail.LISTEN}"
        if clean.get(listen) is not None and wish.way == "mailer":
            raise Refused(f"there is a {listen} that is not ours")
        return self._contents(sendmail.wanted(_short(clean), wish))

    def complaints(self) -> list[str]:
        found = []
        for name in (sendmail.CF, sendmail.LISTEN):
            place = files.real(self.root, f"{self.place}/{name}")
            if os.path.exists(place):
                said = tools.run("sendmail", "-C", place, "-bt", "-d0.1")
                if not said.output.startswith("Version "):
                    raise Refused("the program sendmail of this system is not Sendmail's")
                lines = f"{said.output}\n{said.error}".split("\n")
                found += [line for line in lines if line.startswith(f"{place}: line ")]
        return found

    def missing(self, now: Contents, wish: Wish) -> list[str]:
        return sendmail.missing(_short(now), wish)

    def _contents(self, texts: dict[str, str | None]) -> Contents:
        return _bytes({f"{self.place}/{name}": text for name, text in texts.items()})


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _texts(contents: Contents) -> dict[str, str | None]:
    return {path: None if content is None else content.decode("latin-1") for path, content in contents.items()}


def _bytes(texts: dict[str, str | None]) -> Contents:
    return {path: None if text is None else text.encode("latin-1") for path, text in texts.items()}


def _short(contents: Contents) -> dict[str, str | None]:
    """Texts by the last part of their path."""
    return {path.rpartition("/")[2]: text for path, text in _texts(contents).items()}


def _both(contents: Contents) -> dict[str, str]:
    """The same of files that must be there."""
    return {name: text or "" for name, text in _short(contents).items()}
