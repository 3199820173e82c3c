"""Files that commands write: whole or as they were, under any name that the file system takes, and never in place of a spec."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_dsl.cli import app
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.files import write_output

RUNS = Path(__file__).parent / "data" / "runs"

# A command that writes, and the ending of its file.
WRITERS = {
    "draw resnet18 -o": ".svg",
    "diff resnet18 resnet18 -o": ".dot",
    "compare resnet18 resnet34 -o": ".html",
    "emit resnet18 -o": ".py",
    "schema -o": ".json",
    "fit resnet18 --params 5M -o": ".yaml",
    f"runs {RUNS} -o": ".svg",
    f"report {RUNS} --no-predictions -o": ".html",
}
NEVER_OVER = {"new --like resnet18 -o": ".yaml"}


def run(command: str, name: str) -> int:
    return app.main([*command.split(), name])


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("command", "ending"), list({**WRITERS, **NEVER_OVER}.items()))
def test_names_as_long_as_the_file_system_takes(command: str, ending: str, tmp_path: Path) -> None:
    for length in (246, 255):
        name = "n" * (length - len(ending)) + ending
        assert run(command, name) == 0
        assert (tmp_path / name).stat().st_size > 0
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize(("command", "ending"), list(WRITERS.items()))
def test_a_full_disk_leaves_what_was_there(
    command: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / f"a{ending}").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    assert run(command, f"a{ending}") == 3
    assert "No space left on device" in capsys.readouterr().err
    assert {p.name: p.read_text() for p in tmp_path.iterdir() if p.is_file()} == {f"a{ending}": "old"}


def test_a_disk_that_fills_up_while_a_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("old")
    program = "import sys; from resnet_dsl.cli.app import main; sys.exit(main(['emit', 'resnet18', '-o', 'a.py']))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
        check=False,
    )
    assert (ended.returncode, "--out: error[output]: cannot write a.py: File too large" in ended.stderr) == (3, True)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.py": "old"}


@pytest.mark.parametrize(("command", "ending"), list({**WRITERS, **NEVER_OVER}.items()))
def test_a_pipe_is_refused_at_once(command: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / f"a{ending}"
    os.mkfifo(pipe)
    assert run(command, pipe.name) in (2, 3)
    assert "already exists" in capsys.readouterr().err
    assert pipe.is_fifo()


def test_a_device_is_refused() -> None:
    with pytest.raises(SpecError, match="not a regular file"):
        write_output("/dev/full", "text")


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("old")
    (tmp_path / "real.py").chmod(0o640)
    (tmp_path / "link.py").symlink_to("real.py")
    assert run("emit resnet18 -o", "link.py") == 0
    assert (tmp_path / "link.py").is_symlink()
    assert "class Resnet18" in (tmp_path / "real.py").read_text()
    assert (tmp_path / "real.py").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "command", ["emit resnet18 -o", "schema -o", f"runs {RUNS} -o", f"report {RUNS} --no-predictions -o", "draw resnet18 -o"]
)
def test_a_spec_is_not_overwritten_by_something_else(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.yaml").write_text("extends: resnet18\n")
    assert run(command, "net.yaml") == 2
    assert "error[usage]" in capsys.readouterr().err
    assert (tmp_path / "net.yaml").read_text() == "extends: resnet18\n"


@pytest.mark.parametrize("command", ["fit resnet18 --params 5M -o", "new --like resnet18 -o"])
def test_a_spec_is_not_written_under_the_name_of_something_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "net.py") == 2
    assert "--out: error[usage]: net.py does not end in .yaml\n  help: name a file that ends in .yaml or .yml\n" in capsys.readouterr().err


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(SpecError, match="already exists"):
        write_output(tmp_path / "a", "new", overwrite=False)
    assert (tmp_path / "a").read_text() == "old"
    write_output(tmp_path / "b", "new", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(("command", "ending"), list(WRITERS.items()))
def test_a_name_with_escapes_is_told_without_them(command: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"a\033[31m\nb{ending}"
    assert run(command, name) == 0
    assert (tmp_path / name).exists()
    err = capsys.readouterr().err
    assert "\033" not in err
    if command != "schema -o":
        assert f"wrote a<U+001B>[31m<U+000A>b{ending}" in err
