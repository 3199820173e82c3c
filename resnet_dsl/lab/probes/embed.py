"""`embed`: a network placed in a deeper one that computes the same to the bit, then trained; beside it, one trained from initial weights."""

from __future__ import annotations

from collections.abc import Iterator
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


@dataclass(frozen=True, slots=True)
class Scores:
    """What a network is worth: mean cross-entropy and share of wrong classes on the images, and the latter on test images."""

    loss: float
    error: float
    test_error: float


def measure(probed: ProbedNetwork, into: str = "", updates: int = 50, batch: int = 64, lr: float = 0.02) -> Finding:
    """Place the network A in a deeper network B (`runtime.transfer.grow`), compare what both give, and train A, B, and a B from initial weights.

    `max_difference` is between the outputs of A and B in evaluation, on the images; `same` is the share of images on which all bits are
    the same. All three are trained by SGD on the same batches of the images, and then evaluated with the statistics that their batch norms have on
    the images (`still.held_statistics`): running averages lag behind.

    Raises SpecError: exit 2 where B is refused or cannot begin as A, 1 where it does not.
    """
    a = probed.graph
    b = compile(load(into)) if into else deepened(a)
    if tensors(b) == tensors(a):
        message = f"is no deeper than {a.name}" if into else "has no stage with a block that keeps its shape, and so no deeper twin"
        raise refuse("usage", message, f"name a spec with more blocks: {Argument('into', 'SPEC')}", at=b.name if into else a.name)
    test_images, test_labels = probed.test(len(probed.labels))

    def scores(model: nn.Module) -> Scores:
        shown = ((probed.images, probed.labels), (test_images, test_labels))
        with torch.no_grad():
            (logits, labels), (test, wanted) = ((model(x), y) for x, y in shown)
        return Scores(float(functional.cross_entropy(logits, labels)), _error(logits, labels), _error(test, wanted))

    def made(graph: Graph, state: dict[str, Tensor]) -> nn.Module:
        model = build(graph, seed=0)
        model.load_state_dict(state)
        return model.to(probed.images.device, probed.images.dtype).eval()

    seed = derive(probed.seed, "embed")
    with evaluated(probed.model, probed.images, probed.step):
        state = {k: v.detach().cpu().clone() for k, v in probed.model.state_dict().items()}
    shallow, embedded, new = "A", "B, A inside", "B, new"
    models = {
        shallow: made(a, state),
        embedded: made(b, grow(a, state, b, seed)),
        new: made(b, build(b, seed=seed).state_dict()),
    }
    with torch.no_grad():
        given, found = (models[name](probed.images) for name in (shallow, embedded))
    rows: list[tuple[str, int, Scores]] = []
    curves: list[Series] = []
    for number, (name, model) in enumerate(models.items()):
        # A network that was never trained has no running statistics to speak of.
        with held_statistics(model, probed.images) if name == new else torch.no_grad():
            rows.append((name, 0, scores(model)))
        if updates:
            losses = list(_train(model, probed, updates, batch, lr))
            curves.append(Series(name, _means(losses), number))
            with held_statistics(model, probed.images):
                rows.append((name, updates, scores(model)))
    rows.sort(key=lambda row: row[1])
    worth = {(name, at): s for name, at, s in rows}
    figures: dict[str, float] = {
        "max_difference": float((given - found).abs().max()),
        "same": float((_bits(given) == _bits(found)).all(1).double().mean()),
    }
    for word, name in (("shallow", shallow), ("embedded", embedded), ("new", new)):
        for at, when in ((0, "before"), (updates, "after"))[: 2 if updates else 1]:
            figures |= {f"{word}_loss_{when}": worth[name, at].loss, f"{word}_test_error_{when}": worth[name, at].test_error}
    return Finding(
        "embed",
        probed.name,
        f"{probed.said}; error on {len(test_labels):,} test images. A is {a.name}, B is {b.name}",
        _COLUMNS,
        tuple((name, at, s.loss, s.error, s.test_error) for name, at, s in rows),
        figures,
        (f"Trained by SGD at {lr:g}, momentum 0.9, batches of {min(batch, len(probed.labels))} of the images, no augmentation.",)
        if updates
        else (),
        Plot(tuple(curves), x="update", y="loss of a batch") if updates else None,
    )


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
