"""The globals of a pickle that stand for tensors: what torch and numpy would make of them, as places in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from resnet_dsl.checkpoints.pickles import Call, Global, Made
from resnet_dsl.checkpoints.tensor import BYTES, FileTensor, Span, Unsound, dense, is_shape, placed

STORAGES: Mapping[str, str] = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8",
    "Byte": "uint8", "Bool": "bool", "ComplexDouble": "complex128", "ComplexFloat": "complex64", "QInt8": "qint8", "QUInt8": "quint8",
    "QInt32": "qint32", "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4",
}  # fmt: skip
"""The type of a storage's numbers, by the beginning of its class's name."""

_SIZES: Mapping[str, int] = {
    **BYTES, "complex128": 16, "complex64": 8, "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip
_NUMPY: Mapping[str, str] = {
    "f8": "float64", "f4": "float32", "f2": "float16", "i8": "int64", "i4": "int32", "i2": "int16", "i1": "int8",
    "u8": "uint64", "u4": "uint32", "u2": "uint16", "u1": "uint8", "b1": "bool",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class FileStorage:
    """The numbers that tensors are views of: so many of a type (`""`: bytes). `at` is where they lie, once that is known.

    A part of another storage begins at its number `first`.
    """

    dtype: str
    numbers: int
    at: Span | bytes = b""
    whole: FileStorage | None = None
    first: int = 0

    @property
    def length(self) -> int:
        """Bytes."""
        return self.numbers * (_SIZES[self.dtype] if self.dtype else 1)


@dataclass(frozen=True, slots=True, eq=False)
class FileView:
    """A tensor over a storage whose place may not be known yet."""

    dtype: str
    storage: FileStorage
    first: object
    shape: object
    stride: object
    problem: str = ""

    def placed(self) -> FileTensor:
        """The tensor. Raises Unsound."""
        size = _SIZES.get(self.dtype, 1)
        if type(self.first) is not int:
            raise Unsound("holds a tensor without a shape")
        whole = self.storage.whole or self.storage
        t = placed(self.dtype, self.shape, self.stride, self.first + self.storage.first, whole.at, whole.length // size)
        return replace(t, problem=self.problem) if self.problem else t


def storage_of(kind: object, numbers: object) -> FileStorage:
    """A storage, by the global of its class. Raises Unsound."""
    name = kind.name.rpartition(".")[2] if isinstance(kind, Global) else ""
    dtype = "" if name == "UntypedStorage" else STORAGES.get(name.removesuffix("Storage"))
    if dtype is None or not name.endswith("Storage") or type(numbers) is not int or not 0 <= numbers < 1 << 60:
        raise Unsound(f"holds a storage of an unknown type, {name[:40]!r}")
    return FileStorage(dtype, numbers)


def _tensor(args: tuple[object, ...]) -> object:
    """`_rebuild_tensor(storage, first, shape, stride)` and `_rebuild_tensor_v2(..., requires_grad, hooks, metadata)`."""
    storage, first, shape, stride = args[:4]
    if not isinstance(storage, FileStorage):
        raise Unsound("holds a tensor without its numbers")
    flags = args[6] if len(args) > 6 else None
    marks = flags.entries if hasattr(flags, "entries") else {}
    problem = "is a complex conjugate or a negative that was not computed" if marks.get("conj") or marks.get("neg") else ""
    return FileView(storage.dtype or "uint8", storage, first, shape, stride, problem)


def _typed_tensor(args: tuple[object, ...]) -> object:
    """`_rebuild_tensor_v3(storage, first, shape, stride, requires_grad, hooks, dtype)`: the storage is of bytes."""
    storage, first, shape, stride = args[:4]
    if not isinstance(storage, FileStorage):
        raise Unsound("holds a tensor without its numbers")
    return FileView(_dtype(args[6]), storage, first, shape, stride)


def _dtype(named: object) -> str:
    return named.name.removeprefix("torch.") if isinstance(named, Global) else "unknown"


def _other(problem: str, shape_at: int, *inside: int) -> Call:
    """A tensor of a kind that a network cannot hold; its shape is the argument at `shape_at`, or within the arguments there."""

    def made(args: tuple[object, ...]) -> object:
        found: object = args
        for i in (*inside, shape_at):
            found = found[i] if isinstance(found, tuple) and -len(found) <= i < len(found) else ()
        return FileTensor("float32", found if isinstance(found, tuple) and is_shape(found) else (), problem=problem)

    return made


def _sparse(args: tuple[object, ...]) -> object:
    # COO: (indices, values, shape, coalesced); compressed: (rows, columns, values, shape).
    within = args[1] if len(args) > 1 and isinstance(args[1], tuple) else ()
    shape = next((x for x in within[2:] if isinstance(x, tuple) and is_shape(x)), ())
    return FileTensor("float32", shape, problem="is sparse")


def _subclass(args: tuple[object, ...]) -> object:
    """`_rebuild_from_type_v2(call, type, args, state)`: a tensor with attributes, or of a class of its own."""
    of, _, given = args[:3]
    call = CALLS.get(of.name) if isinstance(of, Global) else None
    return call(given) if call is not None and isinstance(given, tuple) and call is not _subclass else Made("")


def _encoded(args: tuple[object, ...]) -> object:
    """`_codecs.encode(text, "latin1")`: how protocol 2 writes bytes."""
    text = args[0]
    if isinstance(text, str):
        return text.encode("latin1", "replace")
    return text


CALLS: Mapping[str, Call] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": lambda args: args[0],
    "torch._utils._rebuild_parameter_with_state": lambda args: args[0],
    "torch._tensor._rebuild_from_type": lambda args: _subclass((args[0], args[1], args[2])),
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch._utils._rebuild_qtensor": _other("is quantized", 2),
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_sparse_csr_tensor": _sparse,
    "torch._utils._rebuild_nested_tensor": _other("is nested", 0),
    "torch._utils._rebuild_meta_tensor_no_storage": _other("has no numbers (it was saved from the meta device)", 1),
    "torch._utils._rebuild_wrapper_subclass": _other("is of a class of its own", 2),
    "torch._utils._rebuild_device_tensor_from_numpy": lambda args: args[0],
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": lambda args: args[0],
    "_codecs.encode": _encoded,
}
"""What answers a call of these; every other global stays inert."""


def array_of(made: Made) -> FileTensor | None:
    """A numpy array, as a pickle has it: `_reconstruct`, then the state (version, shape, dtype, fortran, bytes), or `_frombuffer` of (bytes, dtype,
    shape, order). None for anything else.
    """
    state = made.state
    if re.fullmatch(r"numpy\.(_?core)\.numeric\._frombuffer", made.of) and len(made.args) == 4:
        raw, kind, shape, order = made.args
        return array(_numpy(kind), shape, raw, fortran=order == "F")
    if not re.fullmatch(r"numpy\.(_?core)\.multiarray\._reconstruct", made.of) or not isinstance(state, tuple) or len(state) != 5:
        return None
    _, shape, kind, fortran, raw = state
    return array(_numpy(kind), shape, raw, fortran=bool(fortran))


def _numpy(kind: object) -> str:
    """numpy's word for a type, `<f4`."""
    if not isinstance(kind, Made) or kind.of != "numpy.dtype" or not kind.args:
        return ""
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else ""
    return f"{order if order == '>' else ''}{kind.args[0]}"


def array(kind: str, shape: object, raw: object, *, fortran: bool = False) -> FileTensor:
    """An array of numpy's type `kind` over bytes. Raises Unsound."""
    if not isinstance(shape, tuple) or not is_shape(shape):
        raise Unsound("holds an array without a shape")
    dtype = _NUMPY.get(kind.lstrip("<|="))
    if dtype is None:
        backward = _NUMPY.get(kind.lstrip(">")) is not None
        problem = (
            "has the bytes of its numbers in the other order" if backward else f"holds numpy's {kind[:20]!r}, which are no plain numbers"
        )
        return FileTensor("unknown", shape, problem=problem)
    at = raw.encode("latin1", "replace") if isinstance(raw, str) else raw
    if not isinstance(at, Span | bytes):
        return FileTensor(dtype, shape, problem="has no numbers")
    held = at.length if isinstance(at, Span) else len(at)
    # Text has at least one byte a character, and is measured when it is read.
    if prod(shape) * BYTES[dtype] > held:
        raise Unsound("holds an array with too few bytes")
    return placed(dtype, shape, dense(shape, fortran=fortran), 0, at, prod(shape))
