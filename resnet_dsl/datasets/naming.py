"""How data is named: `--data digits`, `--data photos/`, `--data cells.npz`, `--data x.npy,y.npy`, `--data package.module:make`.

One table says what a text means; the same texts stand on the command line, in Python, in study files and in run.json. Nothing is read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import COMMAND_LINE, Argument, SpecError, call, did_you_mean, either, quote, refuse, speak

Kind = Literal["shipped", "pictures", "shards", "arrays", "code"]

FORMS: Mapping[str, str] = {
    "FOLDER/": "your own pictures, a folder for each class; or a folder of arrays, x.npy and y.npy",
    "FILE.npz": "arrays x and y; or x_train, y_train, x_test and y_test; other usual names are understood",
    "x.npy,y.npy": "arrays in files of their own, read as far as they are needed; or four files, training and test",
    "PACKAGE.MODULE:NAME": "what your own function gives: arrays, or a torch Dataset of (image, label); it is run",
}
"""How data of one's own is named, and what is read."""

METAVAR = "NAME|PATH|MODULE:NAME"

DATA = f"{', '.join(name for name, source in SOURCES.items() if source.shape)}, a folder of pictures, FILE.npz, x.npy,y.npy, or your own code, MODULE:NAME, which is run"
"""The help of an option that names data."""

_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_BRACES = re.compile(r"\{\d+\.\.\d+\}")

ARRAYS, DATASET = "(arrays)", "(dataset)"
"""What run.json has in place of a name where Python gave the data."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Given:
    """Data that Python gave in place of a name: arrays, a mapping of them, or a map-style Dataset."""

    value: object

    def __str__(self) -> str:
        inner = list(self.value.values()) if isinstance(self.value, Mapping) else [self.value]
        plain = all(isinstance(v, tuple | list | str) or v is None or hasattr(v, "__array__") or hasattr(v, "shape") for v in inner)
        return ARRAYS if plain else DATASET

    def __repr__(self) -> str:
        return str(self)


Data = str | Given


@dataclass(frozen=True, slots=True)
class Named:
    """What a text names. `paths` are the files or the folder of the kinds that lie somewhere."""

    kind: Kind
    text: str
    paths: tuple[Path, ...] = ()

    @property
    def absolute(self) -> str:
        """The same name wherever the process stands."""
        return ",".join(str(Path(os.path.abspath(p))) for p in self.paths) or self.text

    @property
    def short(self) -> str:
        """What the data is called in a line of text: a file's name without its ending."""
        return short(self.text)


def short(text: str) -> str:
    """What data of this name is called in a line of text."""
    if text in SOURCES or _CODE.match(text) or text in (ARRAYS, DATASET):
        return text.strip("()")
    first = Path(_BRACES.split(text.split(",")[0])[0].rstrip("-_."))
    folder = first.suffix == ".npy" and "," in text
    return (first.absolute().parent.name if folder else first.stem if first.suffix in (".npz", ".npy") else first.name) or text


def taken(value: object) -> Data | None:
    """What was given as data, in one form: a name, or a value that Python gave."""
    if value is None or isinstance(value, str | Given):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else Given(value)


def named(text: str) -> Named:
    """What a name of data means. Raises SpecError: exit 2 for no name of any kind, 3 for a path where nothing lies."""
    if text in SOURCES:
        return Named("shipped", text)
    if text in (ARRAYS, DATASET):
        raise _not_kept(text)
    path = Path(text)
    if text.strip() and _exists(path):
        return _at(path, text)
    if _CODE.match(text):
        return Named("code", text)
    if _BRACES.search(text):
        return Named("shards", text, (path,))
    parts = [Path(p.strip()) for p in text.split(",")]
    if all(p.suffix == ".npy" for p in parts):
        return _arrays(parts, text)
    if text.strip() and (path.suffix or os.sep in text or (os.altsep or os.sep) in text):
        help = "check the path; `resnet-dsl list data` shows the ways in which data is named"
        raise refuse("data-missing", f"no such file or folder: {quote(text)}", help, at=Argument("data"), exit_code=3)
    help = did_you_mean(text, SOURCES, what="a data set")
    raise refuse("unknown-name", f"{quote(text)} is not a data set, and no file or folder of that name is here", help, at=Argument("data"))


