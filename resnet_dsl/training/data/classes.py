"""Which part of a folder of pictures is for training and which for the test, and which picture is of which class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_dsl.diagnostics import SpecError, inline, quote, refuse, setting
from resnet_dsl.files import open_regular
from resnet_dsl.records.leftout import Tally
from resnet_dsl.training.data.listing import File, count_below, direct_files, pictures_below, subfolders
from resnet_dsl.training.data.opening import ENDINGS
from resnet_dsl.training.data.reading import blame, damaged

_TRAIN = ("train", "training")
_TEST = ("val", "valid", "validation", "test", "testing")
"""What people call the parts, however they write it; of several for the test the first is taken."""

_MANY = 10_000
"""Class folders from which on their number is compared with the network's before anything is listed."""

_ANNOTATIONS = "val_annotations.txt"
_LONGEST = 1 << 24
"""Bytes of annotations that are read."""

_FORM = "put the pictures of each class into a folder of its own: FOLDER/train/<class>/ and FOLDER/val/<class>/, or FOLDER/<class>/"


@dataclass(frozen=True, slots=True, eq=False)
class ClassedFiles:
    """The pictures of a part, their paths below `root`, and the label (N,) int64 of each."""

    root: Path
    files: tuple[File, ...]
    labels: npt.NDArray[np.int64]

    def split(self, out: npt.NDArray[np.int64]) -> tuple[ClassedFiles, ClassedFiles]:
        """What stays, and what is taken out."""
        stays = np.ones(len(self.files), bool)
        stays[out] = False
        return self._take(np.flatnonzero(stays)), self._take(out)

    def _take(self, positions: npt.NDArray[np.int64]) -> ClassedFiles:
        return ClassedFiles(self.root, tuple(self.files[i] for i in positions.tolist()), self.labels[positions])

    def absent(self, names: Sequence[str]) -> list[str]:
        """The classes without pictures."""
        seen = np.bincount(self.labels, minlength=len(names))
        return [name for name, n in zip(names, seen.tolist(), strict=True) if not n]


def parts_of(folder: Path, tally: Tally, classes: int | None) -> tuple[ClassedFiles, ClassedFiles | None, tuple[str, ...]]:
    """The pictures for training and for the test (None: the folder has no such part), and the classes; all else goes into `tally`.

    `classes` is the number of the network's, None for any. Raises SpecError (exit 3; 2 for another number of classes).
    """
    _require_folder(folder)
    inside = subfolders(folder)
    known = {name.lower(): name for name in reversed(inside)}
    train = next((known[n] for n in _TRAIN if n in known), None)
    test = next((known[n] for n in _TEST if n in known), None)
    if train is None and test is not None:
        raise refuse("data-missing", "no folder train/ in it", f"beside {test}/ there must be train/<class>/", at=folder, exit_code=3)
    if train is None:
        names = _classes(folder, inside, classes)
        return _part(folder, names, tally, ""), None, names
    direct_files(folder, tally, f"beside the folder {train}")
    for name in inside:
        if name not in (train, test):
            count_below(folder / name, tally, f"in {name[:40]}, which is no part that is used", name)
    names = _classes(folder / train, subfolders(folder / train), classes)
    found = _part(folder / train, names, tally, f"{train}/")
    return found, None if test is None else _test_part(folder / test, names, tally, f"{test}/"), names


def _require_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.exists() or folder.is_symlink():
        raise refuse(
            "data-missing", "is no folder; pictures lie in one", f"unpack it, if it is an archive; {_FORM}", at=folder, exit_code=3
        )
    raise refuse("data-missing", "no such folder", "check the path", at=folder, exit_code=3)


def _classes(root: Path, names: list[str], wanted: int | None) -> tuple[str, ...]:
    if len(names) < 2:
        raise _too_few(root, names)
    if wanted is not None and len(names) > _MANY and len(names) != wanted:
        message = f"holds {len(names):,} class folders, the network has {wanted:,} classes"
        raise refuse("data-fit", message, f"check the folder, or use {setting('classes', str(len(names)))}", at=root)
    return tuple(names)


