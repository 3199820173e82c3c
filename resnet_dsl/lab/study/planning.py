"""A study before it runs: its arms expanded, and every run that it takes, as tasks. No torch here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.datasets.naming import is_own, named
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.lab.study.engine import Task
from resnet_dsl.lab.study.form import Budget, Setting
from resnet_dsl.lab.study.measures import static
from resnet_dsl.lab.study.reading import Study, beside
from resnet_dsl.language.recipe import Recipe, write
from resnet_dsl.language.resolved import resolved
from resnet_dsl.language.spec import Spec

SPECS, RECIPES, STARTS, RUNS = "specs", "recipes", "starts", "runs"
"""Folders in a study's folder."""


def rate_text(rate: float) -> str:
    """A learning rate in the names of runs and in tables: short where that is exact, so that no two are written alike."""
    short = f"{rate:g}"
    return short if float(short) == rate else repr(rate)


ON_CPU = "precision=fp32,compile=no,threads=1"
"""The device plan there: numbers are the same wherever a run is carried out, since nothing is left to timing or to the number of cores."""


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A network of a study. `static` holds its measures that need no training."""

    name: str
    spec_text: str
    graph: Graph
    static: Mapping[str, int]
    depth: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person decides over the file: None leaves it to the file."""

    setting: Setting = "usual"
    data: str | None = None
    data_dir: Path | None = None
    seeds: int | None = None
    steps: int | None = None
    limit_train: int | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class StudyPlan:
    """Everything that decides a study's numbers. `recipes` holds that of each learning rate, in the order of the grid."""

    study: Study
    choice: Choice
    data: str
    budget: Budget
    arms: tuple[Arm, ...]
    recipes: Mapping[float, Recipe]

    @property
    def seeds(self) -> range:
        """The seeds of each arm's runs at each learning rate."""
        return range(self.budget.seeds or 0)

    @property
    def batch(self) -> int:
        """Images in a batch."""
        return next(iter(self.recipes.values())).batch

    @property
    def place(self) -> str:
        """The data as it is opened: a path in the study file begins at the file's folder, one that was typed where the process stands."""
        return named(beside(self.data, self.study.root) if self.data in self.study.data else self.data).absolute

    @property
    def classes(self) -> int:
        """Classes of the data."""
        return self.arms[0].graph.classes

    @property
    def rule(self) -> str:
        """A digest of what decides, without the words about it."""
        return digest(*(repr(c.model_dump(exclude={"that"})) for c in self.study.says.decide))

    def tasks(self, home: Path) -> tuple[Task, ...]:
        """Every run, with its files in the study's folder `home`: arm by arm, rate by rate, seed by seed."""
        return tuple(self._tasks(home))

    def _tasks(self, home: Path) -> Iterator[Task]:
        assert self.budget.tail is not None and self.budget.judged is not None
        for number, arm in enumerate(self.arms):
            # An arm's initial weights depend on the arms before it, whose values it shares.
            start = digest(*(a.spec_text for a in self.arms[: number + 1]))
            for rate, recipe in self.recipes.items():
                for seed in self.seeds:
                    name = f"{arm.name}-lr{rate_text(rate)}-seed{seed}"
                    # A description decides no number.
                    decides = (
                        arm.spec_text, write(recipe.model_copy(update={"description": ""})), start, seed, self.data, self.budget.limit_train,
                        self.budget.tail, self.budget.judged, self.study.says.level,
                    )  # fmt: skip
                    yield Task(
                        name=name, arm=arm.name, lr=rate, seed=seed, folder=home / RUNS / name, spec=home / SPECS / f"{arm.name}.yaml",
                        recipe=home / RECIPES / f"lr{rate_text(rate)}.yaml", start=home / STARTS / f"{arm.name}-seed{seed}.safetensors",
                        data=self.place, data_dir=self.choice.data_dir, limit_train=self.budget.limit_train, tail=self.budget.tail,
                        judged=self.budget.judged, level=self.study.says.level, identity=digest(*map(str, decides)), device=self.choice.device,
                    )  # fmt: skip


def plan(study: Study, choice: Choice) -> StudyPlan:
    """The plan of a study under a person's choice. Raises SpecError (exit 2) with the mistakes of specs and recipe."""
    data = choice.data if choice.data is not None else next(iter(study.data))
    if data not in study.data and not is_own(data):
        message = f"the study {study.name} does not say how its networks fit {quote(data)}"
        raise refuse("data-fit", message, did_you_mean(data, study.data, what="its data"), at=Argument("data"))
    given = {"seeds": choice.seeds, "steps": choice.steps, "limit_train": choice.limit_train}
    budget = study.budget(choice.setting).model_copy(update={k: v for k, v in given.items() if v is not None})
    recipes = study.recipes(choice.setting, data, budget)
    arms = tuple(_arm(name, spec) for name, spec in study.arms(choice.setting, data).items())
    return StudyPlan(study, choice, data, budget, arms, recipes)


def _arm(name: str, spec: Spec) -> Arm:
    graph = compile(spec)
    return Arm(name, resolved(spec, origins=False), graph, static(graph), Costs(graph).network.depth)


def digest(*texts: str) -> str:
    """SHA-256 over texts, in order."""
    found = hashlib.sha256()
    for text in texts:
        found.update(f"{len(text)}\n{text}".encode())
    return found.hexdigest()


def command(task: Task) -> list[str]:
    """The command line that trains a run alone; it goes into a folder of its own."""
    given = {
        "data": task.data, "recipe": task.recipe, "seed": task.seed, "weights": task.start, "limit-train": task.limit_train,
        "device": task.device, "plan": ON_CPU if task.device == "cpu" else None,
    }  # fmt: skip
    return ["resnet-dsl", "train", str(task.spec), *options(given)]


def options(given: Mapping[str, object]) -> list[str]:
    """Options of a command line as its words; those that are None are left out."""
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
