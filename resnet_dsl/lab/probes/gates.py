"""`gates`: how far the gates of a highway network are open."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resnet_dsl.diagnostics import refuse, setting
from resnet_dsl.lab.finding import Finding, Plot, number_text
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column, count, share

CLOSED = 0.1
"""A gate is closed where it is below this on the mean, and open above 1 minus this."""

_COLUMNS = (
    Column("gate", "gate of"),
    Column("units", "units", count, right=True),
    Column("mean", "mean", number_text, right=True),
    Column("spread", "spread", number_text, right=True),
    Column("varies", "varies", number_text, right=True),
    Column("closed", "closed", share, right=True),
    Column("open", "open", share, right=True),
)


def measure(probed: ProbedNetwork) -> Finding:
    """The values T = sigmoid(gate(x)) of every highway merge, y = T * F + (1 - T) * s, over all images and places.

    A unit is a channel or feature of the gate. `mean` is over everything; `spread` the standard deviation of the units' means, `varies` the mean
    of the units' standard deviations over images and places; `closed` and `open` the shares of units whose mean is below 0.1 or above 0.9.
    Batch norms use the statistics of the images, as in training. Raises SpecError (exit 2) where there is no gate.
    """
    found: dict[str, Openness] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.node.program is None and OPS[seen.node.op].gate is not None:
            found[seen.path.rpartition(".")[0]] = openness(torch.sigmoid(seen.operands[2]))
        return seen.value

    with batch_statistics(probed.model), torch.no_grad():
        evaluate(probed.graph, probed.model, probed.images, watch)
    if not found:
        raise refuse(
            "probe-nothing",
            "has no gate: it has no merge highway",
            f"use a highway network: highway19, say, or {setting('merge', 'highway')}",
            at=probed.name,
        )
    values = list(found.values())
    return Finding(
        "gates",
        probed.name,
        probed.said,
        _COLUMNS,
        tuple((path, *row) for path, row in found.items()),
        _figures(values),
        (
            "spread: between units; varies: of a unit, over images and places; "
            f"closed, open: shares of units whose mean is below {CLOSED:g}, above {1 - CLOSED:g}.",
        ),
        Plot(
            (
                Series("mean of T", [(i, v.mean) for i, v in enumerate(values, 1)], 0),
                Series("share of units closed", [(i, v.closed) for i, v in enumerate(values, 1)], 1),
                Series("share of units open", [(i, v.open) for i, v in enumerate(values, 1)], 2),
            ),
            x="gate",
            y="openness",
        ),
    )


def _figures(gates: Sequence[Openness]) -> dict[str, float]:
    units = sum(g.units for g in gates)
    return {
        "mean": statistics.fmean(g.mean for g in gates),
        "lowest": min(g.mean for g in gates),
        "highest": max(g.mean for g in gates),
        "closed": sum(g.units * g.closed for g in gates) / units,
        "open": sum(g.units * g.open for g in gates) / units,
    }


class Openness(NamedTuple):
    """A gate over all images and places; see `measure`."""

    units: int
    mean: float
    spread: float
    varies: float
    closed: float
    open: float


def openness(gate: Tensor) -> Openness:
    """How far gates (N, units, ...) between 0 and 1 are open."""
    by_unit = gate.double().transpose(0, 1).flatten(1)
    means = by_unit.mean(1)
    return Openness(
        len(means),
        float(means.mean()),
        float(means.std(correction=0)),
        float(by_unit.std(1, correction=0).mean()),
        float((means < CLOSED).double().mean()),
        float((means > 1 - CLOSED).double().mean()),
    )
