"""Where a data set lies on this machine, and a message that helps where it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.datasets.catalog import SOURCES, DataSource
from resnet_dsl.diagnostics import Argument, inline, refuse

ENVIRONMENT = "RESNET_DSL_DATA"
_SYSTEM = Path("/usr/share/datasets")


_DEEPEST = 3
_MOST = 1000
"""Folders below each other, and folders in all, that are searched under a root."""

_ARCHIVES = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True, slots=True)
class Found:
    """A folder that holds a complete layout of a data set, and that layout's files (with `.gz` where they have it); or one `archive`."""

    folder: Path
    files: tuple[Path, ...]
    archive: bool = False


def cache() -> Path | None:
    """Where downloads go: `$XDG_CACHE_HOME/resnet-dsl`, else `~/.cache/resnet-dsl`; None where there is no home."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "resnet-dsl" if os.path.isabs(base) else None


def roots(data_dir: Path | None) -> list[tuple[Path, str]]:
    """The folders to search, in order, each with why. A folder given by hand is the only one."""
    if data_dir is not None:
        return [(data_dir, str(Argument("data_dir")))]
    named = os.environ.get(ENVIRONMENT)
    home = cache()
    return [
        *([(Path(named), f"${ENVIRONMENT}")] if named else []),
        *([(home, "the cache")] if home is not None else []),
        (_SYSTEM, "the system's data sets"),
    ]


def find(source: DataSource, data_dir: Path | None) -> Found:
    """The first complete copy of a data set. Raises SpecError (exit 3) that lists what was searched and what to do."""
    tried: list[str] = []
    for root, why in roots(data_dir):
        found = _search(source, root)
        if isinstance(found, Found):
            return found
        tried.append(f"  {root} ({why}): {found}")
    raise refuse("data-missing", "not found on this machine; searched:\n" + "\n".join(tried), _fix(source), at=source.name, exit_code=3)


def _search(source: DataSource, root: Path) -> Found | str:
    """A copy under a root, which may be its archive; else what there is in its place, in words."""
    if root.is_file():
        return Found(root.parent, (root,), archive=True) if source.archives else "a file, not a folder"
    if not root.is_dir():
        return "not a folder" if root.exists() else "no such folder"
    partly = ""
    for folder in _folders(source, root):
        inside = _names(folder)
        for layout in source.layouts:
            here = [_at(folder, name, inside) for name in layout]
            files = tuple(p for p in here if p is not None)
            if len(files) == len(layout):
                return Found(folder, files)
            if len(files) > 1 and not partly:
                missing = next(name for name, p in zip(layout, here, strict=True) if p is None)
                partly = f"{folder} has {files[0].name} but not {missing}"
        for name in (stem + ending for stem in source.archives for ending in _ARCHIVES):
            if inside.get(name) is False and (folder / name).is_file():
                return Found(folder, (folder / name,), archive=True)
    return partly or f"none of its files there; it holds {_listed(_names(root))}"


def _folders(source: DataSource, root: Path) -> Iterator[Path]:
    """The folders under a root that may hold a data set: those of its names first, then all that are no other's, the upper ones first."""
    others = {f.split("/")[0].lower() for s in SOURCES.values() for f in s.folders} - {f.split("/")[0].lower() for f in source.folders}
    yield from (folder for f in source.folders if (folder := root / f).is_dir())
    level, seen = [root], 0
    for _ in range(_DEEPEST):
        below = [folder / n for folder in level for n, is_folder in sorted(_names(folder).items()) if is_folder and n.lower() not in others]
        level = [f for f in below if not f.name.startswith(".")][: _MOST - seen]
        seen += len(level)
        yield from level


def _names(folder: Path) -> dict[str, bool]:
    """What lies in a folder, and whether it is a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return {e.name: e.is_dir() for e in entries}
    except OSError:
        return {}


def _at(folder: Path, name: str, inside: Mapping[str, bool]) -> Path | None:
    """A file of a layout, as people also name and unpack it: with .gz, with a dot in place of a hyphen, in a folder of its own name."""
    for written in (name, name.replace("-idx", ".idx")):
        for file in (folder / written, folder / f"{written}.gz", folder / written / written):
            if (file.name in inside or file.parent.name in inside) and file.is_file():
                return file
    return None


def _listed(inside: Mapping[str, bool]) -> str:
    """A few of the names in a folder."""
    names = [inline(n[:60]) + ("/" if is_folder else "") for n, is_folder in sorted(inside.items())]
    return (", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")) or "nothing"


def _fix(source: DataSource) -> str:
    ways = []
    if source.package:
        ways.append(f"install it (Debian, Ubuntu: apt-get install {source.package})")
    home = cache()
    if home is not None:
        wanted = " ".join(d.name for d in source.downloads)
        ways.append(f"copy your files: mkdir -p {home / source.name} && cp {wanted} {home / source.name}/")
    ways.append(f"point at them with {Argument('data_dir', 'FOLDER')}")
    return ", or ".join([*ways, f"fetch them with {Argument('download', True)}"])
