"""The command line's own parser: words, values, help, completion, and what is said of a mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from resnet_dsl.cli import completion
from resnet_dsl.cli.app import PROGRAM, main
from resnet_dsl.cli.completion import SCRIPTS, offers
from resnet_dsl.cli.groups import Command, Group, Misused, parse
from resnet_dsl.cli.line import Argument, Option, parameters


def function(
    first: Annotated[str, Argument(metavar="FIRST", help="The first one.", show_default=False)],
    others: Annotated[list[Path] | None, Argument(metavar="OTHER...", help="The others.")] = None,
    last: Annotated[str | None, Option("--last", "-l", metavar="WORD", help="Any word.")] = None,
    count: Annotated[int, Option(min=1, max=9, metavar="N", help="How many.")] = 3,
    share: Annotated[float | None, Option(help="Of the whole.", min=0)] = None,
    by: Annotated[Literal["net", "stage"], Option(metavar="net|stage", help="What a row is.")] = "stage",
    set_: Annotated[list[str] | None, Option("--set", metavar="K=V", help="As often as you like.")] = None,
    fast: Annotated[bool | None, Option("--fast/--slow", help="Either.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Say less.")] = False,
) -> None:
    """Do something with a first one.

    And a second paragraph.
    """


COMMAND = Command(function.__doc__ or "", ("prog do a",), parameters(function), function)
DEFAULTS = {
    "first": "a", "others": None, "last": None, "count": 3, "share": None, "by": "stage", "set_": None, "fast": None, "quiet": False,
}  # fmt: skip


def read(*words: str) -> dict[str, Any]:
    called = parse(COMMAND, "prog do", words)
    return called.keywords  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["a"], {}),
        (["a", "b", "c"], {"others": [Path("b"), Path("c")]}),
        (["--last", "x", "a"], {"last": "x"}),
        (["a", "--last=x=y"], {"last": "x=y"}),
        (["a", "--last="], {"last": ""}),
        (["a", "-lx"], {"last": "x"}),
        (["a", "-l", "-q"], {"last": "-q"}),
        (["a", "-qlx"], {"quiet": True, "last": "x"}),
        (["a", "-l=x"], {"last": "=x"}),
        (["a", "--last", "x", "--last", "y"], {"last": "y"}),
        (["a", "--set", "x=1", "-q", "--set=y=2"], {"set_": ["x=1", "y=2"], "quiet": True}),
        (["a", "--fast"], {"fast": True}),
        (["a", "--fast", "--slow"], {"fast": False}),
        (["a", "--", "--last", "-q"], {"others": [Path("--last"), Path("-q")]}),
        (["-", "-"], {"first": "-", "others": [Path("-")]}),
        (["a", "--count", " 1_0 "], None),
        (["a", "--count", "7.0"], {"count": 7}),
        (["a", "--share", "1e-3"], {"share": 0.001}),
        (["a", "--by", "net"], {"by": "net"}),
    ],
)
def test_words_become_values(words: list[str], given: dict[str, Any] | None) -> None:
    if given is None:
        with pytest.raises(Misused):
            read(*words)
    else:
        assert read(*words) == DEFAULTS | given


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'FIRST'."),
        (["a", "--lasst", "x"], "No such option: --lasst (Possible options: --fast, --last, --set)"),
        (["a", "-x"], "No such option: -x"),
        (["a", "--\x1b[1m"], "No such option: --\\x1b[1m"),
        (["a", "-qx"], "No such option: -x"),
        (["a", "--last"], "Option '--last' requires an argument."),
        (["a", "--quiet=1"], "Option '--quiet' does not take a value."),
        (["a", "--count", "x"], "Invalid value for '--count': Input should be a valid integer, unable to parse string as an integer"),
        (["a", "--count", "1."], "Invalid value for '--count': Input should be a valid integer, unable to parse string as an integer"),
        (["a", "--count", "0"], "Invalid value for '--count': Input should be greater than or equal to 1"),
        (["a", "--count", "10"], "Invalid value for '--count': Input should be less than or equal to 9"),
        (["a", "--share", "x"], "Invalid value for '--share': Input should be a valid number, unable to parse string as a number"),
        (["a", "--share", "nan"], "Invalid value for '--share': Input should be greater than or equal to 0"),
        (["a", "--by", "x"], "Invalid value for '--by': 'x' is not one of 'net', 'stage'."),
        # The first mistake on the line, and mistakes of form before those of value.
        (
            ["--share", "x", "--count", "x"],
            "Invalid value for '--share': Input should be a valid number, unable to parse string as a number",
        ),
        (["--share", "x", "--nope"], "No such option: --nope"),
    ],
)
def test_mistakes(words: list[str], said: str) -> None:
    with pytest.raises(Misused) as e:
        read(*words)
    assert (str(e.value), e.value.path) == (said, "prog do")


def test_a_word_too_many() -> None:
    with pytest.raises(Misused, match=r"Got unexpected extra argument\(s\) \(b c\)") as e:
        parse(PROGRAM, "resnet-dsl", ["explain", "a", "b", "c"])
    assert e.value.path == "resnet-dsl explain"


def test_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert COMMAND.help("prog do") == HELP


HELP = """\
Usage: prog do [OPTIONS] {FIRST} [OTHER...]...

  Do something with a first one.

  And a second paragraph.

