"""Killed at any step and in any phase of saving, a run that goes on ends as if nothing had happened: weights, optimizer, log.

The networks have dropout and stochastic depth, so masks are part of what must come out equal; the recipes have between them
all that has a state of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from forks import Ended, Forks, forks

from resnet_dsl.training.loop import checkpoint, faults

NETWORK = """
input: {channels: 1, height: 8, width: 8}
classes: 10
stem: cifar
block: basic
shortcut: A
stages: [{depth: 1, width: 4}, {depth: 1, width: 8, stride: 2}]
head: {classifier: {dropout: 0.1}}
"""
COMMON = "steps: 24, batch: 32, log_every: 3, checkpoint_every: 0.5, validation: 64"
RECIPES = {
    "plain": "lr: 0.2, augment: {flip: false}",
    "everything": "lr: 0.2, schedule: plateau, patience: 1, gamma: 0.5, warmup: 0.0, slow_start: {lr: 0.05, error: 0.95, depth: 1}, "
    "accumulate: 2, clip_norm: 0.5, ema: 0.9, drop_path: 0.2, label_smoothing: 0.1, best: loss, test_flip: true, decay_norm: false, "
    "stop_early: {metric: top1, patience: 40}, eval_every: 0.25, "
    "augment: {pad_crop: 1, flip: alternate, fill: reflect, cutout: 2, erase: 0.3, mixup: 0.2, cutmix: 1.0}",
    "adamw": "optimizer: adamw, lr: 0.01, schedule: cosine, warmup: 0.2, ema: 0.99, drop_path: 0.1, augment: {flip: false, fill: mean}, "
    "resolution: {start: 0.5, until: 0.9}",
}
PINNED = ("--plan", "precision=fp32,layout=channels_last,compile=no,fused=yes")
"""Nothing about how to compute is left to be timed."""

TIMES = {"seconds", "images_per_s"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("forks")) as found:
        for name, recipe in RECIPES.items():
            (found.scratch / f"{name}.yaml").write_text(f"{NETWORK}train: {{{COMMON}, {recipe}}}\n")
        yield found


@pytest.fixture(scope="module")
def undisturbed(server: Forks) -> dict[str, Path]:
    for name in RECIPES:
        ended = begin(server, name, f"{name}-undisturbed")
        assert ended.code == 0, ended.err
    return {name: server.scratch / f"{name}-undisturbed" for name in RECIPES}


def begin(server: Forks, name: str, out: str, fault: str = "", **how: Any) -> Ended:
    return server.run("train", f"{name}.yaml", "--out", out, "--limit-train", "256", *PINNED, env={faults.VARIABLE: fault}, **how)


def go_on(server: Forks, out: str, fault: str = "", **how: Any) -> Ended:
    return server.run("train", "--resume", out, env={faults.VARIABLE: fault}, **how)


def again(server: Forks, name: str, out: str, fault: str = "") -> Ended:
    """Begin, or go on where it was begun: what a script would do."""
    args = ("train", f"{name}.yaml", "--resume", "--out", out, "--limit-train", "256", *PINNED)
    return server.run(*args, env={faults.VARIABLE: fault})


def rows(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in (run / "metrics.jsonl").read_text().splitlines()]


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two states differ, to the bit."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) and a.dtype == b.dtype else [path]
    if isinstance(a, dict):
        keys = [path] if a.keys() != b.keys() else []
        return keys + [d for k in a.keys() & b.keys() for d in differences(a[k], b[k], f"{path}/{k}")]
    if isinstance(a, list | tuple):
        return (
            [path] if len(a) != len(b) else [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{path}/{i}")]
        )
    return [] if a == b and type(a) is type(b) else [f"{path}: {a} {b}"]


def state(run: Path) -> dict[str, Any]:
    """The newest checkpoint, without times and without the length of the log in bytes, which depends on them."""
    found, _ = checkpoint.load_newest(run / "checkpoints", torch.device("cpu"))
    assert found is not None
    return {k: v for k, v in found.items() if k not in ("seconds", "metrics")}


def assert_same(run: Path, other: Path) -> None:
    assert rows(run) == rows(other)
    assert differences(state(run), state(other)) == []
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    results = [{k: v for k, v in json.loads((x / "results.json").read_text()).items() if k not in {*TIMES, "folder"}} for x in (run, other)]
    assert results[0] == results[1]
    assert not list(run.glob("**/*.partial"))


def test_the_recipes_have_all_that_has_a_state(undisturbed: dict[str, Path]) -> None:
    """What the cases below rely on: the rate dropped, the slow start ended, the average and the best are other weights than the last."""
    end = state(undisturbed["everything"])
    assert end["pace"]["drops"] > 0
    assert not end["pace"]["slow"]
    assert end["best"]["step"] < 24
    assert any(not torch.equal(end["average"][k], v) for k, v in end["model"].items())
    assert {r["lr"] for r in rows(undisturbed["everything"]) if "lr" in r} > {0.05, 0.2}
    assert sorted(p.name for p in (undisturbed["plain"] / "checkpoints").iterdir()) == ["step-000000020.ckpt", "step-000000024.ckpt"]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("step", [0, 1, 3, 7, 12, 23])
def test_killed_before_a_step(name: str, step: int, server: Forks, undisturbed: dict[str, Path]) -> None:
    out = f"{name}-killed-{step}"
    assert begin(server, name, out, f"kill@step={step}").code == -signal.SIGKILL
    ended = go_on(server, out)
    assert ended.code == 0, ended.err
    assert_same(server.scratch / out, undisturbed[name])


@pytest.mark.parametrize("phase", faults.PHASES[1:])
@pytest.mark.parametrize("step", [4, 12, 24])
def test_killed_while_it_saves(phase: str, step: int, server: Forks, undisturbed: dict[str, Path]) -> None:
    name = "everything" if step == 12 else "plain"
    out = f"{phase}-{step}"
    assert begin(server, name, out, f"kill@step={step},phase={phase}").code == -signal.SIGKILL
    assert again(server, name, out).code == 0
    assert_same(server.scratch / out, undisturbed[name])


@pytest.mark.parametrize(("name", "kills"), [("adamw", 2), ("plain", 10), ("everything", 10)])
def test_killed_again_and_again(name: str, kills: int, server: Forks, undisturbed: dict[str, Path]) -> None:
    out = f"{name}-{kills}-kills"
    draw = random.Random(kills)
    for kill in range(kills):
        step, phase = 3 + 21 * kill // kills, draw.choice(faults.PHASES)
        if phase != "step":
            step = min(24, -(-step // 4) * 4)
        assert again(server, name, out, f"kill@step={step},phase={phase}").code in (-signal.SIGKILL, 0)
        (server.scratch / out / "results.json").unlink(missing_ok=True)
    assert again(server, name, out).code == 0
    assert_same(server.scratch / out, undisturbed[name])
    assert len(json.loads((server.scratch / out / "env.json").read_text())["sessions"]) == kills + 1


def test_signals_at_many_times(server: Forks, undisturbed: dict[str, Path]) -> None:
    """Each one ends the process after its step (75), in its first moments (the signal's own end) or comes too late; none leaves damage."""
    draw, run, codes = random.Random(7), server.scratch / "signals", []
    args = ("train", "plain.yaml", "--resume", "--out", "signals", "--limit-train", "256", *PINNED)
    began = time.monotonic()
    assert begin(server, "plain", "unsignalled").code == 0
    whole = time.monotonic() - began
    for number in range(20):
        pid = server.start(*args)
        time.sleep(draw.random() * whole)
        sent = draw.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sent)
        ended = server.wait()
        codes.append(ended.code)
        assert ended.code in (75, 0, 130, -sent, 128 + sent), (number, ended)
        if ended.code == 75:
            assert "resume with: resnet-dsl train --resume signals" in ended.err
        if ended.code == 0:
            assert_same(run, undisturbed["plain"])
            shutil.rmtree(run)
    assert 75 in codes
    assert server.run(*args).code == 0
    assert_same(run, undisturbed["plain"])


