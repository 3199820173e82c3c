"""Where the first number of a step that is not finite comes from: the step is done again, and every module is watched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch


def first_bad(model: torch.nn.Module, images: torch.Tensor, loss: Callable[[], torch.Tensor]) -> str | None:
    """In words, the first thing that is not finite: images, weights, an activation (inner modules before those that hold
    them), the loss, a gradient (from the end backwards), the gradient of a weight. None where all is finite this time.

    `loss` does the forward pass of `model` on `images`; its gradients are computed again and dropped.
    """
    if not bool(images.isfinite().all()):
        return f"the batch's images hold {_kind(images)}"
    for name, p in model.named_parameters():
        if not bool(p.isfinite().all()):
            return f"the weights of {name} hold {_kind(p)}"
    found: list[str] = []
    with _watched(model, found):
        value = loss()
        if not found and not bool(value.isfinite().all()):
            found.append(f"the loss itself is {_kind(value)}: every activation before it is finite")
        if not found:
            model.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
    if not found:
        found += [
            f"the gradient of {name} holds {_kind(p.grad)}"
            for name, p in model.named_parameters()
            if p.grad is not None and not bool(p.grad.isfinite().all())
        ]
    model.zero_grad(set_to_none=True)
    return found[0] if found else None


def _kind(values: torch.Tensor) -> str:
    return "nan" if bool(values.isnan().any()) else "inf"


@contextlib.contextmanager
def _watched(model: torch.nn.Module, found: list[str]) -> Iterator[None]:
    """Inside `with`, each module's outputs and their gradients are looked at; the first bad one goes to `found`."""

    def on_gradient(gradient: torch.Tensor, name: str) -> None:
        if not found and not bool(gradient.isfinite().all()):
            found.append(f"the gradient that reaches the output of {name} holds {_kind(gradient)}")

    def on_output(name: str) -> Callable[[torch.nn.Module, Any, Any], None]:
        def look(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            if found or not isinstance(output, torch.Tensor):
                return
            if not bool(output.detach().isfinite().all()):
                found.append(f"the output of {name} holds {_kind(output.detach())}")
            elif output.requires_grad:
                output.register_hook(lambda gradient: on_gradient(gradient, name))  # type: ignore[no-untyped-call]

        return look

    handles = [m.register_forward_hook(on_output(name or "the network")) for name, m in model.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
