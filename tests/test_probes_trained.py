"""All probes of trained networks: what they refuse, and that they change nothing."""

from __future__ import annotations

import copy
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from networks import NETWORKS
from probing import noise_shown

from resnet_dsl.cli.app import main
from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.probes import gates, landscape, lesion, paths, responses
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.table import find

# --- refusals ------------------------------------------------------------------------------------------------

REFUSED = {
    "probe gates resnet20-digits": "resnet20-digits: error[probe-nothing]: has no gate: it has no merge highway\n"
    "  help: use a highway network: highway19, say, or --set merge=highway",
    "probe paths plain20-digits": "plain20-digits: error[probe-nothing]: has one path: no block adds a shortcut\n"
    "  help: use a residual network: --set shortcut=A, say",
    "probe responses plain20-digits --channels padded": "plain20-digits: error[probe-nothing]: has no stage that a shortcut enters with channels "
    "of zeros\n  help: use --set shortcut=A",
    "probe lesion densenet121 --data noise --images 2": "densenet121: error[probe-nothing]: has no block that can be dropped: each changes the shape\n"
    "  help: use a network with several equal blocks in a stage",
    "probe landscape resnet20-digits --grid 4": "--grid: error[usage]: 4 steps have no middle, where the weights themselves lie\n"
    "  help: use an odd number: 5",
    "probe landscape resnet20-digits --directions 3": "--directions: error[usage]: a picture has one direction or two\n  help: use 1 or 2",
    "probe target resnet20-digits": "resnet20-digits: error[target-shape]: reads 1x8x8 and gives 10 numbers: no target is a function of that kind\n"
    "  help: use a spec with input: {features: d}, classes: d; or the shipped plain-stack and residual-stack",
    "probe target --target indentity": "--target: error[usage]: there is no target 'indentity'\n  help: did you mean 'identity'?",
    "probe target --init small": "--init: error[usage]: there is no initial scheme 'small'\n  help: initial scheme is one of: spec, scaled, zero-last",
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_what_a_probe_cannot_do_is_said(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err.startswith(REFUSED[line])


# --- all of them ---------------------------------------------------------------------------------------------

MEASURES: dict[str, tuple[str, Callable[[ProbedNetwork], Finding]]] = {
    "lesion": ("zero-pad", lesion.measure),
    "swap": ("zero-pad", partial(lesion.measure, change="swap")),
    "paths": ("zero-pad", partial(paths.measure, samples=2)),
    "responses": ("zero-pad", responses.measure),
    "padded": ("zero-pad", partial(responses.measure, channels="padded")),
    "lipschitz": ("zero-pad", partial(responses.measure, lipschitz=True)),
    "gates": ("gate-channel", gates.measure),
    "landscape": ("zero-pad", partial(landscape.measure, grid=3)),
    "map": ("zero-pad", partial(landscape.measure, grid=3, directions=2)),
}


@pytest.mark.parametrize("step", [0, None])
@pytest.mark.parametrize("name", MEASURES)
def test_looking_changes_nothing_and_finds_the_same_again(name: str, step: int | None) -> None:
    spec, look = MEASURES[name]
    s = noise_shown(NETWORKS[spec], step=step)
    fixed = s.test(6)
    s = replace(s, test=lambda n: (fixed[0][:n], fixed[1][:n]))
    s.model.train()
    s.model.conv1.weight.grad = torch.ones_like(s.model.conv1.weight)  # type: ignore[union-attr, arg-type]
    before, drawn = copy.deepcopy(s.model.state_dict()), torch.get_rng_state()
    first, again = look(s), look(s)
    assert first.to_dict() == again.to_dict() and first.svg() == again.svg()
    ET.fromstring((first.svg() or "").encode())
    assert all(torch.equal(v, before[k]) for k, v in s.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and all(m.training for m in s.model.modules())
    assert torch.equal(s.model.conv1.weight.grad, torch.ones_like(s.model.conv1.weight))  # type: ignore[union-attr, arg-type]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in s.model.modules())


@pytest.mark.parametrize("name", ["responses", "lesion", "paths", "gates", "landscape", "target"])
def test_examples_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in find(name).examples:
        assert main(shlex.split(example)[1:]) == 0
        out, err = capsys.readouterr()
        assert "error[" not in err
        assert max(map(len, out.splitlines())) <= 80
        for word in example.split():
            assert not word.endswith(".svg") or ET.parse(tmp_path / word)
