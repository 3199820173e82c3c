"""Reading files: regular files only, texts of at most 1 MiB, shipped specs by name, and standard input."""

from __future__ import annotations

import difflib
import errno
import functools
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from resnet_dsl.diagnostics import Location, Source, SpecError, did_you_mean, either, quote_path, refuse
from resnet_dsl.filekinds import is_text, recognise
from resnet_dsl.language.source import MAX_BYTES, decode
from resnet_dsl.system import OPENING

PACKAGE = Path(__file__).parent.parent
"""The package on the disk: its data lies beside its code. `importlib.resources` takes longer to import than most commands."""


def read_file(path: str, at: Location | None = None) -> Source:
    """The text of a regular file. `at` is the place that named it, if a spec did.

    Raises SpecError: exit code 2 where there is no such regular file, 3 where it may not be read.
    """
    with open_file(path, at) as (file, size):
        _require_text(file.read(512), size, path, at)
        file.seek(0)
        if size > MAX_BYTES:
            raise refuse(
                "too-large",
                f"{quote_path(path)}: {size:,} bytes, larger than the limit of 1 MiB",
                "a spec is a short file; is this the right one?",
                at=at or path,
            )
        return decode(path, file.read(MAX_BYTES + 1))


def _require_text(start: bytes, size: int, path: str, at: Location | None) -> None:
    """Refuse what is known to be something else than text, by its first bytes."""
    kind = recognise(start, b"", size) if size else None
    if kind is None or (is_text(start) and not kind.what.startswith(("is a git", "is a web"))):
        return
    name = quote_path(path)
    if kind.form:
        help = f"`{either(f'rd.recover({path!r})', f'resnet-dsl import {path}')}` writes the spec of its network"
        what = "is weights" if path.endswith((".pth", ".pt", ".bin", ".ckpt", ".pkl", ".npz", ".safetensors")) else kind.what
        raise refuse("not-a-spec", f"{name} {what}, and not a spec: this is not text", help, at=at or path)
    if size > MAX_BYTES and kind.what.startswith("begins with nothing"):
        return  # its size says more
    help = "a spec is a text file: give the path of a .yaml file" if kind.help.startswith("give a file of weights") else kind.help
    message = f"{name} {kind.what}: not text that holds a spec, a mapping of keys to values"
    raise refuse("not-a-spec", message, help.replace("FILE", os.path.basename(path)), at=at or path)


