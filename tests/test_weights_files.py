"""Files of weights as people have them, what does not fit, and what the command line says of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign
import pytest
import torch
from foreign_cases import CASES, SMALL, TINY, Case, compared, held
from safetensors.torch import save_file
from torch import nn

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.emission.naming import tables
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.runtime.fitting import match
from resnet_dsl.training.finetune import start
from resnet_dsl.verbs.modules import build

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")

KEYS = json.loads((Path(__file__).parent / "data" / "torchvision_keys.json").read_text())


FORMS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "state_dict": lambda s: {"state_dict": s, "best_prec1": torch.tensor(91.0), "epoch": 3},
    "model": lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}, "epoch": 3},
    "DataParallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "both": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
    "a training program": lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
    "without counts": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "parameters": lambda s: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", [TINY, SMALL], ids=["their names", "our names"])
def test_wrappers(form: str, case: Case, tmp_path: Path) -> None:
    other, graph = foreign.randomize(case.make()), case.graph()
    torch.save(FORMS[form](other.state_dict()), tmp_path / "w.pth")
    assert compared(graph, tmp_path / "w.pth", other) <= 1e-5


def test_the_names_of_old_densenets(tmp_path: Path) -> None:
    other, graph = foreign.randomize(TINY.make()), TINY.graph()
    old = {k.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.").replace("conv1.", "conv.1.").replace("conv2.", "conv.2."): v
           for k, v in held(other).items() if not k.endswith("num_batches_tracked")}  # fmt: skip
    save_file(old, tmp_path / "w.safetensors")
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert compared(graph, tmp_path / "w.safetensors", other) <= 1e-5
    counts = match(graph, old, "w").counts
    assert counts == {"renamed": len(old), "filled": len(other.state_dict()) - len(old)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_numbers_are_converted_and_said(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in held(foreign.randomize(SMALL.make())).items()}
    save_file(state, tmp_path / "w.safetensors")
    model = build(SMALL.graph(), weights=tmp_path / "w.safetensors")
    assert {t.dtype for t in model.state_dict().values() if t.is_floating_point()} == {torch.float32}
    assert all(torch.equal(v, state[k].to(v.dtype)) for k, v in model.state_dict().items())
    floats = sum(v.is_floating_point() for v in state.values())
    assert match(SMALL.graph(), state, "w").converted == {str(dtype).removeprefix("torch."): floats}


def test_build_with_weights_draws_nothing(tmp_path: Path) -> None:
    save_file(held(SMALL.make()), tmp_path / "w.safetensors")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert build(SMALL.graph(), weights=str(tmp_path / "w.safetensors")).training
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.device("meta"):
        assert all(p.is_meta for p in build(SMALL.graph(), weights=tmp_path / "w.safetensors").parameters())


# --- what does not fit ---------------------------------------------------------------------------------------


def in_shell(error: SpecError) -> str:
    """An error as the command line prints it."""
    return render(error.diagnostics, COMMAND_LINE)


def changed(case: Case, change: Callable[[dict[str, torch.Tensor]], object]) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        state = case.make().state_dict()
    change(state)
    return state


REFUSALS: dict[str, tuple[Graph, Callable[[], dict[str, torch.Tensor]], str]] = {
    "another shape": (
        TINY.graph(),
        lambda: changed(TINY, lambda s: s.update({"features.transition1.conv.weight": torch.zeros(64, 128, 1, 1)})),
        "w.pth: error[weights-fit]: does not fit densenet121: features.transition1.conv.weight is (64, 128, 1, 1), in the network "
        "layer1.conv1.weight (48, 96, 1, 1); its names are those of DenseNet in torchvision and timm",
    ),
    "missing": (
        TINY.graph(),
        lambda: changed(TINY, lambda s: (s.pop("classifier.bias"), s.pop("classifier.weight"))),
        "w.pth: error[weights-fit]: does not fit densenet121: lacks classifier.weight (10, 76), in the network fc.weight "
        "(and 1 more does not fit); its names are those of DenseNet in torchvision and timm",
    ),
    "unexpected": (
        SMALL.graph(),
        lambda: changed(SMALL, lambda s: s.update({"layer1.1.conv1.weight": torch.zeros(64, 64, 3, 3)})),
        "w.pth: error[weights-fit]: does not fit resnet18: has layer1.1.conv1.weight (64, 64, 3, 3), which the network lacks",
    ),
    "whole numbers": (
        SMALL.graph(),
        lambda: changed(SMALL, lambda s: s.update({"fc.weight": torch.zeros(10, 512, dtype=torch.int8)})),
        "w.pth: error[weights-fit]: does not fit resnet18: fc.weight holds int8, in the network real numbers",
    ),
    "another family": (
        SMALL.graph(),
        lambda: changed(CASES["regnet"], lambda s: None),
        "w.pth: error[weights-fit]: does not fit resnet18: stem.0.weight is (32, 3, 3, 3), in the network conv1.weight (64, 3, 7, 7) "
        "(and 100 more do not fit); its names are those of RegNet in torchvision",
    ),
    "another size": (
        compile(load("resnet50")),
        lambda: {k: torch.empty(shape, device="meta") for k, shape in KEYS["resnext50_32x4d"].items()},
        "w.pth: error[weights-fit]: does not fit resnet50: layer1.0.conv1.weight is (128, 64, 1, 1), in the network (64, 64, 1, 1) "
        "(and 175 more do not fit)",
    ),
    "no weights at all": (
        SMALL.graph(), dict, "w.pth: error[weights-fit]: does not fit resnet18: it holds no tensors"
    ),
}  # fmt: skip


SPEC = "use the spec that the weights were made with; resnet-dsl weights SPEC FILE shows every tensor"
HEAD = "add --head new: the head is drawn anew"


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    graph, state, message = REFUSALS[name]
    with pytest.raises(SpecError) as e:
        match(graph, state(), "w.pth").require()
    assert in_shell(e.value) == f"{message}\n  help: {HEAD if name == 'missing' else SPEC}"
    assert e.value.exit_code == 2


@pytest.mark.parametrize(
    ("case", "setting", "message"),
    [
        (
            CASES["darknet"], "act={leaky_relu: {slope: 0.1}}",
            "w.pth: error[weights-fit]: DarkNet in timm has leaky relu with slope 0.01, the network 0.1: its outputs would be others\n"
            "  help: --set 'act={leaky_relu: {slope: 0.01}}'",
        ),
        (
            CASES["efficientnet"], "norm={batch: {eps: 1e-3, momentum: 0.01}}",
            "w.pth: error[weights-fit]: EfficientNet in torchvision has batch norm with eps 1e-05, the network 0.001: "
            "its outputs would be others\n  help: --set 'norm={batch: {eps: 1e-5, momentum: 0.01}}'",
        ),
    ],
)  # fmt: skip
def test_what_no_file_says_and_the_library_does(case: Case, setting: str, message: str) -> None:
    state = changed(case, lambda s: None)
    with pytest.raises(SpecError) as e:
        match(case.graph(setting), state, "w.pth").require()
    assert (in_shell(e.value), e.value.exit_code) == (message, 2)
    help = in_shell(e.value).partition("--set '")[2].rstrip("'")
    assert match(case.graph(setting, help), state, "w.pth").fits


def test_names_that_two_tables_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two of the shipped tables do, so one is made that swaps two norms of one size."""
    table = next(t for t in tables() if str(t) == "RegNet in torchvision")
    row = dict(table.block[0])
    row["bn1"], row["bn2"] = row["bn2"], row["bn1"]
    other = table.model_copy(update={"library": "somebody", "block": (row,)})
    monkeypatch.setattr("resnet_dsl.recovery.match.tables", lambda: (table, other))
    with pytest.raises(SpecError, match="its names may be those of RegNet in torchvision or of RegNet in somebody"):
        match(CASES["regnet"].graph(), changed(CASES["regnet"], lambda s: None), "w.pth")
    # The same names twice say the same.
    monkeypatch.setattr("resnet_dsl.recovery.match.tables", lambda: (table, table.model_copy(update={"library": "somebody"})))
    assert match(CASES["regnet"].graph(), changed(CASES["regnet"], lambda s: None), "w.pth").fits


