"""`target`: how well networks fit given functions, trained from their initial weights (note 002's question: is residual learning
good at every function, or at those near the identity?).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, stack_module_state, vmap

from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.graph import Graph
from resnet_dsl.lab.finding import Finding, number_text
from resnet_dsl.lab.probes.blocks import PlacedBlock, blocks_of
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.heat import Axis, heat
from resnet_dsl.runtime.build import build
from resnet_dsl.table import Column
from resnet_dsl.training.batches.seeds import derive, generator

Function = Callable[[Tensor], Tensor]
Parameters = Mapping[str, Tensor]

TESTED = 1024
"""Points on which what was fitted is measured."""


def _near(d: int, draw: torch.Generator) -> Function:
    weight = torch.randn(d, d, generator=draw) / math.sqrt(d)
    return lambda x: x + 0.3 * torch.tanh(x @ weight.T)


def _constant(d: int, draw: torch.Generator) -> Function:
    value = torch.randn(d, generator=draw)
    return lambda x: value.expand_as(x)


def _rotation(d: int, draw: torch.Generator) -> Function:
    turn, _ = torch.linalg.qr(torch.randn(d, d, generator=draw))
    # An orthogonal matrix may mirror; with one row turned round it does not.
    turn[0] *= torch.linalg.det(turn).sign()
    return lambda x: x @ turn.T


TARGETS: Mapping[str, Callable[[int, torch.Generator], Function]] = {
    "identity": lambda d, draw: lambda x: x,
    "near-identity": _near,
    "constant": _constant,
    "zero": lambda d, draw: torch.zeros_like,
    "negation": lambda d, draw: torch.neg,
    "rotation": _rotation,
}
"""What may be fitted, functions of (N, d) made for d numbers: x; x + 0.3 tanh(Wx); c; 0; -x; Qx, with W, c and Q drawn."""

INITS: Mapping[str, Callable[[int], float]] = {
    "spec": lambda blocks: 1.0,
    "scaled": lambda blocks: blocks**-0.5,
    "zero-last": lambda blocks: 0.0,
}
"""What each residual branch is multiplied by at the beginning, among how many: left as the spec has it, 1/sqrt(L), 0."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network with one of its initial schemes."""

    graph: Graph
    init: str

    def build(self, seed: int) -> nn.Module:
        """The network with its initial weights."""
        model = build(self.graph, seed=seed)
        residual = [b for b in blocks_of(self.graph) if b.merge is not None]
        factor = INITS[self.init](len(residual))
        if factor != 1:
            with torch.no_grad():
                for block in residual:
                    for parameter in model.get_submodule(_last_gain(block)).parameters():
                        parameter.mul_(factor)
        return model


@dataclass(frozen=True, slots=True)
class FitErrors:
    """What an arm came to on one target with one seed: mean squared errors before and after, and with all weights at zero; how far the
    weights moved, and how far from zero they began.
    """

    before: float
    after: float
    at_zero: float
    moved: float
    to_zero: float


def measure(
    graphs: Sequence[Graph],
    target: str = ",".join(TARGETS),
    init: str = ",".join(INITS),
    updates: int = 600,
    batch: int = 128,
    lr: float = 1e-3,
    seeds: int = 3,
    seed: int = 0,
    report: str = "error",
    condition: bool = False,
) -> Finding:
    """Fit each target with each network, from each of its initial schemes, by Adam on the mean squared error.

    Inputs are standard normal, fresh in every update. One seed gives every arm the same inputs and the same targets. Networks without
    a shortcut have no branch to scale: they begin as their spec says, whatever `init` asks. `report`
    distance: in place of errors before and over the seeds, how far the weights moved, how far from zero they began, and the error where all
    are zero. `condition`: figures also of the Gauss-Newton matrix at the beginning (`condition_number`).

    Raises SpecError (exit 2) for a network that does not map d features to d numbers, or an unknown word.
    """
    targets, inits = _words(target), _words(init)
    for network in graphs:
        require_stack(network)
    _require_known(targets, TARGETS, "target", "target")
    _require_known(inits, INITS, "init", "initial scheme")
    arms = [Candidate(g, i) for g in graphs for i in (inits if _is_residual(g) else ("spec",))]
    numbers = [derive(seed, "target", i) for i in range(seeds)]
    found = {arm: fits(arm, targets, numbers, updates, batch, lr) for arm in arms}
    conditions = {arm: condition_number(arm.build(numbers[0]), arm.graph.input[0], numbers[0]) for arm in arms} if condition else {}

    columns = _DISTANCE if report == "distance" else _ERROR
    rows = [(name, a.graph.name, a.init, *columns.row(found[a][name])) for name in targets for a in arms]
    return Finding(
        "target",
        " and ".join(g.name for g in graphs),
        f"initial weights, {seeds} {'seed' if seeds == 1 else 'seeds'} from {seed}; {updates:,} updates by Adam at {lr:g}, each on {batch} fresh points x ~ N(0, 1)",
        (Column("target", "target"), Column("network", "network"), Column("init", "init"), *columns.columns),
        tuple(rows),
        {**_figures(found, targets), **_condition_figures(conditions)},
        _notes(arms, columns, condition),
        _picture(found, targets),
    )


