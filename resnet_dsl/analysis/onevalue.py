"""Norms that see one value: torch refuses them in a training step, so they are found before."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from resnet_dsl.diagnostics import SpecError, refuse, setting
from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import Shape
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import shape_text


class OneValue(NamedTuple):
    """A norm by its path in the network, what it is, the shape that it reads, and whether more images would give it more values."""

    path: str
    about: str
    shape: Shape
    by_batch: bool


def one_value(graph: Graph, rows: int, frozen: Collection[str] = ()) -> OneValue | None:
    """The first norm that takes its mean over one value when a network trains on `rows` images at once; None where there is none.

    `frozen` names parameters that do not train: the batch norms among them keep their statistics, and take no mean.
    """
    held = set(frozen)
    for flat in graph.nodes():
        op = OPS[flat.node.op]
        if op.averaged is None or (op.tracked and f"{flat.path}.weight" in held):
            continue
        if op.averaged(flat.site) * (rows if op.tracked else 1) == 1:
            return OneValue(flat.path, f"{op.called} norm", flat.node.shape, op.tracked)
    return None


def require_values(graph: Graph, rows: int, fix: str, *, frozen: Collection[str] = (), when: str = "") -> None:
    """Refuse to train on `rows` images at once where a norm would see one value. `fix` gives more images, `when` says what images they are.

    Raises SpecError (exit 2).
    """
    found = one_value(graph, rows, frozen)
    if found is not None:
        raise _refusal(found, fix, when)


def _refusal(found: OneValue, fix: str, when: str) -> SpecError:
    shape = shape_text(found.shape)
    if found.by_batch:
        message = f"{when}one image at a time leaves this {found.about} of {shape} one value a channel, and one value has no deviation"
        return refuse(
            "norm-one-value", message, f"{fix}, or a norm that looks at each image alone: {setting('norm', 'layer')}", at=found.path
        )
    return refuse(
        "norm-one-value",
        f"{when}this {found.about} of {shape} takes its mean over one value, so what it gives does not depend on what it reads",
        f"use another norm there ({setting('norm', 'batch')}), or keep the map larger: fewer strides",
        at=found.path,
    )
