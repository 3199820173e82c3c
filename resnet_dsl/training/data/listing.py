"""The pictures below a folder, at any depth, and a count of what else lies there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.records.leftout import Tally
from resnet_dsl.training.data.opening import ENDINGS
from resnet_dsl.training.data.reading import blame

_DEEPEST = 32
"""Folders below each other that are looked into."""

_MADE_BY_PROGRAMS = frozenset(("__macosx", "@eadir", "__pycache__", "lost+found", "$recycle.bin", "system volume information"))


@dataclass(frozen=True, slots=True)
class File:
    """A picture's file: its path relative to where the search began, and its size in bytes."""

    path: str
    bytes: int


def is_folder_of_files(name: str) -> bool:
    """Whether a folder of this name may hold pictures: it is not hidden, and none that archives, file systems and programs leave behind."""
    return not name.startswith(".") and name.lower() not in _MADE_BY_PROGRAMS


def subfolders(folder: Path) -> list[str]:
    """The folders in a folder that may hold pictures, by name. Raises SpecError (exit 3)."""
    with blame(folder), os.scandir(folder) as entries:
        return sorted(e.name for e in entries if is_folder_of_files(e.name) and e.is_dir())


def pictures_below(root: Path, inside: str, tally: Tally, told: str = "") -> list[File]:
    """The pictures in the folder `inside` of `root` and below it, by name; all else goes into `tally`, its paths below `told`.

    Links to folders are followed, but never in a circle. Raises SpecError (exit 3).
    """
    found: list[File] = []
    for place, entry in _files(root / inside, inside, (), tally, told):
        if (reason := _reason(entry)) is not None:
            tally.add(reason, f"{told}{place}")
        else:
            found.append(File(place, entry.stat().st_size))
    return found


def direct_files(folder: Path, tally: Tally, reason: str, told: str = "", besides: Sequence[str] = ()) -> int:
    """Count what lies directly in a folder of classes into `tally`: pictures for `reason`, all else as anywhere. Gives the pictures."""
    pictures = 0
    with blame(folder), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_dir():
                if not is_folder_of_files(entry.name):
                    _count_folder(Path(entry.path), f"{told}{entry.name}", tally)
            elif entry.name not in besides:
                why = _reason(entry)
                pictures += why is None
                tally.add(why or reason, f"{told}{entry.name}")
    return pictures


def count_below(folder: Path, tally: Tally, reason: str, told: str) -> None:
    """Count all files below a folder that is not read into `tally`."""
    if files := sum(len(names) for _, _, names in os.walk(folder)):
        tally.add(reason, told, files)


def _files(folder: Path, place: str, above: tuple[tuple[int, int], ...], tally: Tally, told: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with blame(folder):
        status = os.stat(folder)
        here = (status.st_dev, status.st_ino)
        if here in above or len(above) >= _DEEPEST:
            tally.add("in links in a circle, or too deep", f"{told}{place}")
            return
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda e: e.name)
    for entry in inside:
        path = f"{place}/{entry.name}" if place else entry.name
        with blame(entry.path):
            is_folder = entry.is_dir()
        if not is_folder:
            yield path, entry
        elif is_folder_of_files(entry.name):
            yield from _files(Path(entry.path), path, (*above, here), tally, told)
        else:
            _count_folder(Path(entry.path), f"{told}{path}", tally)


def _count_folder(folder: Path, told: str, tally: Tally) -> None:
    hidden = folder.name.startswith(".")
    count_below(folder, tally, "in hidden folders" if hidden else f"in folders {folder.name}", told)


def _reason(entry: os.DirEntry[str]) -> str | None:
    """Why a file is no picture to read; None where it is one."""
    if entry.name.startswith("."):
        return "hidden"
    ending = os.path.splitext(entry.name)[1].lower()
    if ending not in ENDINGS:
        return f"ending in {ending[:12]}" if ending else "without an ending"
    try:
        status = entry.stat()
    except OSError:
        return "linked to nothing"
    if not stat.S_ISREG(status.st_mode):
        return "not regular"
    return None if status.st_size else "empty"
