"""Networks as files for other programs: each is loaded and run by a second runtime, and compared with the module."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import compiled, small
from safetensors import safe_open
from test_folding import NORMS, trained

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.folding import fold
from resnet_dsl.language import load
from resnet_dsl.language.resolved import resolved
from resnet_dsl.language.stored import FORMAT
from resnet_dsl.records.folder import WEIGHTS
from resnet_dsl.runtime import export as room
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.export import WRITERS, ExportForm, Network, export
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.runtime.programs import StoredProgram
from resnet_dsl.verbs.checks import ENDINGS
from resnet_dsl.verbs.modules import build


def beginning(name: str, side: int = 32) -> Graph:
    """The second stage of a shipped network, one block of it, between its stem and its head."""
    spec = load(name)
    settings = {f"stages.{stage.name}.depth": "1" for stage in spec.stages}
    if len(spec.input) == 3:
        settings["input"] = f"{{channels: {spec.input[0]}, height: {side}, width: {side}}}"
    spec = load(name, settings)
    return compile(replace(spec, stages=spec.stages[1:2] or spec.stages))


NETS: Mapping[str, Graph] = {name: beginning(name) for name in (
    "resnet20", "resnet50", "preresnet50", "se-resnet18", "mobilenetv2", "highway20", "residual-mlp", "regnetx-200mf", "res2net50-26w4s",
)} | {name: beginning(name, 64) for name in ("densenet121", "squeezenet")}  # fmt: skip

HERE = str(Path(torch.__file__).parent).encode()
"""What no exported file may hold: a path of this machine."""

CLASSES = ("a cat", 'a "dog"', "eine Maus mit Ä")
HOW = Normalisation(torch.tensor([0.5, 0.25, 0.125]).reshape(3, 1, 1), torch.tensor([0.25, 0.5, 1.0]).reshape(3, 1, 1))


def about(graph: Graph) -> dict[str, str]:
    return weights.about(spec=f"name: {graph.name}\n", classes=CLASSES, normalisation=HOW, data="digits")


def network(graph: Graph) -> Network:
    return Network(graph, trained(graph).state_dict(), about(graph))


def inputs(graph: Graph, batch: int) -> torch.Tensor:
    return torch.randn(batch, *graph.input, generator=torch.Generator().manual_seed(batch))


def off(wanted: torch.Tensor, found: np.ndarray | torch.Tensor) -> float:
    return float((torch.as_tensor(found) - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", NETS)
def test_onnx(name: str, tmp_path: Path) -> None:
    """The file alone, in onnxruntime, at batches of which the exporter saw none."""
    graph = NETS[name]
    said = export(network(graph), tmp_path / "a.onnx")
    assert "onnxruntime: the outputs are torch's" in said
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (read,), (given,) = session.get_inputs(), session.get_outputs()
    assert (read.name, read.shape) == ("images", ["batch", *graph.input])
    assert (given.name, given.shape) == ("logits", ["batch", graph.classes])
    model = trained(graph)
    for batch in (1, 3):
        x = inputs(graph, batch)
        with torch.inference_mode():
            assert off(model(x), session.run(None, {"images": x.numpy()})[0]) <= 1e-5
    assert session.get_modelmeta().custom_metadata_map == about(graph)
    assert HERE not in (tmp_path / "a.onnx").read_bytes()


LOADER = """
import json, sys
sys.modules["resnet_dsl"] = None  # an import of it fails
import torch
for folder in sys.argv[1:]:
    extra = {"spec": "", "classes": "", "normalisation": ""}
    model = torch.export.load(f"{folder}/a.pt2", extra_files=extra).module()
    torch.save([model(x) for x in torch.load(f"{folder}/inputs.pt")], f"{folder}/outputs.pt")
    print(json.dumps(extra))