@pytest.mark.parametrize("limit", [3_000, 20_000])
def test_a_full_disk(limit: int, server: Forks, undisturbed: dict[str, Path]) -> None:
    out = f"full-{limit}"
    assert begin(server, "plain", out, "kill@step=10").code == -signal.SIGKILL
    kept = {p.name: p.read_bytes() for p in (server.scratch / out / "checkpoints").iterdir()}
    ended = go_on(server, out, limit=limit)
    assert ended.code == 3, ended.err
    assert "error[disk]: cannot write" in ended.err
    assert {p.name: p.read_bytes() for p in (server.scratch / out / "checkpoints").iterdir()} == kept
    assert go_on(server, out).code == 0
    assert_same(server.scratch / out, undisturbed["plain"])


def test_a_folder_that_may_not_be_written(server: Forks) -> None:
    """/proc takes nobody's files, not root's either."""
    ended = server.run("train", "plain.yaml", "--out", "/proc/run", "--limit-train", "256", "--steps", "1")
    assert ended.code == 3
    assert "/proc/run: error[disk]: cannot make the run's folder" in ended.err


def test_a_folder_that_vanishes(server: Forks) -> None:
    server.start("train", "plain.yaml", "--out", "vanishing", "--limit-train", "256", "--steps", "100000")
    run = server.scratch / "vanishing"
    until = time.monotonic() + 60
    while not list(run.glob("checkpoints/step-*.ckpt")):
        assert time.monotonic() < until
        time.sleep(0.005)
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
    ended = server.wait()
    assert ended.code == 3
    assert "error[disk]" in ended.err
    assert "Traceback" not in ended.err


def test_a_second_process_is_refused_and_the_lock_dies_with_its_holder(server: Forks, undisturbed: dict[str, Path]) -> None:
    from resnet_dsl.records.folder import RunFolder

    out = "locked"
    assert begin(server, "plain", out, "kill@step=10").code == -signal.SIGKILL
    with RunFolder.open(server.scratch / out):
        ended = go_on(server, out)
        assert ended.code == 3
        assert f"another process trains in it (process {os.getpid()}" in ended.err
    assert go_on(server, out).code == 0
    assert_same(server.scratch / out, undisturbed["plain"])


