"""A trained network from Python: what `open` gives, what its verbs give, and the mistakes that newcomers make."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny
from PIL import Image
from safetensors.torch import load_file

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.table import Answer
from resnet_dsl.verbs import modules, using

TINY = tiny(
    "epochs: 1, batch: 64, lr: 0.2, augment: {flip: false}, validation: 200, precision: fp32",
    stages="[{depth: 1, width: 8}, {depth: 1, width: 16, stride: 2}]",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its weights as others would have them, a deeper network, and pictures."""
    folder = tmp_path_factory.mktemp("open")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "deeper.yaml").write_text(TINY.replace("{depth: 1, width: 16", "{depth: 2, width: 16"))
    assert main(["train", str(folder / "tiny.yaml"), "--data", "digits", "--out", str(folder / "run"), "--quiet"]) == 0
    torch.save(load_file(folder / "run/model.safetensors"), folder / "w.pth")
    (folder / "empty").mkdir()
    for name, shape in (("a.png", (8, 8)), ("b.png", (20, 30))):
        Image.fromarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_what_is_opened() -> None:
    run, file, spec = rd.open(Path("run")), rd.open("run/model.safetensors"), rd.open("tiny.yaml", "w.pth")
    assert [n.graph.name for n in (run, file, spec)] == ["tiny"] * 3
    assert [n.weights for n in (run, file, spec)] == [Path("run/model.safetensors"), Path("run/model.safetensors"), Path("w.pth")]
    assert run.run is not None
    assert (run.run.path, file.run, spec.run) == (Path("run"), None, None)
    assert run.classes == file.classes == spec.classes == tuple("0123456789")
    tensors = load_file("run/model.safetensors")
    for net in (run, file, spec):
        assert all(torch.equal(t, tensors[k]) for k, t in net.module().state_dict().items())
    assert repr(spec) == "<Trained tiny: 1x8x8 to 10 classes, 4,962 params, weights w.pth>"
    assert repr(rd.open("resnet50")) == "<Trained resnet50: 3x224x224 to 1,000 classes, 25,557,032 params, no weights>"
    assert run._repr_html_().count("<tr>") == str(run).count("\n") == 5


# A command line, and the Python that gives the same.
SAME: dict[str, Callable[[], Answer]] = {
    "evaluate run": lambda: rd.evaluate("run"),
    "evaluate run --by class --confusion": lambda: rd.open("run").evaluate(by="class", confusion=True),
    "evaluate run --part validation": lambda: rd.evaluate(Path("run"), part="validation"),
    "evaluate tiny.yaml --weights w.pth": lambda: rd.evaluate("tiny.yaml", weights="w.pth"),
    "evaluate run/model.safetensors --precision bf16": lambda: rd.evaluate("run/model.safetensors", precision="bf16"),
    "predict run a.png b.png": lambda: rd.predict("run", "a.png", "b.png"),
    "predict run a.png b.png --top 1": lambda: rd.open("run").predict(["a.png", Path("b.png")], top=1),
    "predict tiny.yaml a.png --weights w.pth --data digits": lambda: rd.predict("tiny.yaml", "a.png", weights="w.pth", data="digits"),
    "transfer tiny.yaml deeper.yaml": lambda: rd.transfer("tiny.yaml", "deeper.yaml"),
    "transfer run deeper.yaml --grow": lambda: rd.open("run").into("deeper.yaml", grow=True),
    "transfer run deeper.yaml --by tensor --set classes=3": lambda: rd.transfer(
        "run", "deeper.yaml", by="tensor", overrides={"classes": "3"}
    ),
    "weights tiny.yaml w.pth": lambda: using.match("tiny.yaml", "w.pth"),
    "weights deeper.yaml w.pth": lambda: using.match(Path("deeper.yaml"), Path("w.pth")),
}


