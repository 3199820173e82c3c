"""When an operation gives back exactly what it reads, or exactly zero, in evaluation: the cells of the op table's column `exact`.

A network grows by blocks that begin as the identity (Chen, Goodfellow & Shlens 2016, Net2DeeperNet; He et al. 2015, section
3.1, the solution by construction). Exactly means bit for bit, for finite numbers in floating point except for the sign of a zero: a product
with 1, a sum with 0 and a half of x twice are exact, and so is a normalisation by 1 / sqrt(variance + eps) where that sum is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from resnet_dsl.ops.site import Site

Bounds = tuple[float, float]
"""What every element of a value lies between."""

ANYTHING: Bounds = (-inf, inf)

Goal = Literal["same", "zero"]
"""What a value is to be: the input of the block, or zero."""

Fill = float | Literal["identity"]
"""What a tensor is set to: one number everywhere, or the weights of a layer that gives back what it reads."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a goal: what the operands must be (None: anything finite), and what the module's tensors are set to."""

    operands: tuple[Goal | None, ...]
    tensors: tuple[tuple[str, Fill], ...] = ()


Ways = Callable[[Site, Bounds], "tuple[Way, ...] | str"]
"""The ways to a goal, or why there is none; the bounds are those of what the block reads."""

Bounding = Callable[[Site, Sequence[Bounds]], Bounds]


def _unbounded(site: Site, x: Sequence[Bounds]) -> Bounds:
    return ANYTHING


def _nothing(site: Site) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class Exact:
    """The ways to give back one operand, the ways to give zero, the bounds of what comes out, and the attributes that
    evaluation with given weights does not read.
    """

    same: Ways
    zero: Ways
    bounds: Bounding = _unbounded
    unread: Callable[[Site], frozenset[str]] = _nothing


# --- ways --------------------------------------------------------------------------------------------------


def _no(reason: str) -> Ways:
    return lambda site, of: reason


def _passes(goal: Goal, *tensors: tuple[str, Fill]) -> Ways:
    """The goal is reached where every operand reaches it."""
    return lambda site, of: (Way((goal,) * len(site.inputs), tensors),)


def _if_unchanged(reason: str) -> Ways:
    return lambda site, of: (Way(("same",)),) if site.first == site.out else reason


def _bias(site: Site) -> tuple[tuple[str, Fill], ...]:
    return (("bias", 0.0),) if site["bias"] else ()


def _weighted_zero(site: Site, of: Bounds) -> tuple[Way, ...]:
    return Way((None,), (("weight", 0.0), *_bias(site))), Way(("zero",), _bias(site))


def _conv_same(site: Site, of: Bounds) -> tuple[Way, ...] | str:
    if site.first != site.out:
        return f"it makes {site.out[0]} channels of {site.first[0]}" if site.first[0] != site.out[0] else "it changes the size of the map"
    if site.pair("stride") != (1, 1) or any(
        k % 2 == 0 or 2 * p != d * (k - 1) for k, p, d in zip(site.pair("kernel"), site.pair("padding"), site.pair("dilation"), strict=True)
    ):
        return "its window has no middle at the pixel that it writes"
    return (Way(("same",), (("weight", "identity"), *_bias(site))),)


def _linear_same(site: Site, of: Bounds) -> tuple[Way, ...] | str:
    return (
        (Way(("same",), (("weight", "identity"), *_bias(site))),)
        if site.first == site.out
        else f"it makes {site.out[0]} features of {site.first[0]}"
    )


def _norm_zero(*statistics: tuple[str, Fill]) -> Ways:
    """Zero gain, or nothing to normalise; `statistics` are those of nothing."""
    off: tuple[tuple[str, Fill], ...] = (("weight", 0.0), ("bias", 0.0))
    return lambda site, of: (Way((None,), off), Way(("zero",), (("bias", 0.0), *statistics)))


def _batch_norm_same(site: Site, of: Bounds) -> tuple[Way, ...] | str:
    eps = site["eps"]
    assert isinstance(eps, float)
    if eps >= 1:
        return f"no variance and eps {eps:g} add up to 1"
    return (Way(("same",), (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1 - eps))),)


def _act_same(least: float, most: float, why: str) -> Ways:
    """An activation that changes nothing between two bounds."""
    return lambda site, of: (Way(("same",)),) if least <= of[0] and of[1] <= most else why


def _scale_same(site: Site, of: Bounds) -> tuple[Way, ...] | str:
    if site.get("learn", True):
        return (Way(("same",), (("weight", 1.0),)),)
    return (Way(("same",)),) if site["init"] == 1 else f"it multiplies by {site['init']:g}"


def _scale_zero(site: Site, of: Bounds) -> tuple[Way, ...]:
    if site.get("learn", True):
        return Way((None,), (("weight", 0.0),)), Way(("zero",))
    return (Way((None,)) if site["init"] == 0 else Way(("zero",)),)


