"""Runs on data of one's own: the same losses as by the shipped name, to the bit; and killed anywhere, they end as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forks import Forks, forks
from test_exact import assert_same, rows

import resnet_dsl as rd
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.lab.runs.preparing import prepare
from resnet_dsl.lab.runs.running import run_task
from resnet_dsl.lab.study.planning import Choice, plan
from resnet_dsl.lab.study.reading import read_study
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.loop import faults

SPEC = """
input: {channels: 1, height: 8, width: 8}
classes: 10
stem: cifar
block: basic
shortcut: A
stages: [{depth: 1, width: 4}, {depth: 1, width: 8, stride: 2}]
head: {classifier: {dropout: 0.1}}
train: {steps: 12, batch: 32, log_every: 2, checkpoint_every: 0.5, validation: 64, best: loss, lr: 0.1, augment: {flip: alternate, pad_crop: 1, cutout: 2}}
"""
PLAN = "precision=fp32,layout=channels_last,compile=no,fused=yes,threads=1"
TABLE = """
input: {features: 64}
classes: 10
stem: [linear: {out: 16}, norm]
block: mlp
shortcut: B
stages: [{depth: 2, width: 16}]
head: [linear: {out: classes}]
"""
CODE = """
import numpy as np, torch, random
from resnet_dsl.training.data import arrays

FILE = dict(np.load("cells.npz"))

def large():
    arrays.LARGE = 1000
    return FILE["x"], FILE["y"]

class Noisy:
    # Draws from all three of the global generators.
    targets = FILE["y"]
    classes = list("abcdefghij")
    def __len__(self):
        return len(self.targets)
    def __getitem__(self, i):
        x = torch.from_numpy(FILE["x"][i]) + torch.rand(()) * np.random.rand() + random.random()
        return x, int(self.targets[i])

