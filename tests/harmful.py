"""Pickles and archives that were made to do harm, and what the tests of files of weights share."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.runtime import weights


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "conv1.weight": torch.randn(4, 3, 3, 3, generator=draw),
        "bn1.running_var": torch.rand(4, generator=draw),
        "bn1.num_batches_tracked": torch.tensor(7),
    }


def refused(path: Path, key: str | None = None) -> tuple[str, int]:
    """The message of the error, without its help, and its exit code."""
    with pytest.raises(SpecError) as e:
        dict(weights.load(path, key).tensors)
    found = e.value.diagnostics[0]
    return f"{found.code}: {found.message}", e.value.exit_code


TOUCH = b"U\x09touch ran"
PROGRAMS: dict[str, bytes] = {
    "os.system": b"cos\nsystem\n" + TOUCH + b"\x85R.",
    "posix.system": b"cposix\nsystem\n" + TOUCH + b"\x85R.",
    "eval": b"cbuiltins\neval\nU\x0fopen('ran', 'w')\x85R.",
    "python 2": b'c__builtin__\neval\n(S\'open("ran", "w")\'\ntR.',
    "stacked global": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + TOUCH + b"\x85R.",
    "dotted global": b"\x80\x04\x8c\x0ctorch._utils\x8c\x09os.system\x93" + TOUCH + b"\x85R.",
    "through a known module": b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93" + TOUCH + b"\x85R.",
    "a name with a line break": b"\x80\x04\x8c\x02os\x8c\x0bsystem\nx.os\x93" + TOUCH + b"\x85R.",
    "instance": b"(" + TOUCH + b"ios\nsystem\n.",
    "object": b"(cos\nsystem\n" + TOUCH + b"o.",
    "new object": b"cos\nsystem\n" + TOUCH + b"\x85\x81.",
    "new object with names": b"cos\nsystem\n" + TOUCH + b"\x85}\x92.",
    "getattr": b"cbuiltins\ngetattr\ncos\nU\x06system\x86R" + TOUCH + b"\x85R.",
    "nested": b"cbuiltins\nmap\ncos\nsystem\n]" + TOUCH + b"a\x86R.",
    "set state": b"cargparse\nNamespace\n)R}U\x0c__setstate__cos\nsystem\nsb" + TOUCH + b"b.",
    "state of a class": b"cbuiltins\nobject\n)\x81}U\x05__x__" + TOUCH + b"sb.",
    "extension": b"\x82\x01" + TOUCH + b"\x85R.",
    "long extension": b"\x84\x01\x00\x00\x00" + TOUCH + b"\x85R.",
    "copyreg": b"ccopyreg\n_reconstructor\ncos\nsystem\ncbuiltins\nobject\nN\x87R.",
    "memo": b"cos\nsystem\nq\x000h\x00" + TOUCH + b"\x85R.",
    "of torch": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n" + TOUCH + b"\x85NtR.",
    "load of torch": b"ctorch.storage\n_load_from_bytes\n" + TOUCH + b"\x85R.",
    "import": b"cbuiltins\n__import__\nU\x04this\x85R.",
    "persistent": b"(cos\nsystem\n" + TOUCH + b"tQ.",
    "storage of a program": b"(U\x07storagecos\nsystem\nU\x010U\x03cpuK\x01tQ.",
    "appended to a program": b"cos\nsystem\n(" + TOUCH + b"e.",
}
"""Pickles that would write a file when they are run, each in another way, or import something."""


def archive(path: Path, pickled: bytes, data: bytes = bytes(64), **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as z:
        for name, content in {"data.pkl": pickled, "data/0": data, **members}.items():
            z.writestr(f"archive/{name}", content)


def tensor(numbers: int, shape: str, stride: str, first: int = 0, kind: str = "Float") -> bytes:
    """A pickle of {"a": a tensor}; shape and stride are opcodes."""
    size = numbers.to_bytes(8, "little")
    storage = f"(U\x07storagectorch\n{kind}Storage\nU\x010U\x03cpu".encode() + b"\x8a\x08" + size + b"tQ"
    n = b"\x8a\x08" + first.to_bytes(8, "little")
    return b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(" + storage + n + shape.encode() + stride.encode() + b"\x89NtRs."


def longs(*numbers: int) -> str:
    return "(" + "".join(f"L{n}L\n" for n in numbers) + "t"


MODULE = b"cx\nM\n)R}(U\x0b_parameters}U\x08_buffers}U\x08_modules}"

BOMBS: dict[str, tuple[bytes, str]] = {
    "keys of nested tuples": (b"\x80\x02}" + b"Nq\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.", "holds no tensors by name"),
    "lists that double": (b"\x80\x02]q\x00" + b"(h\x00h\x00lq\x00" * 5000 + b".", "holds no tensors by name"),
    "dicts that double": (b"\x80\x02}q\x00" + b"}(U\x01ah\x00U\x01bh\x00uq\x00" * 5000 + b".", "holds no tensors by name"),
    "nested": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "holds no tensors by name"),
    "nested tuples": (b"\x80\x02N" + b"\x85" * 200_000 + b".", "holds no tensors by name"),
    "marks": (b"\x80\x02" + b"(" * 200_000 + b".", "is no sound pickle"),
    "steps": (b"\x80\x02" + b"N0" * 1_000_000 + b"}.", "takes more than 1,500,000 steps to unpickle, which no file of weights needs"),
    "a list again and again": (b"\x80\x02](" + b"N" * 10_000 + b"eq\x00" + b"h\x000" * 10 + b"cx\nxDict\n(h\x00tR0" * 40_000 + b"}.", "steps to unpickle"),
    "modules that double": (
        b"\x80\x02" + MODULE + b"ubq\x00" + (MODULE + b"(U\x01ah\x00U\x01bh\x00uubq\x00") * 50 + b".", "holds a module of more than 20,000 parts"
    ),
    "a module within itself": (b"\x80\x02" + MODULE.replace(b"R}", b"Rq\x01}") + b"U\x01ah\x01sub.", "holds a module of more than 20,000 parts"),
    "a memo of large indices": (b"\x80\x02N" + b"".join(b"r" + (2**32 - 1 - i).to_bytes(4, "little") for i in range(1000)) + b".", "no tensors"),
    "a long text": (b"\x80\x02\x8d" + (1 << 40).to_bytes(8, "little") + b"a.", "is cut short"),
    "a long number": (b"\x80\x02\x8b" + (1 << 20).to_bytes(4, "little") + b"\xff" * (1 << 20) + b".", "holds no tensors by name"),
    "a long decimal": (b"\x80\x02L" + b"9" * 4000 + b"L\n.", "holds no tensors by name"),
    "an endless line": (b"\x80\x02I" + b"9" * 1_000_000, "is no sound pickle"),
    "a frame": (b"\x80\x04\x95" + b"\xff" * 8, "is cut short"),
    "nothing on the stack": (b"\x80\x02.", "is no sound pickle"),
    "no end": (b"\x80\x02}", "is cut short"),
    "an unknown opcode": (b"\x80\x02\xff.", "is no sound pickle"),
    "gibibytes declared": (tensor(3 << 28, longs(3 << 28), longs(1)), "is damaged: a tensor has 3,221,225,472 bytes, and 'archive/data/0' holds 64"),
    "beyond its storage": (tensor(16, longs(4, 5), longs(5, 1)), "'a' reaches beyond its storage of 16 numbers"),
    "beyond by its first": (tensor(16, longs(16), longs(1), 1), "'a' reaches beyond its storage of 16 numbers"),
    "beyond by its stride": (tensor(16, longs(2, 2), longs(1 << 62, 1)), "'a' reaches beyond its storage of 16 numbers"),
    "a negative stride": (tensor(16, longs(2), longs(-1)), "holds a tensor without a shape"),
    "a negative size": (tensor(16, longs(-2), longs(1)), "holds a tensor without a shape"),
    "strides of another length": (tensor(16, longs(2), longs(1, 1)), "holds a tensor without a shape"),
    "a hundred dimensions": (tensor(16, longs(*[1] * 100), longs(*[1] * 100)), "holds a tensor without a shape"),
    "a shape of text": (tensor(16, "(U\x01xt", longs(1)), "holds a tensor without a shape"),
    "an unknown type": (tensor(16, longs(2), longs(1), kind="Odd"), "holds a storage of an unknown type, 'OddStorage'"),
    "no storage": (b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00K\x01\x85K\x01\x85tRs.", "holds a tensor without its numbers"),
    "too few arguments": (b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(K\x01tRs.", "is no sound pickle"),
}  # fmt: skip
