"""How many threads compute: the rule under a clock of its own, and a run whose steps become slow on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny

import resnet_dsl as rd
from resnet_dsl.graph import compile
from resnet_dsl.records.record import ThreadChange
from resnet_dsl.training.device import planning
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.device.threads import SHORT, SMALL, StepWatch, Threads, Work, choose, shared, timed
from resnet_dsl.training.loop import faults

TWO = Plan("cpu", "fp32", True, 2)


@pytest.fixture(autouse=True)
def threads_come_back() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def never(plan: Plan) -> Callable[[], object]:
    raise AssertionError("timed")


def clocked(seconds: dict[int, list[float]]) -> tuple[Callable[[Plan], Callable[[], object]], Callable[[], float], list[int]]:
    """Steps that take so many seconds under so many threads, one after another (the first is warming up), and their clock."""
    now, done = 0.0, []

    def prepare(plan: Plan) -> Callable[[], object]:
        left = iter([100.0, *seconds[plan.threads]])

        def step() -> None:
            nonlocal now
            assert torch.get_num_threads() == plan.threads
            done.append(plan.threads)
            now += next(left)

        return step

    return prepare, lambda: now, done


@pytest.mark.parametrize(
    ("plan", "work", "expected"),
    [
        (TWO, Work(SMALL - 1, 1e30), Threads(1, "one thread: the layers are small")),
        (TWO, Work(1e30, SHORT - 1), Threads(1, "one thread: the work is short")),
        (replace(TWO, threads=1), Work(1e30, 1e30), Threads(1)),
        (Plan("cuda", "bf16", True, 8), Work(0, 0), Threads(8)),
        (Plan("mps", "fp32", False, 8), Work(1e30, 1e30), Threads(8)),
    ],
)
def test_what_is_small_or_short_is_not_timed(plan: Plan, work: Work, expected: Threads) -> None:
    assert shared(plan, work, never) == expected


@pytest.mark.parametrize(
    ("one", "several", "expected"),
    [
        ([1.0] * 5, [0.5] * 5, Threads(4, "ms a step: 1 thread 1,000.0, 4 threads 500.0", 0.5)),
        # Little is gained: the other cores are left to others.
        ([1.0] * 5, [0.9] * 5, Threads(1, "ms a step: 1 thread 1,000.0, 4 threads 900.0", 1.0)),
        # The fastest step is no measure: it is the disturbed ones that count.
        ([1.0] * 5, [0.5, 0.5, 1.5, 1.5, 1.5], Threads(1, "ms a step: 1 thread 1,000.0, 4 threads 1,500.0", 1.0)),
        # Four are hopeless after two rounds.
        ([1.0] * 2, [9.0] * 2, Threads(1, "ms a step: 1 thread 1,000.0, 4 threads 9,000.0", 1.0)),
    ],
)
def test_the_faster_are_taken(one: list[float], several: list[float], expected: Threads) -> None:
    prepare, clock, done = clocked({1: one, 4: several})
    assert timed(TWO, 4, prepare, clock) == expected
    assert done == [1, 4] * (len(one) + 1)


def test_how_much_there_is_to_compute() -> None:
    """ResNet-20 on 32x32: 40,551,040 multiply-accumulates in 20 weighted layers."""
    graph = compile(rd.load("resnet20"))
    assert Work.of(graph, 100, 7) == Work(40_551_040 * 100 / 20, 40_551_040 * 7)
    assert choose("cpu", "fp32", graph, 1, 10).threads == 1


def test_slow_steps_are_noticed() -> None:
    watch = StepWatch(0.1)
    # Two slow steps of five are a disturbance, three are not.
    assert [watch.slowed(s) for s in (9.0, 0.1, 9.0, 0.1, 0.1)] == [None] * 5
    assert [watch.slowed(s) for s in (9.0, 9.0)] == [None, pytest.approx(90)]
    slow = StepWatch(0.1)
    assert [slow.slowed(0.31) for _ in range(5)] == [None] * 4 + [pytest.approx(3.1)]
    slow.renew(0.1, changed=False)
    # What was seen is normal now.
    assert [slow.slowed(0.9) for _ in range(5)] == [None] * 5
    assert [slow.slowed(0.94) for _ in range(5)][-1] == pytest.approx(0.94 / 0.31)
    slow.renew(0.1, changed=True)
    assert [slow.slowed(0.31) for _ in range(5)][-1] == pytest.approx(3.1)
    assert [StepWatch(None).slowed(1e9) for _ in range(9)] == [None] * 9


def test_the_threads_of_a_step() -> None:
    plan = replace(TWO, changes=(ThreadChange(step=5, threads=1), ThreadChange(step=9, threads=4)))
    assert [plan.threads_at(step) for step in (0, 4, 5, 8, 9, 100)] == [2, 2, 1, 1, 4, 4]
    assert Plan.of(plan.record()) == plan
    assert plan != TWO


class Died(Exception):
    """Stands for a kill."""


@pytest.fixture
def slowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[int]]:
    """Trains: two threads are taken at first, every step counts as slow, and one thread is better then. Gives the threads of each step."""
    spec = tmp_path / "net.yaml"
    spec.write_text(tiny("steps: 14, batch: 64, lr: 0.1, checkpoint_every: 0.5, augment: {flip: false}"))
    # Nothing is left in this process for a run to find: each sees torch's own number.
    monkeypatch.setattr(planning, "shared", lambda plan, work, prepare: Threads(2, "chosen for the test", 1e-9))

    def run(out: str, die: int | None = None, again: bool = True, **asked: Any) -> list[int]:
        seen: list[int] = []

        def reach(phase: str, step: int) -> None:
            if phase == "step":
                if step == die:
                    raise Died
                seen.append(torch.get_num_threads())

        monkeypatch.setattr(faults, "reach", reach)
        trial = (lambda plan, most, prepare: Threads(1, "timed again for the test", 1e9)) if again else never
        monkeypatch.setattr(planning, "timed", trial)
        target: Any = tmp_path / out if asked.get("resume") else spec
        try:
            rd.train(target, **({} if asked.get("resume") else {"out": tmp_path / out, "data": "digits", "limit_train": 640}), **asked)
        except Died:
            assert die is not None
        return seen

    return run


def test_a_change_on_the_way_is_kept_and_done_again(
    slowed: Callable[..., list[int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that dies after its threads were changed takes up its checkpoint from before, and ends with the same bits."""
    assert slowed("whole") == [2] * 5 + [1] * 9
    said = capsys.readouterr().err
    assert (
        "times what it took when threads were timed, so they are timed again (timed again for the test): 1 from step 6 on, 2 before" in said
    )
    assert json.loads((tmp_path / "whole/run.json").read_text())["plan"]["changes"] == [{"step": 5, "threads": 1}]

    # The newest checkpoint is that of step 0 or so many steps before: five.
    assert slowed("died", die=9) == [2] * 5 + [1] * 4
    first = slowed("died", again=False, resume=True)
    assert first == [1] * 9
    weights = (tmp_path / "whole/model.safetensors").read_bytes()
    assert (tmp_path / "died/model.safetensors").read_bytes() == weights

    # The whole plan of a run, with its change, gives its bits again.
    assert slowed("again", again=False, plan=str(tmp_path / "whole")) == [2] * 5 + [1] * 9
    assert (tmp_path / "again/model.safetensors").read_bytes() == weights


def test_steps_before_the_change_are_done_again_as_they_were(slowed: Callable[..., list[int]], tmp_path: Path) -> None:
    assert slowed("whole") == [2] * 5 + [1] * 9
    slowed("early", die=9)
    for checkpoint in (tmp_path / "early/checkpoints").iterdir():
        checkpoint.unlink()
    assert slowed("early", again=False, resume=True) == [2] * 5 + [1] * 9
    assert (tmp_path / "early/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_what_a_person_decided_is_never_timed(slowed: Callable[..., list[int]]) -> None:
    assert slowed("pinned", again=False, plan="threads=2") == [2] * 14