def test_a_file_of_several_state_dicts_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = held(SMALL.make())
    torch.save({"state_dict": state, "state_dict_ema": {k: v + 1 for k, v in state.items()}}, tmp_path / "w.pth")
    assert main(["weights", "resnet18", str(tmp_path / "w.pth")]) == 2
    said = capsys.readouterr().err
    assert "error[weights-several]: holds several state_dicts: state_dict (74 tensors), state_dict_ema (74 tensors)\n" in said
    assert "--key state_dict" in said


# --- the command line ----------------------------------------------------------------------------------------


SHOWN = """\
vgg.safetensors fits vgg11

state     tensors
--------  -------  ---------------------------------
renamed        20  under another name
reshaped        2  the same numbers in another shape

Its names are those of VGG in timm; each begins with 'module.'.
22 tensors are converted from float16.

state     here            in the file     shape
--------  --------------  --------------  ---------------------
renamed   layer1.0.conv1  features.0      8x3x3x3
renamed   layer2.0.conv1  features.3      8x8x3x3
renamed   layer3.0.conv1  features.6      16x8x3x3
renamed   layer3.1.conv1  features.8      16x16x3x3
renamed   layer4.0.conv1  features.11     16x16x3x3
renamed   layer4.1.conv1  features.13     16x16x3x3
renamed   layer5.0.conv1  features.16     16x16x3x3
renamed   layer5.1.conv1  features.18     16x16x3x3
reshaped  fc1             pre_logits.fc1  32x784 from 32x16x7x7
renamed   fc1             pre_logits.fc1  32
reshaped  fc2             pre_logits.fc2  32x32 from 32x32x1x1
renamed   fc2             pre_logits.fc2  32
renamed   fc3             head.fc         10x32
"""


