"""One step of training against the same step written by hand, and what a run measures on its way, by tables."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.batches.batches import Batch
from resnet_dsl.training.batches.mixing import Targets
from resnet_dsl.training.data.dataset import InMemory
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.average import Average
from resnet_dsl.training.loop.evaluate import Scores, score
from resnet_dsl.training.loop.nonfinite import first_bad
from resnet_dsl.training.loop.optim import Pace, learning_rate, make_optimizer
from resnet_dsl.training.loop.records import Record
from resnet_dsl.training.loop.step import Outcome, Stepper
from resnet_dsl.training.ranks.parallel import Layout, ParallelModel
from resnet_dsl.training.ranks.world import alone
from resnet_dsl.training.rehearse import Ramp, read_curve

PLAN = Plan("cpu", "fp32", False, 1)


def network(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), *extra, nn.Flatten(), nn.Linear(4 * 36, 10))


class Fixed:
    """Batches from one generator each step; part k of K has the rows k::K."""

    def __init__(self, parts: int = 1, mixed: bool = False) -> None:
        self.parts, self.mixed = parts, mixed

    def __call__(self, step: int, part: int = 0) -> Batch:
        draw = torch.Generator().manual_seed(step)
        images = torch.randn(12, 1, 8, 8, generator=draw)
        labels, others = (torch.randint(10, (12,), generator=draw)[part :: self.parts] for _ in range(2))
        return Batch(images[part :: self.parts], Targets(labels, others, 0.3) if self.mixed else Targets(labels))


def stepper(model: nn.Module, recipe: Recipe, plan: Plan = PLAN) -> Stepper:
    model.train()
    return Stepper(ParallelModel(model, model, Layout()), recipe, plan, alone())


RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1},
    "nesterov": {"lr": 0.1, "nesterov": True},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "no decay on vectors": {"lr": 0.1, "decay_norm": False, "weight_decay": 0.1},
    "parts": {"lr": 0.1, "batch": 12, "accumulate": 4},
    "clipped": {"lr": 0.1, "clip_norm": 0.05},
    "smoothed": {"lr": 0.1, "label_smoothing": 0.2},
    "mixed": {"lr": 0.1, "label_smoothing": 0.2, "augment": {"mixup": 1.0}},
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", RECIPES)
def test_a_step_is_what_one_would_write(name: str, fused: bool) -> None:
    recipe = Recipe.model_validate(RECIPES[name])
    mixed = recipe.augment.mixup > 0
    mine, twin = network(), network()
    take = stepper(mine, recipe, Plan("cpu", "fp32", False, 1, fused=fused))
    if recipe.optimizer == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(twin.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    else:
        vectors = [p for n, p in twin.named_parameters() if n.endswith("bias") or n.startswith("1.")]
        others = [p for n, p in twin.named_parameters() if not (n.endswith("bias") or n.startswith("1."))]
        groups = [{"params": others}, {"params": vectors, "weight_decay": recipe.weight_decay if recipe.decay_norm else 0.0}]
        optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay)
    for step in range(5):
        found = take(Fixed(recipe.accumulate, mixed), step, recipe.lr)
        images, targets = Fixed(1, mixed)(step)
        logits = twin(images)
        loss = functional.cross_entropy(logits, targets.labels, label_smoothing=recipe.label_smoothing)
        if targets.others is not None:
            loss = 0.3 * loss + 0.7 * functional.cross_entropy(logits, targets.others, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        if recipe.clip_norm is not None:
            assert nn.utils.clip_grad_norm_(twin.parameters(), recipe.clip_norm) > recipe.clip_norm
        optimizer.step()
        assert found.loss.item() == pytest.approx(loss.item(), rel=1e-5)
        assert (found.hits.item(), found.images) == ((logits.argmax(1) == targets.labels).sum().item(), 12)
        for a, b in zip(mine.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)
    assert int(take.bad) == -1


def test_what_is_frozen_has_no_optimizer() -> None:
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    take = stepper(model, Recipe(lr=0.1))
    take(Fixed(), 0, 0.1)
    assert torch.equal(model[0].weight, before)
    assert sum(len(g["params"]) for g in take.optimizer.param_groups) == 4


@pytest.mark.parametrize("decay_norm", [True, False])
def test_groups(decay_norm: bool) -> None:
    model = network()
    recipe = Recipe(decay_norm=decay_norm, weight_decay=0.5)
    groups = make_optimizer(model.parameters(), recipe, torch.device("cpu")).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == ([(6, 0.5)] if decay_norm else [(2, 0.5), (4, 0.0)])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_bad_step_changes_no_weight(where: str, fused: bool) -> None:
    class Bad(nn.Module):
        on = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.on:
                return x
            if where == "loss":
                return x * math.inf
            x.register_hook(lambda gradient: gradient * math.nan)
            return x

    bad = Bad()
    model = network(bad)
    take = stepper(model, Recipe(lr=0.1), Plan("cpu", "fp32", False, 1, fused=fused))
    for step in range(3):
        take(Fixed(), step, 0.1)
    before = copy.deepcopy(model.state_dict())
    bad.on = True
    for step in range(3, 6):
        take(Fixed(), step, 0.1)
    assert int(take.bad) == 3
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    expected = "the output of 3 holds inf" if where == "loss" else "the gradient that reaches the output of 3 holds nan"
    bad_now = take.refusal(Fixed(), 3)  # type: ignore[arg-type]
    assert bad_now is not None
    assert bad_now.replace("nan", "inf") == expected.replace("nan", "inf")


class _Explodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        return weight.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient * math.inf


class _Linear(nn.Linear):
    """Its activations and their gradients are fine; its weight's gradient is not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, _Explodes.apply(self.weight), self.bias)


