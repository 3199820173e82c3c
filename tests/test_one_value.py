"""Norms that would see one value: what torch itself refuses is refused before the run, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny

import resnet_dsl as rd
from resnet_dsl.analysis.onevalue import one_value
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, speak
from resnet_dsl.graph import compile
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.job import Job
from resnet_dsl.training.ranks.world import World

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = "[{depth: 1, width: 8}, {depth: 1, width: 16, stride: 2}, {depth: 1, width: 32, stride: 2}, {depth: 1, width: 64, stride: 2}]"
MAP = tiny("steps: 2, batch: 8, augment: {flip: false}", stages=STAGES, shortcut="B")
"""Digits of 8x8 come down to 1x1."""
FEATURES = """
input: {features: 6}
classes: 3
stem: []
block: pair
stages: [{depth: 1, width: 6}]
blocks:
  pair: {body: [{linear: {out: width}}, norm, act, {linear: {out: width}}]}
shortcut: identity
head: [{linear: {out: classes}}]
"""


def spec(tmp_path: Path, text: str = MAP) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(text)
    return path


def refusal(call: Any) -> tuple[str, str, str, str, int]:
    with pytest.raises(SpecError) as e:
        call()
    (found,) = e.value.diagnostics
    return found.code, found.location.source.name, found.message, speak(found.help, COMMAND_LINE), e.value.exit_code


BATCH = "one image at a time leaves this batch norm of 64x1x1 one value a channel, and one value has no deviation"
OR = ", or a norm that looks at each image alone: --set norm=layer"


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ({"batch": 1}, 2),
        ({"batch": 4, "overrides": {"train.accumulate": "4"}}, 8),
        ({"batch": 1, "limit_train": 64, "overfit_batch": True}, 2),
        ({"batch": 1, "freeze": ["layer1", "conv1"]}, 2),
    ],
)
def test_one_image_at_a_time(tmp_path: Path, asked: dict[str, Any], least: int) -> None:
    expected = ("norm-one-value", "layer4.0.bn1", BATCH, f"use --batch {least} or more{OR}", 2)
    path, out = spec(tmp_path), tmp_path / "run"
    assert refusal(lambda: rd.train(path, data="digits", out=out, steps=2, **asked)) == expected
    assert not out.exists()
    assert refusal(lambda: rd.rehearse(path, data="digits", **asked)) == expected
    assert refusal(lambda: rd.find_lr(path, data="digits", **asked)) == expected


def test_bench(tmp_path: Path) -> None:
    expected = ("norm-one-value", "layer4.0.bn1", BATCH, f"use --batch 2 or more{OR}", 2)
    assert refusal(lambda: rd.bench(spec(tmp_path), batch=1, seconds=0)) == expected


def test_frozen_norms_take_no_mean(tmp_path: Path) -> None:
    run = rd.train(spec(tmp_path), data="digits", out=tmp_path / "run", batch=1, steps=1, limit_train=8, freeze=["layer4"])
    assert run.results is not None


@pytest.mark.parametrize(
    ("norm", "what"),
    [("instance", "instance norm"), ("{group: {groups: 64}}", "group norm")],
)
def test_norms_that_always_see_one_value(tmp_path: Path, norm: str, what: str) -> None:
    stages = "[{depth: 1, width: 64, stride: 8}]"
    code, at, message, help, exit_code = refusal(
        lambda: rd.train(spec(tmp_path, tiny(stages=stages, norm=norm, shortcut="B")), data="digits")
    )
    assert (code, at, exit_code) == ("norm-one-value", "layer1.0.bn1", 2)
    assert message == f"this {what} of 64x1x1 takes its mean over one value, so what it gives does not depend on what it reads"
    assert help == "use another norm there (--set norm=batch), or keep the map larger: fewer strides"


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # 8x8 begins as 4x4, and the last map is 1x1 then.
        (tiny(stages="[{depth: 1, width: 4, stride: 2}, {depth: 1, width: 8, stride: 2}]", shortcut="B"), "0.5", "of the first images, 1x4x4, one image"),
        (tiny(), "0.1", "the first images are 1x0x0, too small for this network: 'width' must be at least 1, but is 0"),
        (tiny(head="[flatten, {linear: {out: classes}}]"), "0.5", "takes one size alone"),
    ],
)  # fmt: skip
def test_images_that_begin_small(tmp_path: Path, text: str, start: str, expected: str) -> None:
    code, _, message, _, exit_code = refusal(
        lambda: rd.train(spec(tmp_path, text), data="digits", batch=1, overrides={"train.resolution.start": start}, out=tmp_path / "run")
    )
    assert expected in message
    assert (code, exit_code) in (("norm-one-value", 2), ("recipe", 2))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_each_process_needs_two_images(tmp_path: Path, ranks: int) -> None:
    from resnet_dsl.language.recipe import Recipe
    from resnet_dsl.records.request import Request

    graph = compile(rd.load(spec(tmp_path)))
    job: Any = Job("", "", graph, Recipe(batch=4), Request(), Plan("cpu", "fp32", True, 1), data=None)  # type: ignore[arg-type]
    world = World(0, ranks, 0)
    if ranks < 4:
        job.require_trainable(world)
    else:
        assert refusal(lambda: job.require_trainable(world))[3].startswith("use --batch 8 or more")


NETWORKS = {
    "map": MAP,
    "features": FEATURES,
    "larger map": tiny(),
    "layer": tiny(stages=STAGES, norm="layer", shortcut="B"),
    "no norm": tiny(stages=STAGES, norm="none", shortcut="B"),
    "instance": tiny(stages=STAGES, norm="instance", shortcut="B"),
    "group of one": tiny(stages="[{depth: 1, width: 64, stride: 8}]", norm="{group: {groups: 64}}", shortcut="B"),
    "group of two": tiny(stages="[{depth: 1, width: 64, stride: 8}]", norm="{group: {groups: 32}}", shortcut="B"),
    "squeeze": tiny(head="[{globalpool: {kind: avg}}, norm, flatten, {linear: {out: classes}}]"),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rows", [1, 2])
def test_torch_agrees(tmp_path: Path, name: str, rows: int) -> None:
    """What is refused is what torch refuses, except a group norm of one value on two images: torch gives its bias then."""
    network = rd.load(spec(tmp_path, NETWORKS[name]))
    graph = compile(network)
    model = rd.build(network, seed=0).train()
    try:
        model(torch.randn(rows, *graph.input))
        taken = True
    except ValueError:
        taken = False
    found = one_value(graph, rows)
    assert (found is None) == taken or (name, rows) == ("group of one", 2)
    if found is not None:
        assert found.path in dict(model.named_modules())
