"""Exported files of every form, run by a second runtime, and put to use: `inspect`, `evaluate`, `predict`, `export --verify`."""

from __future__ import annotations

import json
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from test_export import NETS, network, off, trained

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.programs import MAX_TEXTS, read_texts
from resnet_dsl.language.resolved import resolved
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.export import ExportForm, Network, export
from resnet_dsl.runtime.programs import read_program

PICTURES = [name for name, graph in NETS.items() if len(graph.input) == 3]


@pytest.mark.parametrize(
    ("name", "opset"), [*((name, 11) for name in PICTURES), ("resnet20", 17), ("resnet20", None), ("densenet121", None)]
)
def test_any_size(name: str, opset: int | None, tmp_path: Path) -> None:
    """The file alone, at sizes of which the exporter saw none, odd ones too."""
    graph = NETS[name]
    said = export(network(graph), tmp_path / "a.onnx", ExportForm(opset, any_size=True))
    assert said.endswith(("of the largest, at two sizes", "to the last bit, at two sizes"))
    assert opset is None or said.startswith(f"opset {opset}; ")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    model = trained(graph)
    c, h, w = graph.input
    for size in ((h, w), (h + 1, w + 30), (h + 65, w)):
        x = torch.randn(2, c, *size)
        with torch.inference_mode():
            assert off(model(x), session.run(None, {"images": x.numpy()})[0]) <= 1e-5


def test_any_size_of_a_program(tmp_path: Path) -> None:
    graph = NETS["resnet50"]
    assert (
        export(network(graph), tmp_path / "a.pt2", ExportForm(any_size=True))
        == "loaded again: the outputs are torch's to the last bit, at two sizes"
    )
    program = read_program(tmp_path / "a.pt2")
    assert (program.input, program.half, program.by) == ((3, None, None), False, "torch")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("vgg11", "vgg11 reads 3x224x224 and no other size: a layer of it expects maps of one size"),
        ("residual-mlp", "the network reads 784: features have no size"),
    ],
)
def test_a_network_of_one_size(name: str, problem: str, tmp_path: Path) -> None:
    graph = compile(load(name))
    with pytest.raises(SpecError) as e:
        export(Network(graph, {}, {}), tmp_path / "a.onnx", ExportForm(any_size=True))
    assert str(e.value) == f"any_size=True: error[export-fit]: {problem}\n  help: leave out any_size=True"


@pytest.mark.parametrize("form", [ExportForm(precision="fp16"), ExportForm(13, any_size=True, precision="fp16")])
def test_float16(form: ExportForm, tmp_path: Path) -> None:
    """Weights and arithmetic in float16 between float32 images and logits."""
    graph = NETS["resnet20"]
    export(network(graph), tmp_path / "a.onnx", form)
    proto = onnx.load(tmp_path / "a.onnx")
    # What says where to slice or how to reshape stays a whole number.
    kinds = {t.data_type for t in proto.graph.initializer} - {onnx.TensorProto.INT64}
    assert kinds == {onnx.TensorProto.FLOAT16}
    (read,), (given,) = proto.graph.input, proto.graph.output
    assert {read.type.tensor_type.elem_type, given.type.tensor_type.elem_type} == {onnx.TensorProto.FLOAT}
    x = torch.randn(2, *graph.input)
    with torch.inference_mode():
        assert 0 < off(trained(graph)(x), read_program(tmp_path / "a.onnx").run(x)) <= 1e-2
    assert read_program(tmp_path / "a.onnx").half


def test_float16_programs_and_weights(tmp_path: Path) -> None:
    graph = NETS["resnet20"]
    export(network(graph), tmp_path / "a.pt2", ExportForm(precision="fp16"))
    assert read_program(tmp_path / "a.pt2").half
    assert export(network(graph), tmp_path / "a.safetensors", ExportForm(precision="fp16")).endswith(" tensors in float16")
    kept = weights.load(tmp_path / "a.safetensors").tensors
    for name, t in trained(graph).state_dict().items():
        assert torch.equal(kept[name], t.half() if t.is_floating_point() else t)


