"""`responses`: how strongly the layers of a network respond, in the order of the layers and in the order of size (He et al. 2015, figure 7)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from resnet_dsl.diagnostics import Argument, refuse, setting
from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import Node
from resnet_dsl.lab.finding import Finding, Plot, number_text, ratio
from resnet_dsl.lab.probes.blocks import PlacedBlock, blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column, shape_text


def measure(probed: ProbedNetwork, channels: str = "all", lipschitz: bool = False) -> Finding:
    """The standard deviation of each layer's responses over all images, channels and places together.

    A response is what a weighted layer of the main path gives after the norm that follows it, before a nonlinearity or an addition;
    the head is left out. `channels` padded: of the last layer in each block of the stages that a zero-padding shortcut enters (option A),
    the responses in the channels that were carried from before the stage, and in those that began as zeros. `lipschitz`: in place of layers, the
    blocks that keep the shape (see `lipschitz_of`).

    Batch norms use the statistics of the images, as in training. Raises SpecError (exit 2) where the network has nothing of the kind.
    """
    if lipschitz:
        return _near_identity(probed)
    return _padded(probed) if channels == "padded" else _layers(probed)


def response_paths(graph: Graph) -> Iterator[tuple[str, str]]:
    """Each weighted layer of the main path with the node that gives its response: the norm that alone reads it, else the layer itself."""
    flat = list(graph.nodes())
    readers: dict[str, list[str]] = {}
    ops = {f.path: f.node.op for f in flat}
    for f in flat:
        for path in f.inputs:
            readers.setdefault(path, []).append(f.path)
    heads = {n.path for n in graph.root.nodes if n.role == "head"}
    for f in flat:
        if OPS[f.node.op].weighted and not f.in_shortcut and f.node.role != "gate" and f.path.partition(".")[0] not in heads:
            after = readers[f.path]
            yield f.path, after[0] if len(after) == 1 and OPS[ops[after[0]]].group == "norm" else f.path


def lipschitz_of(before: Tensor, after: Tensor) -> float:
    """The largest |g(a) - g(b)| / |a - b| over pairs of images (N, ...), with g(x) = y - x: a lower bound of g's Lipschitz constant.

    Pairs that are equal before are left out. Bartlett, Evans & Long 2018 (arXiv 1804.05012): near-identity maps compose to every
    smooth invertible one, nearer the more of them there are.
    """
    x, y = before.flatten(1).double(), after.flatten(1).double()
    apart, moved = torch.pdist(x), torch.pdist(y - x)
    return float((moved[apart > 0] / apart[apart > 0]).max())


def _layers(probed: ProbedNetwork) -> Finding:
    wanted = dict(response_paths(probed.graph))
    found: dict[str, float] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.path in wanted.values():
            found[seen.path] = float(seen.value.double().std(correction=0))
        return seen.value

    with batch_statistics(probed.model), torch.no_grad():
        evaluate(probed.graph, probed.model, probed.images, watch)
    spreads = [found[path] for path in wanted.values()]
    ranks = {i: rank + 1 for rank, i in enumerate(sorted(range(len(spreads)), key=lambda i: -spreads[i]))}
    shapes = {f.path: f.node.shape for f in probed.graph.nodes()}
    return Finding(
        "responses",
        probed.name,
        probed.said,
        (
            Column("layer", "layer"),
            Column("shape", "shape", shape_text),
            Column("std", "std", number_text, right=True),
            Column("rank", "rank by size", str, right=True),
        ),
        tuple((layer, shapes[layer], spread, ranks[i]) for i, (layer, spread) in enumerate(zip(wanted, spreads, strict=True))),
        {"mean": statistics.fmean(spreads), "median": statistics.median(spreads), "least": min(spreads), "most": max(spreads)},
        (),
        Plot(
            (
                Series("in the order of the layers", list(enumerate(spreads, 1)), 0),
                Series("in the order of size", list(enumerate(sorted(spreads, reverse=True), 1)), 1),
            ),
            x="layer",
            y="standard deviation of responses",
        ),
    )


def _padded(probed: ProbedNetwork) -> Finding:
    graph = probed.graph
    carried = {stage.path: width for stage in graph.stages if (width := _carried(stage)) is not None}
    merges = {b.merge_path: b for b in blocks_of(graph) if b.stage in carried and b.merge is not None}
    if not merges:
        raise refuse(
            "probe-nothing",
            "has no stage that a shortcut enters with channels of zeros",
            f"use {setting('shortcut', 'A')}",
            at=probed.name,
        )
    rows = list(_sizes(probed, merges, carried))
    sizes = [size for _, size in rows]
    lines = {"carried": [s.carried for s in sizes], "padded": [s.padded for s in sizes]}
    return Finding(
        "responses",
        probed.name,
        probed.said,
        _PADDED,
        tuple((*block, *size) for block, size in rows),
        {
            "response_ratio": statistics.fmean(ratio(s.padded, s.carried) for s in sizes),
            "gradient_ratio": statistics.fmean(ratio(s.gradient_padded, s.gradient_carried) for s in sizes),
        },
        (
            "F, dL/dF: root mean square of the branch and of its gradient, in the channels that the shortcut carried into the stage and in "
            "those that it padded with zeros. Ratios: padded over carried, mean over blocks.",
        ),
        Plot(
            tuple(Series(name, list(enumerate(line, 1)), i) for i, (name, line) in enumerate(lines.items())),
            x="block of the stages that begin with padding",
            y="response",
        ),
    )


_PADDED = (
    Column("block", "block"),
    Column("carried", "carried", str, right=True),
    Column("padded", "padded", str, right=True),
    Column("response_carried", "F carried", number_text, right=True),
    Column("response_padded", "F padded", number_text, right=True),
    Column("gradient_carried", "dL/dF carried", number_text, right=True),
    Column("gradient_padded", "dL/dF padded", number_text, right=True),
)


def _sizes(
    probed: ProbedNetwork, merges: Mapping[str | None, PlacedBlock], carried: Mapping[str, int]
) -> Iterator[tuple[tuple[str, int, int], _Sizes]]:
    """Each block's path, the channels carried and padded, and how large the branch is in both."""
    branches: dict[str, Tensor] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.path in merges:
            seen.branch.retain_grad()
            branches[seen.path] = seen.branch
        return seen.value

    with batch_statistics(probed.model):
        images = probed.images.clone().requires_grad_()
        probed.loss(evaluate(probed.graph, probed.model, images, watch)).backward()  # type: ignore[no-untyped-call]
    for path, branch in branches.items():
        n = carried[merges[path].stage]
        assert branch.grad is not None
        parts = (part for t in (branch.detach(), branch.grad) for part in (t[:, :n], t[:, n:]))
        yield (merges[path].path, n, branch.shape[1] - n), _Sizes(*map(_rms, parts))


