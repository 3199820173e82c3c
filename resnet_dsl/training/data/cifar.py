"""CIFAR-10 and CIFAR-100, from the binary or the python archive, packed or not.

The python version is a pickle, which may run any code when read. Here a pickle can build nothing but lists, dicts,
text, numbers and bytes: numpy's names are answered with stand-ins of our own, all others are refused.
"""

from __future__ import annotations

import gzip
import os
import pickle
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet_dsl.datasets.catalog import DataSource
from resnet_dsl.datasets.search import Found
from resnet_dsl.diagnostics import refuse
from resnet_dsl.files import open_regular
from resnet_dsl.training.data import tar
from resnet_dsl.training.data.dataset import Dataset, InMemory, dataset
from resnet_dsl.training.data.reading import MAX_BYTES, Bounded, blame, damaged, read

_PIXELS = 3 * 32 * 32

_MOST = 1 << 29
"""Bytes of an archive once unpacked; the published ones have less than 200 million."""
_FILES = 1000
"""Files in an archive; the published ones have 10."""

Bytes = npt.NDArray[np.uint8]
Labelled = tuple[Bytes, npt.NDArray[np.int64]]


def load(source: DataSource, found: Found) -> Dataset:
    """Training and test images of either data set. Raises SpecError (exit 3)."""
    files = _unpack(source, found.files[0]) if found.archive else [(p, read(p)) for p in found.files]
    names = source.classes
    if not names:
        *files, (path, content) = files
        names = _names(path, content)
    parse = _parse_binary if files[0][0].name.removesuffix(".gz").endswith(".bin") else _parse_pickle
    *train, test = [(path, *parse(path, content, len(names))) for path, content in files]
    pixels, labels = np.concatenate([x for _, x, _ in train]), np.concatenate([y for _, _, y in train])
    parts = (InMemory.of(pixels, labels, len(names), train[0][0]), InMemory.of(test[1], test[2], len(names), test[0]))
    return dataset(source.name, *parts, names, str(found.folder))


def _unpack(source: DataSource, archive: Path) -> list[tuple[Path, bytes]]:
    """The files of a layout, in whatever folder of an archive they lie, packed with gzip or not; nothing is written to disk."""
    wanted = {name for layout in source.layouts for name in layout}
    contents: dict[str, bytes] = {}
    with blame(archive), os.fdopen(open_regular(archive), "rb") as f:
        packed = f.read(2) == b"\x1f\x8b"
        f.seek(0)
        if not packed and archive.suffix in (".gz", ".tgz"):
            raise damaged(archive, "is not what its name says: it is not packed with gzip", "check that the file is what its ending says")
        stream = Bounded(gzip.GzipFile(fileobj=f) if packed else f, _MOST, archive)
        for count, (name, content) in enumerate(tar.files(stream, archive, MAX_BYTES, lambda name: _base(name) in wanted)):
            if content is not None:
                contents.setdefault(_base(name), content)
            if count > _FILES:
                raise damaged(
                    archive, f"holds over {_FILES:,} files, which is no archive of {source.name}", "check that it is the right one"
                )
        # To the very end, where gzip keeps its sum: what tar needs may be whole by then.
        while stream.read(MAX_BYTES >> 10):
            continue
    fullest = max(source.layouts, key=lambda layout: sum(name in contents for name in layout))
    if missing := [name for name in fullest if name not in contents]:
        raise damaged(archive, f"has no member {missing[0]}")
    return [(archive / name, contents[name]) for name in fullest]


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _names(path: Path, content: bytes) -> tuple[str, ...]:
    if path.name.removesuffix(".gz").endswith(".txt"):
        found: object = content.decode("ascii", "replace").split()
    else:
        found = _unpickle(path, content).get("fine_label_names")
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(n, str) for n in found):
        raise damaged(path, "holds no class names")
    return tuple(found)


def _parse_binary(path: Path, content: bytes, classes: int) -> Labelled:
    """Records of one label byte (CIFAR-100: two, coarse and fine) and 3,072 of red, green and blue rows."""
    record = _PIXELS + (1 if classes <= 10 else 2)
    if len(content) == 0 or len(content) % record:
        raise damaged(path, f"expected records of {record:,} bytes, found {len(content):,} bytes, {len(content) % record:,} too many")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, -_PIXELS:].reshape(-1, 3, 32, 32), rows[:, -_PIXELS - 1].astype(np.int64)


