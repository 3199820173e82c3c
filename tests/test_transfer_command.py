"""From one network to another by name and shape: the plan, and the command `transfer`, with and without `--grow`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from growing import of_depths, outputs, trained
from networks import compiled

from resnet_dsl.analysis.transfer import plan
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, speak
from resnet_dsl.runtime import transfer, weights
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.verbs.modules import build

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")


def test_a_plan_says_what_happens_to_each_tensor() -> None:
    a = compiled(of_depths(2, 1), "a")
    b = compiled(of_depths(1, 2, classes=7, shortcut="A", norm={"batch": {"eps": 0.1}}), "b")
    made = plan(a, b)
    assert made.counts == {"copied": 30, "new": 12, "other shape": 2, "left behind": 18}
    assert (
        speak(made.by_part().render("table"), COMMAND_LINE)
        == """\
b from a

part        tensors  what         how
----------  -------  -----------  ----------------------
conv1, bn1        6  copied
layer1.0         12  copied
layer2.0         12  copied
layer2.1         12  new
fc                2  other shape  weight 7x16, in A 5x16
layer1.1         12  left behind
layer2.0          6  left behind

30 copied, 12 new, 2 other shape, 18 left behind, of 44 tensors of B
initial: as in a network made new, drawn from --seed
"""
    )
    half = plan(
        a,
        compiled(
            of_depths(
                2, 1, head=["globalpool", "flatten", {"linear": {"out": 9, "as": "fc0"}}, {"linear": {"out": "classes", "bias": False}}]
            ),
            "c",
        ),
    )
    told = {r.name: (r.what, r.why) for r in half.rows if r.name.startswith("fc")}
    assert told == {
        "fc0.weight": ("new", "A has no tensor of this name"),
        "fc0.bias": ("new", "A has no tensor of this name"),
        "fc.weight": ("other shape", "A's has another shape"),
        "fc.bias": ("left behind", "B has no tensor of this name"),
    }


def test_half_a_layer_is_none() -> None:
    """A bias alone says nothing without its weight, and is not copied."""
    a, b = compiled(of_depths(1), "a"), compiled(of_depths(1, given=[{"width": 12}]), "b")
    rows = {r.name: r for r in plan(a, b).rows}
    assert (rows["fc.bias"].what, rows["fc.bias"].why) == ("new", "another tensor of its module has another shape in A")
    assert rows["bn1.num_batches_tracked"].what == "new"
    with_bias = compiled(of_depths(1, stem=[{"conv": {"out": 8, "kernel": 3, "bias": True}}, "norm", "act"]), "c")
    rows = {r.name: r for r in plan(a, with_bias).rows}
    assert (rows["conv1.weight"].what, rows["conv1.bias"].what) == ("copied", "new")


def test_only_what_fits_is_copied() -> None:
    a = compiled(of_depths(2, 1), "a")
    b = compiled(of_depths(1, 2, classes=7, shortcut="A"), "b")
    before, made = trained(a), plan(a, b)
    after, new = transfer.carry_out(made, before, b, 3), build(b, seed=3).state_dict()
    for row in made.rows:
        if row.b is not None:
            assert torch.equal(after[row.name], (before if row.what == "copied" else new)[row.name])
    assert set(after) == set(new)


# --- the command ---


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a shallow spec, its weights in a file of ours and in one of torch.save, and a deeper spec."""
    monkeypatch.chdir(tmp_path)
    for name, depths in (("shallow", (1, 2)), ("deep", (3, 4))):
        Path(f"{name}.yaml").write_text(json.dumps(of_depths(*depths)))
    state = trained(compiled(of_depths(1, 2), "shallow"))
    mean = Normalisation(torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor([4.0, 5.0, 6.0])[:, None, None])
    metadata = weights.about(spec=Path("shallow.yaml").read_text(), classes=tuple("abcde"), normalisation=mean, data="letters")
    weights.save(Path("shallow.safetensors"), state, metadata)
    torch.save(state, "shallow.pth")
    return tmp_path