def test_numbers_that_float16_does_not_hold(tmp_path: Path) -> None:
    graph = NETS["resnet20"]
    tensors = {k: v * 1e6 if k == "fc.bias" else v for k, v in trained(graph).state_dict().items()}
    with pytest.raises(SpecError, match="numbers of this network are too large for float16") as e:
        export(Network(graph, tensors, {}), tmp_path / "a.onnx", ExportForm(precision="fp16"))
    assert e.value.exit_code == 1 and list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, with its files beside it."""
    home = tmp_path_factory.mktemp("deployed")
    words = "train resnet20-digits --set params.n=1 --recipe digits --steps 40 --device cpu -q -o"
    assert main([*words.split(), str(home / "run")]) == 0
    for name, options in (("a.onnx", ["--opset", "13"]), ("a.pt2", ["--any-size"]), ("f.onnx", ["--fold-bn", "--precision", "fp16"])):
        assert main(["export", str(home / "run"), *options, "-q", "-o", str(home / name)]) == 0
    return home / "run"


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2", "f.onnx"])
def test_a_file_is_asked_what_its_run_is(name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Costs, scores and predictions of the file are the run's."""
    file = str(run.parent / name)
    folded = name.startswith("f")
    if not folded:
        assert rd.inspect(file).to_dict() == rd.inspect(str(run)).to_dict()
        assert rd.diff(file, str(run)).same
    found, wanted = rd.evaluate(file), rd.evaluate(str(run), precision="fp32")
    assert found.top1 == pytest.approx(wanted.top1, abs=0.003 if folded else 0)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-2 if folded else 1e-5)
    assert found.precision == ("fp16" if folded else "fp32")
    assert [c.name for c in found.classes] == [c.name for c in wanted.classes]
    from PIL import Image

    Image.fromarray((np.arange(64, dtype=np.uint8) * 3).reshape(8, 8)).save(tmp_path / "x.png")
    (mine,), (theirs,) = rd.predict(file, tmp_path / "x.png"), rd.predict(str(run), tmp_path / "x.png", precision="fp32")
    assert [g.name for g in mine.top] == [g.name for g in theirs.top]
    assert repr(rd.open(file)).startswith("<Trained resnet20-digits: 1x8x8 to 10 classes")
    for words in (["draw", file, "-o", str(tmp_path / "x.svg")], ["lint", file], ["emit", file, "-o", str(tmp_path / "x.py")]):
        assert main(words) == 0
    capsys.readouterr()


