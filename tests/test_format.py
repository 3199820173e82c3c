"""`fmt`: what it makes of specs, that it never changes what they say, and that the shipped ones are in its form."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cases import DATA, Case, read
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_dsl import compile, load
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import Source
from resnet_dsl.language.format import WIDTH, format_document

ROOT = Path(__file__).parent.parent
# Longer in normal form than a shipped spec may be: in its own form it is a screenful.
BY_HAND = {"res2net50-26w4s"}
SHIPPED = sorted(p for p in [*ROOT.glob("specs/*/*.yaml"), *ROOT.glob("resnet_dsl/language/library/*.yaml")] if p.stem not in BY_HAND)
LEGAL = sorted((DATA / "legal").glob("*.yaml"))


def formatted(text: str) -> str:
    return format_document(Source("spec.yaml", text))


@pytest.mark.parametrize("case", read(DATA / "format" / "cases.md"), ids=lambda c: c.name)
def test_case(case: Case) -> None:
    (text,) = case.files.values()
    assert formatted(text) == case.expected
    assert formatted(case.expected) == case.expected


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_files_are_in_normal_form(path: Path) -> None:
    assert formatted(path.read_text()) == path.read_text(), f"resnet-dsl fmt {path.relative_to(ROOT)}"


@pytest.mark.parametrize("path", LEGAL, ids=lambda p: p.stem)
def test_the_network_stays_what_it_is(path: Path, tmp_path: Path) -> None:
    once = formatted(path.read_text())
    assert formatted(once) == once
    assert max(map(len, once.splitlines())) <= WIDTH + 20, "a comment may stick out, an entry not"
    (tmp_path / path.name).write_text(once)
    assert compile(load(str(tmp_path / path.name))).text() == compile(load(str(path))).text()


def test_line_ends_and_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "dos.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x # c\r\n\r\n\r\nclasses: 2\r\n")
    path.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to(path)
    assert main(["fmt", "--check", str(path)]) == 1
    assert main(["fmt", str(tmp_path / "link.yaml")]) == 0
    assert path.read_bytes() == b"name: x # c\n\nclasses: 2\n".replace(b" #", b"  #")
    assert (tmp_path / "link.yaml").is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert main(["fmt", "--check", str(path)]) == 0


@pytest.mark.parametrize(("data", "said"), [
    (b"name: x\r\nclasses: 2\r\n", "# a.yaml: line ends are CRLF in 2 of 3 lines, and LF in the normal form\n"),
    (b"name: x\r\nclasses: 2\n", "line ends are CRLF in 1 of 3 lines"),
    (b"\xef\xbb\xbfname: x\nclasses: 2\n", "# a.yaml: a byte order mark stands in front, which the normal form has not\n"),
    (b"name: x\nclasses: 2", "# a.yaml: the last line does not end in a line break\n"),
    (b"name: x  \nclasses: 2\n", "# a.yaml: blanks stand at the end of 1 line\n"),
    (b"name: x\nclasses: 2\n\n\n", "-\n-\n"),
    (b"\n\nname: x\nclasses: 2\n", "-\n-\n"),
    (b"name: x\t\nclasses: 2\n", "blanks stand at the end of 1 line"),
    (b"name:   x\nclasses: 2\n", "-name:   x\n+name: x\n"),
])  # fmt: skip
def test_what_fails_the_check_shows_in_the_diff(
    data: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_bytes(data)
    assert main(["fmt", "--check", "-q", "a.yaml"]) == 1
    assert main(["fmt", "--diff", "a.yaml"]) == 0
    assert said in capsys.readouterr().out
    Path("a.yaml").write_bytes(b"name: x\nclasses: 2\n")
    assert main(["fmt", "--diff", "a.yaml"]) == 0
    assert capsys.readouterr().out == ""


# --- texts that nobody would write: what is said stays, every comment stays, and twice is once -------------------

SCALARS = [
    "1", "-2.5e3", "true", "relu", "a if b else c", "min(a, 3)", "a: b", "x # y", "  lead", "trail ", "", "'", '"', "\\", "it's \"q\"",
    "- dash", "[", "}", "é", "a,b", "line\nbreak", "two\n\nbreaks\n", "yes", "null", "0x10", "\u2028", "?", "&a", "*b", "!c", "%d", "@e",
    "`", "|", ">", "a  b", "word " * 40, "#", ":", "a:", "\ue028", "(", "tab\there",
]  # fmt: skip
PLAIN = ["1", "-2.5e3", "true", "relu", "a if b else c", "x > 1", "a//b", "word " * 30 + "end"]
TREES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "stem", "depth", "width", "on", "k: v", "é"]), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


class Scribe:
    """Writes a tree in one of the many ways that YAML has, with comments wherever one may stand."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.comments = 0

    def maybe(self, share: float = 0.3) -> bool:
        return self.random.random() < share

    def remark(self) -> str:
        if not self.maybe():
            return ""
        self.comments += 1
        return " " * self.random.randint(1, 12) + f"# c{self.comments}" + "  " * self.maybe()

    def gap(self, indent: int) -> str:
        """Lines between entries: blank ones, and comments in about the right column."""
        text = ""
        while self.maybe():
            text += (
                "\n" * self.random.randint(0, 2)
                if self.maybe(0.5)
                else " " * max(0, indent + self.random.randint(-1, 3)) + self.remark().lstrip() + "\n"
            )
        return text  # fmt: skip

    def scalar(self, text: str) -> str:
        if text in PLAIN and self.maybe(0.7):
            return text
        if self.maybe() and "\n" not in text and text.isprintable():
            return "'" + text.replace("'", "''") + "'"
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'

    def flow(self, tree: object) -> str:
        def between() -> str:
            return (self.remark() or " ") + "\n" + " " * 20 if self.maybe(0.2) else " " * self.maybe()

        if isinstance(tree, dict):
            return "{" + between() + ",".join(f"{between()}{self.scalar(k)}: {self.flow(v)}{between()}" for k, v in tree.items()) + "}"
        if isinstance(tree, list):
            return "[" + between() + ",".join(f"{between()}{self.flow(v)}{between()}" for v in tree) + "]"
        return self.scalar(str(tree))

    def value(self, tree: object, indent: int) -> str:
        """What follows `key:` or `-`, with the end of its line."""
        if isinstance(tree, dict | list) and tree and self.maybe(0.6):
            deeper = indent + self.random.randint(1, 4)
            return f"{self.remark()}\n{self.block(tree, deeper)}"
        if isinstance(tree, str) and tree.strip() and tree.isprintable() and self.maybe(0.2) and not tree.startswith(" "):
            return f" {self.random.choice('|>')}{self.random.choice(['', '-'])}{self.remark()}\n{' ' * (indent + 3)}{tree}\n{self.gap(0)}"
        return f" {self.flow(tree)}{self.remark()}\n"

    def block(self, tree: object, indent: int) -> str:
        pad, text = " " * indent, self.gap(indent)
        if isinstance(tree, dict):
            for key, value in tree.items():
                text += f"{pad}{self.scalar(key)}:{self.value(value, indent)}{self.gap(indent)}"
        elif isinstance(tree, list):
            for value in tree:
                text += f"{pad}-{self.value(value, indent)}{self.gap(indent)}"
        return text