def _weight(model: nn.Module) -> None:
    model[0].bias.data[1] = math.nan  # type: ignore[index, operator, union-attr]


FIRST_BAD: dict[str, tuple[Callable[[nn.Module], object], float, str | None]] = {
    "nothing": (lambda m: None, 1.0, None),
    "images": (lambda m: None, math.nan, "the batch's images hold nan"),
    "weights": (_weight, 1.0, "the weights of 0.bias hold nan"),
    "activation": (lambda m: m[0].weight.data.fill_(1e30), 1e20, "the output of 0 holds inf"),
    "inner": (lambda m: m.insert(1, nn.Sequential(nn.Identity(), nn.Threshold(1e9, math.inf))), 1.0, "the output of 1.1 holds inf"),
    "weight's gradient": (lambda m: m.__setitem__(4, _Linear(4 * 36, 10)), 1.0, "the gradient of 4.weight holds nan"),
}


@pytest.mark.parametrize("name", FIRST_BAD)
def test_the_first_bad_thing_is_named(name: str) -> None:
    change, factor, expected = FIRST_BAD[name]
    model = network()
    change(model)
    images = Fixed()(0).images * factor
    found = first_bad(model, images, lambda: Fixed()(0).targets.loss(model(images)))
    assert found == expected or (expected is not None and found == expected.replace("nan", "inf"))
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_loss_that_overflows_is_named() -> None:
    model = network()
    images = Fixed()(0).images
    assert (
        first_bad(model, images, lambda: model(images).sum() * math.inf) == "the loss itself is inf: every activation before it is finite"
    )


def test_the_average_is_the_recurrence() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = Average(model, 0.8)
    expected = {k: v.double().clone() for k, v in model.state_dict().items()}
    for steps in range(1, 60):
        model(torch.randn(4, 1, 5, 5))
        for p in model.parameters():
            p.data.add_(torch.randn_like(p))
        average.update(model, steps)
        keep = min(0.8, steps / (9 + steps))
        expected = {k: keep * v + (1 - keep) * model.state_dict()[k].double() for k, v in expected.items()}
    for k, v in average.values.items():
        wanted = model.state_dict()[k] if k.endswith("tracked") else expected[k]
        assert torch.allclose(v.double(), wanted.double(), rtol=1e-4, atol=1e-5), k
    before = copy.deepcopy(model.state_dict())
    with average.swapped_in(model):
        assert all(torch.equal(v, average.values[k]) for k, v in model.state_dict().items())
        assert not torch.equal(model[1].running_mean, before["1.running_mean"])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    again = Average(model, 0.8)
    again.load(average.values)
    assert all(torch.equal(v, again.values[k]) for k, v in average.values.items())


def test_a_picture_and_its_mirror_image() -> None:
    model = network()
    part = InMemory(torch.randint(256, (700, 1, 8, 8), dtype=torch.uint8), torch.randint(10, (700,)))
    normalisation = Normalisation(torch.full((1, 1, 1), 128.0), torch.full((1, 1, 1), 64.0))
    x = (part.pixels.float() - 128) / 64
    with torch.inference_mode():
        for flip, logits in ((False, model(x)), (True, (model(x) + model(x.flip(3))) / 2)):
            found = score(model, part, normalisation, PLAN, flip=flip)
            assert found is not None
            assert found.loss == pytest.approx(functional.cross_entropy(logits, part.labels).item(), rel=1e-5)
            assert (found.top1 * 700, found.images) == (pytest.approx((logits.argmax(1) == part.labels).sum().item()), 700)
    assert score(model, part, normalisation, PLAN, stop=lambda: True) is None


PLATEAU = {"schedule": "plateau", "patience": 2, "gamma": 0.5, "warmup": 0.0, "lr": 1.0}
SLOW = {"schedule": "step", "milestones": [0.5], "warmup": 0.0, "lr": 1.0, "slow_start": {"lr": 0.1, "error": 0.8, "depth": 20}}