Arguments:
  FIRST <str>            The first one.  [required]
  OTHER... <list[Path]>  The others.

Options:
  -l, --last WORD        Any word.
  --count N              How many.  [default: 3; 1<=x<=9]
  --share <float range>  Of the whole.  [x>=0]
  --by net|stage         What a row is.  [default: stage]
  --set K=V              As often as you like.
  --fast / --slow        Either.
  -q, --quiet            Say less.
  -h, --help             Show this message and exit.

  Example:
    prog do a
"""


@pytest.mark.parametrize("columns", ["80", "200"])
def test_every_help_keeps_to_the_window(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    width = max(min(int(columns), 100) - 2, 50)

    def look(node: Command | Group, path: str) -> None:
        examples = {f"    {e}" for e in node.examples}
        # What has no room beside its first column, and examples, may be longer.
        assert all(len(line) <= width for line in node.help(path).splitlines() if line not in examples and line.startswith(" " * 20)), path
        if isinstance(node, Group):
            for row in node.rows.values():
                look(node.build(row), f"{path} {row.name}")

    look(PROGRAM, "resnet-dsl")


@pytest.mark.parametrize(
    ("line", "incomplete", "offered"),
    [
        ("", "comp", ["compare"]),
        ("", "--v", ["--version"]),
        ("probe", "ga", ["gates"]),
        ("nothing", "x", []),
        ("inspect", "resnet10", ["resnet101"]),
        ("inspect resnet50 --by", "s", ["stage"]),
        ("inspect resnet50", "--by=s", ["stage"]),
        ("inspect resnet50", "--sy", ["--symbolic"]),
        ("inspect resnet50 --symbolic", "--sy", []),
        ("inspect resnet50 --set", "", []),
        ("inspect resnet50", "", []),
        ("inspect resnet50 --set x=1", "--set", ["--set"]),
        ("compare resnet50", "resnet15", ["resnet152"]),
        ("inspect --", "resnet10", ["resnet101"]),
    ],
)
def test_completion(line: str, incomplete: str, offered: list[str]) -> None:
    words = [word for word, _ in offers(PROGRAM, line.split(), incomplete)]
    assert set(offered) <= set(words) and bool(words) == bool(offered)
    assert all(word.startswith(incomplete.removeprefix("--by=")) for word in words)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_completion_is_installed(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(completion, "_shell", lambda: shell)
    (tmp_path / ".bashrc").write_text("# mine\n")
    for _ in range(2):
        assert main(["--install-completion"]) == 0
    (script,) = [p for p in tmp_path.rglob("*resnet-dsl*") if p.is_file()]
    assert script.read_text().strip() == SCRIPTS[shell].strip()
    assert capsys.readouterr().out.count(f"{shell} completion installed in {script}\n") == 2
    if shell == "bash":
        assert (tmp_path / ".bashrc").read_text() == f"# mine\nsource '{script}'\n"


def bash(program: str, **env: str) -> str:
    """What bash prints; it finds this Python's resnet-dsl."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", program], env={**os.environ, "PATH": path, **env}, capture_output=True, text=True, check=True)
    return done.stdout


def test_bash_completes_with_the_script_that_it_is_shown() -> None:
    program = """
        eval "$(resnet-dsl --show-completion)"
        COMP_WORDS=(resnet-dsl inspect resnet50 --by s)
        COMP_CWORD=4
        _resnet_dsl_completion resnet-dsl
        echo "${COMPREPLY[*]}"
    """
    assert bash(program, SHELL="/usr/bin/fish") == "stage\n"


def test_every_command_declares_what_can_be_read() -> None:
    def look(node: Command | Group) -> int:
        return sum(look(node.build(row)) for row in node.rows.values()) if isinstance(node, Group) else 1

    assert look(PROGRAM) > 30
