"""Tells a pull request what its changed specs cost, in one comment that later runs update. GitHub's runner calls it: see action.yml.

    python action/comment.py [BASE]

With BASE, a commit, it prints the comment on what changed since then and asks nobody.
"""

from __future__ import annotations

import fnmatch
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import resnet_dsl as rd
from resnet_dsl.pictures.comment import added, changed, code, refused, removed

MARKER = "<!-- resnet-dsl: the comment that is updated -->"
"""The first line of our comment, by which a later run finds it."""

LONGEST = 60_000
"""GitHub takes 65,536 characters."""

_SPEC = re.compile(r"^(stages|extends)\s*:", re.MULTILINE)
_PARENT = re.compile(r"^extends\s*:\s*['\"]?([^'\"\s#]+\.ya?ml)", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """A spec by its paths before and after; None where it was not there or is gone."""

    before: str | None
    after: str | None


def git(*arguments: str) -> bytes:
    """What git prints. Raises CalledProcessError."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def changes(base: str, patterns: Sequence[str]) -> list[Change]:
    """The specs that differ from a commit, those that extend them included, by path."""
    words = git("diff", "--name-status", "--find-renames", "-z", base, "--").decode().split("\0")[:-1]
    paths: list[Change] = []
    while words:
        status, first = words.pop(0), words.pop(0)
        if status[0] in "RC":
            paths.append(Change(first if status[0] == "R" else None, words.pop(0)))
        else:
            paths.append(Change(None if status == "A" else first, None if status == "D" else first))
    found = {c.after: c for c in paths if c.after}
    for name in _children(found):
        found.setdefault(name, Change(name, name))
    found = {name: c for name, c in found.items() if _is_spec(name, _now(name), patterns)}
    gone = [c for c in paths if c.after is None and c.before and _is_spec(c.before, _then(base, c.before), patterns)]
    return [found[name] for name in sorted(found)] + gone


def _children(changed: Iterable[str]) -> set[str]:
    """The specs that extend one of these, or one that does."""
    tracked = git("ls-files", "-z", "*.yaml", "*.yml").decode().split("\0")[:-1]
    parents = {name: os.path.normpath(Path(name).parent / parent) for name in tracked for parent in _PARENT.findall(_now(name))[:1]}
    found = set(changed)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _is_spec(name: str, text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, p) for p in patterns) and _SPEC.search(text) is not None


def _now(name: str) -> str:
    path = Path(name)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() and not path.is_symlink() else ""


def _then(base: str, name: str) -> str:
    return git("show", f"{base}:{name}").decode(errors="replace")


def parts(base: str, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """For each spec that differs its name and what is told of it."""
    found = changes(base, patterns)
    with tempfile.TemporaryDirectory() as folder:
        if found:
            with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", base))) as tar:
                tar.extractall(folder, [m for m in tar if m.isfile() and m.name.endswith((".yaml", ".yml"))], filter="data")
        for change in found:
            if (text := _told(change, Path(folder))) is not None:
                yield str(change.after or change.before), text


def _told(change: Change, before: Path) -> str | None:
    """None where nothing has changed of the network."""
    if change.after is None:
        return removed(str(change.before))
    try:
        spec = rd.load(change.after)
        findings = rd.lint(spec).findings
        graph = rd.compile(spec)
    except rd.SpecError as e:
        return refused(change.after, e.diagnostics)
    try:
        old = rd.load(before / change.before) if change.before else None
        first = rd.compile(old) if old else None
    except rd.SpecError:
        first = None
    if first is None:
        return added(change.after, graph, findings)
    renamed = change.after if change.before == change.after else f"{change.before} -> {change.after}"
    found = rd.diff(first, graph, labels=(str(change.before), renamed))
    return None if found.same and change.before == change.after else changed(found, findings)


def comment(base: str, patterns: Sequence[str]) -> str | None:
    """The comment's text; None where no network differs."""
    lines, left_out = [MARKER, "## Specs in this pull request\n"], []
    for name, text in parts(base, patterns):
        if sum(map(len, lines)) + len(text) > LONGEST:
            left_out.append(code(name))
        else:
            lines.append(text)
    if left_out:
        lines.append(f"Too long to be shown here: {', '.join(left_out)}. `resnet-dsl diff` shows them.\n")
    return "\n".join(lines) if len(lines) > 2 else None


def github(method: str, path: str, document: object = None) -> Any:
    """One request to GitHub's API: the only place that speaks to the network."""
    request = urllib.request.Request(
        os.environ.get("GITHUB_API_URL", "https://api.github.com") + path,
        data=None if document is None else json.dumps(document).encode(),
        headers={"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def post(repository: str, number: int, text: str | None) -> str:
    """Write the comment, or update the one that is there; gives what was done. Without a text only an old one is updated."""
    page, ours = 1, None
    while ours is None:
        some = github("GET", f"/repos/{repository}/issues/{number}/comments?per_page=100&page={page}")
        ours = next((c["id"] for c in some if c["body"].startswith(MARKER)), None)
        if len(some) < 100:
            break
        page += 1
    if ours is not None:
        github("PATCH", f"/repos/{repository}/issues/comments/{ours}", {"body": text or f"{MARKER}\nNo network differs any more.\n"})
        return "updated"
    if text is None:
        return "nothing to say"
    github("POST", f"/repos/{repository}/issues/{number}/comments", {"body": text})
    return "posted"


def commit(sha: str) -> str:
    """The commit that a pull request began from, fetched where a shallow checkout lacks it."""
    try:
        git("cat-file", "-e", f"{sha}^{{commit}}")
    except subprocess.CalledProcessError:
        git("fetch", "--quiet", "--depth=1", "origin", sha)
    try:
        return git("merge-base", sha, "HEAD").decode().strip()
    except subprocess.CalledProcessError:
        return sha


def main() -> int:
    """What the command and the action do; gives the exit code."""
    patterns = os.environ.get("SPECS", "*.yaml *.yml").split()
    if len(sys.argv) > 1:
        print(comment(sys.argv[1], patterns) or "no network differs")
        return 0
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    if "pull_request" not in event:
        print("::error::resnet-dsl comments on pull requests; run it `on: pull_request`")
        return 1
    text = comment(commit(event["pull_request"]["base"]["sha"]), patterns)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as f:
            f.write(text or "No network differs.\n")
    try:
        print(post(os.environ["GITHUB_REPOSITORY"], event["pull_request"]["number"], text))
    except urllib.error.HTTPError as e:
        # A pull request from a fork may not write; what it would have said is in the summary.
        print(f"::warning::no comment was written ({e.code} {e.reason}); it is in the job's summary")
    return 0


if __name__ == "__main__":
    sys.exit(main())