@pytest.mark.parametrize(
    ("errors", "rates"),
    [
        ([0.5, 0.4, 0.3, 0.2], [1, 1, 1, 1]),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [1, 1, 0.5, 0.5, 0.25]),
        ([0.5, 0.6, 0.4, 0.6, 0.6, 0.3, 0.3, 0.3], [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
    ],
)
def test_plateau(errors: list[float], rates: list[float]) -> None:
    recipe, pace, found = Recipe.model_validate(PLATEAU), Pace(), []
    for error in errors:
        pace = pace.evaluated(recipe, error)
        assert Pace(**pace.to_dict()) == pace
        found.append(learning_rate(recipe, 7, 100, pace))
    assert found == rates


@pytest.mark.parametrize(
    ("depth", "errors", "rates"),
    [(19, [0.9], [1]), (20, [0.9, 0.81, 0.8, 0.79, 0.95], [0.1, 0.1, 0.1, 1, 1])],
)
def test_slow_start(depth: int, errors: list[float], rates: list[float]) -> None:
    recipe = Recipe.model_validate(SLOW)
    pace, found = Pace.beginning(recipe, depth), []
    for error in errors:
        pace = pace.trained(recipe, error)
        found.append(learning_rate(recipe, 7, 100, pace))
    assert found == rates
    assert learning_rate(recipe, 50, 100, pace) == pytest.approx(0.1 * rates[-1])


def test_nothing_is_counted_while_the_start_is_slow() -> None:
    recipe = Recipe.model_validate(PLATEAU | {"slow_start": {"lr": 0.1}})
    assert Pace(slow=True).evaluated(recipe, 0.5) == Pace(slow=True)
    assert Pace.beginning(Recipe(), 10**5) == Pace()


@pytest.mark.parametrize(
    ("metric", "best", "waited"),
    [("top1", [0, 1, 1, 1, 4], [0, 0, 1, 2, 0]), ("top5", [0, 0, 2, 2, 2], [0, 1, 0, 1, 2]), ("loss", [0, 1, 1, 3, 3], [0, 0, 1, 0, 1])],
)
def test_records(metric: Any, best: list[int], waited: list[int]) -> None:
    table = [(math.nan, 0.1, 0.5), (2.0, 0.4, 0.5), (2.0, 0.4, 0.9), (1.0, 0.2, 0.9), (math.inf, 0.5, 0.8)]
    record, found = Record(metric), []
    for step, (loss, top1, top5) in enumerate(table):
        record = record.after(step, Scores.measured(loss, top1, top5, 10))
        found.append(record)
        assert str(Record.from_dict(record.to_dict())) == str(record)
    assert [r.step for r in found] == best
    assert [r.waited for r in found] == waited


class Bowl:
    """Losses of a ramp by its learning rate: they fall fastest at 0.1, are lowest at 1, and rise without end from there."""

    def __init__(self, floor: float = 0.0) -> None:
        self.floor = floor

    def __call__(self, batches: object, step: int, lr: float) -> Outcome:
        at = math.log10(lr)
        loss = 2.3 - 1 / (1 + math.exp(-6 * (at + 1))) + (max(0.0, at) * 40) + self.floor
        return Outcome(torch.tensor(loss if lr < 3 else math.inf), torch.tensor(0), 1)


def test_the_search_for_the_learning_rate() -> None:
    ramp = Ramp(1e-5, 10.0, 400)
    assert (ramp.rate(0), ramp.rate(399)) == pytest.approx((1e-5, 10.0))
    points = ramp.climb(Bowl(), Fixed(), lambda: False)  # type: ignore[arg-type]
    assert all(b.lr / a.lr == pytest.approx(10 ** (6 / 399)) for a, b in pairwise(points))
    about: dict[str, Any] = {"name": "net", "data": "digits", "optimizer": "sgd", "batch": 64}
    found = read_curve(points, **about)
    assert found.lowest == pytest.approx(1.0, rel=0.15)
    assert found.steepest == pytest.approx(0.1, rel=0.5)
    assert found.suggested == pytest.approx(0.1, rel=0.15)
    assert found.curve == tuple(points)
    assert found.to_dict()["curve"][0] == {"lr": points[0].lr, "loss": points[0].loss, "smoothed": points[0].smoothed}
    assert repr(found) == f"<RateSearch net on digits: {found.suggested:g} suggested, the loss is lowest at {found.lowest:.3g}>"
    assert f"suggested: lr={found.suggested:g} (a tenth" in str(found)
    assert points[-1].lr < 3
    for rising in ([], points[-1:] * 5):
        with pytest.raises(SpecError, match="does not fall") as refused:
            read_curve(rising, **about)
        assert refused.value.exit_code == 1
