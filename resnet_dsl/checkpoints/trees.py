"""Pickles and zip archives that hold tensors: torch.save's files, new and old, plain pickles of arrays, and numpy's .npz."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from resnet_dsl.checkpoints.archive import Member, directory, place
from resnet_dsl.checkpoints.pickles import Bytes, Entries, Machine
from resnet_dsl.checkpoints.rebuilt import CALLS, FileStorage, array, storage_of
from resnet_dsl.checkpoints.tensor import Span, Unsound

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that old files of torch.save begin with, as a pickle."""

_MAX_NPY_HEADER = 10_000


class OtherArchive(Exception):
    """A zip archive that is none of weights; `names` are those of its members."""

    def __init__(self, names: Mapping[str, Member]) -> None:
        self.names = names


def zipped(data: Bytes) -> object:
    """What a zip archive holds: torch.save's object, or the arrays of a .npz by name. Raises Unsound, OtherArchive."""
    members = directory(data)
    if members and all(name.endswith(".npy") for name in members):
        return Entries({name.removesuffix(".npy"): _npy(data, place(data, m, name)) for name, m in members.items()})
    roots = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    root = roots[0].removesuffix("data.pkl") if len(roots) == 1 else ""
    if not root or f"{root}constants.pkl" in members or any(name.startswith(f"{root}code/") for name in members):
        raise OtherArchive(members)
    if (order := members.get(f"{root}byteorder")) is not None:
        at = place(data, order, "byteorder")
        if data[at.start : at.start + min(at.length, 8)] != b"little":
            raise Unsound("was written on a machine with another order of bytes")
    storages: dict[str, FileStorage] = {}

    def load(asked: object) -> object:
        kind, key, numbers = _storage_asked(asked)
        if key not in storages:
            name = f"{root}data/{key}"
            if name not in members:
                raise Unsound(f"lacks the numbers of a tensor, {name[:60]!r}")
            storage = storage_of(kind, numbers)
            storage.at = at = place(data, members[name], name)
            if storage.length > at.length:
                raise Unsound(f"is damaged: a tensor has {storage.length:,} bytes, and {name[:60]!r} holds {at.length:,}")
            storages[key] = storage
        return storages[key]

    at = place(data, members[roots[0]], roots[0])
    return Machine(data, at.start, at.start + at.length, CALLS, load).run()


def _storage_asked(asked: object) -> tuple[object, str, object]:
    """The class, key and count of numbers of a persistent id: `("storage", class, key, device, numbers)`."""
    if not isinstance(asked, tuple) or len(asked) < 5 or asked[0] != "storage" or not isinstance(asked[2], str):
        raise Unsound("is no sound pickle")
    return asked[1], asked[2], asked[4]


def pickled(data: Bytes) -> object:
    """What a pickle holds; an old file of torch.save is several: a number, a version, the machine, the object, the storages' keys, and then the
    storages themselves. Raises Unsound.
    """
    storages: dict[str, FileStorage] = {}

    def load(asked: object) -> object:
        if isinstance(asked, tuple) and len(asked) > 1 and asked[0] == "module":
            return asked[1]
        kind, key, numbers = _storage_asked(asked)
        whole = storages.setdefault(key, storage_of(kind, numbers))
        view = asked[5] if isinstance(asked, tuple) and len(asked) > 5 else None
        if not isinstance(view, tuple):
            return whole
        # A part of a storage: (key, first, numbers).
        if len(view) != 3 or type(view[1]) is not int or type(view[2]) is not int or view[1] < 0:
            raise Unsound("is no sound pickle")
        return FileStorage(whole.dtype, view[2], whole=whole, first=view[1])

    machine = Machine(data, 0, len(data), CALLS, load)
    found = machine.run()
    if found != MAGIC or type(found) is not int:
        return found
    for _ in range(2):
        machine.run()
    found, keys = machine.run(), machine.run()
    if not isinstance(keys, list):
        raise Unsound("is no sound pickle")
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise Unsound("is no sound file of torch.save: it lists a storage that no tensor has")
        storage = storages[key]
        numbers = machine.number(8)
        if numbers != storage.numbers:
            raise Unsound(f"is damaged: a storage of {storage.numbers:,} numbers is there with {numbers:,}")
        storage.at = Span(machine.skip(storage.length), storage.length)
    return found


def _npy(data: Bytes, at: Span) -> object:
    """An array of numpy's own format (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Raises Unsound."""
    start = data[at.start : at.start + min(12, at.length)]
    if start[:6] != b"\x93NUMPY" or len(start) < 12:
        raise Unsound("is a .npz with a member that is no array")
    wide = start[6] >= 2
    length = int.from_bytes(start[8:12] if wide else start[8:10], "little")
    begin = at.start + (12 if wide else 10)
    if length > _MAX_NPY_HEADER or begin + length > at.start + at.length:
        raise Unsound("is a .npz with a member that is no array")
    try:
        header = ast.literal_eval(data[begin : begin + length].decode("latin1").strip())
        kind, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise Unsound("is a .npz with a member that is no array") from None
    rest = Span(begin + length, at.start + at.length - begin - length)
    return array(kind if isinstance(kind, str) else "", shape, rest, fortran=fortran is True)
