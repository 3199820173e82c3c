"""One reader for files of weights: the names, types, shapes and places of a state_dict's tensors. No tensor is read, and nothing is run."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.checkpoints.archive import Member
from resnet_dsl.checkpoints.states import State, at, entries_of, states
from resnet_dsl.checkpoints.tensor import FileTensor, Span, Unsound, dense
from resnet_dsl.checkpoints.trees import OtherArchive, pickled, zipped
from resnet_dsl.diagnostics import Argument, SpecError, did_you_mean, quote, refuse
from resnet_dsl.filekinds import FileKind, is_text, recognise
from resnet_dsl.files import open_regular
from resnet_dsl.language.stored import read_header
from resnet_dsl.system import read_at

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of one state_dict of a file, by name, in the file's order. `metadata` is a safetensors file's.

    `key` is where in the file they are, `""` where they are all that it holds. `said` is what a user should know of what was taken.
    `version` tells whether the file is still the one that was read.
    """

    path: Path
    tensors: Mapping[str, FileTensor]
    metadata: Mapping[str, str]
    key: str
    said: tuple[str, ...]
    version: tuple[int, ...]


def read(path: Path | str, key: str | None = None) -> Checkpoint:
    """The state_dict in a file, or of several the one at `key`: its keys in the file, with dots between.

    Read are safetensors, torch.save's files of all times, whatever else is in them, pickles of arrays, and .npz. Raises SpecError: exit 3 where
    the file is missing, damaged or none of weights, 2 where there are several state_dicts, or none at `key`.
    """
    path = Path(path)
    fd = opened(path)
    try:
        version = version_of(fd)
        kind = _kind(fd, version[0], path)
        if kind.form == "safetensors":
            return _safetensors(path, version, key)
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
            root = zipped(data) if kind.form == "zip" else pickled(data)
            name, state = _chosen(root, key, path)
    except OSError as e:
        raise _unreadable(path, e) from None
    except OtherArchive as e:
        raise _other_archive(path, e.names) from None
    except (Unsound, RecursionError) as e:
        raise damaged(path, e if isinstance(e, Unsound) else Unsound("is nested too deep")) from None
    finally:
        os.close(fd)
    return Checkpoint(path, usable(state.tensors, path), {}, name, _said(state, name), version)


def opened(path: Path) -> int:
    """The descriptor of a regular file. Raises SpecError (exit 3)."""
    try:
        return open_regular(path)
    except (OSError, ValueError) as e:
        raise _unreadable(path, e) from None


def _unreadable(path: Path, e: OSError | ValueError) -> SpecError:
    reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
    return refuse("weights-missing", f"cannot be read: {reason}", "check the path", at=path, exit_code=3)


def version_of(fd: int) -> tuple[int, ...]:
    """A file's size, when it was changed, and which one it is."""
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def damaged(path: Path | str, why: Unsound) -> SpecError:
    """The error for a file that is not whole, or not sound."""
    return refuse("weights-damaged", str(why), why.help, at=path, exit_code=3)


def _kind(fd: int, size: int, path: Path) -> FileKind:
    """What the file is. Raises SpecError where it is none of weights."""
    start, end = read_at(fd, 512, 0), read_at(fd, 8, max(0, size - 8))
    kind = recognise(start, end, size)
    if kind is not None and kind.form:
        return kind
    if kind is None:
        if size < 16:
            raise damaged(path, Unsound(f"is cut short: it has {size} bytes"))
        known = (
            "is a text file, and not weights"
            if is_text(start)
            else f"is no file of weights that is known; it begins with {start[:8].hex(' ')}"
        )
        kind = FileKind(known, "give a .safetensors file, or one that torch.save wrote")
    raise refuse("not-weights", kind.what, kind.help.replace("FILE", path.name), at=path, exit_code=3)


