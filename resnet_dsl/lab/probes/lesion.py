"""`lesion`: the test error of a trained network without one of its blocks, or with two of them swapped."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph import Graph
from resnet_dsl.lab.finding import Finding, Plot
from resnet_dsl.lab.probes.blocks import PlacedBlock, blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import evaluated
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column, share

_CHUNK = 500

_COLUMNS = (
    Column("block", "block"),
    Column("remains", "what remains"),
    Column("error", "error", share, right=True),
    Column("rise", "rise, points", lambda v: f"{100 * v:+.2f}", right=True),
)


def measure(probed: ProbedNetwork, change: str = "drop") -> Finding:
    """The share of test images (as many as there are training images) taken for a wrong class, before and after each change.

    `drop`: one block at a time is left out: of a residual block the branch, so that y = after(s); a plain block as a whole, so that
    y = x. Where nothing of the right shape remains, a block cannot be dropped: its row has no error. `swap`: two blocks that follow
    one another and keep the shape change places. The median and the largest rise are over the changes that leave the identity.

    Norms hold what they have in evaluation (`still.evaluated`). Veit et al. 2016 (arXiv 1605.06431), sections 4.1 to 4.3.
    Raises SpecError (exit 2) where nothing can be changed.
    """
    graph, model = probed.graph, probed.model
    images, labels = probed.test(len(probed.labels))
    with evaluated(model, probed.images, probed.step), torch.no_grad():
        base = error(model, images, labels)
        rows = list((_dropped if change == "drop" else _swapped)(graph, model, images, labels))
    measured = [(path, remains, wrong) for path, remains, wrong in rows if wrong is not None]
    if not measured:
        raise refuse(
            "probe-nothing",
            f"has no block that can be {'dropped' if change == 'drop' else 'swapped with its neighbour'}: each changes the shape",
            "use a network with several equal blocks in a stage",
            at=probed.name,
        )
    rises = [wrong - base for _, remains, wrong in measured if remains in ("identity", "both")] or [wrong - base for *_, wrong in measured]
    numbers = {path: i + 1 for i, (path, *_) in enumerate(rows)}
    points = [(numbers[path], 100 * wrong) for path, _, wrong in measured]
    ends = (float(points[0][0]), float(points[-1][0]))
    lacking = len(rows) - len(measured)
    return Finding(
        "lesion",
        probed.name,
        f"{probed.said}; error on {len(labels):,} test images",
        _COLUMNS,
        tuple((path, remains or "cannot be dropped", wrong, None if wrong is None else wrong - base) for path, remains, wrong in rows),
        {"base_error": base, "median_rise": statistics.median(rises), "max_rise": max(rises), "changed": len(rises)},
        (f"{lacking} block{'s change' if lacking > 1 else ' changes'} the shape and cannot be dropped.",) if lacking else (),
        Plot(
            (Series("with the block dropped" if change == "drop" else "with the pair swapped", points, 0),
             Series("whole network", [(x, 100 * base) for x in ends], 1, dashed=True)),
            x="block" if change == "drop" else "pair", y="test error, %",
        ),
    )  # fmt: skip


def error(forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> float:
    """The share of images (N, *input) whose largest output is not their label's; outputs that are not finite are wrong."""
    wrong = 0
    for x, y in zip(torch.split(images, _CHUNK), torch.split(labels, _CHUNK), strict=True):
        logits = forward(x)
        wrong += int(((logits.argmax(1) != y) | ~logits.isfinite().all(1)).sum())
    return wrong / len(labels)


def remains(block: PlacedBlock) -> str | None:
    """What is left of a block without its branch: `identity`, the shortcut's policy, or None where that has another shape."""
    merge = block.merge
    if merge is None:
        return "identity" if block.keeps_shape else None
    spine = merge["spine"]
    assert isinstance(spine, tuple)
    skip = merge.inputs[1 if spine[0] == 0 else 0]
    return block.shortcut if block.program.shapes[skip] == merge.shape else None


def without(graph: Graph, model: nn.Module, block: PlacedBlock) -> Callable[[Tensor], Tensor]:
    """The network with one block dropped, as a function of images."""
    at = block.merge_path or block.path

    def watch(seen: Seen) -> Tensor:
        if seen.path != at:
            return seen.value
        return seen.operands[0] if block.merge is None else seen.skip

    return lambda images: evaluate(graph, model, images, watch)


@contextmanager
def swapped(model: nn.Module, first: PlacedBlock, second: PlacedBlock) -> Iterator[None]:
    """Inside `with`, two blocks of one stage stand in each other's place."""
    stage = model.get_submodule(first.stage)
    names = [b.path.removeprefix(f"{b.stage}.") for b in (first, second)]
    modules = [stage.get_submodule(name) for name in names]
    try:
        for name, module in zip(names, reversed(modules), strict=True):
            setattr(stage, name, module)
        yield
    finally:
        for name, module in zip(names, modules, strict=True):
            setattr(stage, name, module)


_Row = tuple[str, str | None, float | None]


def _dropped(graph: Graph, model: nn.Module, images: Tensor, labels: Tensor) -> Iterator[_Row]:
    for block in blocks_of(graph):
        left = remains(block)
        yield block.path, left, None if left is None else error(without(graph, model, block), images, labels)


def _swapped(graph: Graph, model: nn.Module, images: Tensor, labels: Tensor) -> Iterator[_Row]:
    for first, second in pairwise(blocks_of(graph)):
        if first.stage == second.stage and first.keeps_shape and second.keeps_shape:
            with swapped(model, first, second):
                yield f"{first.path} and {second.path.rpartition('.')[2]}", "both", error(model, images, labels)