def require_stack(graph: Graph) -> None:
    """Refuse a network that does not map d features to d numbers. Raises SpecError (exit 2)."""
    if graph.input != graph.root.shape:
        raise refuse(
            "target-shape",
            f"reads {'x'.join(map(str, graph.input))} and gives {graph.root.shape[0]} numbers: no target is a function of that kind",
            "use a spec with input: {features: d}, classes: d; or the shipped plain-stack and residual-stack",
            at=graph.name,
        )
    noisy = [f.path for f in graph.nodes() if OPS[f.node.op].group == "noise" or OPS[f.node.op].tracked]
    if noisy:
        raise refuse(
            "target-noise",
            f"{noisy[0]} makes what the network gives for a point depend on chance or on other points",
            "use a spec without dropout, droppath and batch norm: norm: layer or none",
            at=graph.name,
        )


def condition_number(model: nn.Module, features: int, seed: int, points: int = 16) -> float:
    """The condition number of the Gauss-Newton matrix of the mean squared error at these weights, on `points` standard normal inputs.

    The matrix is J^T J / N with J (N * d, parameters) the derivative of the outputs; its eigenvalues other than 0 are those of J J^T / N, which is
    decomposed whole, in double precision. The largest over the smallest of these; infinite where J is rank-deficient (beyond rounding).
    """
    parameters = {name: p.detach().double() for name, p in model.named_parameters()}
    x = torch.randn(points, features, generator=generator(seed, "condition")).double()
    per_point = vmap(jacrev(lambda p, x: functional_call(model, p, (x[None],))[0]), (None, 0))(parameters, x)
    j = torch.cat([t.flatten(0, 1).flatten(1) for t in per_point.values()], 1)
    values = torch.linalg.eigvalsh(j @ j.T / points)
    low, high = float(values[0]), float(values[-1])
    return high / low if low > high * len(values) * torch.finfo(torch.float64).eps else math.inf


def fits(arm: Candidate, targets: Sequence[str], seeds: Sequence[int], updates: int, batch: int, lr: float) -> dict[str, list[FitErrors]]:
    """Every target and seed at once: the networks are stacked, and Adam, which is elementwise, trains each as if alone."""
    d = arm.graph.input[0]
    models = [arm.build(s) for s in seeds for _ in targets]
    parameters, buffers = stack_module_state(models)
    start = {name: p.detach().clone() for name, p in parameters.items()}
    model = models[0]
    forward = vmap(lambda p, b, x: functional_call(model, (p, b), (x,)))
    functions = [[TARGETS[t](d, generator(s, t)) for t in targets] for s in seeds]
    draws = [generator(s, "points") for s in seeds]

    def errors(parameters: Parameters, n: int, draws: Sequence[torch.Generator]) -> Tensor:
        """The mean squared error of each network, (seeds * targets,)."""
        points = [torch.randn(n, d, generator=g) for g in draws]
        x = torch.stack([p for p in points for _ in targets])
        y = torch.stack([f(p) for p, of in zip(points, functions, strict=True) for f in of])
        error: Tensor = (forward(parameters, buffers, x) - y).square().mean((1, 2))
        return error

    def tested(parameters: Parameters) -> list[float]:
        with torch.no_grad():
            values: list[float] = errors(parameters, TESTED, [generator(s, "test") for s in seeds]).tolist()
        return values

    before, at_zero = tested(parameters), tested({name: torch.zeros_like(p) for name, p in parameters.items()})
    optimizer = torch.optim.Adam(parameters.values(), lr=lr)
    for _ in range(updates):
        optimizer.zero_grad(set_to_none=True)
        errors(parameters, batch, draws).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    moved = _lengths([parameters[name].detach() - start[name] for name in start])
    found = [FitErrors(*values) for values in zip(before, tested(parameters), at_zero, moved, _lengths(start.values()), strict=True)]
    return {t: found[i :: len(targets)] for i, t in enumerate(targets)}