def is_own(text: str) -> bool:
    """Is this the name of somebody's own data: something that lies there, or code?"""
    paths = [Path(p.strip()) for p in text.split(",")]
    return text not in SOURCES and (all(map(_exists, paths)) or _CODE.match(text) is not None)


def in_files(data: Data) -> bool:
    """Are the images pictures that stay in their files? Raises SpecError as `named`."""
    if not isinstance(data, str):
        return False
    what = named(data)
    return what.kind not in ("arrays", "code") and (what.kind != "shipped" or (not SOURCES[what.text].layouts and what.text != "digits"))


def recorded(text: str) -> str:
    """The data that a file names, a run's record say: never code, which runs only where somebody typed it. Raises SpecError (exit 2)."""
    if text in (ARRAYS, DATASET):
        raise _not_kept(text)
    if text not in SOURCES and _CODE.match(text) and not _exists(Path(text)):
        problem = f"the data is what {quote(text)} gives, and code that a file names is not run"
        raise refuse("data-code", problem, f"type it: {Argument('data', text)}", at=Argument("data"))
    return text


def _not_kept(text: str) -> SpecError:
    what = "arrays" if text == ARRAYS else "a Dataset"
    data = "(X, y)" if text == ARRAYS else "dataset"
    line = speak(call("train", Argument("resume", True), "RUN", data="FILE.npz"), COMMAND_LINE)
    help = f"give it again: {either(f'data={data}', '--data FILE.npz, or --data PACKAGE.MODULE:NAME')}; to resume a run: "
    help += either(f"rd.train(RUN, {data}, resume=True)", line)
    return refuse("data-missing", f"the data is {what} that Python gave, which no file keeps", help, at=Argument("data"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no system has
        return False


def _at(path: Path, text: str) -> Named:
    """What lies at a path."""
    if path.is_dir():
        arrays = sorted(p for p in path.iterdir() if p.suffix == ".npy")
        if arrays:
            return Named("arrays", text, (path,))
        if (path / "index.json").is_file():
            return Named("shards", text, (path,))
        if not any(p.is_dir() for p in path.iterdir()) and (files := sorted(p for p in path.iterdir() if p.suffix == ".npz")):
            help = f"name the file: {Argument('data', str(files[0]))}"
            raise refuse("data-missing", f"is a folder that holds {len(files)} .npz files", help, at=text, exit_code=3)
        return Named("pictures", text, (path,))
    if path.suffix == ".npz":
        return Named("arrays", text, (path,))
    if path.suffix == ".tar":
        return Named("shards", text, (path,))
    if path.suffix == ".npy":
        return _arrays([path], text)
    raise refuse("data-kind", f"a file that ends in {quote(path.suffix)} is not read as data", _instead(path), at=text, exit_code=3)


def _arrays(paths: list[Path], text: str) -> Named:
    if len(paths) not in (2, 4):
        help = f"name images and labels: {Argument('data', 'x.npy,y.npy')}, or the same of training and then of test"
        raise refuse("data-kind", f"{len(paths)} .npy file{'s' * (len(paths) != 1)} are no data set", help, at=Argument("data"))
    for path in paths:
        if not _exists(path):
            raise refuse("data-missing", f"no such file: {quote(str(path))}", "check the path", at=Argument("data"), exit_code=3)
    return Named("arrays", text, tuple(paths))


_INSTEAD: Mapping[str, str] = {
    ".csv": "x, y = table[:, :-1], table[:, -1].astype(int)",
    ".pt": "x, y = torch.load(FILE)",
    ".pth": "x, y = torch.load(FILE)",
    ".mat": "x, y = file['x'], file['y']",
    ".h5": "x, y = file['x'][:], file['y'][:]",
    ".hdf5": "x, y = file['x'][:], file['y'][:]",
    ".pkl": "x, y = pickle.load(file)",
    ".parquet": "x, y = table[:, :-1], table[:, -1]",
}


def _instead(path: Path) -> str:
    read = _INSTEAD.get(path.suffix.lower())
    way = f"write what is in it as arrays, {read}: " if read else "write it as arrays: "
    return f'{way}np.savez("{path.stem}.npz", x=x, y=y)'
