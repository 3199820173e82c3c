"""Signals at every node: how large they are on the way forward, and their gradients on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import Program, join
from resnet_dsl.lab.finding import Finding, Plot, number_text, ratio
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column, share

_COLUMNS = (
    Column("path", "path"),
    Column("mean", "mean", number_text, True),
    Column("variance", "variance", number_text, True),
    Column("zeros", "zeros", share, True),
    Column("gradient", "|dL/dy|", number_text, True),
    Column("weight_gradient", "|dL/dw|", number_text, True),
    Column("branch_ratio", "branch/skip", number_text, True),
)


class Signal(NamedTuple):
    """What is measured of one value y (N, ...): over all its numbers, and the norm of the loss's gradient by it."""

    mean: float
    variance: float
    zeros: float
    gradient: float


def measure(probed: ProbedNetwork, by: str = "block") -> Finding:
    """Mean, variance and share of zeros of every node's value y; norms of the mean loss's gradient by y and by its weights w.

    A row is a node (`by` op), a block or a node outside of blocks (`block`), or a stage or a node outside of stages (`stage`): y is what
    it gives, w are all weights in it, and its branch ratio, var(F) / var(s), is the mean over the blocks in it. Figures are of the
    blocks, whatever the rows are.
    """
    graph, model = probed.graph, probed.model
    blocks = [b.path for b in blocks_of(graph)]
    rows = list(row_paths(graph, by))
    values: dict[str, Tensor] = {}
    ratios: dict[str, float] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.path in wanted:
            seen.value.retain_grad()
            values[seen.path] = seen.value
        scope = seen.path.rpartition(".")[0]
        if seen.node.role == "merge" and scope in blocks:
            ratios[scope] = ratio(_variance(seen.branch), _variance(seen.skip))
        return seen.value

    wanted = {*rows, *blocks}
    with batch_statistics(model):
        # The images have a gradient too, so that all that is computed from them has one.
        loss = probed.loss(evaluate(graph, model, probed.images.clone().requires_grad_(), watch))
        loss.backward()  # type: ignore[no-untyped-call]
        found = {path: _signal(y) for path, y in values.items()}
        named = dict(model.named_modules())
        weights = {path: _norm(p.grad for p in named[path].parameters()) for path in rows if path in named}
    return Finding(
        "signals",
        probed.name,
        probed.said,
        _COLUMNS,
        tuple((path, *found[path], weights.get(path), _inside(ratios, path)) for path in rows),
        {"loss": loss.item(), **_figures([found[path] for path in blocks], list(ratios.values()))},
        chart=_plot([found[path] for path in rows], [_inside(ratios, path) for path in rows], by),
    )


def row_paths(graph: Graph, by: str) -> Iterator[str]:
    """The paths of scopes with the role `by`, and of the nodes that are in none, in the order in which they are computed."""

    def walk(program: Program, path: str) -> Iterator[str]:
        for n in program.nodes:
            for name in n.paths:
                if n.program is None or n.role == by:
                    yield join(path, name)
                else:
                    yield from walk(n.program, join(path, name))

    return walk(graph.root, "")


def _signal(y: Tensor) -> Signal:
    assert y.grad is not None
    zeros = (y == 0).cpu().double().mean().item()
    return Signal(y.detach().cpu().double().mean().item(), _variance(y), zeros, y.grad.cpu().double().norm().item())


def _variance(y: Tensor) -> float:
    return y.detach().cpu().double().var(correction=0).item()


def _norm(gradients: Iterable[Tensor | None]) -> float | None:
    norms = [g.cpu().double().norm() for g in gradients if g is not None]
    return torch.stack(norms).norm().item() if norms else None


def _inside(ratios: Mapping[str, float], path: str) -> float | None:
    """The mean over the blocks at or below a path; None where there is none."""
    inside = [r for block, r in ratios.items() if block == path or block.startswith(f"{path}.")]
    return sum(inside) / len(inside) if inside else None


def _figures(blocks: list[Signal], ratios: list[float]) -> dict[str, float]:
    first, last = blocks[0], blocks[-1]
    return {
        "variance_first": first.variance,
        "variance_last": last.variance,
        "variance_growth": ratio(last.variance, first.variance),
        "gradient_first": first.gradient,
        "gradient_last": last.gradient,
        "gradient_growth": ratio(first.gradient, last.gradient),
        **({"branch_ratio_first": ratios[0], "branch_ratio_last": ratios[-1]} if ratios else {}),
    }


def _plot(signals: list[Signal], ratios: list[float | None], by: str) -> Plot:
    lines: Mapping[str, Sequence[float | None]] = {
        "variance": [s.variance for s in signals],
        "gradient norm": [s.gradient for s in signals],
        "branch / skip": ratios,
    }
    series = [
        Series(name, [(float(i), y) for i, y in enumerate(ys) if y is not None], number) for number, (name, ys) in enumerate(lines.items())
    ]
    return Plot(tuple(s for s in series if s.points), f"row of the table, from 0 (by {by})", "variance, norm, ratio", log=True)