@pytest.mark.parametrize("command", SAME)
def test_a_value_is_what_the_command_prints(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = SAME[command]()

    def printed(*options: str) -> str:
        capsys.readouterr()
        assert main([*shlex.split(command), *options]) in (0, 1)
        return capsys.readouterr().out

    assert str(found).replace("drawn from seed=", "drawn from --seed") == printed()
    assert found.to_dict() == json.loads(printed("--format", "json"))
    assert len(repr(found)) <= 300
    assert "\n" not in repr(found)
    html = found._repr_html_()
    assert html.count("<table>") == html.count("</table>") == len(found.tables("html"))
    assert "\ufdd0" not in html + repr(found)


def test_what_an_evaluation_holds() -> None:
    found = rd.evaluate("run", by="class")
    assert found.images == sum(c.images for c in found.classes) == sum(map(sum, found.confusion)) == 360
    assert found.top1 == sum(row[i] for i, row in enumerate(found.confusion)) / 360
    assert repr(found) == (
        f"<Assessment tiny on 360 test images of digits: top-1 {found.top1:.2%}, top-5 {found.top5:.2%}, "
        f"balanced accuracy {found.balanced_accuracy:.2%}>"
    )


def test_what_predictions_hold() -> None:
    found = rd.open("run").predict("a.png", "broken.png", "b.png")
    assert (len(found), [p.file for p in found], found[1].changed) == (2, ["a.png", "b.png"], "resized and cropped")
    assert [e.diagnostics[0].location.source.name for e in found.failed] == ["broken.png"]
    assert found[0].label == found[0].top[0].name
    assert repr(found[0]) == f"<Prediction a.png: {found[0].label} {found[0].probability:.2%}>"
    assert repr(found).startswith("<Predictions of 2 pictures, 1 could not be used (broken.png: ")
    assert "broken.png: error[data-damaged]: " in str(found)
    assert "broken.png: error[data-damaged]: " in found._repr_html_()


def test_what_is_exported_and_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    found = rd.open("run").export(tmp_path / "net.safetensors", fold_bn=True, tell=told.append)
    assert told == list(found.notes) == ["folded 5 batch norms"]
    assert str(found) == f"wrote {tmp_path}/net.safetensors: 12 tensors"
    assert rd.open(tmp_path / "net.safetensors").evaluate().top1 == pytest.approx(rd.evaluate("run").top1, abs=0.01)
    assert capsys.readouterr() == ("", "")
    begun = rd.open("run").into("deeper.yaml", grow=True).save(tmp_path / "deeper.safetensors")
    assert begun.to_dict()["file"] == begun.file == str(tmp_path / "deeper.safetensors")
    assert rd.evaluate(tmp_path / "deeper.safetensors", precision="fp32").loss == rd.evaluate("run").loss
    assert repr(found).startswith("<Exported ")
    assert repr(begun).startswith("<Transfer deeper from tiny: ")


def test_a_module_is_built_from_whatever_names_a_network() -> None:
    graph = rd.compile("tiny.yaml")
    built = [rd.build(n, seed=1).state_dict() for n in ("tiny.yaml", Path("tiny.yaml"), "run", rd.load("tiny.yaml"), graph)]
    assert all(torch.equal(t, other[k]) for other in built[1:] for k, t in built[0].items())
    assert rd.emit("run") == rd.emit(graph)
    assert rd.build("tiny.yaml", {"classes": "3"}).fc.out_features == 3
    held = rd.open("run").module().state_dict()
    for net in (rd.build("tiny.yaml", weights="run"), rd.open("tiny.yaml", "run").module()):
        assert all(torch.equal(t, held[k]) for k, t in net.state_dict().items())


def test_a_bench_says_itself() -> None:
    found = modules.bench("tiny.yaml", batch=2, seconds=0, device="cpu", precision="fp32")
    assert found.to_dict().keys() == {"name", "batch", "plan", "fold_bn", "training", "inference"}
    assert found.to_dict()["training"] == {
        k: getattr(found.training, k) for k in ("images_per_s", "plain_images_per_s", "ratio", "low", "high", "pairs", "memory_bytes", "plain_memory_bytes")
    }  # fmt: skip
    assert str(found).startswith("tiny, 2 images at once\n")
    assert len(repr(found)) <= 300
    assert [row[0] for row in found.tables()[0].rows] == ["training", "inference"]


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(rd.SpecError) as e:
        make()
    return str(e.value)


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "no such spec": (lambda: rd.open("nowhere"), "nowhere: error[file-not-found]"),
    "no such run": (lambda: rd.evaluate("runs/nowhere"), "runs/nowhere is not a run's folder\n  help: give a run's folder, or add weights='FILE' to"),
    "no run's folder": (lambda: rd.open("empty"), "empty: error[run-missing]"),
    "no weights": (lambda: rd.open("tiny.yaml").evaluate(), "add weights='FILE' to a spec"),
    "no weights for a module": (lambda: rd.open("tiny.yaml").module(), "'tiny.yaml' is a spec, and has no weights\n  help: add weights='FILE'"),
    "no weights to save": (lambda: rd.open("tiny.yaml").into("deeper.yaml").save("x.safetensors"), "is a spec, and has no weights"),
    "no such file of weights": (lambda: rd.open("tiny.yaml", "nowhere.pth").module(), "nowhere.pth: error[weights-missing]"),
    "weights of another network": (lambda: rd.open("deeper.yaml", "w.pth").evaluate(), "w.pth: error[weights-fit]"),
    "weights for a run": (lambda: rd.open("run", "w.pth"), "weights=: error[usage]: 'run' has its own weights\n  help: leave out weights="),
    "settings for a run": (lambda: rd.open("run", overrides={"classes": "3"}), "a run is opened as it was trained"),
    "a part that is none": (lambda: rd.open("run").evaluate(part="tset"), "part=: error[unknown-name]: part= cannot be 'tset'\n  help: did you mean 'test'?"),  # type: ignore[arg-type]
    "by what is none": (lambda: rd.evaluate("run", by="image"), "by=: error[unknown-name]"),  # type: ignore[arg-type]
    "crops that are none": (lambda: rd.evaluate("run", crops=5), "crops= cannot be 5"),  # type: ignore[arg-type]
    "scales that are none": (lambda: rd.evaluate("run", scales=(0,)), "'0' is not a list of sides in pixels\n  help: write scales=(224, 256, 384)"),
    "crops and scales": (lambda: rd.evaluate("run", crops=10, scales=(8,)), "crops= and scales= exclude each other"),
    "a device that is none": (lambda: rd.evaluate("run", device="gpu"), "device=: error[unknown-name]: gpu is not a device"),
    "data that is none": (lambda: rd.evaluate("run", data="imagenet"), "data=: error[unknown-name]"),
    "data of other images": (lambda: rd.evaluate("tiny.yaml", weights="w.pth", overrides={"input.height": "9"}), "data=: error[usage]: no known data set"),
    "a precision that is none": (lambda: rd.evaluate("run", precision="fp16"), "precision= cannot be 'fp16'"),  # type: ignore[arg-type]
    "no such picture": (lambda: rd.predict("run", "nowhere.png"), "nowhere.png: error[data-missing]"),
    "pictures of what?": (lambda: rd.predict("tiny.yaml", "a.png", weights="w.pth"), "name the data with data='NAME'"),
    "the data of a run": (lambda: rd.predict("run", "a.png", data="digits"), "data=: error[usage]: a run predicts as it was trained\n  help: leave out data="),
    "no classes": (lambda: rd.predict("run", "a.png", top=0), "top=: error[usage]: top= cannot be 0\n  help: give a whole number of 1 or more"),
    "classes in words": (lambda: rd.predict("run", "a.png", top="three"), "top= cannot be 'three'"),  # type: ignore[arg-type]
    "no pictures": (lambda: rd.predict("run"), "there are no pictures to predict"),
    "an opset in words": (lambda: rd.export("run", "net.onnx", opset="18"), "give a whole number from 11 to 26"),  # type: ignore[arg-type]
    "crops in words": (lambda: rd.evaluate("run", crops="10"), "crops= cannot be '10'\n  help: a value is one of: 1, 10"),  # type: ignore[arg-type]
    "weights without a spec": (lambda: rd.open("w.pth"), "'w.pth' holds no spec\n  help: name its network: rd.open(SPEC, weights='w.pth')"),
    "no images to time": (lambda: rd.bench("tiny.yaml", batch=0), "batch= cannot be 0"),
    "less than no time": (lambda: rd.bench("tiny.yaml", seconds=-1), "seconds= cannot be -1"),
    "an ending that is none": (lambda: rd.open("run").export("net.pth"), "path=: error[usage]: 'net.pth': no file of this ending is exported"),
    "source for a file": (lambda: rd.export("resnet20", "net.py"), "`rd.emit('resnet20')` writes the network as Python"),
    "an opset of nothing": (lambda: rd.export("run", "net.pt2", opset=18), "leave out opset=, or write"),
    "a seed for given weights": (lambda: rd.export("run", "net.pt2", seed=1), "seed=: error[usage]: seed is for initial weights, and these are given"),
    "the wrong network": (lambda: rd.open("run").into("resnet50").save("x.safetensors"), "`rd.diff('run/spec.yaml', 'resnet50')` shows what sets them apart"),
    "a plan with weights": (lambda: rd.transfer("tiny.yaml", "deeper.yaml", weights="w.pth"), "without out= there is only a plan"),
    "a metric that is none": (lambda: rd.run("run").curves("acc"), "metric=: error[unknown-name]: no such metric: 'acc'"),  # type: ignore[arg-type]
    "a format that is none": (lambda: rd.inspect("resnet20").to_text("cvs"), "no such format: 'cvs'\n  help: did you mean 'csv'?"),  # type: ignore[arg-type]
    "a row of what is none": (lambda: rd.inspect("resnet20", by="banana"), "by= cannot be 'banana'"),  # type: ignore[arg-type]
    "a study in a run": (lambda: rd.study("null", "quick", out="run"), "run: error[run-exists]: holds a run, not a study"),
    "steps in words": (lambda: rd.probe("gradients", "run", steps="0,1"), "steps=: error[usage]: ''0,1'' is not a list of steps"),  # type: ignore[arg-type]
    "a network that shrinks": (lambda: rd.open("deeper.yaml").into("tiny.yaml", grow=True), "error[grow"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_in_python(mistake: str) -> None:
    make, said = MISTAKES[mistake]
    found = refused(make)
    assert said in found
    assert not re.search(r"(^|\s)--[a-z]", found), found
    assert "\ufdd0" not in found


def test_an_option_that_is_none_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'confusions'"):
        rd.open("run").evaluate(confusions=True)  # type: ignore[call-arg]


def test_a_run_stands_for_its_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    run = rd.run("run")
    assert rd.inspect(run).params == rd.inspect("run").params
    assert rd.evaluate(run).to_dict() == rd.evaluate("run").to_dict()


@pytest.mark.parametrize("vary", [{"shortcut": ["A", "B"]}, {"shortcut": "A,B"}, ["shortcut=A,B"], "shortcut=A,B"])
def test_what_varies_is_said_in_any_of_four_ways(vary: Any) -> None:
    assert [e.label for e in rd.compare("resnet20", vary=vary).entries] == ["shortcut=A", "shortcut=B"]


def test_a_misspelt_keyword_gets_the_right_one() -> None:
    with pytest.raises(TypeError, match=re.escape("train() has no argument 'epoch': did you mean 'epochs'?")):
        rd.train("resnet20-digits", epoch=1)  # type: ignore[call-arg]
