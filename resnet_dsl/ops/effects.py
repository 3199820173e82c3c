"""What an operation does beyond its multiply-accumulates: what counters count of it, what it sees of a map, and what
autograd keeps of it. The cells of the op table's columns `work`, `window` and `saved`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from resnet_dsl.ops.site import Site

Work = Callable[[Site], Mapping[str, int]]

# --- what counters count -----------------------------------------------------------------------------------


def nothing(site: Site) -> Mapping[str, int]:
    return {}


def biased(kind: str) -> Work:
    """The bias of a convolution or linear layer: one addition for each output element."""
    return lambda site: {f"{kind} bias": prod(site.out)} if site["bias"] else {}


def activation(what: str) -> Work:
    return lambda site: {"act": prod(site.out), what: prod(site.out)}


def norm(what: str) -> Work:
    return lambda site: {"norm": prod(site.out), what: prod(site.out), "norm params": 2 * site.out[0]}


def layer_norm(site: Site) -> Mapping[str, int]:
    """Of a map: torch has no such module, and counters that go by the type of a module do not know it."""
    return norm("layer norm of a map" if len(site.out) == 3 else "layer norm")(site)


def positions(site: Site) -> int:
    """Of a map; a vector has one."""
    return prod(site.out[1:])


def group_values(site: Site) -> int:
    """The channels of a group at all positions."""
    return site.out[0] // site.whole("groups") * positions(site)


def softmax(site: Site) -> Mapping[str, int]:
    """Over groups: torch has no such module."""
    name = "softmax" if site["groups"] == 1 else "softmax over groups"
    return {"act": prod(site.out), name: prod(site.out), f"{name}, sums": prod(site.out[1:]) * site.whole("groups")}


def pool(what: str) -> Work:
    """What enters, what comes out, and all elements of all windows."""

    def work(site: Site) -> Mapping[str, int]:
        return {
            f"{what} inputs": prod(site.first),
            f"{what} outputs": prod(site.out),
            "pool windows": prod(site.out) * prod(site.pair("kernel")),
        }

    return work


def globalpool(site: Site) -> Mapping[str, int]:
    what = f"global {site['kind']} pool"
    return {f"{what} inputs": prod(site.first), f"{what} outputs": prod(site.out), "pool windows": prod(site.first)}


def scale(site: Site) -> Mapping[str, int]:
    learnt = (site.out[0] if site["per"] == "channel" else 1) if site.get("learn", True) else 0
    return {"scale": prod(site.out), "scale params": learnt}


def bias(site: Site) -> Mapping[str, int]:
    return {"bias": prod(site.out), "bias params": site.out[0] if site["per"] == "channel" else 1}


def merge(what: str) -> Work:
    """One operation for each element and each operand beyond the first."""
    return lambda site: {"merge": prod(site.out) * (len(site.inputs) - 1), what: prod(site.out) * (len(site.inputs) - 1)}


# --- what it sees ------------------------------------------------------------------------------------------

Side = tuple[int, int, int]
"""Of one side: stride, and the first and last input position that output position 0 reads."""

Window = Callable[[Site], tuple[Side, Side] | None]
"""Height and width; None where every output sees the whole map."""


def pointwise(site: Site) -> tuple[Side, Side]:
    return (1, 0, 0), (1, 0, 0)


def sliding(site: Site) -> tuple[Side, Side]:
    dilation = site.pair("dilation") if "dilation" in site else (1, 1)
    height, width = (
        (s, -p, d * (k - 1) - p)
        for k, s, p, d in zip(site.pair("kernel"), site.pair("stride"), site.pair("padding"), dilation, strict=True)
    )
    return height, width


def every_nth(site: Site) -> tuple[Side, Side]:
    height, width = site.pair("stride")
    return (height, 0, 0), (width, 0, 0)


def whole_map(site: Site) -> None:
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


Keeps = Callable[[Site], Saved]


def keeps_nothing(site: Site) -> Saved:
    return Saved()


def keeps_input(site: Site) -> Saved:
    return Saved(inputs=(0,))


def keeps_output(site: Site) -> Saved:
    return Saved(output=True)


def keeps_operands(site: Site) -> Saved:
    return Saved(inputs=tuple(range(len(site.inputs))))


def batch_norm_keeps(site: Site) -> Saved:
    """The input, and each channel's mean and deviation over the batch."""
    return Saved(inputs=(0,), fixed=2 * site.out[0])


def group_norm_keeps(site: Site) -> Saved:
    return Saved(inputs=(0,), stats=2 * site.whole("groups"))


def layer_norm_keeps(site: Site) -> Saved:
    return Saved(inputs=(0,), stats=2 * prod(site.out[1:]))


def instance_norm_keeps(site: Site) -> Saved:
    """It is a batch norm over samples and channels together, so the weight is repeated for each sample too."""
    return Saved(inputs=(0,), stats=3 * site.out[0])


def max_pool_keeps(site: Site) -> Saved:
    return Saved(inputs=(0,), indices=prod(site.out))


def globalpool_keeps(site: Site) -> Saved:
    """A mean's gradient needs no values."""
    return max_pool_keeps(site) if site["kind"] == "max" else Saved()


def dropout_keeps(site: Site) -> Saved:
    """The mask: a byte an element on a GPU. (The CPU keeps it in the input's type.)"""
    return Saved(flags=prod(site.out))


def droppath_keeps(site: Site) -> Saved:
    """One factor a sample; the product's other operand has no gradient."""
    return Saved(extra=1)


def scale_keeps(site: Site) -> Saved:
    return Saved(inputs=(0,), widens=site["per"] == "channel") if site.get("learn", True) else Saved()


def bias_keeps(site: Site) -> Saved:
    return Saved(widens=site["per"] == "channel")


def highway_keeps(site: Site) -> Saved:
    """F and s, the gate after its sigmoid, and 1 - T."""
    return Saved(inputs=(0, 1), extra=2 * prod(site.inputs[2]))
