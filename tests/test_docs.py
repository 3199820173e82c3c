"""The documentation tells the truth: its commands run and print what it shows, its specs are specs, its links lead somewhere.

In a ```console block `$ command` is followed by what it prints on both streams; `...` stands for any text, alone on a line
for any lines. A command with nothing under it must succeed, and may print what it likes. The blocks of a file run in order in one folder.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from resnet_dsl.cli.app import app
from resnet_dsl.language import load
from resnet_dsl.language.recipe import keys

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)

# Not run here: they make an environment, or train for minutes. That they are what Makefile and program know is tested.
NOT_RUN = re.compile(
    r"make \w+( \w+=\S+)*$|python3 -m venv|pip install|source |(\.venv/bin/)?pytest|python benchmarks/"
    r"|resnet-dsl (train|evaluate|demo).*(fashion-mnist|cifar|demo|imagenet|--resume runs/resnet)"
    r"|resnet-dsl study (degradation|mine\.yaml)"
)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in BLOCK.findall(page.read_text()):
        if language in languages:
            yield text


def commands(page: Path) -> list[tuple[str, str | None]]:
    """Each command with the output shown, or None where none is."""
    found: list[tuple[str, str | None]] = []
    for text in blocks(page, "console"):
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.rstrip() or None))
    return found


def settled(text: str, command: str) -> str:
    """What a command prints, without what differs from run to run: figures of training, and the columns that they fill."""
    if not re.match(r"resnet-dsl (train|evaluate|predict|runs|doctor|probe|study)\b", command):
        return text
    return re.sub(r" +", " ", re.sub(r"\d+([.:,]\d+)*", "0", text))


def pattern(shown: str) -> re.Pattern[str]:
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else ".*?".join(map(re.escape, line.split("..."))) + r" *\n" for line in shown.splitlines()
    ]
    return re.compile("".join(lines))


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    scripts = str(Path(sys.executable).parent)
    env = {
        "PATH": f"{scripts}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    env |= {name: value for name, value in os.environ.items() if name == "OMP_NUM_THREADS"}
    for command, shown in commands(page):
        if NOT_RUN.match(command):
            continue
        run = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        if shown is None:
            assert run.returncode == 0, f"$ {command}\n{run.stdout}"
        else:
            printed = settled(run.stdout.rstrip() + "\n", command)
            assert pattern(settled(shown, command)).fullmatch(printed), f"$ {command}\n{run.stdout}\n--- shown:\n{shown}"
    for picture in tmp_path.glob("*.svg"):
        kept = ROOT / "docs" / picture.name
        assert not kept.exists() or kept.read_text() == picture.read_text(), f"docs/{picture.name} is not what draw makes"


def test_commands_that_are_not_run_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M))
    program = typer.main.get_command(app)
    for page in PAGES:
        for command, _ in commands(page):
            words = shlex.split(command, comments=True)
            if not NOT_RUN.match(command):
                continue
            if words[0] == "make":
                assert words[1] in targets, command
            elif words[0] == "resnet-dsl":
                context = program.make_context("resnet-dsl", words[1:])  # parses, and runs nothing
                name, subcommand, rest = program.resolve_command(context, [*context._protected_args, *context.args])
                assert subcommand.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "yaml"))], ids=lambda page: page.name)
def test_specs_are_specs(page: Path, tmp_path: Path) -> None:
    for i, text in enumerate(blocks(page, "yaml")):
        if re.search(r"^(stages|extends):", text, flags=re.M):
            path = tmp_path / f"spec{i}.yaml"
            path.write_text(text)
            load(str(path))


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python", "pycon"))], ids=lambda page: page.name)
def test_python_gives_what_is_shown(page: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "pages.py"), str(page)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["errors", "zoo"])
def test_a_written_page_is_fresh(name: str) -> None:
    written = subprocess.run([sys.executable, ROOT / "docs" / f"{name}.py"], check=True, capture_output=True, text=True).stdout
    assert (ROOT / "docs" / f"{name}.md").read_text() == written, f"python docs/{name}.py > docs/{name}.md"


def test_the_table_of_recipe_keys_is_the_recipe() -> None:
    fields = keys()
    table = (ROOT / "docs" / "training.md").read_text().partition("| key | default | |")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `([a-z_.]+)` \| [^|]* \| (.*) \|$", table, flags=re.M))
    assert shown == {key: field.description for key, field in fields.items() if key != "augment"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", BLOCK.sub("", page.read_text())):
        assert target.startswith("https://") or (page.parent / target).exists(), target
