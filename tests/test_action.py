"""The action for pull requests: what it says of a repository that is made here, and that it keeps to one comment.

RESNET_DSL_ACCEPT=1 in the environment rewrites the golden file; read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "data" / "action" / "comment.md"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))

SMALL = """\
input: {channels: 3, height: 32, width: 32}
classes: 10
stem: cifar
block: basic
shortcut: A
stages:
  - {depth: 2, width: 16}
  - {depth: 2, width: 32, stride: 2}
head: classifier
"""


def git(folder: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.org", f"GIT_{who}_DATE": "2020-01-01T00:00:00Z"}
    return subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True).stdout.strip()


def write(folder: Path, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder, {
        "nets/own/base.yaml": SMALL,
        "nets/child.yaml": "extends: own/base.yaml\nshortcut: B\n",
        "grandchild.yaml": "extends: nets/child.yaml\nclasses: 7\n",
        "nets/gone.yaml": SMALL,
        "nets/moved.yaml": SMALL.replace("A", "B"),
        "nets/commented.yaml": SMALL,
        "nets/broken.yaml": SMALL,
        "nets/mended.yaml": SMALL.replace("basic", "none-such"),
        "recipe.yaml": "epochs: 3\n",
        "notes.md": "stages: 3\n",
    })  # fmt: skip
    git(folder, "tag", "base")
    write(folder, {
        "nets/own/base.yaml": SMALL.replace("depth: 2, width: 32", "depth: 3, width: 32"),
        "nets/gone.yaml": None,
        "nets/moved.yaml": None,
        "nets/renamed.yaml": SMALL.replace("A", "B"),
        "nets/commented.yaml": "# The same network.\n" + SMALL,
        "nets/broken.yaml": SMALL.replace("basic", "basik```\n# @everyone"),
        "nets/mended.yaml": SMALL,
        "nets/new.yaml": "extends: resnet18\nclasses: 3\n",
        "recipe.yaml": "epochs: 4\n",
        "notes.md": "stages: 4\n",
    })  # fmt: skip
    return folder


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "action" / "comment.py"), *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_is_said(repository: Path) -> None:
    done = run(repository, "base")
    assert (done.returncode, done.stderr) == (0, "")
    if os.environ.get("RESNET_DSL_ACCEPT"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(done.stdout, encoding="utf-8")
    assert done.stdout == GOLDEN.read_text(encoding="utf-8")
    headings = re.findall(r"^### (.*)", done.stdout, flags=re.MULTILINE)
    assert headings == [
        "`grandchild.yaml`", "`nets/broken.yaml`: refused", "`nets/child.yaml`", "`nets/mended.yaml` (new)", "`nets/new.yaml` (new)",
        "`nets/own/base.yaml`", "`nets/moved.yaml -> nets/renamed.yaml`", "`nets/gone.yaml` (deleted)",
    ]  # fmt: skip


def test_patterns_choose(repository: Path) -> None:
    done = run(repository, "base", SPECS="grand*\nnets/n*.yaml")
    assert re.findall(r"^### (.*)", done.stdout, flags=re.MULTILINE) == ["`grandchild.yaml`", "`nets/new.yaml` (new)"]


def test_nothing_is_said_of_nothing(repository: Path) -> None:
    assert run(repository, "HEAD").stdout == "no network differs\n"


class Server(HTTPServer):
    """What of GitHub's API the action asks for: a pull request's comments. The first page is full of other people's."""

    def __init__(self, refuse: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: dict[int, str] = {n: f"comment {n}" for n in range(100)}
        self.refuse = refuse
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self, document: Any, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def body(self) -> str:
        assert self.headers["Authorization"] == "Bearer secret"
        self.server.asked.append(f"{self.command} {self.path}")
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]  # type: ignore[no-any-return]

    def do_GET(self) -> None:
        found = re.fullmatch(r"/repos/me/mine/issues/7/comments\?per_page=100&page=(\d+)", self.path)
        assert found is not None
        some = list(self.server.comments.items())[100 * (int(found[1]) - 1) : 100 * int(found[1])]
        self.answer([{"id": n, "body": text} for n, text in some])

    def do_POST(self) -> None:
        text = self.body()
        assert self.path == "/repos/me/mine/issues/7/comments"
        if self.server.refuse:
            self.answer({"message": "Resource not accessible by integration"}, 403)
            return
        self.server.comments[500] = text
        self.answer({})

    def do_PATCH(self) -> None:
        text = self.body()
        found = re.fullmatch(r"/repos/me/mine/issues/comments/(\d+)", self.path)
        assert found is not None and int(found[1]) in self.server.comments
        self.server.comments[int(found[1])] = text
        self.answer({})

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def step(folder: Path, server: Server, base: str) -> subprocess.CompletedProcess[str]:
    """The action's last step, as a runner runs it: its own lines of shell."""
    temp = folder.parent
    program = temp / "resnet-dsl" / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    event = {"pull_request": {"number": 7, "base": {"sha": git(folder, "rev-parse", base)}}}
    (temp / "event.json").write_text(json.dumps(event))
    env = {
        **os.environ, "RUNNER_TEMP": str(temp), "ACTION": str(ROOT), "SPECS": ACTION["inputs"]["specs"]["default"], "GITHUB_TOKEN": "secret",
        "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}", "GITHUB_REPOSITORY": "me/mine",
        "GITHUB_EVENT_PATH": str(temp / "event.json"), "GITHUB_STEP_SUMMARY": str(temp / "summary.md"), "no_proxy": "127.0.0.1",
    }  # fmt: skip
    lines = ACTION["runs"]["steps"][-1]["run"]
    return subprocess.run(["bash", "-e", "-c", lines], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_one_comment_is_kept_up_to_date(repository: Path, server: Server) -> None:
    others = dict(server.comments)
    assert step(repository, server, "base").stdout == "posted\n"
    assert server.comments == {**others, 500: GOLDEN.read_text(encoding="utf-8").removesuffix("\n")}
    write(repository, {"nets/gone.yaml": SMALL})
    assert step(repository, server, "base").stdout == "updated\n"
    assert "deleted" not in server.comments[500]
    git(repository, "reset", "-q", "--hard", "base")
    assert step(repository, server, "base").stdout == "updated\n"
    assert server.comments == {**others, 500: server.comments[500]} and "No network differs any more." in server.comments[500]
    assert server.asked == ["POST /repos/me/mine/issues/7/comments", *2 * ["PATCH /repos/me/mine/issues/comments/500"]]
    assert (repository.parent / "summary.md").read_text().startswith(GOLDEN.read_text(encoding="utf-8").removesuffix("\n"))


def test_a_fork_may_not_write(repository: Path, server: Server) -> None:
    server.refuse = True
    done = step(repository, server, "base")
    assert (done.returncode, done.stdout) == (0, "::warning::no comment was written (403 Forbidden); it is in the job's summary\n")
    assert "### `nets/own/base.yaml`" in (repository.parent / "summary.md").read_text()


def test_a_shallow_checkout_fetches_what_it_compares_with(repository: Path, server: Server) -> None:
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    shallow = repository.parent / "shallow"
    git(repository.parent, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    git(shallow, "remote", "set-url", "origin", f"file://{repository}")
    sha = git(repository, "rev-parse", "base")
    program = "import sys; sys.path.insert(0, sys.argv[1]); import comment; print(comment.commit(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "action"), sha], cwd=shallow, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == f"{sha}\n"
    assert run(shallow, sha).stdout == GOLDEN.read_text(encoding="utf-8")


def test_what_is_too_long_is_named(repository: Path) -> None:
    write(repository, {f"many/n{i:02}.yaml": SMALL.replace("depth: 2", f"depth: {i + 3}") for i in range(60)})
    text = run(repository, "base").stdout
    assert len(text) < 65_536
    assert re.search(r"Too long to be shown here: .*`many/n59.yaml`.*\. `resnet-dsl diff` shows them\.", text)


def test_the_action_is_well_formed() -> None:
    steps = ACTION["runs"]["steps"]
    assert ACTION["runs"]["using"] == "composite"
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\binputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    for one in (s for s in steps if "run" in s):
        assert one["shell"] == "bash"
        # What comes from outside reaches the shell as a variable, never as its text.
        assert "${{" not in one["run"]
        subprocess.run(["bash", "-n", "-c", one["run"]], check=True)
        assert set(re.findall(r"\$([A-Z_]+)", one["run"])) <= {"RUNNER_TEMP", *one["env"]}