def _parse_pickle(path: Path, content: bytes, classes: int) -> Labelled:
    batch = _unpickle(path, content)
    data, labels = batch.get("data"), batch.get("labels" if classes <= 10 else "fine_labels")
    if not isinstance(data, _Array) or not isinstance(labels, list):
        raise damaged(path, "holds no 'data' and labels as CIFAR's batches do", "check that the file is a batch of the right data set")
    if data.shape is None or len(data.shape) != 2 or data.shape[1] != _PIXELS or len(data.raw) != data.shape[0] * _PIXELS:
        raise damaged(path, f"expected rows of {_PIXELS:,} bytes, found an array of shape {data.shape} in {len(data.raw):,} bytes")
    if len(labels) != data.shape[0]:
        raise damaged(path, f"holds {len(labels):,} labels, but {data.shape[0]:,} images")
    if not all(type(n) is int and abs(n) < 2**31 for n in labels):
        raise damaged(path, "holds labels that are not whole numbers")
    return np.frombuffer(data.raw, np.uint8).reshape(-1, 3, 32, 32), np.array(labels, np.int64)


class _Array:
    """Stands in for numpy.ndarray while a pickle is read: it keeps shape and bytes, and runs nothing of numpy."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] | None = None
        self.raw = b""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array's state has five parts")
        _, shape, dtype, fortran, raw = state
        sizes = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not sizes or not isinstance(dtype, _Dtype) or dtype.name not in ("u1", "|u1") or fortran:
            raise pickle.UnpicklingError("an array is not of bytes in C order")
        self.shape = shape
        self.raw = raw if isinstance(raw, bytes) else _latin1(raw)


class _Dtype:
    def __init__(self, name: object = "", *_: object) -> None:
        self.name = name

    def __setstate__(self, _: object) -> None:
        """What follows the name says no more about bytes."""


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _latin1(text: object, codec: object = "latin1") -> bytes:
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes are not written as latin-1 text")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
}


class _Refused(Exception):
    """A pickle asked for something that is no part of a CIFAR batch."""


# Not described to type checkers as far as it is used here.
_PythonUnpickler: Any = pickle._Unpickler


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """Python's own reader, not that in C: there a key may be tuples in tuples, which take for ever to hash, and a number says how much memory
    is taken. The keys of CIFAR's dicts are texts; sets are not among what it needs.
    """

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.append(_with({}, items))

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _with(self.stack[-1], [key, value])

    def _load_setitems(self) -> None:
        items = self.pop_mark()
        _with(self.stack[-1], items)

    def _load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, _Array | _Dtype):
            raise _Refused("a state for what is no array")
        made.__setstate__(state)

    dispatch: Mapping[int, Any] = {
        **{
            code: load for code, load in _PythonUnpickler.dispatch.items()
            if code not in (pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0], pickle.BYTEARRAY8[0])
        },
        pickle.DICT[0]: _load_dict,
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.BUILD[0]: _load_build,
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, _: Any) -> Any:
        raise _Refused("a persistent object")


def _with(made: object, items: list[Any]) -> dict[object, Any]:
    """A dict with more keys and values, which follow each other in `items`."""
    if not isinstance(made, dict) or not all(isinstance(key, str | bytes) for key in items[::2]):
        raise pickle.UnpicklingError("a key is no text")
    made.update(zip(items[::2], items[1::2], strict=True))
    return made


# What a damaged pickle has been seen to raise; the module's documentation says that the list is open.
_DAMAGED = (
    pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError, OverflowError,
    RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip


def _unpickle(path: Path, content: bytes) -> dict[str, object]:
    with blame(path):
        try:
            found = _Unpickler(BytesIO(content), encoding="latin1").load()
        except _Refused as e:
            raise refuse(
                "data-unsafe",
                f"is a pickle that asks for {str(e)[:100]}, which no CIFAR file needs: refused, nothing was run",
                "do not trust this file; download the archive again, or use the binary version",
                at=path,
                exit_code=3,
            ) from None
        except _DAMAGED as e:
            raise damaged(path, f"is not a readable pickle: {str(e)[:120] or type(e).__name__}") from None
    if not isinstance(found, dict):
        raise damaged(path, "is a pickle, but not of a CIFAR batch", "check that the file is the right one")
    return {(k.decode("latin1") if isinstance(k, bytes) else str(k)): v for k, v in found.items()}
