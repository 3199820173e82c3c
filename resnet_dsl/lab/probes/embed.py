"""`embed`: a network placed in a deeper one that computes the same bit for bit, both trained beside one from initial weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.growth import deepened
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.lab.finding import Finding, Plot, number_text
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import evaluated, held_statistics
from resnet_dsl.language import load
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.transfer import grow
from resnet_dsl.table import Column, count, share
from resnet_dsl.training.batches.seeds import derive, generator

_COLUMNS = (
    Column("network", "network"),
    Column("updates", "updates", count, right=True),
    Column("loss", "loss", number_text, right=True),
    Column("error", "error", share, right=True),
    Column("test_error", "test error", share, right=True),
)

_POINTS = 25
"""Points of a curve, each a mean over updates in a row."""

SHALLOW, EMBEDDED, NEW = "A", "B, A inside", "B, new"
"""The networks that are compared: A; B that begins as A; B from initial weights."""

_FIGURES = {"shallow": SHALLOW, "embedded": EMBEDDED, "new": NEW}


@dataclass(frozen=True, slots=True)
class EmbedScores:
    """A network's mean cross-entropy and share of wrong classes on the images, and its share of wrong classes on test images."""

    loss: float
    error: float
    test_error: float


Scored = dict[tuple[str, int], EmbedScores]
"""By network and number of updates: all before training, then all after it."""


def measure(probed: ProbedNetwork, into: str = "", updates: int = 50, batch: int = 64, lr: float = 0.02) -> Finding:
    """Place the network A in a deeper network B (`runtime.transfer.grow`), compare what both give, and train A, B, and a B from initial weights.

    `max_difference` is between the outputs of A and B in evaluation, on the images; `same` is the share of images on which all bits are
    the same. All three are trained by SGD on the same batches of the images, and then evaluated with the statistics that their batch norms have on
    the images (`still.held_statistics`): running averages lag behind.

    Raises SpecError: exit 2 where B is refused or cannot begin as A, 1 where it does not.
    """
    a = probed.graph
    b = _deeper(a, into)
    test = probed.test(len(probed.labels))
    models = _models(probed, b)
    with torch.no_grad():
        given, found = (models[name](probed.images) for name in (SHALLOW, EMBEDDED))
    scored, curves = _trained(probed, models, test, updates, batch, lr)
    figures = {
        "max_difference": float((given - found).abs().max()),
        "same": float((_bits(given) == _bits(found)).all(1).double().mean()),
        **_figures(scored, updates),
    }
    notes = (f"Trained by SGD at {lr:g}, momentum 0.9, batches of {min(batch, len(probed.labels))} of the images, no augmentation.",)
    return Finding(
        "embed",
        probed.name,
        f"{probed.said}; error on {len(test[1]):,} test images. A is {a.name}, B is {b.name}",
        _COLUMNS,
        tuple((name, at, s.loss, s.error, s.test_error) for (name, at), s in scored.items()),
        figures,
        notes if updates else (),
        Plot(tuple(curves), x="update", y="loss of a batch") if updates else None,
    )


def _deeper(a: Graph, into: str) -> Graph:
    """B: the spec that is named, else A with each stage's last block as often again. Raises SpecError (exit 2)."""
    b = compile(load(into)) if into else deepened(a)
    if tensors(b) == tensors(a):
        message = f"is no deeper than {a.name}" if into else "has no stage with a block that keeps its shape, and so no deeper twin"
        help = f"name a spec with more blocks: {Argument('into', 'SPEC')}"
        raise refuse("usage", message, help, at=b.name if into else a.name)
    return b


def _models(probed: ProbedNetwork, b: Graph) -> dict[str, nn.Module]:
    """The three networks, in evaluation."""

    def made(graph: Graph, state: dict[str, Tensor]) -> nn.Module:
        model = build(graph, seed=0)
        model.load_state_dict(state)
        return model.to(probed.images.device, probed.images.dtype).eval()

    a, seed = probed.graph, derive(probed.seed, "embed")
    with evaluated(probed.model, probed.images, probed.step):
        state = {k: v.detach().cpu().clone() for k, v in probed.model.state_dict().items()}
    return {SHALLOW: made(a, state), EMBEDDED: made(b, grow(a, state, b, seed)), NEW: made(b, build(b, seed=seed).state_dict())}


def _trained(
    probed: ProbedNetwork, models: Mapping[str, nn.Module], test: tuple[Tensor, Tensor], updates: int, batch: int, lr: float
) -> tuple[Scored, list[Series]]:
    """Train the models in place; their scores before and after, and their losses."""
    before: Scored = {}
    after: Scored = {}
    curves: list[Series] = []
    for number, (name, model) in enumerate(models.items()):
        # A network that was never trained has no running statistics to speak of.
        with held_statistics(model, probed.images) if name == NEW else torch.no_grad():
            before[name, 0] = _scores(probed, model, test)
        if updates:
            losses = list(_train(model, probed, updates, batch, lr))
            curves.append(Series(name, _means(losses), number))
            with held_statistics(model, probed.images):
                after[name, updates] = _scores(probed, model, test)
    return before | after, curves


def _scores(probed: ProbedNetwork, model: nn.Module, test: tuple[Tensor, Tensor]) -> EmbedScores:
    with torch.no_grad():
        logits, on_test = model(probed.images), model(test[0])
    loss = float(functional.cross_entropy(logits, probed.labels))
    return EmbedScores(loss, _error(logits, probed.labels), _error(on_test, test[1]))


def _figures(scored: Scored, updates: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for word, name in _FIGURES.items():
        for at, when in ((0, "before"), (updates, "after"))[: 2 if updates else 1]:
            figures |= {f"{word}_loss_{when}": scored[name, at].loss, f"{word}_test_error_{when}": scored[name, at].test_error}
    return figures


def _bits(outputs: Tensor) -> Tensor:
    return outputs.view(torch.int64 if outputs.dtype == torch.float64 else torch.int32)


def _error(logits: Tensor, labels: Tensor) -> float:
    """The share of wrong classes; outputs that are not finite are wrong."""
    return float(((logits.argmax(1) != labels) | ~logits.isfinite().all(1)).double().mean())


def _train(model: nn.Module, probed: ProbedNetwork, updates: int, batch: int, lr: float) -> Iterator[float]:
    """Train a model in place; the loss of each batch. Every model sees the same batches in the same order."""
    order = generator(probed.seed, "embed", "order")
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    with torch.random.fork_rng(devices=[]):
        # What dropout and drop path draw.
        torch.default_generator.manual_seed(derive(probed.seed, "embed", "noise"))
        for _ in range(updates):
            chosen = torch.randperm(len(probed.labels), generator=order)[:batch].to(probed.labels.device)
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(model(probed.images[chosen]), probed.labels[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield float(loss.detach())
    model.eval()


def _means(losses: list[float]) -> list[tuple[float, float]]:
    """(update, mean loss) over stretches of equal length."""
    width = -(-len(losses) // _POINTS)
    stretches = [losses[i : i + width] for i in range(0, len(losses), width)]
    return [(min((i + 1) * width, len(losses)), sum(of) / len(of)) for i, of in enumerate(stretches)]
