"""What an operation does beyond its multiply-accumulates: what counters count of it, what it sees of a map, and what
autograd keeps of it. The cells of the op table's columns `work`, `window` and `saved`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from resnet_dsl.graph.graph import Shape
from resnet_dsl.graph.shapes import Attrs, pair, whole

Work = Callable[[Attrs, Sequence[Shape], Shape], Mapping[str, int]]

# --- what counters count -----------------------------------------------------------------------------------


def nothing(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
    return {}


def biased(kind: str) -> Work:
    """The bias of a convolution or linear layer: one addition for each output element."""
    return lambda a, x, out: {f"{kind} bias": prod(out)} if a["bias"] else {}


def activation(what: str) -> Work:
    return lambda a, x, out: {"act": prod(out), what: prod(out)}


def norm(what: str) -> Work:
    return lambda a, x, out: {"norm": prod(out), what: prod(out), "norm params": 2 * out[0]}


def layer_norm(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
    """Of a map it is a module that torch lacks, which counters by module type do not know."""
    return norm("layer norm of a map" if len(out) == 3 else "layer norm")(a, x, out)


def softmax(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
    """Over groups it is a module that torch lacks."""
    name = "softmax" if a["groups"] == 1 else "softmax over groups"
    return {"act": prod(out), name: prod(out), f"{name}, sums": prod(out[1:]) * whole(a, "groups")}


def pool(what: str) -> Work:
    """What enters, what comes out, and all elements of all windows."""

    def work(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
        return {f"{what} inputs": prod(x[0]), f"{what} outputs": prod(out), "pool windows": prod(out) * prod(pair(a, "kernel"))}

    return work


def globalpool(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
    what = f"global {a['kind']} pool"
    return {f"{what} inputs": prod(x[0]), f"{what} outputs": prod(out), "pool windows": prod(x[0])}


def scale(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
    learnt = (out[0] if a["per"] == "channel" else 1) if a.get("learn", True) else 0
    return {"scale": prod(out), "scale params": learnt}


def bias(a: Attrs, x: Sequence[Shape], out: Shape) -> Mapping[str, int]:
    return {"bias": prod(out), "bias params": out[0] if a["per"] == "channel" else 1}


def merge(what: str) -> Work:
    """One operation for each element and each operand beyond the first."""
    return lambda a, x, out: {"merge": prod(out) * (len(x) - 1), what: prod(out) * (len(x) - 1)}


# --- what it sees ------------------------------------------------------------------------------------------

Side = tuple[int, int, int]
"""Of one side: stride, and the first and last input position that output position 0 reads."""

Window = Callable[[Attrs, Sequence[Shape]], tuple[Side, Side] | None]
"""Height and width; None where every output sees the whole map."""


def pointwise(a: Attrs, x: Sequence[Shape]) -> tuple[Side, Side]:
    return (1, 0, 0), (1, 0, 0)


def sliding(a: Attrs, x: Sequence[Shape]) -> tuple[Side, Side]:
    dilation = pair(a, "dilation") if "dilation" in a else (1, 1)
    height, width = (
        (s, -p, d * (k - 1) - p) for k, s, p, d in zip(pair(a, "kernel"), pair(a, "stride"), pair(a, "padding"), dilation, strict=True)
    )
    return height, width


def every_nth(a: Attrs, x: Sequence[Shape]) -> tuple[Side, Side]:
    height, width = pair(a, "stride")
    return (height, 0, 0), (width, 0, 0)


def whole_map(a: Attrs, x: Sequence[Shape]) -> None:
    return None


# --- what autograd keeps -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Saved:
    """What an operation keeps for its backward pass besides its own parameters: operands by slot, its output, and what
    it made on the way.

    `extra` are elements for each sample in the precision of the rest, `stats` such elements always in fp32, `fixed` fp32
    elements however large the batch, `indices` and `flags` numbers of 8 bytes and of 1 byte for each sample. `widens`: its
    output is in fp32 whatever came in, since a parameter goes into it.
    """

    inputs: tuple[int, ...] = ()
    output: bool = False
    extra: int = 0
    stats: int = 0
    fixed: int = 0
    indices: int = 0
    flags: int = 0
    widens: bool = False


Keeps = Callable[[Attrs, Sequence[Shape], Shape], Saved]


def keeps_nothing(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved()


def keeps_input(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(inputs=(0,))


def keeps_output(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(output=True)


def keeps_operands(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(inputs=tuple(range(len(x))))


def batch_norm_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    """The input, and each channel's mean and deviation over the batch."""
    return Saved(inputs=(0,), fixed=2 * out[0])


def group_norm_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(inputs=(0,), stats=2 * whole(a, "groups"))


def layer_norm_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(inputs=(0,), stats=2 * prod(out[1:]))


def instance_norm_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    """It is a batch norm over samples and channels together, so the weight is repeated for each sample too."""
    return Saved(inputs=(0,), stats=3 * out[0])


def max_pool_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(inputs=(0,), indices=prod(out))


def globalpool_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    """A mean's gradient needs no values."""
    return max_pool_keeps(a, x, out) if a["kind"] == "max" else Saved()


def dropout_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    """The mask: a byte an element on a GPU. (The CPU keeps it in the input's type.)"""
    return Saved(flags=prod(out))


def droppath_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    """One factor a sample; the product's other operand has no gradient."""
    return Saved(extra=1)


def scale_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(inputs=(0,), widens=a["per"] == "channel") if a.get("learn", True) else Saved()


def bias_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    return Saved(widens=a["per"] == "channel")


def highway_keeps(a: Attrs, x: Sequence[Shape], out: Shape) -> Saved:
    """F and s, the gate after its sigmoid, and 1 - T."""
    return Saved(inputs=(0, 1), extra=2 * prod(x[2]))