def _other_archive(path: Path, names: Mapping[str, Member]) -> SpecError:
    """The error for a zip archive of something else."""
    shown = ", ".join(name[:40] for name in list(names)[:3])
    what, help = f"is a zip archive without weights: it holds {shown or 'nothing'}", "give the file of weights, or unpack it first"
    if any(name.endswith("/constants.pkl") for name in names):
        what = "is TorchScript, a program with its weights"
        help = f"save its state_dict, in Python: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth')"
    elif any(name.endswith(("archive_format", "serialized_exported_program.json", "models/model.json")) for name in names):
        what = "is a program of torch.export"
        help = f"save its state_dict, in Python: torch.save(torch.export.load({path.name!r}).state_dict, 'weights.pth')"
    elif any(name.endswith("model.weights.h5") for name in names):
        what, help = "is a Keras file", "load it where it was made, and save its arrays by name: numpy.savez('weights.npz', **arrays)"
    elif inner := next((name for name in names if name.endswith((".pth", ".pt", ".bin", ".ckpt", ".safetensors"))), None):
        help = f"unpack it first, and give {inner[:60]}"
    return refuse("not-weights", what, help, at=path, exit_code=3)


def _safetensors(path: Path, version: tuple[int, ...], key: str | None) -> Checkpoint:
    header = read_header(str(path))
    if key is not None:
        raise refuse("usage", f"{path}: a safetensors file holds one set of tensors", f"leave out {Argument('key')}", at=Argument("key"))
    tensors = {}
    for name, t in header.tensors.items():
        dtype = _DTYPES.get(t.dtype, "")
        problem = "" if dtype else f"holds {t.dtype} numbers" if t.dtype != "C64" else "is complex"
        tensors[name] = FileTensor(dtype or t.dtype, t.shape, dense(t.shape), 0, Span(t.start, t.length), problem)
    return Checkpoint(path, usable(tensors, path), header.metadata, "", (), version)


def _chosen(root: object, key: str | None, path: Path) -> tuple[str, State]:
    """The one state_dict in what a file holds, or in what is at `key`, and where it is. Raises SpecError."""
    found = states(root)
    if key is not None:
        inside = states(at(root, key))
        if not found:
            inside = {}
        elif not inside:
            help = (
                did_you_mean(key, found, what="a key")
                if any(found)
                else f"it holds one state_dict, without a key: leave out {Argument('key')}"
            )
            raise refuse("unknown-name", f"{path} has no state_dict at {quote(key)}", help, at=Argument("key"))
        found = {f"{key}.{inner}" if inner else key: state for inner, state in inside.items()}
    if len(found) == 1:
        return next(iter(found.items()))
    if not found:
        kind, keys = _contents(root)
        raise refuse(
            "not-weights", f"holds no tensors by name: it is {kind}{f' of {keys}' if keys else ''}",
            "save the state_dict: torch.save(model.state_dict(), 'weights.pth')", at=path, exit_code=3,
        )  # fmt: skip
    counts = [f"{name} ({len(state.tensors):,} tensors)" for name, state in list(found.items())[:_SHOWN]]
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    help = f"say which: {Argument('key', next(iter(found)))}"
    raise refuse("weights-several", f"holds several state_dicts: {', '.join(counts)}{more}", help, at=path)


def _contents(root: object) -> tuple[str, str]:
    keys = entries_of(root)
    kind = "a list" if isinstance(root, list | tuple) else "a dict" if keys else "something else"
    return kind, ", ".join(quote(k[:40]) for k in list(keys)[:5]) if not isinstance(root, list | tuple) else ""


def _said(state: State, name: str) -> tuple[str, ...]:
    said = []
    if state.module:
        said.append("its tensors are taken from a module that was saved whole; nothing of it was run")
    if state.left:
        shown = ", ".join(state.left[:3])
        said.append(f"left out, since they are no tensors: {shown}{f' and {len(state.left) - 3:,} more' if len(state.left) > 3 else ''}")
    return tuple(said)


def usable(tensors: Mapping[str, FileTensor], path: Path) -> Mapping[str, FileTensor]:
    """The tensors; each is dense and real. Raises SpecError (exit 3) that names the first of another kind."""
    odd = next(((name, t) for name, t in tensors.items() if t.problem), None)
    if odd is not None:
        name, t = odd
        damage = t.problem.startswith("reaches")
        help = (
            "download or copy the file again"
            if damage
            else "save it as a dense tensor of real numbers: t.to_dense(), t.float(), t.contiguous()"
        )
        raise refuse("weights-damaged" if damage else "weights-tensors", f"{quote(name)} {t.problem}", help, at=path, exit_code=3)
    return tensors