def _one_same(site: Site, of: Bounds) -> tuple[Way, ...]:
    """One operand the same and the others zero; the last one first, which is the shortcut of a residual form."""
    return tuple(Way(tuple("same" if i == one else "zero" for i in range(len(site.inputs)))) for one in reversed(range(len(site.inputs))))


def _one_zero(site: Site, of: Bounds) -> tuple[Way, ...]:
    return tuple(Way(tuple("zero" if i == one else None for i in range(len(site.inputs)))) for one in reversed(range(len(site.inputs))))


# --- bounds ------------------------------------------------------------------------------------------------


def _first(site: Site, x: Sequence[Bounds]) -> Bounds:
    return x[0]


def _hull(site: Site, x: Sequence[Bounds]) -> Bounds:
    return min(lo for lo, _ in x), max(hi for _, hi in x)


def _with_zero(site: Site, x: Sequence[Bounds]) -> Bounds:
    """Zeros are put in at the edges or behind."""
    return min(x[0][0], 0.0), max(x[0][1], 0.0)


def _within(least: float, most: float) -> Bounding:
    return lambda site, x: (least, most)


def _clipped(least: float, most: float) -> Bounding:
    return lambda site, x: (min(max(x[0][0], least), most), min(max(x[0][1], least), most))


def _sum(site: Site, x: Sequence[Bounds]) -> Bounds:
    return sum(lo for lo, _ in x), sum(hi for _, hi in x)


def _product(site: Site, x: Sequence[Bounds]) -> Bounds:
    """Of gates between 0 and 1 and at most one other operand."""
    others = [b for b in x if not (b[0] >= 0 and b[1] <= 1)]
    if len(others) <= 1:
        return _with_zero(site, others or [(0.0, 1.0)])
    return (0.0, inf) if all(lo >= 0 for lo, _ in x) else ANYTHING


def _blend(site: Site, x: Sequence[Bounds]) -> Bounds:
    return _hull(site, x[:2])


# --- cells -------------------------------------------------------------------------------------------------

_ZERO = _passes("zero")

OPAQUE = Exact(_no("it is not known to give back what it reads"), _no("it is not known to give zero"))


def _initial(*names: str) -> Callable[[Site], frozenset[str]]:
    return lambda site: frozenset(names)


CONV = Exact(_conv_same, _weighted_zero, unread=_initial("bias_init"))
LINEAR = Exact(_linear_same, _weighted_zero, unread=_initial("bias_init"))
BATCH_NORM = Exact(_batch_norm_same, _norm_zero(("running_mean", 0.0)), unread=_initial("momentum"))
OTHER_NORM = Exact(_no("it measures what it reads, and so never gives it back"), _norm_zero())
PASSES = Exact(_passes("same"), _ZERO, _first)
NOISE = Exact(_passes("same"), _ZERO, _first, _initial("rate"))
RELU = Exact(_act_same(0, inf, "what it reads may be negative"), _ZERO, _clipped(0, inf))
RELU6 = Exact(_act_same(0, 6, "what it reads may lie outside 0..6"), _ZERO, _clipped(0, 6))
LEAKY = Exact(_act_same(0, inf, "what it reads may be negative"), _ZERO, lambda site, x: x[0] if x[0][0] >= 0 else ANYTHING)
ELU = Exact(_act_same(0, inf, "what it reads may be negative"), _ZERO, lambda site, x: x[0] if x[0][0] >= 0 else (-1.0, max(x[0][1], 0.0)))
CURVED = Exact(_no("it changes every number but zero"), _ZERO)
SQUASHED = Exact(_no("it changes every number but zero"), _ZERO, _within(-1, 1))
GATE = Exact(_no("it makes a gate of what it reads"), _no("a gate is never exactly zero"), _within(0, 1))
POOL = Exact(_no("it mixes pixels"), _ZERO, _with_zero)
MAX_POOL = Exact(_no("it mixes pixels"), _ZERO, _first)
PART = Exact(_if_unchanged("it leaves something out"), _ZERO, _first)
PADDED = Exact(_if_unchanged("it adds channels"), _ZERO, _with_zero)
MOVES = Exact(_no("it moves channels"), _ZERO, _first)
FLATTEN = Exact(_if_unchanged("it makes a vector of a map"), _ZERO, _first)
SCALE = Exact(_scale_same, _scale_zero, unread=lambda site: frozenset({"init"}) if site.get("learn", True) else frozenset())
BIAS = Exact(_passes("same", ("bias", 0.0)), _passes("zero", ("bias", 0.0)), unread=_initial("init"))
ADD = Exact(_one_same, _ZERO, _sum)
MUL = Exact(_no("a product with a gate is not what the gate reads"), _one_zero, _product)
CONCAT = Exact(_no("it puts channels side by side"), _ZERO, _hull)

# A gate of zero before its sigmoid is one half, and half of x twice is x: shut it would be exact too, but never open again.
HIGHWAY = Exact(lambda site, of: (Way(("same", "same", "zero")),), lambda site, of: (Way(("zero", "zero", None)),), _blend)