@contextmanager
def open_file(path: str, at: Location | None = None) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, open for reading, and its size in bytes; raises as `read_file` does, also while it is read."""
    named = f"{quote_path(path)}: "
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        fd = os.open(path, os.O_RDONLY | OPENING)
    except OSError as e:
        raise _open_fault(path, named, e, at) from None
    except ValueError:
        raise refuse("file-not-found", f"{named}a path cannot hold a NUL character", "write the file's name", at=at or path) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
            help = "give the path of a .yaml file" + (", or a run's folder" if at is None and stat.S_ISDIR(status.st_mode) else "")
            raise refuse("not-a-file", f"{named}{what}, not a regular file", help, at=at or path)
        with os.fdopen(fd, "rb", closefd=False) as file:
            yield file, status.st_size
    except OSError as e:
        raise refuse(
            "file-unreadable",
            f"{named}cannot read it: {os.strerror(e.errno or 0)}",
            "check the disk and the permissions",
            at=at or path,
            exit_code=3,
        ) from None
    finally:
        os.close(fd)


def _open_fault(path: str, named: str, e: OSError, at: Location | None) -> SpecError:
    reason = os.strerror(e.errno or 0)
    if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV):
        link = " (a link that leads nowhere)" if os.path.islink(path) else ""
        return refuse(
            "file-not-found",
            f"{named}cannot open it: {reason}{link}; the file is not found",
            (None if at else meant(path)) or "check the path; `resnet-dsl list specs` shows the shipped specs",
            at=at or path,
        )
    return refuse("file-unreadable", f"{named}cannot open it: {reason}", "check the permissions", at=at or path, exit_code=3)


def meant(name: str) -> str | None:
    """The help for a name of no file and no shipped spec, where one lies near: another ending, a shipped spec, a file of nearly that name."""
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    if near := next(
        (f"{stem}{ending}" for ending in (".yaml", ".yml") if f"{stem}{ending}" != name and os.path.isfile(f"{stem}{ending}")), None
    ):
        return f"did you mean {quote_path(near)}?"
    folder, base = os.path.split(stem)
    if base != name and not os.path.isdir(stem) and shipped_name(base):
        return f"a shipped spec is named without a path and an ending: {base}"
    words = [w for w in re.split(r"[,+;]", name) if w]
    if len(words) > 1 and all(shipped_name(w) or os.path.isfile(w) for w in words):
        return f"write them apart: {' '.join(words)}"
    try:
        with os.scandir(folder or ".") as entries:
            beside = [e.name for e in islice(entries, MAX_BESIDE) if e.name.endswith((".yaml", ".yml"))]
    except (OSError, ValueError):
        return None
    close = difflib.get_close_matches(f"{base}.yaml", beside, 1, 0.85)
    return f"did you mean {quote_path(os.path.join(folder, close[0]))}?" if close else None


MAX_BESIDE = 1_000
"""Entries of a folder that are looked at for a name that was meant."""


@functools.cache
def read_stdin() -> Source:
    """Standard input as a source called `-`. It is read once, and cached for later calls."""
    return decode("-", sys.stdin.buffer.read(MAX_BYTES + 1))


@functools.cache
def shipped_specs() -> dict[str, Path]:
    """The shipped specs by name, in order of their folders."""
    root = PACKAGE / "specs"
    found: dict[str, Path] = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and p.name not in ("recipes", "__pycache__")):
        for path in sorted(folder.glob("*.yaml")):
            found[path.stem] = path
    return found


@functools.cache
def aliases() -> dict[str, str]:
    """Other names of shipped specs, those of other libraries for the same networks, and the name here of each."""
    import yaml

    table = yaml.safe_load((PACKAGE / "language" / "aliases.yaml").read_text(encoding="utf-8"))
    return {alias: name for name, others in table.items() for alias in others}


_TAG = re.compile(r"(.+)\.[a-z][a-z0-9_]*_in[0-9]+k[a-z0-9_]*")
"""timm's names of weights: resnet50.tv_in1k is a ResNet-50, whatever stands after the dot."""


def shipped_name(name: str) -> str | None:
    """The name of the shipped spec that a name is of: itself, an alias, either with a tag of timm's weights; None for none."""
    if name in (specs := shipped_specs()):
        return name
    tagged = _TAG.fullmatch(name)
    bare = tagged[1] if tagged else name
    return bare if bare in specs else aliases().get(bare)


def shipped_spec(name: str, at: Location | None = None, what: str = "spec") -> Path:
    """The file of a shipped spec. Raises SpecError with a suggestion."""
    specs, found = shipped_specs(), shipped_name(name)
    if found is None:
        help = (meant(name) if what == "spec" and at is None else None) or did_you_mean(name, [*specs, *aliases()], what="a shipped spec")
        if what != "spec" and ("/" in name or "\\" in name or name.startswith(("~", "."))):
            raise refuse(
                "extends",
                f"'extends': the path {quote_path(name)} is not allowed: a parent's path is relative, ends in .yaml and stays inside the spec's folder",
                "write extends: base.yaml, or a shipped spec's name",
                at=at or name,
            )
        if help.startswith("shipped spec is one of"):
            help = "`resnet-dsl list specs` shows the shipped specs; a file's path ends in .yaml"
        raise refuse(
            "file-not-found",
            f"no such {what}: {quote_path(name)} is not found among the shipped specs, and is not a .yaml file",
            help,
            at=at or name,
        )
    return specs[found]