noisy = Noisy()
"""
DIGITS = open_dataset("digits", (1, 8, 8))
X, Y = DIGITS.train.pixels.numpy()[:600], DIGITS.train.labels.numpy()[:600]  # type: ignore[attr-defined]
XT, YT = DIGITS.test.pixels.numpy(), DIGITS.test.labels.numpy()  # type: ignore[attr-defined]
DATA = {"npz": "cells.npz", "large": "code:large", "dataset": "code:noisy"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("forks")) as found:
        (found.scratch / "net.yaml").write_text(SPEC)
        (found.scratch / "code.py").write_text(CODE)
        np.savez(found.scratch / "cells.npz", x=X.astype(np.float32) / 255, y=Y)
        yield found


def train(server: Forks, kind: str, out: str, fault: str = "", *more: str) -> int:
    return server.run("train", "net.yaml", "--data", DATA[kind], "--out", out, "--plan", PLAN, *more, env={faults.VARIABLE: fault}).code


@pytest.fixture(scope="module")
def undisturbed(server: Forks) -> dict[str, Path]:
    for kind in DATA:
        assert train(server, kind, f"{kind}-whole") == 0, (server.scratch / "err").read_text()
    return {kind: server.scratch / f"{kind}-whole" for kind in DATA}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("step", [1, 8])
def test_killed_and_resumed(kind: str, step: int, server: Forks, undisturbed: dict[str, Path]) -> None:
    out = f"{kind}-{step}"
    assert train(server, kind, out, f"kill@step={step}") == -signal.SIGKILL
    # Code is run only where it is typed.
    ended = server.run("train", "--resume", out, *([] if kind == "npz" else ["--data", DATA[kind]]))
    assert ended.code == 0, ended.err
    assert_same(server.scratch / out, undisturbed[kind])


def test_code_in_a_record_is_not_run(server: Forks, undisturbed: dict[str, Path]) -> None:
    out = "code-again"
    assert train(server, "large", out, "kill@step=3") == -signal.SIGKILL
    ended = server.run("train", "--resume", out)
    assert ended.code == 2
    assert "type it: --data code:large" in ended.err


def test_items_are_the_same_with_any_number_of_workers(server: Forks, undisturbed: dict[str, Path]) -> None:
    assert train(server, "dataset", "two-workers", "", "--workers", "2") == 0
    assert rows(server.scratch / "two-workers") == rows(undisturbed["dataset"])


def test_arrays_of_python_go_on_with_what_a_file_began(
    server: Forks, undisturbed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(server, "npz", "moved", "kill@step=6") == -signal.SIGKILL
    monkeypatch.chdir(server.scratch)
    (server.scratch / "cells.npz").rename("elsewhere.npz")
    try:
        with pytest.raises(SpecError, match=r"no such file or folder: '/.*/cells\.npz'"):
            rd.train("moved", resume=True, quiet=True)
        with pytest.raises(SpecError, match="is not what the run began with"):
            rd.train("moved", (X, Y), resume=True, quiet=True)
        rd.train("moved", (X.astype(np.float32) / 255, Y), resume=True, quiet=True)
    finally:
        (server.scratch / "elsewhere.npz").rename("cells.npz")
    assert_same(server.scratch / "moved", undisturbed["npz"])


def test_interrupted_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC)
    data = {"train": (X, Y), "test": (XT, YT)}
    whole = rd.train("net.yaml", data, plan=PLAN, quiet=True)
    with pytest.raises(Interrupted) as e:
        rd.train("net.yaml", data, plan=PLAN, quiet=True, max_time=1e-9, out="stopped")
    with pytest.raises(SpecError, match=r"rd\.train\(RUN, \(X, y\), resume=True\)"):
        rd.train(e.value.folder, resume=True)
    rd.train(e.value.folder, data, resume=True, quiet=True)
    assert_same(Path("stopped"), whole.path)
    # With `out` and `resume` the same call begins and goes on.
    assert rd.train("net.yaml", data, plan=PLAN, quiet=True, out="stopped", resume=True).state == "finished"


def losses(run: rd.Run) -> list[Any]:
    return [(r.event, r.step, r.loss, r.top1) for r in run.rows]


def test_the_same_losses_by_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    # In the order of a folder: class after class.
    train, test = (np.argsort(y, kind="stable") for y in (Y, YT))
    parts = {"train": (X[train], Y[train]), "val": (XT[test], YT[test])}
    for part, (x, y) in parts.items():
        for i, (image, label) in enumerate(zip(x, y, strict=True)):
            place = Path("photos", part, str(label))
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(place / f"{i:04}.png")
    (a, b), (c, d) = parts.values()
    np.savez("cells.npz", x_train=a, y_train=b, x_test=c[:, 0], y_test=d)
    for name, array in (("x", a), ("y", b), ("xt", c), ("yt", d)):
        np.save(f"{name}.npy", array)
    pairs = {part: [(image, int(label)) for image, label in zip(x, y, strict=True)] for part, (x, y) in parts.items()}
    given: list[Any] = ["photos", "cells.npz", "x.npy,y.npy,xt.npy,yt.npy", ((a, b), (c, d)), pairs]
    given.append({"train": torch.utils.data.TensorDataset(torch.from_numpy(a), torch.from_numpy(b)), "test": (c, d)})
    how: dict[str, Any] = {"overrides": ["params.n=1", "train.log_every=1", "train.validation=50"], "steps": 3, "batch": 32}
    runs = [rd.train("resnet20-digits", data, quiet=True, plan=PLAN, **how) for data in given]
    assert len({str(losses(run)) for run in runs}) == 1
    assert [run.path.name for run in runs[:3]] == [
        "resnet20-digits-photos-001",
        "resnet20-digits-cells-001",
        f"resnet20-digits-{tmp_path.name}-001",
    ]
    # A folder without a test part that the run has not seen is evaluated whole.
    Path("photos/train").rename("some")
    assert rd.evaluate(runs[0], data="some").images == len(Y)
    Path("some").rename("photos/train")
    # And as they are evaluated afterwards, by each other's name.
    scores = {rd.evaluate(runs[1], data=data).top1 for data in (None, *given, (c, d))}
    assert len(scores) == 1
    probes = [rd.probe("gradients", runs[1], data=data, quiet=True).figures for data in ("cells.npz", given[3])]
    assert probes[0] == probes[1]


def test_shipped_digits_are_the_same_arrays() -> None:
    x, y = (torch.cat(list(parts)) for parts in zip(*[(p.pixels, p.labels) for p in (DIGITS.train, DIGITS.test)], strict=True))  # type: ignore[attr-defined]
    n = len(DIGITS.train)
    found = rd.rehearse("resnet20-digits", ((x[:n], y[:n]), (x[n:], y[n:])), overrides=["params.n=1"], steps=1, quiet=True)
    assert (found.images, found.data) == (1437, "arrays")


def test_features_signals_and_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.yaml").write_text(TABLE)
    table = (X.reshape(-1, 64) / 16.0, Y)
    run = rd.train("table.yaml", table, epochs=4, batch=32, lr=0.1, quiet=True)
    assert run.results is not None
    assert run.results.test.top1 > 0.5
    # Each feature for itself: those that never change stay as they are.
    assert rd.predict(run, table[0][:5]).to_dict()[0]["class"] in map(str, range(10))
    for asked, said in (("augment.cutout=2", "features have no places"), ("augment.erase=0.5", "features have no places")):
        with pytest.raises(SpecError, match=said):
            rd.train("table.yaml", table, steps=1, batch=32, overrides=[f"train.{asked}"], quiet=True)
    Path("signal.yaml").write_text(SPEC.replace("height: 8, width: 8", "height: 1, width: 64").replace(", stride: 2", ""))
    signal = (X.reshape(-1, 1, 64).astype(np.uint16) * 257, Y)
    wave = rd.train("signal.yaml", signal, steps=2, quiet=True, overrides=["train.augment.flip=false", "train.augment.cutout=0"])
    assert wave.results is not None
    with pytest.raises(SpecError, match="trained on numbers on a scale of their own, and these are bytes"):
        rd.evaluate(wave, data=(X.reshape(-1, 64), Y))
    with pytest.raises(SpecError, match="color_pca"):
        rd.train("signal.yaml", signal, steps=1, quiet=True, overrides=["train.augment.color_pca=0.1"])


def test_predictions_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    run = rd.train("resnet20-digits", (X, Y), steps=2, batch=32, overrides=["params.n=1"], quiet=True)
    np.save("x.npy", XT[:5])
    np.savez("both.npz", x=XT[:5, 0], ids=np.arange(5))
    Image.fromarray(XT[0, 0]).save("0.png")
    found = [rd.predict(run, given) for given in (XT[:5], torch.from_numpy(XT[:5, 0]), "x.npy", "both.npz", list(XT[:5]))]
    shares = [[p.probability for p in f] for f in found]
    assert shares[0] == shares[1] == shares[2] == shares[3]
    assert shares[4] == pytest.approx(shares[0])
    assert [p.file for p in found[2]][:2] == ["x.npy[0]", "x.npy[1]"]
    assert rd.predict(run, "0.png")[0].probability == pytest.approx(shares[0][0])
    with pytest.raises(SpecError, match="one kind at a time"):
        rd.predict(run, "0.png", "x.npy")
    with pytest.raises(SpecError, match="these are numbers"):
        rd.predict(run, XT[:5] / 255)
    with pytest.raises(SpecError, match="the network reads 1x8x8"):
        rd.predict(run, XT[:5, :, :4])


def test_evaluating_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = rd.train("resnet20-digits", (X, Y), steps=2, batch=32, overrides=["params.n=1"], quiet=True, test_share=0.25)
    held = run.record.held_out
    assert held is not None
    assert (held.share, held.seed) == (0.25, 0)
    # The same arrays: the part that was held out; other ones: all of them.
    assert run.results is not None
    assert rd.evaluate(run, data=(X, Y)).top1 == run.results.test.top1
    assert rd.evaluate(run, data=(XT, YT)).images == len(XT)
    assert rd.evaluate(run, data=(XT[YT < 3], YT[YT < 3])).images == int((YT < 3).sum())
    with pytest.raises(SpecError) as e:
        rd.train("resnet20-digits", ((X, Y), (XT, YT)), steps=2, test_share=0.25, quiet=True)
    assert "leave out --test-share" in render(e.value.diagnostics, COMMAND_LINE)


STUDY = """
title: A study of cells
claim: Wider is better.
source: {note: none}
data: data/cells.npz
network: {extends: resnet20-digits, params: {n: 1}}
arms: {one: {}, two: {shortcut: C}}
recipe: {batch: 32, augment: {flip: false}}
learning_rates: [0.1]
seeds: 1
steps: 2
decide: [{that: one is no worse, measure: test_error, of: one, rule: at_most, minus: two, margin: 100}]
"""


def test_a_study_of_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab/data").mkdir(parents=True)
    Path("lab/study.yaml").write_text(STUDY)
    with pytest.raises(SpecError, match="no such file or folder: 'data/cells.npz'"):  # noqa: RUF043
        rd.study("lab/study.yaml", quiet=True)
    np.savez("lab/data/cells.npz", x=X, y=Y)
    planned, home = plan(read_study("lab/study.yaml"), Choice()), tmp_path / "out"
    tasks = planned.tasks(home)
    prepare(planned, home, tasks, download=False, say=print)
    assert planned.data == "data/cells.npz"
    run_task(tasks[0])
    assert rd.run(tasks[0].folder).record.data == str(tmp_path / "lab/data/cells.npz")
    with pytest.raises(SpecError, match=r"np\.savez"):
        rd.study("lab/study.yaml", data=(X, Y), quiet=True)  # type: ignore[arg-type]
    Path("lab/code.yaml").write_text(STUDY.replace("data/cells.npz", "code:make"))
    with pytest.raises(SpecError, match="code that a file names is not run"):
        rd.study("lab/code.yaml", quiet=True)


@pytest.mark.parametrize("verb", [rd.train, rd.rehearse, rd.find_lr])
def test_arrays_one_by_one(verb: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a network and its data: arrays are given together, \(X, y\)"):
        verb("resnet20-digits", np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4, np.int64))


def test_a_probe_is_given_data_by_name() -> None:
    with pytest.raises(SpecError, match=r"give data by its name: data=\(X, y\)"):
        rd.probe("gradients", "resnet20-digits", (np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4, np.int64)))  # type: ignore[arg-type]