def test_the_clock_jumps_and_nobody_reads(server: Forks, undisturbed: dict[str, Path]) -> None:
    """Neither the time of files nor a closed pipe decides anything."""
    out = "clock"
    assert begin(server, "plain", out, "kill@step=22", closed=True).code == -signal.SIGKILL
    for age, path in enumerate(sorted((server.scratch / out / "checkpoints").iterdir(), reverse=True)):
        os.utime(path, (age * 2**31, age * 2**31))
    ended = go_on(server, out)
    assert "at step 20 of 24" in ended.err
    assert_same(server.scratch / out, undisturbed["plain"])


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_within_its_last_evaluation(
    name: str, server: Forks, undisturbed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is saved then is from before that evaluation; gone on with, the end is saved as well."""
    from resnet_dsl.cli.app import main
    from resnet_dsl.training.loop import loop

    def stopped(self: loop.Loop) -> bool:
        if self.step == 24:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self)

    whole, out = loop.Loop._evaluate, f"{name}-last"
    monkeypatch.chdir(server.scratch)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(loop.Loop, "_evaluate", stopped)
            assert main(["train", f"{name}.yaml", "--out", out, "--limit-train", "256", "--quiet", *PINNED]) == 75
    finally:
        torch.set_num_threads(before)
    assert state(server.scratch / out)["evaluated"] < 24
    assert go_on(server, out).code == 0
    assert_same(server.scratch / out, undisturbed[name])


def test_a_fault_is_named_right_or_refused(server: Forks) -> None:
    ended = begin(server, "plain", "misnamed", "kill@step=3,phase=lunch")
    assert ended.code == 2
    assert "which is not a fault" in ended.err


@pytest.mark.parametrize("longer", [("--steps", "40"), ("--epochs", "6")])
def test_an_ended_run_is_made_longer(longer: tuple[str, str], server: Forks, undisturbed: dict[str, Path]) -> None:
    """Killed in the middle of it or not, the longer run ends the same; up to the old end its log is the old one."""
    total = 40 if longer[0] == "--steps" else 48
    ends = []
    for kill in (None, 30):
        out = f"longer-{total}-{kill}"
        shutil.copytree(undisturbed["everything"], server.scratch / out)
        args = ("train", "--resume", out, *longer)
        if kill is not None:
            assert server.run(*args, env={faults.VARIABLE: f"kill@step={kill}"}).code == -signal.SIGKILL
            ended = go_on(server, out)
        else:
            ended = server.run(*args)
            assert f"extending {out} from 24 to {total} steps; the learning rate is the recipe's for the new length (plateau)" in ended.err
            assert "resuming" in ended.err
        assert ended.code == 0, ended.err
        ends.append(server.scratch / out)
    assert_same(*ends)
    log = rows(ends[0])
    assert [r for r in log if r["step"] <= 24] == rows(undisturbed["everything"])
    assert log[-1]["step"] == total
    (extension,) = json.loads((ends[0] / "run.json").read_text())["extensions"]
    assert (extension["steps_before"], extension["steps_after"]) == (24, total)
    ended = server.run("train", "--resume", str(ends[0]), *longer)
    assert ended.code == 2
    assert "error[run-shorter]" in ended.err
    assert go_on(server, str(ends[0])).code == 0


def test_a_run_is_entered_into_its_longer_schedule(server: Forks, undisturbed: dict[str, Path]) -> None:
    out = "longer-cosine"
    shutil.copytree(undisturbed["adamw"], server.scratch / out)
    assert server.run("train", "--resume", out, "--steps", "48").code == 0
    whole = begin(server, "adamw", "longer-whole")
    assert whole.code == 0
    from resnet_dsl.language.recipes import recipe_named
    from resnet_dsl.training.loop.optim import learning_rate

    recipe = recipe_named(str(server.scratch / out / "recipe.yaml"))
    assert recipe.steps == 48
    later = {r["step"]: r["lr"] for r in rows(server.scratch / out) if r["event"] == "train" and r["step"] > 24}
    assert later == {step: learning_rate(recipe, step - 1, 48) for step in range(27, 49, 3)}


def test_time_is_up(server: Forks) -> None:
    """Each time it comes a little further, if only by the steps of a second."""
    begun = ("train", "plain.yaml", "--out", "short", "--limit-train", "256", *PINNED, "--steps", "100000")
    command = begun
    for _ in range(20):
        ended = server.run(*command, "--max-time", "1s")
        assert ended.code == 75, ended.err
        assert "time is up after step" in ended.err
        assert "resume with: resnet-dsl train --resume short" in ended.err
        if list(server.scratch.glob("short/checkpoints/step-*")):
            break
        command = ("train", "--resume", "short")
    assert state(server.scratch / "short")["step"] > 0