@settings(max_examples=120, deadline=None)
@given(TREES, st.integers(0, 10**9))
def test_any_text_keeps_what_it_says(tree: object, seed: int) -> None:
    scribe = Scribe(seed)
    text = scribe.block({"root": tree, "blocks": tree}, 0)
    once = formatted(text)  # which raises where a value or a comment is lost
    assert once.count("# c") >= scribe.comments
    assert formatted(once) == once


# --- the command ---------------------------------------------------------------------------------------------


def test_check_and_diff_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "classes: 2\nname:   x\n"
    Path("a.yaml").write_text(text)
    Path("b.yaml").write_text("name: x\n")
    assert main(["fmt", "a.yaml", "b.yaml", "--check"]) == 1
    assert capsys.readouterr() == ("a.yaml\n", "")
    assert main(["fmt", "a.yaml", "b.yaml", "--diff"]) == 0
    assert capsys.readouterr().out == "--- a.yaml\n+++ a.yaml\n@@ -1,2 +1,2 @@\n+name: x\n classes: 2\n-name:   x\n"
    assert main(["fmt", "a.yaml", "--diff", "--check", "-q"]) == 1
    assert Path("a.yaml").read_text() == text
    capsys.readouterr()
    assert main(["fmt", "a.yaml", "b.yaml"]) == 0
    assert capsys.readouterr() == ("formatted a.yaml\nok b.yaml\n", "")
    assert sorted(os.listdir()) == ["a.yaml", "b.yaml"]


def test_what_cannot_be_read_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("name:   x\n")
    Path("bad.yaml").write_text("a: [1\n")
    assert main(["fmt", "bad.yaml", "resnet50", "gone.yaml", "a.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == "formatted a.yaml\n"
    assert [line.split(": error")[0] for line in err.splitlines() if ": error" in line] == ["bad.yaml:1:4", "FILE", "gone.yaml"]
    assert Path("bad.yaml").read_text() == "a: [1\n"


def test_standard_input() -> None:
    done = subprocess.run([sys.executable, "-m", "resnet_dsl", "fmt", "-"], input="name:   x\n", capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("name: x\n", "")