class _Sizes(NamedTuple):
    carried: float
    padded: float
    gradient_carried: float
    gradient_padded: float


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def _carried(stage: Node) -> int | None:
    """The channels that a zero-padding shortcut carries into a stage; None where none does."""
    for block in stage.callee.nodes:
        for node in block.callee.nodes if block.role == "block" else ():
            if node.role == "shortcut" and any(n.program is None and OPS[n.op].pads for n in node.callee.nodes):
                return block.callee.input[0]
    return None


def _near_identity(probed: ProbedNetwork) -> Finding:
    blocks = [b.path for b in blocks_of(probed.graph) if b.keeps_shape]
    found: dict[str, tuple[float, float]] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.path in blocks:
            (x,), y = seen.operands, seen.value
            found[seen.path] = lipschitz_of(x, y), float((y - x).double().norm() / x.double().norm())
        return seen.value

    if not blocks or len(probed.images) < 2:
        raise refuse(
            "probe-nothing",
            "has no block that keeps the shape" if not blocks else "was shown one image, and pairs are compared",
            "use a deeper spec" if not blocks else f"use {Argument('images', 2)} or more",
            at=probed.name,
        )
    with batch_statistics(probed.model), torch.no_grad():
        evaluate(probed.graph, probed.model, probed.images, watch)
    constants = [value for value, _ in found.values()]
    return Finding(
        "responses",
        probed.name,
        probed.said,
        (
            Column("block", "block"),
            Column("lipschitz", "Lipschitz of block - id", number_text, right=True),
            Column("change", "|block(x) - x| / |x|", number_text, right=True),
        ),
        tuple((path, *found[path]) for path in blocks),
        {"mean": statistics.fmean(constants), "least": min(constants), "most": max(constants)},
        (
            "The largest quotient over all pairs of images: a lower bound of the constant. A map within less than 1 of the identity is invertible.",
        ),
        Plot(
            (Series("Lipschitz constant of block - id", list(enumerate(constants, 1)), 0),),
            x="block that keeps the shape",
            y="Lipschitz constant",
        ),
    )