def test_transfer_writes_a_file_that_can_be_used(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transfer", "shallow.safetensors", "deep.yaml", "--grow", "-o", "deep.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert (
        out
        == """\
deep from shallow

part        tensors  what    how
----------  -------  ------  ---------------------------------
conv1, bn1        6  copied
layer1.0         12  copied
layer1.1-2       24  grown   bn2: weight 0, bias 0; 10 initial
layer2.0-1       30  copied
layer2.2-3       24  grown   bn2: weight 0, bias 0; 10 initial
fc                2  copied

50 copied, 48 grown, of 98 tensors of B
initial: as in a network made new, drawn from --seed
"""
    )
    assert err == "wrote deep.safetensors; in evaluation it gives what A gives, bit for bit on random images\n"
    found = weights.load(Path("deep.safetensors"))
    assert found.classes == tuple("abcde") and found.data == "letters"
    assert found.normalisation is not None and found.normalisation.std.flatten().tolist() == [4.0, 5.0, 6.0]
    a, b = compiled(of_depths(1, 2)), compiled(of_depths(3, 4))
    images = torch.randn(3, *a.input)
    x, y = outputs(a, weights.load(Path("shallow.safetensors")).tensors, images), outputs(b, found.tensors, images)
    assert torch.equal(x.view(torch.int32), y.view(torch.int32))
    # The file holds the deeper spec, so it can be grown again, without one.
    assert main(["transfer", "deep.safetensors", "deep.yaml", "--set", "stages.layer1.depth=5", "--grow", "-o", "x.safetensors", "-q"]) == 0
    out, err = capsys.readouterr()
    assert "deep from" not in out and err == ""


def test_a_run_is_grown_and_trained_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything between two runs: the deeper one's file scores as the first run does, and training begins with it."""
    digits = ["--set", "input.channels=1", "--set", "classes=10"]
    assert main(["train", "shallow.yaml", *digits, "--steps", "20", "--out", "first", "--quiet"]) == 0
    assert main(["transfer", "first", "deep.yaml", *digits, "--grow", "-o", "deep.safetensors", "--quiet"]) == 0
    capsys.readouterr()
    scores = []
    for target in (["first"], ["deep.yaml", *digits, "-w", "deep.safetensors"]):
        assert main(["evaluate", *target, "--format", "json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))
    assert [scores[1][k] for k in ("top1", "top5", "loss")] == [scores[0][k] for k in ("top1", "top5", "loss")]
    assert main(["train", "deep.yaml", *digits, "--weights", "deep.safetensors", "--steps", "1", "--out", "second", "--quiet"]) == 0
    begun = weights.load(Path("second/initial.safetensors")).tensors
    assert all(torch.equal(t, begun[k]) for k, t in weights.load(Path("deep.safetensors")).tensors.items())


def test_class_names_and_mean_go_where_they_fit(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "classes=7", "--set", "input.channels=1"]
    assert main(["transfer", "shallow.safetensors", "deep.yaml", *changes, "-o", "other.safetensors"]) == 0
    found = weights.load(Path("other.safetensors"))
    assert found.classes is None and found.normalisation is None and found.spec is not None and "classes: 7" in found.spec
    assert main(["transfer", "shallow.yaml", "deep.yaml", "-w", "shallow.pth", "-o", "plain.safetensors"]) == 0
    found = weights.load(Path("plain.safetensors"))
    assert found.classes is None and found.normalisation is None
    assert torch.equal(found.tensors["conv1.weight"], weights.load(Path("shallow.pth")).tensors["conv1.weight"])


def test_json_holds_every_tensor(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transfer", "shallow.yaml", "deep.yaml", "--grow", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["counts"], found["grown"], found["seed"], found["file"]) == ({"copied": 50, "grown": 48}, True, None, None)
    assert len(found["tensors"]) == 98
    assert found["tensors"][0] == {
        "name": "conv1.weight",
        "a": [8, 3, 3, 3],
        "b": [8, 3, 3, 3],
        "what": "copied",
        "value": None,
        "why": None,
    }
    assert main(["transfer", "shallow.yaml", "deep.yaml", "--grow", "--by", "tensor", "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[:2] == ["tensor,a,b,what,value", "conv1.weight,8x3x3x3,8x3x3x3,copied,"]
    assert "layer1.2.bn2.weight,,8,grown,0" in rows and "layer1.2.bn2.running_var,,8,grown,initial" in rows


# A command line, its exit code and what it says.
MISTAKES: dict[str, tuple[int, str]] = {
    "shallow.yaml deep.yaml -o x.safetensors": (
        2,
        "shallow.yaml: error[usage]: 'shallow.yaml' is a spec, and has no weights\n  help: add --weights FILE, or give a run's folder\n",
    ),
    "shallow.yaml deep.yaml -o x.pth -w shallow.pth": (
        2,
        "--out: error[usage]: 'x.pth': weights are written as .safetensors\n  help: name a file that ends in .safetensors\n",
    ),
    "shallow.yaml deep.yaml -w shallow.pth": (
        2,
        "--weights: error[usage]: without --out there is only a plan, which reads and draws no weights\n  help: add -o FILE.safetensors\n",
    ),
    "shallow.yaml deep.yaml --seed 1": (
        2,
        "--seed: error[usage]: without --out there is only a plan, which reads and draws no weights\n  help: add -o FILE.safetensors\n",
    ),
    "shallow.safetensors deep.yaml -w shallow.pth -o x.safetensors": (
        2,
        "--weights: error[usage]: 'shallow.safetensors' has its own weights\n  help: leave out --weights, or give a spec\n",
    ),
    "shallow.safetensors residual-mlp -o x.safetensors": (
        2,
        "residual-mlp: error[weights-fit]: no tensor of 'shallow.safetensors' fits 'residual-mlp'\n  help: `resnet-dsl diff shallow.safetensors residual-mlp` shows what sets them apart\n",
    ),
    ". deep.yaml": (3, ".: error[run-missing]: is not a run folder: it has no spec.yaml\n  help: start the run again in another folder\n"),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_told(home: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(home.iterdir())
    assert (main(["transfer", *line.split()]), capsys.readouterr().err) == MISTAKES[line]
    assert sorted(home.iterdir()) == before


def test_nothing_is_written_where_the_proof_fails(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = dict(weights.load(Path("shallow.pth")).tensors)
    # Finite numbers whose products are not.
    state["fc.weight"] = state["fc.weight"].sign() * 3e38
    torch.save(state, "shallow.pth")
    assert main(["transfer", "shallow.yaml", "deep.yaml", "-w", "shallow.pth", "--grow", "-o", "x.safetensors"]) == 1
    assert "shallow: error[grow-differs]: A's own outputs are not finite" in capsys.readouterr().err
    assert not Path("x.safetensors").exists()
