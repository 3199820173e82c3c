"""Weights from one network to another, as a plan says (`analysis.transfer`), and the proof that a grown network is its origin."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from resnet_dsl.analysis.transfer import TransferPlan, plan_growth
from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph.graph import Graph
from resnet_dsl.ops.exactness import Fill
from resnet_dsl.runtime.build import build

Tensors = dict[str, torch.Tensor]

IMAGES = 4
"""Images of the proof: two of standard normal numbers, one ten times as large, one of zeros."""


def carry_out(plan: TransferPlan, tensors: Mapping[str, torch.Tensor], b: Graph, seed: int) -> Tensors:
    """The state_dict of B: what `plan` copies from A's `tensors` and what it sets; the rest is as in a B made new from `seed`."""
    made: Tensors = build(b, seed=seed).state_dict()
    for row in plan.rows:
        if row.what == "copied":
            made[row.name] = tensors[row.name].detach().clone()
        elif row.fill is not None:
            set_to(made[row.name], row.fill)
    return made


def grow(a: Graph, tensors: Mapping[str, torch.Tensor], b: Graph, seed: int) -> Tensors:
    """The state_dict of B, a deeper A, which begins as A: in evaluation both compute the same, bit for bit.

    `tensors` are A's, by state_dict key; what the identity leaves open in the added blocks is drawn from `seed`.
    Raises SpecError: exit 2 where B cannot begin as A, 1 where the proof fails.
    """
    grown = carry_out(plan_growth(a, b), tensors, b, seed)
    require_same(a, tensors, b, grown, seed)
    return grown


def require_same(a: Graph, tensors_a: Mapping[str, torch.Tensor], b: Graph, tensors_b: Mapping[str, torch.Tensor], seed: int) -> None:
    """Run both networks on images drawn from `seed`, and compare the bits of what they give. Raises SpecError (exit 1)."""
    images = torch.randn(IMAGES, *a.input, generator=torch.Generator().manual_seed(seed))
    images *= torch.tensor([1.0, 1.0, 10.0, 0.0]).reshape(IMAGES, *(1 for _ in a.input))
    x, y = (_run(graph, tensors, images) for graph, tensors in ((a, tensors_a), (b, tensors_b)))
    if not x.isfinite().all():
        raise refuse(
            "grow-differs",
            "A's own outputs are not finite on random images, so nothing can be said of B's",
            "use weights of a run that did not diverge",
            at=a.name,
            exit_code=1,
        )
    different = int((x.view(torch.int32) != y.view(torch.int32)).any(1).sum())
    if different:
        raise refuse(
            "grow-differs",
            f"its outputs differ from A's on {different} of {IMAGES} random images, by {(x - y).abs().max():.2g} at most",
            "this machine's convolutions are not exact for a kernel of one 1; residual blocks need none",
            at=b.name,
            exit_code=1,
        )


@torch.inference_mode()
def _run(graph: Graph, tensors: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    model = build(graph, seed=0)
    model.load_state_dict(dict(tensors))
    outputs: torch.Tensor = model.eval()(images)
    return outputs


def set_to(tensor: torch.Tensor, fill: Fill) -> None:
    """Fill a tensor; `identity` is 1 where an output channel reads itself, at the middle of the window, and 0 elsewhere."""
    if fill != "identity":
        tensor.fill_(fill)
        return
    out, within = tensor.shape[:2]
    channels = torch.arange(out)
    index = [channels, channels % within, *(torch.tensor(side // 2) for side in tensor.shape[2:])]
    tensor.zero_()[tuple(index)] = 1
