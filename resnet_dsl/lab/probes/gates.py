"""`gates`: how far the gates of a highway network are open."""

from __future__ import annotations

import statistics

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
    found: dict[str, tuple[int, float, float, float, float, float]] = {}

    def watch(seen: Seen) -> Tensor:
        if OPS[seen.node.op].gate is not None:
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
    units = sum(v[0] for v in values)
    return Finding(
        "gates",
        probed.name,
        probed.said,
        _COLUMNS,
        tuple((path, *row) for path, row in found.items()),
        {
            "mean": statistics.fmean(v[1] for v in values),
            "lowest": min(v[1] for v in values),
            "highest": max(v[1] for v in values),
            "closed": sum(v[0] * v[4] for v in values) / units,
            "open": sum(v[0] * v[5] for v in values) / units,
        },
        (
            "spread: between units; varies: of a unit, over images and places; "
            f"closed, open: shares of units whose mean is below {CLOSED:g}, above {1 - CLOSED:g}.",
        ),
        Plot(
            (
                Series("mean of T", [(i, v[1]) for i, v in enumerate(values, 1)], 0),
                Series("share of units closed", [(i, v[4]) for i, v in enumerate(values, 1)], 1),
                Series("share of units open", [(i, v[5]) for i, v in enumerate(values, 1)], 2),
            ),
            x="gate",
            y="openness",
        ),
    )


def openness(gate: Tensor) -> tuple[int, float, float, float, float, float]:
    """Units, mean, spread, varies, closed and open (see `measure`) of gates (N, units, ...) between 0 and 1."""
    by_unit = gate.double().transpose(0, 1).flatten(1)
    means = by_unit.mean(1)
    return (
        len(means),
        float(means.mean()),
        float(means.std(correction=0)),
        float(by_unit.std(1, correction=0).mean()),
        float((means < CLOSED).double().mean()),
        float((means > 1 - CLOSED).double().mean()),
    )