def _too_few(root: Path, names: list[str]) -> SpecError:
    pictures = direct_files(root, Tally(), "")
    if not names and pictures:
        what = f"holds {pictures:,} picture{'' if pictures == 1 else 's'} and no class folders"
        return refuse("data-missing", what, _FORM, at=root, exit_code=3)
    help = _FORM
    if len(names) == 1 and len(below := subfolders(root / names[0])) > 1:
        help = f"give the folder in it, if its folders {', '.join(inline(n) for n in below[:3])} are what you mean: {root / names[0]}"
    what = f"holds {'no class folder' if not names else 'one class folder'}; at least 2 are needed"
    return refuse("data-missing", what, help, at=root, exit_code=3)


def _part(root: Path, names: tuple[str, ...], tally: Tally, told: str) -> ClassedFiles:
    """Every picture below a class folder. Raises SpecError (exit 3) where a class has none."""
    part = _listed(root, names, names, tally, told)
    if not part.files:
        raise refuse("data-missing", "holds no pictures" + _what_there_is(tally), _endings(), at=root, exit_code=3)
    if empty := part.absent(names):
        listed = ", ".join(inline(n[:40]) for n in empty[:5]) + (", ..." if len(empty) > 5 else "")
        message = (
            f"{len(empty):,} of {len(names):,} class folders hold{'s' if len(empty) == 1 else ''} no pictures: {listed}"
            + _what_there_is(tally)
        )
        raise refuse("data-missing", message, "put pictures into them, or remove them", at=root, exit_code=3)
    return part


def _listed(root: Path, names: tuple[str, ...], there: Sequence[str], tally: Tally, told: str) -> ClassedFiles:
    files: list[File] = []
    labels: list[npt.NDArray[np.int64]] = []
    present = set(there)
    for label, name in enumerate(names):
        found = pictures_below(root, name, tally, told) if name in present else []
        files += found
        labels.append(np.full(len(found), label, np.int64))
    direct_files(root, tally, "below no class folder", told)
    return ClassedFiles(root, tuple(files), np.concatenate(labels))


def _test_part(root: Path, names: tuple[str, ...], tally: Tally, told: str) -> ClassedFiles:
    inside = subfolders(root)
    if inside == ["images"] and "images" not in names and (root / _ANNOTATIONS).is_file():
        return _annotated(root, names, tally, told)
    if strange := [name for name in inside if name not in set(names)]:
        raise refuse(
            "data-damaged", f"has a class {inline(strange[0][:40])} that {root.parent / 'train'} lacks",
            "use the same class folders in both", at=root, exit_code=3,
        )  # fmt: skip
    if not inside and (pictures := direct_files(root, Tally(), "")):
        raise refuse(
            "data-missing", f"holds {pictures:,} picture{'' if pictures == 1 else 's'}, but no class folders",
            f"sort them into {root.name}/<class>/, with the class folders of train; or take {root.name}/ away, and a share of train is held out",
            at=root, exit_code=3,
        )  # fmt: skip
    part = _listed(root, names, inside, tally, told)
    if not part.files:
        raise refuse("data-missing", "holds no pictures" + _what_there_is(tally), _endings(), at=root, exit_code=3)
    return part


def _annotated(root: Path, names: tuple[str, ...], tally: Tally, told: str) -> ClassedFiles:
    """The pictures of Tiny ImageNet's val/: in one folder, the class of each in a file beside it. Raises SpecError (exit 3)."""
    path = root / _ANNOTATIONS
    with blame(path), os.fdopen(open_regular(path), "rb") as f:
        text = f.read(_LONGEST).decode("utf-8", "replace")
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    numbers = {name: i for i, name in enumerate(names)}
    labels = {row[0]: numbers.get(row[1]) for row in rows if len(row) > 1}
    if wrong := next((row for row in rows if len(row) < 2 or row[1] not in numbers), None):
        raise damaged(path, f"names no class of train: {quote(' '.join(wrong[:2]))}", "take train/ and val/ from one source")
    files = []
    for file in pictures_below(root, "images", tally, told):
        if labels.get(os.path.basename(file.path)) is None:
            tally.add(f"not in {_ANNOTATIONS}", f"{told}{file.path}")
        else:
            files.append(file)
    direct_files(root, tally, "below no class folder", told, besides=(_ANNOTATIONS,))
    return ClassedFiles(root, tuple(files), np.array([labels[os.path.basename(f.path)] for f in files], np.int64))


def _what_there_is(tally: Tally) -> str:
    """What was found in place of pictures."""
    found = [f"{x.files:,} {x.reason}" for x in tally.found()[:3]]
    return f" (files there: {', '.join(found)})" if found else ""


def _endings() -> str:
    return f"pictures end in {', '.join(sorted(ENDINGS))}"
