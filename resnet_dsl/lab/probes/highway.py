"""The "+1": the Jacobian of each block taken apart into shortcut, branch and what comes after their sum."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import jvp
from torch.nn import functional

from resnet_dsl.lab.finding import Finding, Plot, number_text, ratio
from resnet_dsl.lab.probes.blocks import PlacedBlock, blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics
from resnet_dsl.lab.probes.values import Seen, apply, evaluate, evaluate_scope
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column, share
from resnet_dsl.training.batches.seeds import generator

_COLUMNS = (
    Column("block", "block"),
    Column("shortcut", "shortcut"),
    Column("skip", "|Js v|", number_text, True),
    Column("branch", "|JF v|", number_text, True),
    Column("whole", "|J v|", number_text, True),
    Column("along", "cos(Jv,v)", number_text, True),
    Column("open", "open", share, True),
    Column("open_so_far", "so far", share, True),
    Column("trunk", "trunk", number_text, True),
)
_NOTES = (
    "Norms are by |v|. open: gates after the sum that let a change through; so far: in all blocks of the stage up to here.",
    "trunk: cosine of dL/dx at the block's input and at the end of its stage. error: the largest |J v - D (JF v + Js v)| by |J v|.",
)
_NO_SUM = "The blocks do not merge by addition: there is no +1 in them, and no error is shown."


@dataclass(frozen=True, slots=True)
class Jacobian:
    """A block's Jacobian J at one input, along directions v: the norms |J_s v|, |J_F v| and |J v| by |v|, the cosine of J v and v,
    how far J v is from D (J_F v + J_s v), by |J v|, and how far J_s v is from v, by |v|. D is what comes after the sum, number by number:
    `open` is where it lets something through (None where it does more than that). What a block does not have is None; so are
    `error` and `plus_one` where the merge is not an addition.
    """

    skip: float | None
    branch: float | None
    whole: float
    along: float | None
    error: float | None
    plus_one: float | None
    open: Tensor | None


def measure(probed: ProbedNetwork, directions: int = 4) -> Finding:
    """Every block's Jacobian along random directions at the input that the block has in the network, batch norms as in training; and the
    cosine of the loss's gradient at the block's input with that at the end of its stage.
    """
    model = probed.model
    blocks = blocks_of(probed.graph)
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.node.role == "block":
            for kept, value in ((inputs, seen.operands[0]), (outputs, seen.value)):
                value.retain_grad()
                kept[seen.path] = value
        return seen.value

    with batch_statistics(model):
        loss = probed.loss(evaluate(probed.graph, model, probed.images.clone().requires_grad_(), watch))
        loss.backward()  # type: ignore[no-untyped-call]
        found = {
            b.path: jacobian(b, model.get_submodule(b.path), inputs[b.path].detach(), directions, probed.seed) for b in blocks
        }  # fmt: skip
    ends = {b.stage: outputs[b.path].grad for b in blocks}
    trunk = {b.path: _cosine(inputs[b.path].grad, ends[b.stage]) if b.keeps_shape else None for b in blocks}
    through = list(_open_so_far(blocks, [found[b.path].open for b in blocks]))
    rows = []
    for b, so_far in zip(blocks, through, strict=True):
        j = found[b.path]
        gates = None if j.open is None else _share(j.open)
        rows.append((b.path, b.shortcut or "none", j.skip, j.branch, j.whole, j.along, gates, so_far, trunk[b.path]))
    notes = _NOTES if any(j.error is not None for j in found.values()) else (*_NOTES, _NO_SUM)
    last = {b.stage: so_far for b, so_far in zip(blocks, through, strict=True) if so_far is not None}
    return Finding(
        "highway",
        probed.name,
        probed.said,
        _COLUMNS,
        tuple(rows),
        _figures(blocks, list(found.values()), last, trunk),
        notes,
        _plot(blocks, list(found.values()), trunk),
    )


def jacobian(block: PlacedBlock, module: nn.Module, x: Tensor, directions: int, seed: int) -> Jacobian:
    """The Jacobian of one block at x (N, *input), means over the directions; the error is the largest."""
    after = [n for n in block.program.nodes if n.role == "after"]
    pointwise = all(n.program is None and OPS[n.op].group == "act" for n in after)

    def parts(x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def watch(seen: Seen) -> Tensor:
            if seen.node is block.merge:
                found.update(branch=seen.branch, skip=seen.skip, sum=seen.value)
            elif after and seen.node is after[0]:
                found.setdefault("sum", seen.operands[0])
            return seen.value

        y = evaluate_scope(block.program, module, x, watch, block.path)
        found.setdefault("sum", y)
        found.setdefault("branch", found["sum"])
        return found

    def behind(sum: Tensor) -> Tensor:
        for n in after:
            sum = apply(module.get_submodule(n.path), sum)
        return sum

    slope: Tensor | None = None
    seen: list[_Along] = []
    for i in range(directions):
        v = torch.randn(x.shape, generator=generator(seed, "highway", block.path, i)).to(x)
        values: Mapping[str, Tensor]
        moved: Mapping[str, Tensor]
        with torch.no_grad():
            values, moved, *_ = jvp(parts, (x,), (v,))
            # The block's own forward, not the parts again: they have to agree.
            whole = jvp(module, (x,), (v,))[1]
        if pointwise and slope is None:
            slope = jvp(behind, (values["sum"],), (torch.ones_like(values["sum"]),))[1]
        seen.append(_along(v, whole, moved, slope, _is_sum(values)))
    return Jacobian(
        skip=_over(statistics.fmean, [a.skip for a in seen]),
        branch=statistics.fmean(a.branch for a in seen),
        whole=statistics.fmean(a.whole for a in seen),
        along=_over(statistics.fmean, [a.along for a in seen]),
        error=_over(max, [a.error for a in seen]),
        plus_one=_over(max, [a.plus_one for a in seen]),
        open=None if slope is None else slope != 0,
    )


class _Along(NamedTuple):
    """Along one direction; the names are those of `Jacobian`."""

    skip: float | None
    branch: float
    whole: float
    along: float | None
    error: float | None
    plus_one: float | None


def _is_sum(values: Mapping[str, Tensor]) -> bool:
    """Is what the merge gives the branch and the skip added up, or the branch alone?"""
    skip, branch = values.get("skip"), values["branch"]
    return skip is None or (skip.shape == branch.shape and torch.equal(values["sum"], branch + skip))


def _along(v: Tensor, whole: Tensor, moved: Mapping[str, Tensor], slope: Tensor | None, summed: bool) -> _Along:
    """`slope`: what the sum is multiplied by after it, number by number; None where that is not what happens to it."""
    branch, skip = moved["branch"], moved.get("skip")
    length = _length(v)
    return _Along(
        None if skip is None else _length(skip) / length,
        _length(branch) / length,
        _length(whole) / length,
        _cosine(whole, v) if whole.shape == v.shape else None,
        None
        if slope is None or not summed
        else ratio(_length(whole - slope * (branch if skip is None else branch + skip)), _length(whole)),
        None if skip is None or skip.shape != v.shape or not summed else _length(skip - v) / length,
    )


def _over(mean: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return mean(known) if known else None


def _open_so_far(blocks: Sequence[PlacedBlock], gates: Sequence[Tensor | None]) -> Iterator[float | None]:
    """The share of numbers whose gate is open in a block and in all blocks of its stage before it."""
    stage, through = "", None
    for block, gate in zip(blocks, gates, strict=True):
        through = gate if block.stage != stage else None if gate is None or through is None else through & gate
        stage = block.stage
        yield None if through is None else _share(through)


def _figures(
    blocks: Sequence[PlacedBlock], found: Sequence[Jacobian], through: Mapping[str, float], trunk: Mapping[str, float | None]
) -> dict[str, float]:
    """Those that the network has: a plain one has no skips, a pre-activation one no gates that close."""
    figures: dict[str, float | None] = {
        "error": _over(max, [j.error for j in found]),
        "plus_one_error": _over(max, [j.plus_one for b, j in zip(blocks, found, strict=True) if b.shortcut == "identity"]),
        "open": _over(statistics.fmean, [None if j.open is None else _share(j.open) for j in found]),
        "open_through_stage": min(through.values(), default=None),
        "along": _over(statistics.fmean, [j.along for j in found]),
    }
    first: dict[str, float] = {}
    for b in blocks:
        if (cosine := trunk[b.path]) is not None:
            first.setdefault(b.stage, cosine)
    figures["trunk"] = _over(statistics.fmean, list(first.values()))
    return {name: value for name, value in figures.items() if value is not None}


def _plot(blocks: Sequence[PlacedBlock], found: Sequence[Jacobian], trunk: Mapping[str, float | None]) -> Plot:
    lines = {
        "open gates": [None if j.open is None else _share(j.open) for j in found],
        "cos(J v, v)": [j.along for j in found],
        "cos(dL/dx, dL/dx at the end of the stage)": [trunk[b.path] for b in blocks],
    }
    series = [
        Series(name, [(float(i), y) for i, y in enumerate(ys, 1) if y is not None], number)
        for number, (name, ys) in enumerate(lines.items())
    ]
    return Plot(tuple(s for s in series if s.points), "block", "share, cosine")


def _length(a: Tensor) -> float:
    return math.sqrt(a.cpu().double().square().sum().item())


def _cosine(a: Tensor | None, b: Tensor | None) -> float:
    assert a is not None and b is not None
    cosine: float = functional.cosine_similarity(a.cpu().double().flatten(), b.cpu().double().flatten(), dim=0).item()
    return cosine


def _share(gates: Tensor) -> float:
    return gates.cpu().double().mean().item()
