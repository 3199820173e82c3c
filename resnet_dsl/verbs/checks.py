"""Arguments of the verbs that cannot be carried out, refused in the words of whoever asks: Python or the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_dsl.diagnostics import Argument, SpecError, either, quote, quote_path, refuse, suggest
from resnet_dsl.language.stored import ENDING
from resnet_dsl.records.target import Target

ENDINGS = (".onnx", ".pt2", ENDING)
"""Of files that can be exported."""

OPSETS = (11, 26)
"""The lowest and the highest opset of an ONNX file."""

MAX_SIDE = 8192

_PICKLES = (".pth", ".pt", ".bin", ".ckpt")


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Refuse a value of an argument that is none of those known. The command line has checked its own."""
    if value not in known or isinstance(value, bool):
        words = [k for k in known if k is not None]
        near = suggest(value, [str(k) for k in words]) if isinstance(value, str) else None
        help = f"did you mean {near!r}?" if near in known else f"a value is one of: {', '.join(map(repr, words))}"
        raise refuse("unknown-name", f"{Argument(name)} cannot be {value!r}", help, at=Argument(name))


def whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is not a whole number within bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise refuse("usage", f"{Argument(name)} cannot be {value!r}", f"give a whole number {bounds}", at=Argument(name))


def sides_of(scales: str | int | Sequence[int]) -> tuple[int, ...]:
    """The sides in pixels that an argument asks for: `"224,256"`, 224, or (224, 256)."""
    scales = (scales,) if isinstance(scales, int) else scales
    words = scales.split(",") if isinstance(scales, str) else [str(side) for side in scales]
    if not all(w.strip().isdecimal() and w.isascii() and 1 <= int(w) <= MAX_SIDE for w in words):
        problem = f"{quote(','.join(words))} is not a list of sides in pixels"
        raise refuse("usage", problem, f"write {either('scales=(224, 256, 384)', '--scales 224,256,384')}, say", at=Argument("scales"))
    return tuple(map(int, words))


def fixed(does: str, argument: Argument | str, *, weights: bool = True) -> SpecError:
    """The error for an argument that would change a run."""
    other = f"a spec and {Argument('weights')}" if weights else "a spec"
    return refuse("usage", f"a run {does} as it was trained", f"leave out {argument}, or give {other}", at=argument)


def require_spec(target: Target) -> None:
    """Refuse a file of weights where a spec is wanted."""
    if target.kind == "spec" and target.name.endswith(_PICKLES):
        ways = either(f"rd.open(SPEC, weights={target.name!r})", f"SPEC --weights {target.name}")
        raise refuse("usage", f"{quote_path(target.name)} holds no spec", f"name its network: {ways}", at=target.name)


def require_safetensors(out: str) -> None:
    """Refuse a file of weights with another ending."""
    if not out.endswith(ENDING):
        problem = f"{quote_path(out)}: weights are written as {ENDING}"
        raise refuse("usage", problem, f"name a file that ends in {ENDING}", at=Argument("path", option="out"))


def require_ending(out: str, target: str, opset: int | None, *, any_size: bool = False, name: str = "path") -> None:
    """Refuse a file that cannot be exported, an opset where there is none, and free sizes where no size is fixed."""
    ending = Path(out).suffix.lower()
    at = Argument("path", option="out") if name == "path" else Argument(name)
    if ending not in ENDINGS:
        help = f"a file that can be exported ends in {', '.join(ENDINGS)}"
        if ending == ".py":
            command = either(f"rd.emit({target!r})", f"resnet-dsl emit {target} -o {out}")
            help = f"`{command}` writes the network as Python"
        elif ending in _PICKLES:
            help = f"{ending} is a pickle, which can run programs: use {ENDING}, or .pt2 with the computation"
        elif near := suggest(ending, ENDINGS):
            help = f"did you mean '{near}'?"
        raise refuse("usage", f"{quote_path(out)}: no file of this ending is exported", help, at=at)
    if opset is not None and ending != ".onnx":
        opset_ = Argument("opset")
        raise refuse("usage", f"{ending} files have no opset", f"leave out {opset_}, or write an .onnx file", at=opset_)
    if any_size and ending == ENDING:
        free = Argument("any_size", True)
        raise refuse(
            "usage", f"{ending} files hold weights, which fit any size", f"leave out {free}, or write an .onnx or .pt2 file", at=free
        )
