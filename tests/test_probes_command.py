"""What a probe looks at, and the command."""

from __future__ import annotations

import copy
import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import compiled, small
from probing import subject
from torch import Tensor

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.probes import shattering
from resnet_dsl.lab.probes.measuring import measure
from resnet_dsl.lab.probes.probed import ProbeRequest, moments
from resnet_dsl.lab.table import PROBES, Probe, find
from resnet_dsl.language import load
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.ops.table import OPS
from resnet_dsl.records.request import Request
from resnet_dsl.runtime import weights as weights_file
from resnet_dsl.runtime.build import build
from resnet_dsl.training.loop.progress import Silent
from resnet_dsl.training.session import begin

OF_NETWORKS = [p for p in PROBES if p.of == "network"]


# --- what is looked at ---------------------------------------------------------------------------------------

TINY = {
    "input": {"channels": 1, "height": 8, "width": 8}, "classes": 10, "stem": [{"conv": {"out": 4, "kernel": 3, "stride": 2}}, "norm", "act"],
    "block": "basic", "shortcut": "B", "stages": [{"depth": 1, "width": 4}],
    "train": {"steps": 6, "batch": 32, "lr": 0.1, "log_every": 2, "warmup": 0.2, "schedule": "cosine", "augment": {"pad_crop": 1, "flip": False}},
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY))
    return str(path)


def states(asked: ProbeRequest) -> dict[int | None, dict[str, Tensor]]:
    return {s.step: copy.deepcopy(s.model.state_dict()) for s in moments(asked)}


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_moments_are_those_of_the_training_itself(tiny: str, tmp_path: Path) -> None:
    spec = load(tiny)
    recipe = recipe_of(spec)
    run = tmp_path / "run"
    begin(spec, recipe, Request(data="digits", device="cpu", plan="precision=fp32,compile=no", out=run), watcher=Silent(), command=["x"])
    end = weights_file.load(run / "model.safetensors").tensors
    by_spec, by_run = states(ProbeRequest(tiny, steps=(0, 1, 6))), states(ProbeRequest(str(run), steps=(6,)))
    assert list(by_spec) == [0, 1, 6]
    assert same_weights(by_spec[0], build(compiled(TINY, "tiny"), seed=recipe.seed).state_dict())
    assert not same_weights(by_spec[0], by_spec[1])
    assert same_weights(by_spec[6], end)
    assert same_weights(by_run[6], end)
    (whole,) = moments(ProbeRequest(str(run), images=5))
    assert same_weights(whole.model.state_dict(), end)
    assert (whole.step, len(whole.images), whole.said) == (None, 5, f"the weights of {run}; 5 training images of digits")
    (loaded,) = moments(ProbeRequest(tiny, weights=run / "model.safetensors", images=5))
    assert same_weights(loaded.model.state_dict(), end)
    assert torch.equal(loaded.images, whole.images)
    (on_noise,) = moments(ProbeRequest(tiny, weights=run, data="noise", images=5))
    assert same_weights(on_noise.model.state_dict(), end)
    assert on_noise.said == f"the weights of {run}; 5 images of standard normal noise, with random labels"
    # Looking on the way changes nothing.
    looked = measure(find("highway"), ProbeRequest(tiny, steps=(0, 3, 6), images=4), {})
    alone = measure(find("highway"), ProbeRequest(tiny, steps=(6,), images=4), {})
    assert looked.figures["trunk_at_6"] == alone.figures["trunk"]


def test_images_are_chosen_by_the_seed_and_normalised(tiny: str) -> None:
    (a,), (b,), (c,) = (moments(ProbeRequest(tiny, images=50, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.labels, b.labels)
    assert not torch.equal(a.images, c.images)
    assert a.images.shape == (50, 1, 8, 8)
    assert abs(a.images.mean().item()) < 0.2 and abs(a.images.std().item() - 1) < 0.2
    (first, _), (again, labels) = a.test(20), a.test(20)
    assert torch.equal(first, again)
    assert len(labels) == 20


def test_a_network_that_fits_no_data_is_shown_noise() -> None:
    (s,) = moments(ProbeRequest("residual-mlp", images=3, overrides=("input={features: 7}",)))
    assert s.images.shape == (3, 7)
    assert s.said == "initial weights of seed 0; 3 images of standard normal noise, with random labels"
    assert s.name == "residual-mlp (input={features: 7})"


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (ProbeRequest("residual-mlp", steps=(0, 1), overrides=("input={features: 7}",)), 2, "noise teaches nothing"),
        (ProbeRequest("TINY", steps=(7,)), 2, "step 7 is after the end of the training, which takes 6 steps"),
        (ProbeRequest("TINY", data="fashion-mnist"), None, "fashion-mnist"),
        (ProbeRequest("TINY", data="nothing"), 2, "is not a data set"),
        (ProbeRequest("FOLDER"), 2, "a directory, not a regular file"),
        (ProbeRequest("TINY", weights=Path("no.safetensors")), 3, "cannot be read"),
        (ProbeRequest("TINY", device="tpu"), 2, "tpu is not a device"),
        (ProbeRequest("TINY", overrides=("train.lr=1e6",), steps=(6,)), 1, "not-finite"),
    ],
)
def test_what_cannot_be_looked_at(asked: ProbeRequest, code: int | None, said: str, tiny: str, tmp_path: Path) -> None:
    target = {"TINY": tiny, "FOLDER": str(tmp_path)}.get(str(asked.target), asked.target)
    with pytest.raises(SpecError, match=said) as e:
        list(moments(ProbeRequest(**{f: getattr(asked, f) for f in ProbeRequest.__dataclass_fields__} | {"target": target})))
    assert code is None or e.value.exit_code == code


