"""A study's folder made ready: what its runs are made from is written, and what cannot work is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from resnet_dsl.files import write_atomic
from resnet_dsl.lab.runs.starts import starts
from resnet_dsl.lab.study.engine import Task
from resnet_dsl.lab.study.planning import RECIPES, RUNS, SPECS, STARTS, StudyPlan, rate_text
from resnet_dsl.language.recipe import write
from resnet_dsl.runtime import weights
from resnet_dsl.training.data.dataset import require_fit
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device.device import find


def prepare(plan: StudyPlan, home: Path, tasks: Sequence[Task], *, download: bool, say: Callable[[str], None]) -> None:
    """Write specs, recipes and initial weights for the tasks that are not done. Equal plans write equal files.

    Raises SpecError: exit 2 where a network does not fit the data, 3 where data or device is missing or a file cannot be written.
    """
    find(plan.choice.device)
    data = open_dataset(plan.place, plan.arms[0].graph.input, plan.choice.data_dir, download, say)
    for arm in plan.arms:
        require_fit(data, arm.graph.input, arm.graph.classes, arm.name)
    for folder in (SPECS, RECIPES, STARTS, RUNS):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for arm in plan.arms:
        write_atomic(home / SPECS / f"{arm.name}.yaml", arm.spec_text.encode())
    for rate, recipe in plan.recipes.items():
        write_atomic(home / RECIPES / f"lr{rate_text(rate)}.yaml", write(recipe).encode())
    graphs = [arm.graph for arm in plan.arms]
    for seed in sorted({t.seed for t in tasks}):
        for arm, state in zip(plan.arms, starts(graphs, seed), strict=True):
            weights.save(home / STARTS / f"{arm.name}-seed{seed}.safetensors", state, weights.about(spec=arm.spec_text))
