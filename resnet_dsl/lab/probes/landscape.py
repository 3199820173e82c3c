"""`landscape`: the loss around a network's weights, along one or two random directions (Li et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.lab.finding import Finding, Plot, number_text
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import evaluated
from resnet_dsl.pictures.drawing.heat import Axis, heat
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column
from resnet_dsl.training.batches.seeds import generator

Direction = Mapping[str, Tensor]
"""A change of weights, by the names of the parameters."""

_FLOOR = 1e-4


def measure(probed: ProbedNetwork, directions: int = 1, grid: int = 21, span: float = 1.0) -> Finding:
    """The mean loss on the images at weights w + a d, or w + a d + b e, a and b in `grid` equal steps from -span to span.

    d and e are drawn from the seed and normalised by filter (`direction`). Norms hold what they have in evaluation, as in Li et al.
    (`still.evaluated`).

    Raises SpecError (exit 2) for an even grid, which would miss the weights themselves, or more than two directions.
    """
    if grid % 2 == 0 or directions > 2:
        at, message, help = (
            (Argument("grid"), f"{grid} steps have no middle, where the weights themselves lie", f"use an odd number: {grid + 1}")
            if grid % 2 == 0 else (Argument("directions"), "a picture has one direction or two", "use 1 or 2")
        )  # fmt: skip
        raise refuse("usage", message, help, at=at)
    model = probed.model
    places = [span * (2 * i / (grid - 1) - 1) for i in range(grid)]
    with evaluated(model, probed.images, probed.step), torch.no_grad():
        ways = [direction(model, generator(probed.seed, "landscape", i)) for i in range(directions)]
        losses = surface(model, ways, places, lambda: float(probed.loss(model(probed.images))))
    draw = _curve if directions == 1 else _map
    columns = [Column(k, k, lambda v: f"{v:+.2f}", right=True) for k in ("a", "b")[:directions]]
    return Finding(
        "landscape",
        probed.name,
        probed.said,
        (*columns, Column("loss", "loss", number_text, right=True)),
        tuple(
            (*((a,) if directions == 1 else (a, b)), losses[j][i])
            for i, a in enumerate(places)
            for j, b in enumerate(places if directions == 2 else (0.0,))
        ),
        _figures(losses, places),
        _notes(losses, "their running statistics" if probed.step is None else "the statistics of the images"),
        draw(losses, places),
    )


def _notes(losses: Sequence[Sequence[float]], held: str) -> tuple[str, ...]:
    values = [v for row in losses for v in row]
    lost = sum(not math.isfinite(v) for v in values)
    return (
        "centre: the loss at the weights themselves. bumps: how much the loss goes up and down along a line beyond what one valley needs, "
        "mean over the lines. convex: share of the places between two others where the loss bends upwards.",
        f"Norms hold {held}; biases and the parameters of norms stay.",
        *([f"The loss is not finite at {lost:,} of {len(values):,} places; lowest and highest are of the others."] if lost else []),
    )


def direction(model: nn.Module, draws: torch.Generator) -> Direction:
    """A random direction, normalised by filter: each filter (a row of a weight of two or more axes) as long as the model's own.

    Normal numbers, times |w_f| / |d_f| for each filter f (Li et al. 2018, section 4). Biases and the parameters of norms are one-dimensional; they are
    left where they are.
    """
    found = {}
    for name, p in model.named_parameters():
        drawn = torch.randn(p.shape, generator=draws).to(p.device, p.dtype)
        if p.ndim < 2:
            continue
        lengths = [t.detach().flatten(1).norm(dim=1) for t in (p, drawn)]
        found[name] = drawn * (lengths[0] / lengths[1]).view(-1, *(1 for _ in p.shape[1:]))
    return found


def surface(model: nn.Module, ways: Sequence[Direction], places: Sequence[float], loss: Callable[[], float]) -> list[list[float]]:
    """`loss()` at w + a d + b e for every a of `places` (in a row) and every b (one row each); one row where there is one direction.

    Leaves the weights where the last place was.
    """
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    parameters = dict(model.named_parameters())

    def at(*steps: float) -> float:
        for name, p in parameters.items():
            p.copy_(start[name])
            for step, way in zip(steps, ways, strict=True):
                if name in way:
                    p.add_(way[name], alpha=step)
        return loss()

    if len(ways) == 1:
        return [[at(a) for a in places]]
    return [[at(a, b) for a in places] for b in places]


def bumps(line: Sequence[float]) -> float:
    """How much a line goes up and down beyond one valley: the sum of |differences| less what leads from both ends to the lowest place."""
    low = min(line)
    return math.fsum(abs(b - a) for a, b in pairwise(line)) - (line[0] - low) - (line[-1] - low)


def _lines(losses: Sequence[Sequence[float]]) -> Iterator[Sequence[float]]:
    """Every line of the grid along each direction."""
    yield from losses
    if len(losses) > 1:
        yield from zip(*losses, strict=True)


def _figures(losses: Sequence[Sequence[float]], places: Sequence[float]) -> dict[str, float]:
    finite = [v for row in losses for v in row if math.isfinite(v)]
    bends = [a + c >= 2 * b for line in _lines(losses) for a, b, c in zip(line, line[1:], line[2:], strict=False)]
    ups = [bumps(line) for line in _lines(losses)]
    return {
        "centre": losses[len(losses) // 2][len(places) // 2],
        "lowest": min(finite, default=math.nan),
        "highest": max(finite, default=math.nan),
        "bumps": math.fsum(ups) / len(ups),
        "convex": sum(bends) / len(bends),
    }


def _curve(losses: Sequence[Sequence[float]], places: Sequence[float]) -> Plot:
    line = losses[0]
    return Plot((Series("mean loss", list(zip(places, line, strict=True)), 0),), x="a", y="loss", log=0 < 50 * min(line) < max(line))


def _map(losses: Sequence[Sequence[float]], places: Sequence[float]) -> str | None:
    if not any(math.isfinite(v) for row in losses for v in row):
        return None
    middle = len(places) // 2
    every = max(1, round(middle / 2))
    labels = [f"{a:.3g}" if (i - middle) % every == 0 else "" for i, a in enumerate(places)]
    upwards = losses[::-1]
    return heat(upwards, Axis("a", labels), Axis("b", labels[::-1]), title="Mean loss around the weights", log=True, floor=_FLOOR)