def test_a_run_is_looked_at_as_it_was_trained(tiny: str, tmp_path: Path) -> None:
    spec = load(tiny)
    begin(
        spec,
        recipe_of(spec),
        Request(data="digits", device="cpu", plan="precision=fp32,compile=no", out=tmp_path / "run"),
        watcher=Silent(),
    )
    for asked, said in (
        (ProbeRequest(tmp_path / "run", overrides=("shortcut=A",)), "overrides=: error[usage]: a run is looked at as it was trained"),
        (ProbeRequest(tmp_path / "run", recipe="quick"), "recipe=: error[usage]: a run is looked at as it was trained"),
        (ProbeRequest(tmp_path / "run", data="noise"), "data=: error[usage]: noise is for specs: a run has its data"),
    ):
        with pytest.raises(SpecError, match=re.escape(said)) as e:
            list(moments(asked))
        assert e.value.exit_code == 2
    # A file of weights is a network with these weights.
    by_run, by_file = (rd.probe("gradients", tmp_path / "run" / name, images=8).figures for name in ("", "model.safetensors"))
    assert by_run == by_file


# --- from Python -------------------------------------------------------------------------------------------


def test_probe_is_the_command(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "gradients", tiny, "--steps", "0,3", "--of", "rms", "-n", "8", "--set", "shortcut=A", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    found = rd.probe("gradients", tiny, steps=[3, 0, 3], of="rms", images=8, overrides={"shortcut": "A"})
    assert found.to_dict() == json.loads(out)
    assert capsys.readouterr() == ("", err)
    assert err == "step 0 of 3\nstep 3 of 3\n"
    quiet = rd.probe("gradients", load(tiny, {"shortcut": "A"}), steps=(0, 3), of="rms", images=8, quiet=True)
    assert quiet.figures == found.figures
    assert capsys.readouterr() == ("", "")
    assert main(["probe", "target", "plain-stack", "--target", "identity,zero", "--updates", "2", "--seeds", "1", "--format", "json"]) == 0
    stack = rd.probe("target", "plain-stack", target=("identity", "zero"), updates=2, seeds=1)
    assert stack.to_dict() == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "networks", "given", "said"),
    [
        ("gradient", ("resnet20",), {}, "gradient: error[unknown-name]: there is no probe 'gradient'\n  help: did you mean 'gradients'?"),
        ("gradients", (), {}, "gradients: error[usage]: the probe gradients looks at one network, and 0 are given"),
        ("gradients", ("resnet20",), {"by": "op"}, "by=: error[usage]: the probe gradients has no option 'by'"),
        ("gradients", ("resnet20",), {"of": "mean"}, "of=: error[usage]: is one of norm, rms, relative, not 'mean'"),
        ("gradients", ("resnet20",), {"of": 3}, "of=: error[usage]: must be text, not '3'"),
        ("gradients", ("resnet20",), {"steps": (-1,)}, "steps=: error[usage]: '[-1]' is not a list of steps"),
        ("gradients", ("resnet20",), {"images": 1}, "images=: error[usage]: must be at least 2, not 1"),
        ("paths", ("resnet20",), {"samples": 0}, "samples=: error[usage]: must be at least 1, not 0"),
        ("paths", ("resnet20",), {"samples": 1.5}, "samples=: error[usage]: must be a whole number, not '1.5'"),
        ("responses", ("resnet20",), {"lipschitz": 1}, "lipschitz=: error[usage]: must be True or False, not '1'"),
        ("target", (), {"data": "digits"}, "data=: error[usage]: the probe target makes its own data and trains itself"),
    ],
)  # fmt: skip
def test_what_probe_refuses(name: str, networks: tuple[str, ...], given: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)) as e:
        rd.probe(name, *networks, **given)
    assert e.value.exit_code == 2


def test_no_pair_without_two_images() -> None:
    with pytest.raises(SpecError, match="4 pairs need 8 images, and there are 7"):
        shattering.measure(subject(compiled(small()), images=7))


def test_every_op_without_a_module_is_a_merge() -> None:
    """What `evaluate` counts on."""
    assert [name for name, row in OPS.items() if row.module is None and row.expression is None] == []


# --- the command ---------------------------------------------------------------------------------------------

CORE = ("signals", "gradients", "shattering", "identity", "highway")


@pytest.mark.parametrize("row", PROBES, ids=lambda p: p.name)
def test_help_says_what_is_measured_and_ends_with_an_example(row: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", row.name, "--help"]) == 0
    printed = capsys.readouterr().out
    # Lines are broken anywhere, after hyphens too.
    text = "".join(printed.split())
    for said in (row.about, f"Formula: {row.formula}", f"Source: {row.source}", *(f"--{o.name.replace('_', '-')}" for o in row.options)):
        assert "".join(said.split()) in text
    assert printed.rstrip().endswith(row.examples[-1])


@pytest.mark.parametrize("example", [e for name in CORE for e in find(name).examples])
def test_examples_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(example)[1:]) == 0
    out, err = capsys.readouterr()
    assert "error[" not in err
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", [name for name in CORE if find(name).plots])
def test_plots_are_pictures(name: str, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plot.svg"
    assert main(["probe", name, tiny, "--steps", "0,2", "-o", str(out), "--format", "json"]) == 0
    assert ET.parse(out).getroot().tag.endswith("svg")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["about"].endswith("after 0 and 2 training steps")
    assert printed.err == f"step 0 of 2\nstep 2 of 2\nwrote {out}\n"
