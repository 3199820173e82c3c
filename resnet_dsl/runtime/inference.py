"""A network made ready to answer: batch norms folded, weights in the layout and type that convolutions read fastest, no autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from resnet_dsl.graph import Graph
from resnet_dsl.graph.folding import fold
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.folding import fold_weights


class Ready(nn.Module):
    """What `ready` makes. It reads (batch, *graph.input) in any type and layout, and gives (batch, classes) in float32."""

    def __init__(
        self, body: nn.Module, dtype: torch.dtype, layout: torch.memory_format, call: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        super().__init__()
        self.body, self.dtype, self.layout, self.call = body, dtype, layout, call

    @torch.inference_mode()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits, which carry no gradients."""
        return self.call(x.to(self.dtype, memory_format=self.layout)).float()


def ready(graph: Graph, tensors: Mapping[str, torch.Tensor], *, dtype: torch.dtype = torch.float32, compiled: bool = False) -> Ready:
    """A network for inference, from the state_dict of its module as it was trained, on the device of these tensors.

    Folding is computed in float64 and rounded once, so float32 outputs differ from the module's only by rounding; with `torch.bfloat16`
    weights and maps have 8 significant bits. `compiled` sends it through torch.compile with its weights frozen into the program: the first
    batch of each size then takes up to minutes, and needs a compiler.
    """
    layout = torch.channels_last if len(graph.input) == 3 else torch.preserve_format
    with torch.device("meta"):
        body = build(fold(graph))
    # Of its own, whatever becomes of the tensors that were given.
    body.load_state_dict({k: v.detach().clone() for k, v in fold_weights(graph, tensors).items()}, assign=True)
    body.to(dtype=dtype, memory_format=layout).eval().requires_grad_(False)  # type: ignore[call-overload]
    call = torch.compile(body, dynamic=False, options={"freezing": True}) if compiled else body
    return Ready(body, dtype, layout, call)