def _is_residual(graph: Graph) -> bool:
    """Has any block a shortcut?"""
    return any(b.merge is not None for b in blocks_of(graph))


def _words(text: str) -> list[str]:
    """What stands between commas, each word once."""
    return list(dict.fromkeys(w.strip() for w in text.split(",")))


def _lengths(tensors: Iterable[Tensor]) -> list[float]:
    """The Euclidean length of each stacked network's numbers."""
    values: list[float] = torch.stack([t.double().flatten(1).square().sum(1) for t in tensors]).sum(0).sqrt().tolist()
    return values


def _last_gain(block: PlacedBlock) -> str:
    """The path of what ends a block's body and can scale it. Raises SpecError (exit 2) where something else ends it."""
    last = next((n for n in reversed(block.program.nodes) if n.role == "body"), None)
    if last is None or last.program is not None or not OPS[last.op].gain:
        raise refuse(
            "target-init",
            f"{block.path} ends its body in no layer that can scale it",
            f"use {Argument('init', 'spec')}, or end the body in a linear layer, a norm or a scale",
            at=Argument("init"),
        )
    return f"{block.path}.{last.path}"


def _require_known(words: Sequence[str], table: Mapping[str, object], argument: str, what: str) -> None:
    for word in words:
        if word not in table:
            raise refuse("usage", f"there is no {what} {quote(word)}", did_you_mean(word, table, what=what), at=Argument(argument))


Found = Mapping[Candidate, Mapping[str, Sequence[FitErrors]]]


class _Report(NamedTuple):
    """What a table says of the fits of one arm to one target, over the seeds."""

    columns: tuple[Column, ...]
    row: Callable[[Sequence[FitErrors]], tuple[float, ...]]
    note: str


def _numbers(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(t.replace(" ", "_"), t, number_text, right=True) for t in titles)


_ERROR = _Report(
    _numbers("start", "error", "least", "most"),
    lambda fits: (_mean(f.before for f in fits), _mean(ends := [f.after for f in fits]), min(ends), max(ends)),
    "start, error: before and after, mean over the seeds; least and most: over the seeds.",
)
_DISTANCE = _Report(
    _numbers("error", "moved", "to zero", "at zero"),
    lambda fits: tuple(_mean(getattr(f, name) for f in fits) for name in ("after", "moved", "to_zero", "at_zero")),
    "moved: how far the weights went; to zero: how far from zero they began; at zero: the error with all weights 0; means over the seeds.",
)


def _figures(found: Found, targets: Sequence[str]) -> dict[str, float]:
    """For each network and target the error of its best initial scheme."""
    figures: dict[str, float] = {}
    for target in targets:
        for arm, fits in found.items():
            name, error = identifier(f"{arm.graph.name}_{target}"), _mean(f.after for f in fits[target])
            # Comparisons with nan are false: a scheme that diverged never wins.
            figures[name] = error if not figures.get(name, math.inf) < error else figures[name]
    return figures


def _condition_figures(conditions: Mapping[Candidate, float]) -> dict[str, float]:
    return {identifier(f"condition_{arm.graph.name}_{arm.init}"): value for arm, value in conditions.items()}


def identifier(text: str) -> str:
    """A word that an expression can name."""
    return re.sub(r"\W", "_", text)


def _notes(arms: Sequence[Candidate], report: _Report, condition: bool) -> tuple[str, ...]:
    said = {
        "spec": "spec: initial weights as the spec says",
        "scaled": "scaled: each branch times 1/sqrt(L)",
        "zero-last": "zero-last: each branch begins at 0",
    }
    used = [said[i] for i in INITS if any(a.init == i for a in arms)]
    return (
        f"error: mean squared error on {TESTED:,} other points; a network that gives 0 has an error of 1 for identity, negation and rotation. {report.note}",
        f"init {'; '.join(used)}.",
        "A figure is the error of the network's best init.",
        *(["condition: largest over smallest eigenvalue of the Gauss-Newton matrix at the beginning, on 16 points."] if condition else []),
    )


def _picture(found: Found, targets: Sequence[str]) -> str | None:
    values = [[_mean(f.after for f in fits[t]) for t in targets] for fits in found.values()]
    if not any(math.isfinite(v) for row in values for v in row):
        return None
    rows = Axis("", [f"{a.graph.name}, {a.init}" for a in found])
    return heat(values, Axis("", targets), rows, title="Mean squared error after training", log=True, floor=1e-6, text=number_text)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)