def settings(case: Case) -> list[str]:
    return [word for s in ("classes=10", *case.settings) for word in ("--set", s)]


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    case = CASES["vgg, timm"]
    save_file({f"module.{k}": v.half() for k, v in held(case.make()).items()}, "vgg.safetensors")
    assert main(["weights", "vgg11", "vgg.safetensors", *settings(case)]) == 0
    assert capsys.readouterr().out == SHOWN
    assert main(["weights", "vgg11", "vgg.safetensors", "--format", "json", *settings(case)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fits"], found["names"], found["prefix"]) == (True, {"family": "VGG", "library": "timm"}, "module.")
    assert found["tensors"][16] == {
        "state": "reshaped", "tensor": "fc1.weight", "source": "pre_logits.fc1.weight", "shape": [32, 784], "found": [32, 16, 7, 7]
    }  # fmt: skip
    assert main(["weights", "vgg11", "vgg.safetensors", "--format", "csv", *settings(case)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["state,tensor,shape,source,found", "renamed,layer1.0.conv1.weight,8x3x3x3,features.0.weight,8x3x3x3"]
    assert len(lines) == 1 + len(case.make().state_dict())
    # One that does not fit is shown all the same.
    assert main(["weights", "vgg13", "vgg.safetensors", *settings(case)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("vgg.safetensors does not fit vgg13\n")
    assert "misfit    layer3.0.conv1  features.10" not in shown
    assert "only in the network" in shown


def test_evaluate_takes_the_names_of_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scores are those of the same weights under our own names."""
    monkeypatch.chdir(tmp_path)
    other = foreign.randomize(foreign.CifarResNet(3))
    other.conv1.weight.data = other.conv1.weight.data[:, :1].clone()
    torch.save({"state_dict": other.state_dict()}, "theirs.pth")
    spec = ["resnet20", "--set", "input={channels: 1, height: 8, width: 8}"]
    graph = compile(load("resnet20", ("input={channels: 1, height: 8, width: 8}",)))
    save_file(held(build(graph, weights="theirs.pth")), "ours.safetensors")
    scores = []
    for file in ("theirs.pth", "ours.safetensors"):
        assert main(["evaluate", *spec, "--weights", file, "--data", "digits", "--format", "json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1]
    assert main(["evaluate", "resnet32", *spec[1:], "--weights", "theirs.pth", "--data", "digits"]) == 2
    assert "theirs.pth: error[weights-fit]: does not fit resnet32: lacks layer1.3.conv1.weight (16, 16, 3, 3)" in capsys.readouterr().err


def test_training_begins_with_the_names_of_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but a head of other classes is taken, in the order of the network's channels."""
    monkeypatch.chdir(tmp_path)
    other = foreign.randomize(foreign.CifarResNet(3, classes=100))
    torch.save(other.state_dict(), "theirs.pth")
    graph = compile(load("resnet20"))
    begun = start(graph, 0, tuple("0123456789"), Path("theirs.pth"))
    assert begun.said.startswith("theirs.pth: 114 tensors taken, the head (fc) is new; mean and deviation are measured")
    whole = build(compile(load("resnet20", ("classes=100",))), weights="theirs.pth").state_dict()
    assert all(torch.equal(v, whole[k]) for k, v in begun.tensors.items() if not k.startswith("fc."))