"""


def test_pt2_in_a_process_without_us(tmp_path: Path) -> None:
    folders = []
    for name, graph in NETS.items():
        folder = tmp_path / name
        folder.mkdir()
        folders.append(str(folder))
        assert export(network(graph), folder / "a.pt2") == "loaded again: the outputs are torch's to the last bit"
        torch.save([inputs(graph, 1), inputs(graph, 3)], folder / "inputs.pt")
    done = subprocess.run([sys.executable, "-c", LOADER, *folders], capture_output=True, text=True, timeout=120, check=True)
    for name, line in zip(NETS, done.stdout.splitlines(), strict=True):
        graph = NETS[name]
        model = trained(graph)
        found = torch.load(tmp_path / name / "outputs.pt")
        with torch.inference_mode():
            assert max(off(model(inputs(graph, batch)), y) for batch, y in zip((1, 3), found, strict=True)) <= 1e-6
        assert json.loads(line).items() <= about(graph).items()
        assert HERE not in (tmp_path / name / "a.pt2").read_bytes()


EMITTED = """
import importlib.util, json, sys
sys.modules["resnet_dsl"] = None
import torch
from safetensors.torch import load_file
for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    spec = importlib.util.spec_from_file_location("net", f"{folder}/net.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = getattr(module, name)()
    model.load_state_dict(load_file(f"{folder}/a.safetensors"))
    with torch.inference_mode():
        torch.save([model.eval()(x) for x in torch.load(f"{folder}/inputs.pt")], f"{folder}/outputs.pt")
"""


@pytest.mark.parametrize("folds", [[], ["--fold-bn"]], ids=["as-it-is", "folded"])
def test_safetensors_and_an_emitted_file_without_us(folds: list[str], tmp_path: Path) -> None:
    """The weights out of the file, by the safetensors library, into the module that `emit` wrote from the file's own spec."""
    asked = []
    for name in ("resnet20", "preresnet110"):
        folder = tmp_path / name
        folder.mkdir()
        changes = [f"stages.{stage.name}.depth=1" for stage in load(name).stages]
        graph = compile(load(name, changes))
        torch.save(trained(graph).state_dict(), folder / "w.pth")
        line = ["export", name, *(word for change in changes for word in ("--set", change)), "-w", str(folder / "w.pth"), "-q"]
        assert main([*line, *folds, "-o", str(folder / "a.safetensors")]) == 0
        assert main(["emit", str(folder / "a.safetensors"), "-o", str(folder / "net.py"), "-q"]) == 0
        torch.save([torch.randn(3, 3, 32, 32)], folder / "inputs.pt")
        asked += [(folder, graph)]
    words = [word for folder, graph in asked for word in (str(folder), class_name(graph))]
    subprocess.run([sys.executable, "-c", EMITTED, *words], capture_output=True, timeout=120, check=True)
    for folder, graph in asked:
        (x,), (y,) = torch.load(folder / "inputs.pt"), torch.load(folder / "outputs.pt")
        with torch.inference_mode():
            assert off(trained(graph)(x), y) <= (1e-5 if folds else 0)
        with safe_open(folder / "a.safetensors", "pt") as f:
            assert f.metadata()["format"] == FORMAT
            kept = [k for k in f.keys() if k.endswith("running_mean")]  # noqa: SIM118 - no mapping
        assert (len(kept) < sum(isinstance(m, NORMS) for m in build(graph).modules())) == bool(folds)


def test_what_travels_comes_back(tmp_path: Path) -> None:
    spec = load("resnet20")
    graph = compile(spec)
    told = weights.about(spec=resolved(spec, origins=False), classes=CLASSES, normalisation=HOW, data="digits")
    model = build(graph, seed=0)
    export(Network(graph, model.state_dict(), told), tmp_path / "a.safetensors")
    back = weights.load(tmp_path / "a.safetensors")
    assert (back.spec, back.classes, back.data, back.folded) == (told["spec"], CLASSES, "digits", False)
    assert back.normalisation is not None and back.normalisation.to_dict() == HOW.to_dict()
    assert compile(load(str(tmp_path / "a.safetensors"))).text() == graph.text()
    assert weights.fingerprint(back.tensors) == weights.fingerprint(model.state_dict())


@pytest.mark.parametrize("ending", WRITERS)
def test_equal_networks_give_equal_files(ending: str, tmp_path: Path) -> None:
    graph = NETS["residual-mlp"]
    for name in ("a", "b"):
        export(network(graph), tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_the_endings_are_those_that_are_written() -> None:
    assert set(ENDINGS) == set(WRITERS)


@pytest.mark.parametrize("opset", [11, 17, 18, 26])
def test_opset(opset: int, tmp_path: Path) -> None:
    graph = compiled(small(merge={"highway": {"gate": "channel", "bias": -1}}, stages=[{"depth": 1, "width": 8}]))
    said = export(network(graph), tmp_path / "a.onnx", ExportForm(opset))
    assert said.startswith(f"opset {opset}; onnxruntime: ")
    assert [(entry.domain, entry.version) for entry in onnx.load(tmp_path / "a.onnx").opset_import] == [("", opset)]


def test_a_file_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = room.from_onnx

    def off(content: bytes, at: Path) -> StoredProgram:
        program = read(content, at)
        return replace(program, run=lambda x: program.run(x) * 1.01)

    monkeypatch.setattr(room, "from_onnx", off)
    with pytest.raises(SpecError, match=r"error\[export-differs\]: onnxruntime: the outputs differ") as e:
        export(network(NETS["residual-mlp"]), tmp_path / "a.onnx")
    assert e.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_are_not_finite_are_not_compared(tmp_path: Path) -> None:
    graph = NETS["residual-mlp"]
    tensors = {k: v * float("inf") for k, v in trained(graph).state_dict().items()}
    assert "not compared, since the network's outputs are not finite" in export(Network(graph, tensors, {}), tmp_path / "a.pt2")


def test_an_operation_that_the_exporter_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    monkeypatch.setattr(Network, "module", lambda self: Odd())
    for ending in (".onnx", ".pt2"):
        with pytest.raises(SpecError, match=r"error\[export-failed\]: torch's exporter gave up: .+\n  help: ") as e:
            export(network(NETS["residual-mlp"]), tmp_path / f"a{ending}")
        assert e.value.exit_code == 1


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    missing = {"onnx", "onnxscript"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    where = network(NETS["residual-mlp"])
    with pytest.raises(SpecError) as e:
        export(where, tmp_path / "a.onnx")
    assert str(e.value) == (
        f"{tmp_path}/a.onnx: error[extra-missing]: ONNX files need onnx and onnxscript, which are not installed\n"
        "  help: pip install 'resnet-dsl[onnx]'"
    )
    assert e.value.exit_code == 3
    missing.clear()
    missing.add("onnxruntime")
    assert export(where, tmp_path / "a.onnx").endswith("onnxruntime is not installed, so its outputs are not")


def test_weights_over_the_limit_of_onnx(tmp_path: Path) -> None:
    graph = NETS["residual-mlp"]
    tensors = {"w": torch.empty(600_000_000, device="meta")}
    with pytest.raises(SpecError, match=r"error\[export-fit\]: the weights are over 2 GB, the most that an ONNX file holds\n") as e:
        export(Network(graph, tensors, {}), tmp_path / "a.onnx")
    assert e.value.exit_code == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("run") / "run"
    words = "train resnet20-digits --data digits --steps 1 --device cpu -q --set stages.layer1.depth=1 --set stages.layer2.depth=1 -o"
    assert main([*words.split(), str(folder)]) == 0
    return folder


def scores(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    capsys.readouterr()
    assert main(["evaluate", *words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {key: found[key] for key in ("top1", "top5", "loss")}


def test_a_run_and_its_folded_weights_are_as_good(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By every way that names the file; class names and normalisation are the run's."""
    file = str(tmp_path / "f.safetensors")
    assert main(["export", str(run), "--fold-bn", "-o", file]) == 0
    assert "folded 11 batch norms\n" in capsys.readouterr().err
    wanted = scores(capsys, str(run))
    for words in ([file], [str(run / "spec.yaml"), "--weights", file], [file, "--weights", file]):
        assert scores(capsys, *words) == pytest.approx(wanted, rel=1e-5)
    first, folded = weights.load(run / WEIGHTS), weights.load(Path(file))
    assert (folded.classes, folded.data, folded.folded) == (first.classes, "digits", True)
    assert folded.normalisation is not None and first.normalisation is not None
    assert folded.normalisation.to_dict() == first.normalisation.to_dict()
    again = str(tmp_path / "g.safetensors")
    assert main(["export", file, "--fold-bn", "-o", again]) == 0
    assert "nothing to fold: " in capsys.readouterr().err
    assert Path(again).read_bytes() == Path(file).read_bytes()


def test_a_folded_network_is_not_trained(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--fold-bn", "-q", "-o", "f.safetensors"]) == 0
    assert main(["train", "f.safetensors", "--data", "digits"]) == 2
    assert capsys.readouterr().err == (
        "f.safetensors: error[folded]: holds a network whose batch norms are folded, which is not for training\n"
        "  help: `resnet-dsl new NAME --like f.safetensors` writes the spec of the network as it was\n"
    )


SAID = {
    "resnet20 -o a.safetensors": (0, "the weights are initial ones (seed 0): --weights FILE, or a run's folder, brings others\n"
                                     "wrote a.safetensors: 116 tensors\n"),
    "resnet20 --seed 3 --fold-bn -q -o a.safetensors": (0, ""),
    "squeezenet --fold-bn -o a.safetensors": (
        0, "the weights are initial ones (seed 0): --weights FILE, or a run's folder, brings others\n"
           "nothing to fold: no batch norm follows a layer that nothing else reads\nwrote a.safetensors: 52 tensors\n"),
    "w.safetensors -o a.safetensors": (2, "w.safetensors: error[spec-missing]: 'w.safetensors': the file holds weights, but no spec\n"
        "  help: `resnet-dsl import w.safetensors` reads one from the names and shapes of its tensors\n"),
    "resnet20 -o a.py": (2, "--out: error[usage]: 'a.py': no file of this ending is exported\n"
        "  help: `resnet-dsl emit resnet20 -o a.py` writes the network as Python\n"),
    "resnet20 -o a.pth": (2, "--out: error[usage]: 'a.pth': no file of this ending is exported\n"
        "  help: .pth is a pickle, which can run programs: use .safetensors, or .pt2 with the computation\n"),
    "resnet20 -o a.onx": (2, "--out: error[usage]: 'a.onx': no file of this ending is exported\n  help: did you mean '.onnx'?\n"),
    "resnet20 -o -": (2, "--out: error[usage]: '-': no file of this ending is exported\n"
        "  help: a file that can be exported ends in .onnx, .pt2, .safetensors\n"),
    "resnet20 --opset 18 -o a.pt2": (2, "--opset: error[usage]: .pt2 files have no opset\n"
        "  help: leave out --opset, or write an .onnx file\n"),
    "resnet20 --seed 1 -w w.safetensors -o a.pt2": (2, "--seed: error[usage]: --seed is for initial weights, and these are given\n"
        "  help: leave it out\n"),
    "run --set classes=3 -o a.pt2": (2, "--set: error[usage]: a run is exported as it was trained\n"
        "  help: leave out --set, or give a spec\n"),
    "folder -o a.pt2": (3, "folder: error[run-missing]: is not a run folder: it has no spec.yaml\n"
        "  help: start the run again in another folder\n"),
    "resnet20 -o none/a.safetensors": (3, "the weights are initial ones (seed 0): --weights FILE, or a run's folder, brings others\n"
        "none/a.safetensors: error[disk]: cannot write 1,095,040 bytes: No such file or directory; what was there is untouched\n"
        "  help: free some space, or check the folder and its permissions\n"),
}  # fmt: skip


@pytest.mark.parametrize("line", SAID)
def test_what_the_command_says(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("run").mkdir()
    for name in ("spec.yaml", "recipe.yaml", "run.json"):
        Path("run", name).touch()
    Path("w.safetensors").write_bytes(weights.encode({"w": torch.zeros(1)}, {"format": "another"}))
    code, said = SAID[line]
    assert (main(["export", *line.split()]), capsys.readouterr().err) == (code, said)
    assert Path("a.safetensors").exists() == (code == 0)
    # What its author expects of the network is not asked of the folded one.
    assert code != 0 or main(["check", "-q", "a.safetensors"]) == 0


def test_seed(tmp_path: Path) -> None:
    for seed in ("0", "1"):
        assert main(["export", "resnet20", "-q", "--seed", seed, "-o", str(tmp_path / f"{seed}.safetensors")]) == 0
    found = [weights.fingerprint(weights.load(tmp_path / f"{seed}.safetensors").tensors) for seed in "01"]
    assert found == [weights.fingerprint(build("resnet20", seed=seed).state_dict()) for seed in (0, 1)]


def test_emit_folded(capsys: pytest.CaptureFixture[str]) -> None:
    """As the spec of a folded file is emitted."""
    assert main(["emit", "resnet20", "--fold-bn"]) == 0
    assert capsys.readouterr().out == emit(fold(compile(load("resnet20"))))
