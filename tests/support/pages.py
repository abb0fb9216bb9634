"""Pages (HTML) made at random, the same for the same seed: sloppy markup, odd references, scripts whole and broken."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

WORDS = [
    "Hello", "World", "foo", "BAR", "x1", "the", "Quick", "\u00fcber", "\u65e5\u672c\u3002", "\uff0e", "a\xa1C",
    "don't", '"q"', "1.5", "A&amp;B", "&lt;b&gt;", "&#65;", "&#x42;", "&#x20AC;", "&#0;", "&euro;", "&Kcy;",
    "&unknown;", "& ",
    "&#;", "&#xzz;", "&#99999999999999999999;", "&noend", "-->", "<", ">", "=",
    "\x01", "\x7f", "\t", "\n", "\r\n", "  ", "\v", "/", "%41", "\\", '\\"',
    "a.b",
]  # fmt: skip
TAGS = [
    "p", "DIV", "a", "A", "img", "IMG", "span", "table", "br/", "iframe", "form", "input", "b", "style", "body",
    "%@", "object", "/a", "/div", "/ p",
]  # fmt: skip
ATTRIBUTES = ["href", "SRC", "class", "id", "style", "onclick", "title", "language", "type", "src", "value", "name"]
DATA = [
    '"data:text/html;base64,PGI+SGVsbG88L2I+"', "data:text/plain,hello%20world%zz%4z",
    '"data:image/png;base64,iVBORw0KGgo="',
    "'data:,a b%41&amp;c'", "\"data:text/plain;x='y',foo>bar\"", "data:",
]  # fmt: skip
NAMES = [
    "foo",
    "bar",
    "x",
    "y1",
    "$a",
    "_b",
    "document",
    "window",
    "eval",
    "unescape",
    "String",
    "length",
    "split",
    "dF",
    "a",
    "Foo",
]
KEYWORDS = [
    "var",
    "function",
    "return",
    "if",
    "else",
    "for",
    "while",
    "new",
    "this",
    "null",
    "true",
    "in",
    "typeof",
    "switch",
    "case",
    "break",
    "throw",
    "instanceof",
    "void",
]
SIGNS = [
    "+",
    "-",
    "*",
    "/",
    "=",
    "==",
    "===",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    ">>>=",
    "<<",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "++",
    "--",
    "+=",
    "%",
    "~",
    "^",
    "|",
    "&",
    "!==",
]
NUMBERS = [
    "0",
    "1",
    "42",
    "1.5",
    "3.14159265",
    "1e5",
    "1.0e10",
    "2.5e-3",
    "0x1f",
    "99999999999",
    "4294967295",
    "1.",
    "007",
    "1.5.6",
    "1.2e",
]
IN_STRINGS = [
    "a", "Bc", "%41", "%u0041", "%u00e9", "%zz", "\\n", "\\x41", "\\x4", "\\u0042", "\\u00", "\\\\", "\\0", " ", "</b>",
    "123", "<p>", "\\q", "\xe9",
]  # fmt: skip
BROKEN = ["\\u0041bc", "a\\u0062", "a\\x", "#", "@", "`", "\xe9", '"unfinished', "'unfin"]
PACKED = "eval(function(p,a,c,k,e,d){while(c--)if(k[c])p=p.replace(k[c]);return p}('%s',%s,4,'%s'.split('|'),0,{}))%s"

# The alphabets of Script Encoder, as its decoders know them, and which of them is whose turn.
ALPHABETS = [
    "W.GzVBj/&IA42[vrC89pEhqO\tbD#u<~>^@wJa]\"KoN;LPg*}tT+-,0nkf5%!dMRc?{x)(sY3\177mUS|:_eFX1ilZH'\\=$y7`Q 6",
    "{20!)[83=X:5e9\\VsfNEkbYx^}Jmq<`>S@B'Hru17MR\"TjGd- \177.L]~loytC&v%$+(#A4\t*D?w;UiacPgQIOFh|6pnz/_KZ,W",
    "n-uR`q^I\\b})6 |z\177kc3+hQfv1dTC<:>~@E,*t'7DyY/o&rj9{?8wgSG4x]0#Z[lHUpi.L!$NP\tVs5aKX;W\"mM%(FJ2A=_OBe",
]
TURNS = "0210212112120121012100211201211200121210100210120121002110021012"
ESCAPES = {"<": "@!", "\r": "@#", "@": "@$", "\n": "@&", ">": "@*"}


def encoded(text: str) -> str:
    """A script as Script Encoder writes it."""
    out = ""
    for place, letter in enumerate(text):
        if letter in ESCAPES:
            out += ESCAPES[letter]
        else:
            at = ALPHABETS[int(TURNS[place % 64])].index(letter)
            out += "\t" if at == 0 else chr(31 + at)

    def number(value: int) -> str:
        return base64.b64encode((value & 0xFFFFFFFF).to_bytes(4, "little")).decode()

    return f"#@~^{number(len(text))}{out}{number(sum(map(ord, text)))}^#~@"


class Writer:
    """One page after the other."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pick = self.rng.choice

    def word(self) -> str:
        return self.pick(WORDS)

    def value(self) -> str:
        form = self.rng.random()
        text = "".join(self.word() + self.pick(["", " ", "", ""]) for _ in range(self.rng.randrange(1, 5)))
        if form < 0.4:
            return '"' + text.replace('"', "") + '"'
        if form < 0.6:
            return "'" + text.replace("'", "") + "'"
        if form < 0.8:
            return "".join(c for c in text if c not in " \n\t\r\v>\"'")
        return self.pick(DATA) if form < 0.9 else text

    def tag(self) -> str:
        out = "<" + self.pick(["", "", " "]) + self.pick(TAGS)
        for _ in range(self.rng.randrange(4)):
            sign = self.pick(["=", "= ", " = ", "", " "])
            out += (
                self.pick([" ", "\n", "  "])
                + self.pick(ATTRIBUTES)
                + sign
                + (self.value() if self.rng.random() < 0.8 else "")
            )
        return out + self.pick([">", ">", ">", " >", "/>", "\n>"])

    def string(self) -> str:
        quote = self.pick("\"'")
        return quote + "".join(self.pick([*IN_STRINGS, "\\" + quote]) for _ in range(self.rng.randrange(6))) + quote

    def expression(self) -> str:
        out = ""
        for _ in range(self.rng.randrange(1, 5)):
            out += self.pick([self.string, lambda: self.pick(NUMBERS), lambda: self.pick(NAMES)])()
            if self.rng.random() < 0.6:
                out += self.pick(["", " "]) + self.pick(SIGNS) + self.pick(["", " ", "\n"])
            if self.rng.random() < 0.5:
                break
        return out

    def variable(self) -> str:
        first = f"var {self.pick(NAMES)}{self.pick([' = ', '='])}{self.expression()}"
        return first + self.pick([";", ",", ", "]) + self.pick(["", "y=2;", "z;"])

    def function(self, inner: str) -> str:
        words = self.pick(["", "a", "a,b", "p,a,c,k,e,d"])
        return f"function {self.pick([*NAMES, ''])}({words}){self.pick([' ', ''])}{{{inner}}}"

    def statement(self, depth: int) -> str:
        name, more = self.pick(NAMES), self.pick
        inner: Callable[[], str] = lambda: self.script(depth + 1) if depth < 3 else "x"  # noqa: E731
        makers: list[tuple[int, Callable[[], str]]] = [
            (28, lambda: self.expression() + more([";", "\n", " ", ""])),
            (10, self.variable),
            (10, lambda: self.function(inner())),
            (5, lambda: "// " + more(["comment", "a b c", "x\n", 'foo "bar']) + more(["\n", " ", ""])),
            (5, lambda: "/* " + more(["c", "a * b", "x\ny", "it's"]) + " */"),
            (6, lambda: f"eval({self.expression()}){more([';', ''])}"),
            (6, lambda: "unescape(" + self.string() + ")" + more([";", "", ' + "x"'])),
            (4, lambda: 'eval("' + inner().replace('"', "'").replace("\\", "").replace("\n", " ") + '");'),
            (3, lambda: "dF('" + more(["%2641", "%3Cscript%3E1", "*8CD1", "abc0"]) + "')"),
            (3, lambda: PACKED % (more(["0 1=2;3(\\'1\\')", "a 1(b){c 2}"]), more(["62", "10", "36"]),
                                  more(["var|x|5|alert", "a||b|c", "x"]), more(["", ";", "\n"]))),
            (8, lambda: f"{name}.{more(NAMES)}({self.expression()});"),
            (5, lambda: more("{}()[];,")),
            (5, lambda: more(KEYWORDS) + " "),
            (2, lambda: f"if(a<b && c>d){{{inner()}}}"),
            (1, lambda: more(BROKEN)),
        ]  # fmt: skip
        weights = [weight for weight, _ in makers]
        return self.rng.choices([make for _, make in makers], weights)[0]()

    def script(self, depth: int = 0) -> str:
        return "".join(self.statement(depth) for _ in range(self.rng.randrange(1, 8)))

    def scripted(self) -> str:
        head = "<script" + self.pick(["", ' language="JavaScript"', " type=x"]) + ">" + self.pick(["", "<!--\n"])
        return (
            head
            + self.script()
            + self.pick(["", "\n//-->"])
            + self.pick(["</script>", "</SCRIPT>", "</script >", "</script>\n"])
        )

    def hidden(self) -> str:
        text = self.pick(['alert("Hi");', "var x = 1 < 2;\nfoo(x)", self.script(2)])
        plain = "".join(c for c in text if " " <= c < "\x7f" or c in "\r\n")
        language = self.pick(["JScript.Encode", "VBScript.encode"])
        return (
            f'<script language="{language}">{self.pick(["", " "])}{encoded(plain)}{self.pick(["</script>", "", " "])}'
        )

    def item(self) -> str:
        kind = self.rng.random()
        if kind < 0.45:
            return self.word() + self.pick(["", " ", " ", " ", "\n"])
        if kind < 0.8:
            return self.tag()
        if kind < 0.86:
            return "<!--" + "".join(self.word() + " " for _ in range(self.rng.randrange(5))) + "-->"
        if kind < 0.95:
            return self.scripted()
        if kind < 0.96:
            return "<style>a{b:c}</style>"
        return self.hidden() if kind < 0.975 else self.pick(["</script>\0\0a\0b", "</script>\0", "\0"])

    def page(self) -> bytes:
        items = (self.item() for _ in range(self.pick([3, 8, 30, 200])))
        text = "<html>" + self.pick(["<head>", "", "\n"]) + "".join(items)
        return text.encode(self.pick(["utf-8", "utf-8", "latin-1"]), "replace")


def pages(seed: int, count: int) -> list[bytes]:
    writer = Writer(seed)
    return [writer.page() for _ in range(count)]