def test_verify(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = run.parent
    for name, by in (("a.onnx", "onnxruntime, 1x8x8"), ("a.pt2", "torch, 1x8x8, 1x45x45"), ("f.onnx", "onnxruntime, 1x8x8")):
        found = rd.verify(run, home / name)
        assert str(found).endswith(f"({by})") and found.notes == ()
        assert found.difference < (1e-2 if name == "f.onnx" else 1e-5)
        assert found.to_dict()["sizes"] == list(found.sizes)
    rd.export(run, tmp_path / "w.safetensors", fold_bn=True)
    assert rd.verify(run, tmp_path / "w.safetensors").difference < 1e-5
    capsys.readouterr()
    assert main(["export", str(run), "--verify", str(home / "a.pt2")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{home}/a.pt2 computes what resnet20-digits computes, to ") or "to the last bit" in said.out
    assert said.err == ""


def test_verify_a_file_of_another_program(run: Path, tmp_path: Path) -> None:
    """One that torch wrote without us, with names of its own; its outputs alone are compared."""
    model = rd.open(run).module().eval()
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            model, (torch.randn(1, 1, 8, 8),), str(tmp_path / "b.onnx"), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
        )
    found = rd.verify(run, tmp_path / "b.onnx")
    assert found.notes == (f"{tmp_path}/b.onnx holds no spec, class names or normalisation of ours, so its outputs alone were compared",)
    with pytest.raises(SpecError, match=r"error\[spec-missing\]: .*: the file holds a network, but no spec"):
        rd.inspect(tmp_path / "b.onnx")


def test_verify_finds_what_differs(run: Path, tmp_path: Path) -> None:
    loaded = rd.open(run)._loaded()
    graph, model = loaded.graph, loaded.module()
    held = dict(
        weights.about(
            spec=resolved(load(str(run / "spec.yaml")), origins=False), classes=loaded.classes, normalisation=loaded.artifact.normalisation
        )
    )
    other = {**model.state_dict(), "fc.weight": model.state_dict()["fc.weight"].roll(1, 0)}
    made = {
        "weights": (Network(graph, other, held), "its outputs differ from the network's by"),
        "classes": (
            Network(graph, model.state_dict(), {**held, "classes": json.dumps(list(loaded.classes[::-1]))}),
            "it has other names of classes",
        ),
        "normalisation": (
            Network(graph, model.state_dict(), {**held, "normalisation": json.dumps({"mean": [[[1.0]]], "std": [[[2.0]]]})}),
            "it has another mean and deviation",
        ),
        "network": (network(NETS["resnet20"]), "reads 3x32x32, and resnet20-digits reads 1x8x8"),
    }
    for name, (given, problem) in made.items():
        export(given, tmp_path / f"{name}.onnx", ExportForm(13))
        with pytest.raises(SpecError, match=problem) as e:
            rd.verify(run, tmp_path / f"{name}.onnx")
        assert e.value.exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export RUN", "--out: error[usage]: there is no file to write\n  help: add -o FILE; or --verify FILE compares one that exists\n"),
        ("export RUN -o x.onnx --verify a.onnx", "--out: error[usage]: --verify writes nothing, and --out says how to write\n  help: leave out --out, or --verify\n"),
        ("export RUN --verify a.h5", "--verify: error[usage]: 'a.h5': no file of this ending is exported\n  help: a file that can be exported ends in .onnx, .pt2, .safetensors\n"),
        ("export a.onnx -o x.pt2", "a.onnx: error[usage]: 'a.onnx' is an exported program: it computes, and its weights stay inside\n  help: an export needs the run, or a .safetensors file\n"),
        ("evaluate a.onnx --device cuda", "--device: error[usage]: 'a.onnx' is an exported program: it runs on the CPU, as it was exported\n  help: leave out --device\n"),
        ("evaluate a.pt2 --precision bf16", "--precision: error[usage]: 'a.pt2' is an exported program: it runs on the CPU, as it was exported\n  help: leave out --precision\n"),
        ("evaluate a.onnx --weights x.pth", "--weights: error[usage]: 'a.onnx' has its own weights\n  help: leave out --weights\n"),
        ("predict a.pt2 x.png --weights x.pth", "--weights: error[usage]: 'a.pt2' has its own weights\n  help: leave out --weights\n"),
        ("export RUN --any-size -o x.safetensors", "--any-size: error[usage]: .safetensors files hold weights, which fit any size\n  help: leave out --any-size, or write an .onnx or .pt2 file\n"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_meant(
    words: str, said: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    capsys.readouterr()
    assert main(words.replace("RUN", "run").split()) == 2
    assert capsys.readouterr().err == said


def test_damaged_files(run: Path, tmp_path: Path) -> None:
    """Cut short, and with bytes that were changed: refused in plain words, or as good as before."""
    draw, codes = random.Random(0), {3}
    for name in ("a.onnx", "a.pt2"):
        whole = (run.parent / name).read_bytes()
        file = tmp_path / name
        for length in [0, 1, 7, *(draw.randrange(len(whole)) for _ in range(30))]:
            file.write_bytes(whole[:length])
            with pytest.raises(SpecError) as e:
                read_program(file)
            assert e.value.exit_code in (2, 3) and "\n" not in str(e.value).partition("\n  help: ")[0]
        for _ in range(30):
            changed = bytearray(whole)
            changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
            file.write_bytes(changed)
            try:
                read_texts(str(file))
            except SpecError as found:
                codes.add(found.exit_code)
    assert codes == {3}


@pytest.mark.parametrize("member", ["data/sample_inputs/model.pt", "data/constants/custom_obj_0", "data/weights/model.pt"])
def test_nothing_pickled_is_run(member: str, run: Path, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "PWNED",)

    with zipfile.ZipFile(run.parent / "a.pt2") as given, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as made:
        for m in given.infolist():
            if not m.filename.endswith(member):
                made.writestr(m.filename, given.read(m))
        made.writestr(f"archive/{member}", pickle.dumps(Canary()))
    with pytest.raises(SpecError, match="holds pickled objects"):
        read_program(tmp_path / "evil.pt2")
    assert not (tmp_path / "PWNED").exists()


def test_bounds_of_what_travels(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big.pt2", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/extra/spec", b"a" * (MAX_TEXTS + 1))
    length, field = MAX_TEXTS + 1, bytes([14 << 3 | 2])
    count = bytearray()
    while length:
        count.append(length & 127 | (128 if length > 127 else 0))
        length >>= 7
    (tmp_path / "big.onnx").write_bytes(field + bytes(count) + b"\0" * (MAX_TEXTS + 1))
    for name in ("big.pt2", "big.onnx"):
        with pytest.raises(SpecError, match="16 MiB") as e:
            read_texts(str(tmp_path / name))
        assert e.value.exit_code == 3


def test_texts_are_what_other_readers_find(run: Path) -> None:
    held = {p.key: p.value for p in onnx.load(run.parent / "a.onnx").metadata_props}
    assert read_texts(str(run.parent / "a.onnx")) == held
    assert read_texts(str(run.parent / "a.pt2")) == held


def test_evaluate_says_what_it_scores(run: Path, tmp_path: Path) -> None:
    """A file does not know which images its run held out, and bare weights not which mean they were trained with."""
    from resnet_dsl.training.data.load import open_dataset

    digits = open_dataset("digits", (1, 8, 8))
    np.savez(tmp_path / "all.npz", X=np.asarray(digits.train.pixels)[:60], y=np.asarray(digits.train.labels)[:60])
    scored = "all has no test part: all its 60 images are scored"
    seen = "; if the network was trained on some of them, evaluate its run, which knows what it held out"
    assert scored + seen in rd.evaluate(run.parent / "a.onnx", data=str(tmp_path / "all.npz")).notes
    assert scored in rd.evaluate(run, data=str(tmp_path / "all.npz")).notes
    torch.save(rd.open(run).module().state_dict(), tmp_path / "bare.pth")
    (note,) = rd.evaluate(run / "spec.yaml", weights=tmp_path / "bare.pth", data="digits").notes
    assert note == f"{tmp_path}/bare.pth does not say its mean and deviation: those of the training images of digits are used"
    assert rd.evaluate(run).notes == ()
