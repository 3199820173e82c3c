"""Where a data set lies on this machine, and a message that helps where it does not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.datasets.catalog import DataSource
from resnet_dsl.diagnostics import Argument, refuse

ENVIRONMENT = "RESNET_DSL_DATA"
_SYSTEM = Path("/usr/share/datasets")


@dataclass(frozen=True, slots=True)
class Found:
    """A folder that holds a complete layout of a data set, and that layout's files (with `.gz` where they have it)."""

    folder: Path
    files: tuple[Path, ...]


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
        folders = [root / f for f in source.folders]
        partly = ""
        for folder in folders:
            for layout in source.layouts:
                here = [_at(folder / name) for name in layout]
                files = tuple(p for p in here if p is not None)
                if len(files) == len(layout):
                    return Found(folder, files)
                if files and not partly:
                    missing = next(name for name, p in zip(layout, here, strict=True) if p is None)
                    partly = f"{folder} has {files[0].name} but not {missing}"
        state = partly or ("none of its files there" if root.is_dir() else "no such folder")
        tried.append(f"  {root} ({why}): {state}")
    raise refuse("data-missing", "not found on this machine; searched:\n" + "\n".join(tried), _fix(source), at=source.name, exit_code=3)


def _at(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return path if path.is_file() else packed if packed.is_file() else None


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
