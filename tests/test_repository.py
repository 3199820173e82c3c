"""What other repositories and machines use of ours: hooks, the image's recipe, the citation. (The action has its own tests.)"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import HADOLINT

from resnet_dsl.version import __version__

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))

GOOD = (ROOT / "specs" / "he2015" / "resnet20.yaml").read_text(encoding="utf-8")
BAD = {
    "resnet-dsl-fmt": GOOD.replace("stages:", "stages:   "),
    "resnet-dsl-check": GOOD.replace("basic", "basik"),
    "resnet-dsl-lint": GOOD.replace("stem: cifar", "stem: imagenet").replace("expect:", "# lint: allow none\nexpect:"),
}


def hook(entry: str, files: list[str], cwd: Path) -> int:
    """A hook's exit code: its entry with the files after it, as pre-commit calls it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([*shlex.split(entry), *files], cwd=cwd, env=env, capture_output=True, check=False).returncode


@pytest.mark.parametrize("row", HOOKS, ids=lambda row: row["id"])
def test_hooks_pass_what_is_good_and_stop_what_is_not(row: dict[str, Any], tmp_path: Path) -> None:
    assert row["language"] == "python"
    for name, text in (("good", GOOD), ("bad", BAD[row["id"]])):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert hook(row["entry"], ["good.yaml"], tmp_path) == 0
    assert (tmp_path / "good.yaml").read_text(encoding="utf-8") == GOOD
    stopped = hook(row["entry"], ["good.yaml", "bad.yaml"], tmp_path) != 0
    # A formatter stops a commit by changing a file.
    assert stopped or (tmp_path / "bad.yaml").read_text(encoding="utf-8") == GOOD


def test_hooks_take_specs_and_no_recipes() -> None:
    ours = [p.relative_to(ROOT).as_posix() for p in (ROOT / "specs").rglob("*.yaml")]
    for row in HOOKS:
        taken = {name for name in ours if re.search(row["files"], name) and not re.search(row["exclude"], name)}
        assert taken == {name for name in ours if "recipes/" not in name}
        assert not re.search(row["files"], ".github/workflows/test.yaml")
    assert {row["id"] for row in HOOKS} == set(BAD)


def test_the_citation_is_of_this_version() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cff["cff-version"], cff["version"], cff["license"]) == ("1.2.0", __version__, "MIT")
    assert isinstance(cff["date-released"], date)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}] - {cff['date-released']}\n" in changelog
    (paper,) = cff["references"]
    assert paper["doi"] == "10.1109/CVPR.2016.90"
    assert [a["family-names"] for a in paper["authors"]] == ["He", "Zhang", "Ren", "Sun"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what they say."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.mark.needs("setuptools")
def test_the_image_is_built_of_what_is_here(tmp_path: Path) -> None:
    """Without a daemon: the first stage's lines are run in a folder of their own, with the packages of this environment."""
    stages = [i for i, (word, _) in enumerate(instructions()) if word == "FROM"]
    build = instructions()[stages[0] : stages[1]]
    source, opt = tmp_path / "source", tmp_path / "opt"
    source.mkdir()
    for word, said in build:
        if word == "COPY":
            *files, target = said.split()
            for name in files:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source / target)
    (run,) = [said for word, said in build if word == "RUN"]
    offline = run.replace("/opt/resnet-dsl", str(opt)).replace("-m venv", "-m venv --system-site-packages")
    offline = offline.replace("--no-cache-dir", "--no-cache-dir --quiet --no-deps --no-index --no-build-isolation --force-reinstall")
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    # A venv made from within a venv sees the base's packages, so it is shown ours.
    (ours,) = [p for p in sys.path if p.endswith("site-packages") and p.startswith(sys.prefix)]
    env = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "PATH": path, "PYTHONPATH": ours, "EXTRAS": ""}
    subprocess.run(["sh", "-ec", offline], cwd=source, env=env, check=True, capture_output=True)
    (entry,) = [said for word, said in instructions() if word == "ENTRYPOINT"]
    assert entry == '["resnet-dsl"]'
    (made,) = (opt / "lib").glob("python*/site-packages")
    env["PYTHONPATH"] = f"{made}{os.pathsep}{ours}"
    done = subprocess.run(
        [opt / "bin" / "resnet-dsl", "inspect", "resnet50"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "25,557,032" in done.stdout, done.stderr


def test_the_image_is_left_by_no_root() -> None:
    said = dict(instructions())
    assert said["USER"] not in ("root", "0")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {name for word, text in instructions() if word == "COPY" and "--from" not in text for name in text.split()[:-1]}
    assert ignored[0] == "*" and copied <= {line[1:] for line in ignored if line.startswith("!")}


@pytest.mark.needs("hadolint")
def test_hadolint_finds_nothing() -> None:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
