"""Gradient norms over depth: one number for each weighted layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from resnet_dsl.graph import Graph
from resnet_dsl.lab.finding import Finding, Plot, number_text, ratio
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column

MEASURES: Mapping[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "norm": ("|dL/dw|", lambda g, w: g.norm()),
    "rms": ("rms of dL/dw", lambda g, w: g.norm() / math.sqrt(g.numel())),
    "relative": ("|dL/dw| / |w|", lambda g, w: g.norm() / w.norm()),
}
"""The measures of the gradient g of a weight w, by name: the title, and the number."""


def measure(probed: ProbedNetwork, of: str = "norm") -> Finding:
    """The size (`of` norm, rms or relative) of the mean loss's gradient by each layer's weight.

    The figures are over the layers of the main path before the head: no projection of a shortcut, and not the classifier.
    """
    model = probed.model
    title, size = MEASURES[of]
    with batch_statistics(model):
        loss = probed.loss(model(probed.images))
        loss.backward()  # type: ignore[no-untyped-call]
        found = {path: size(*_gradient_and_weight(model.get_submodule(path))).item() for path in weighted(probed.graph)}
    trunk = [found[path] for path in weighted(probed.graph, trunk=True)]
    first_over_last = ratio(trunk[0], trunk[-1])
    return Finding(
        "gradients",
        probed.name,
        probed.said,
        (Column("layer", "layer"), Column("gradient", title, number_text, True)),
        tuple(found.items()),
        {
            "loss": loss.item(),
            "first": trunk[0],
            "last": trunk[-1],
            "first_over_last": first_over_last,
            "per_layer": first_over_last ** (1 / (len(trunk) - 1)) if len(trunk) > 1 else math.nan,
            "max_over_min": ratio(max(trunk), min(trunk)),
        },
        chart=Plot((Series(title, [(float(i), y) for i, y in enumerate(trunk, 1)], 0),), "layer, from the input", title, log=True),
    )


def weighted(graph: Graph, *, trunk: bool = False) -> list[str]:
    """The paths of the layers with a weight matrix, in order; `trunk` leaves out shortcuts and the head."""
    heads = {n.path for n in graph.root.nodes if n.role == "head"}
    return [
        f.path
        for f in graph.nodes()
        if OPS[f.node.op].weighted and not (trunk and (f.in_shortcut or f.path.partition(".")[0] in heads))
    ]  # fmt: skip


def _gradient_and_weight(layer: nn.Module) -> tuple[Tensor, Tensor]:
    weight = layer.weight
    assert isinstance(weight, Tensor) and weight.grad is not None
    return weight.grad.cpu().double(), weight.detach().cpu().double()
