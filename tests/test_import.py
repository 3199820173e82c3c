"""`import`: from names and shapes back to a spec.

The networks of other libraries are written by hand (tests/foreign), torchvision's keys are its own (data/torchvision_keys.json);
everything else is a round trip, spec to tensors to spec, compared as graphs. RESNET_DSL_ACCEPT=1 in the environment rewrites
data/import; read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cases
import foreign
import pytest
import torch
from networks import compiled
from safetensors.torch import save_file
from torch import nn

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, speak
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.folding import fold
from resnet_dsl.graph.graph import Shape
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.language import load
from resnet_dsl.language.files import shipped_specs
from resnet_dsl.recovery import Recovered, recover
from resnet_dsl.recovery.stored import Stored
from resnet_dsl.runtime.fitting import match
from resnet_dsl.runtime.weights import about, save
from resnet_dsl.verbs.modules import build

DATA = Path(__file__).parent / "data"
KEYS: Mapping[str, Mapping[str, list[int]]] = json.loads((DATA / "torchvision_keys.json").read_text())
ACCEPT = bool(os.environ.get("RESNET_DSL_ACCEPT"))


def read(shapes: Mapping[str, Any], input: Shape | None = None) -> Recovered:
    return recover(Stored({name: tuple(shape) for name, shape in shapes.items()}), at="file", name="found", input=input)


def steps(graph: Graph) -> str:
    """What a network does, whatever it is called and however its weights begin."""
    return graph.text().split("\n", 1)[1]


def shuffled(shapes: Mapping[str, Shape], seed: int) -> dict[str, Shape]:
    names = list(shapes)
    random.Random(seed).shuffle(names)
    return {name: shapes[name] for name in names}


# --- files of others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
def test_torchvisions_networks_are_the_shipped_ones(name: str) -> None:
    spec = name.replace("wide_resnet50_2", "wide-resnet50-2").replace("_", "-")
    found = read(KEYS[name])
    assert found.text == f"extends: {spec}\n"
    assert found.same[0] == spec


@pytest.mark.parametrize(("classes", "channels"), [(10, 3), (1000, 1), (37, 4)])
def test_other_classes_and_channels(classes: int, channels: int) -> None:
    shapes = dict(KEYS["resnet50"])
    shapes |= {"fc.weight": [classes, 2048], "fc.bias": [classes], "conv1.weight": [64, channels, 7, 7]}
    found = read(shapes)
    lines = found.text.splitlines()
    assert lines[0] == "extends: resnet50"
    assert ("classes: " + str(classes) in lines) == (classes != 1000)
    assert (f"input: {{channels: {channels}, height: 224, width: 224}}" in lines) == (channels != 3)
    assert (found.graph.classes, found.graph.input) == (classes, (channels, 224, 224))
    assert (found.classes or 1000, found.channels or 3, found.same) == (classes, channels, ("resnet50", "resnet50-v1"))


def test_files_of_old_torch_count_no_batches() -> None:
    assert read({k: v for k, v in KEYS["resnet18"].items() if "num_batches" not in k}).text == "extends: resnet18\n"


ROWS: tuple[foreign.Row, ...] = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 1, 2, 3), (6, 64, 2, 1, 5))
PLAN = (8, 0, 8, 0, 16, 16, 0, 16, 16, 0, 16, 16, 0)
FOREIGN: dict[str, tuple[Callable[[], nn.Module], str | None]] = {
    "resnet50d": (lambda: foreign.ResNet((3, 4, 6, 3), stem=(32, 32), avg_down=True, classes=1000), "resnet50d"),
    "resnet14t": (lambda: foreign.ResNet((1, 1, 1, 1), stem=(24, 32), avg_down=True), "resnet14t"),
    "se-resnext50": (lambda: foreign.ResNet((3, 4, 6, 3), se=16, groups=32, base=4), "se-resnext50-32x4d"),
    "resnet, short": (lambda: foreign.ResNet((1, 3, 1, 2)), None),
    "group norm, short": (lambda: foreign.ResNet((1, 2, 1, 1), norm=lambda n: nn.GroupNorm(32, n)), None),
    "preact, short": (lambda: foreign.ResNetV2((1, 2, 3, 1)), None),
    "regnet": (lambda: foreign.RegNet((1, 1, 4, 7), (24, 56, 152, 368), 8), "regnetx-200mf"),
    "regnet, short": (lambda: foreign.RegNet((1, 2, 1), (24, 48, 96), 8), None),
    "regnet, timm": (lambda: foreign.TimmRegNet((1, 2, 1), (24, 48, 96), 8), None),
    "densenet": (lambda: foreign.DenseNet((6, 12, 24, 16)), "densenet121"),
    "densenet, short": (lambda: foreign.DenseNet((2, 3, 1), 12, 24), None),
    "mobilenet, timm": (lambda: foreign.TimmEfficientNet(ROWS, nn.ReLU6, False), None),
    "efficientnet": (lambda: foreign.EfficientNet(ROWS), None),
    "efficientnet, timm": (lambda: foreign.TimmEfficientNet(ROWS, nn.SiLU, True), None),
    "darknet, short": (lambda: foreign.DarkNet((1, 2, 1)), None),
    "vgg": (lambda: foreign.VGG(PLAN, False, hidden=32), None),
    "vgg, timm": (lambda: foreign.TimmVGG(PLAN, True, hidden=32), None),
    "squeezenet": (lambda: foreign.SqueezeNet(1000), "squeezenet"),
    "cifar": (lambda: foreign.CifarResNet(5), "resnet32"),
    "cifar, projections": (lambda: foreign.CifarResNet(2, "B"), None),
    "wrapped": (lambda: nn.ModuleDict({"module": nn.ModuleDict({"model": foreign.ResNet((1, 2), foreign.Basic)})}), None),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_networks_of_other_libraries(name: str) -> None:
    """The names are the library's, the network is written by hand; the file must fit the network that is read from it."""
    make, same = FOREIGN[name]
    with torch.device("meta"):
        state = make().state_dict()
    found = read({k: tuple(v.shape) for k, v in state.items()})
    assert (found.same[0] if found.same else None) == same
    assert match(found.graph, state, "file").fits


@pytest.mark.parametrize(
    ("depths", "first"), [((1, 2, 8, 8, 4), "extends: darknet53"), ((1, 2, 1), "input: {channels: 3, height: 32, width: 32}")]
)
def test_what_a_library_does_is_written(depths: tuple[int, ...], first: str) -> None:
    with torch.device("meta"):
        state = foreign.DarkNet(depths, classes=1000).state_dict()
    found = read({k: tuple(v.shape) for k, v in state.items()})
    assert found.text.startswith(first)
    assert "\nact: {leaky_relu: {slope: 0.01}}\n" in found.text
    assert match(found.graph, state, "file").fits


# --- round trips ---------------------------------------------------------------------------------------------


def generated(seed: int) -> dict[str, Any]:
    """A residual network that is not shipped: block, groups, widths, depths, stages, policy, stem, head and sizes at random."""
    r = random.Random(seed)
    kind = r.choice(["basic", "bottleneck", "preact_basic", "preact_bottleneck"])
    defaults = {"groups": 1, "base_width": 64, "expansion": 4}
    args: dict[str, int] = {}
    if "bottleneck" in kind:
        args = {"groups": r.choice([1, 2, 4, 8]), "base_width": r.choice([64, 32, 16, 128, 24]), "expansion": r.choice([4, 4, 2, 1, 3])}
        args = {k: v for k, v in args.items() if v != defaults[k]}
    if r.random() < 0.3:
        args["se"] = r.choice([4, 8, 16])
    before = kind.startswith("preact")
    policy: Any = r.choice(["none", "A", "B", "B", "C", "D"])
    if policy in "BCD" and before:
        policy = {policy: {"norm": False}}
    widths = [r.choice([16, 24, 32, 40, 48, 64])]
    for _ in range(r.randint(1, 5)):
        widths.append(min(r.choice([2 * widths[-1], 2 * widths[-1], widths[-1] + 16, widths[-1]]), 512))
    stem: dict[str, Any] = {"norm": False} if before else {}
    name = r.choice(["imagenet", "cifar", "deep"])
    if r.random() < 0.3:
        stem["width"] = r.choice([8, 12, 16])
    if name == "deep" and r.random() < 0.3:
        stem["mid"] = 24
    side = 32 if name == "cifar" else 224
    stages: list[dict[str, Any]] = [
        {"depth": r.randint(1 if i else 2, 7), "width": w, "stride": 2 if i else 1} for i, w in enumerate(widths)
    ]
    if r.random() < 0.2:
        stages = [{**stage, "name": f"stage_{i}"} for i, stage in enumerate(stages)]
    return {
        "input": {"channels": r.choice([1, 3, 4]), "height": side, "width": side},
        "classes": r.choice([2, 7, 21, 100, 1000]),
        "stem": {name: stem} if stem else name,
        "block": {kind: args} if args else kind,
        "shortcut": policy,
        "stages": stages,
        "head": "preact_classifier" if before else r.choice(["classifier", {"classifier": {"bias": False}}]),
    }


@pytest.mark.parametrize("seed", range(50))
def test_networks_that_no_shipped_spec_has(seed: int, tmp_path: Path) -> None:
    spec = generated(seed)
    graph = compiled(spec)
    found = read(shuffled(tensors(graph), seed))
    assert found.same == ()
    (tmp_path / "again.yaml").write_text(found.text)
    again = compile(load(str(tmp_path / "again.yaml")))
    assert tensors(again) == tensors(graph)
    # Whether there are shortcuts without weights is the one thing here that names and shapes do not say.
    if spec["shortcut"] != "none":
        assert steps(again) == steps(graph)


@pytest.mark.parametrize("kind", ["basic", "preact_basic"])
def test_the_order_of_names_tells_what_shapes_do_not(kind: str) -> None:
    head = "classifier" if kind == "basic" else "preact_classifier"
    stem: Any = "cifar" if kind == "basic" else {"cifar": {"norm": False}}
    stages = [{"depth": 2, "width": 16}, {"depth": 2, "width": 16, "stride": 2}]
    spec = {"input": {"channels": 3, "height": 32, "width": 32}, "classes": 10, "stem": stem, "block": kind, "shortcut": "A"}
    graph = compiled({**spec, "stages": stages, "head": head})
    assert steps(read(tensors(graph)).graph) == steps(graph)
    # Sorted, as safetensors has them, both readings are possible, and this is said.
    found = read(dict(sorted(tensors(graph).items())))
    assert ("block", "basic", "preact_basic would have the same tensors") in [(r.what, r.written, r.why) for r in found.remarks]


ODD = cases.read(DATA / "import" / "odd.md")


@pytest.mark.parametrize("case", ODD, ids=lambda c: c.name)
def test_odd_networks(case: cases.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spec that is read, with what is said of it; or why none is."""
    monkeypatch.chdir(tmp_path)
    told = _told(tensors(compile(load(case.write(tmp_path)))))
    if ACCEPT:
        path = DATA / "import" / "odd.md"
        start, end = (re.escape(f"## {case.name}\n"), "```text\n")
        path.write_text(re.sub(f"({start}.*?{end}).*?(?=^```$)", lambda m: m[1] + told, path.read_text(), count=1, flags=re.M | re.S))
    assert told == case.expected or ACCEPT


def _told(shapes: Mapping[str, Shape]) -> str:
    try:
        found = read(shapes)
    except SpecError as e:
        return f"{e}\n"
    assert tensors(found.graph) == shapes
    return "".join(
        [found.text, f"# {found.words}\n", *(f"# {r.what}: {r.written} ({speak(r.why, COMMAND_LINE)})\n" for r in found.remarks)]
    )


def test_the_zoo_one_block_deeper() -> None:
    """No shipped spec has these tensors; each network is read, or refused in so many words."""
    lines = []
    for name in shipped_specs():
        spec = load(name)
        last = spec.stages[-1]
        graph = compile(load(name, {f"stages.{last.name}.depth": str(last.depth.whole(spec.params) + 1)}))
        try:
            found = read(tensors(graph))
        except SpecError as e:
            lines.append(f"{name}: {e.diagnostics[0].message}")
        else:
            assert (found.same, tensors(found.graph)) == ((), tensors(graph)), name
            lines.append(f"{name}: {found.words}")
    text = "\n".join(lines) + "\n"
    path = DATA / "import" / "zoo.txt"
    if ACCEPT:
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", ["resnet50", "preresnet18", "resnet20", "efficientnet-b0", "fixup-20", "squeezenet", "res2net50-26w4s"])
def test_every_shipped_spec_is_found(name: str) -> None:
    assert read(tensors(compile(load(name)))).text == f"extends: {name}\n"


# --- refusals ------------------------------------------------------------------------------------------------


def changed(name: str, **other: Shape | None) -> dict[str, Any]:
    shapes: dict[str, Any] = dict(KEYS[name])
    for tensor, shape in other.items():
        key = tensor.replace("__", ".")
        shapes.pop(key) if shape is None else shapes.update({key: shape})
    return shapes


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (changed("resnet18", layer3__1__conv2__weight=(255, 256, 3, 3)), "'layer3.1.conv2.weight' is 255x256x3x3, where a network of basic blocks with shortcut B has 256x256x3x3"),
        (changed("resnet18", fc__bias=(999,)), "'fc' is not a layer of the language: it holds weight (1000x512), bias (999)"),
        (changed("resnet18", bn1__running_var=None), "'bn1' is not a layer of the language: it holds weight (64), bias (64), running_mean (64), num_batches_tracked (a single number)"),
        (changed("resnet18", layer2__0__downsample__0__weight=(128, 64, 1, 2)), "no shortcut policy is known that has these layers: 0: 1x2, 1: norm"),
        (changed("resnet18", layer4__0__downsample__0__weight=(512, 256, 1, 1), fc__weight=(7, 9), fc__bias=(7,)), "beside the stages it holds 'conv1', 'bn1', 'fc'"),
        (changed("resnet18", extra__weight=(3, 3)), "beside the stages it holds 'conv1', 'bn1', 'fc', 'extra'"),
        ({"conv1.weight": (8, 3, 3, 3), "fc.weight": (10, 8)}, "there are no stages in it, scopes whose blocks are called 0, 1, ...; its outermost names are 'conv1', 'fc'"),
        ({"layer1.0.conv1.weight": (8, 3, 3, 3), "layer1.2.conv1.weight": (8, 8, 3, 3)}, "'layer1' has 2 blocks, but none is called 1"),
        ({".".join("a" * 9000) + ".weight": (3, 3)}, "a name in it has more than 32 parts"),
        ({"layer1.0.conv" + "1" * 9000 + ".weight": (3, 3, 3, 3), "fc.weight": (3, 3)}, "is not a shipped block, nor a row of convs"),
        (changed("resnet50", **{f"layer4__{i}__conv3__weight": (1 << 30, 512, 1, 1) for i in range(3)}), "'layer4.0' "),
        ({"a": (3,)}, "beside all layers is a (3)"),
        ({"a.b.weight": (3, 3), "a.weight": (3, 3)}, "'a' is a layer and holds layers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(shapes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as refused:
        read(shapes)
    assert said in str(refused.value)
    assert (refused.value.exit_code, refused.value.diagnostics[0].code) == (2, "weights-unknown")


# --- the command ---------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[str, str, int]:
    code = main([str(a) for a in args])
    out, err = capsys.readouterr()
    return out, err, code


SMALL = {"params.n": "1", "classes": "4"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_kind_of_file_gives_the_same_spec(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = compile(load("resnet20", SMALL))
    state = build(graph).state_dict()
    save_file(state, folder / "a.safetensors")
    torch.save(state, folder / "a.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, folder / "b.pt")
    (folder / "a.json").write_text(json.dumps({k: list(v.shape) for k, v in state.items()}))
    texts = set()
    for i, name in enumerate(("a.safetensors", "a.pth", "b.pt", "a.json")):
        assert run(capsys, "import", name, "-o", f"{i}.yaml", "--quiet") == ("", "", 0)
        texts.add((folder / f"{i}.yaml").read_text())
    assert len(texts) == 1
    assert steps(compile(load("0.yaml"))) == steps(graph)
    assert run(capsys, "fmt", "0.yaml", "--check") == ("", "", 0)
    assert run(capsys, "evaluate", "0.yaml", "--weights", "b.pt", "--data", "cifar10", "--data-dir", "nowhere")[2] == 3


@pytest.mark.parametrize("folded", [False, True])
def test_a_file_that_holds_its_spec(folded: bool, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = compile(load("resnet20", {**SMALL, "shortcut": "none", "act": "silu"}))
    text = "extends: resnet20\nparams: {n: 1}\nclasses: 4\nshortcut: none\nact: silu\n"
    save(folder / "own.safetensors", build(fold(graph) if folded else graph).state_dict(), about(spec=text, folded=folded))
    out, err, code = run(capsys, "import", "own.safetensors")
    assert (out, code) == (text, 0)
    assert ("norms folded into other layers" in " ".join(err.split())) == folded
    assert run(capsys, "import", "own.safetensors", "--input", "3x64x64")[2] == 2


def test_nothing_is_written_where_nothing_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "odd.json").write_text(json.dumps(changed("resnet18", layer1__0__conv1__weight=(8, 8, 3, 3))))
    out, err, code = run(capsys, "import", "odd.json", "-o", "odd.yaml")
    assert (out, code, list(folder.glob("*.yaml"))) == ("", 2, [])
    assert err.startswith("odd.json: error[weights-unknown]: ")
    (folder / "mine.yaml").write_text("# mine\n")
    (folder / "fine.json").write_text(json.dumps(KEYS["resnet18"]))
    assert run(capsys, "import", "fine.json", "-o", "mine.yaml")[2] == 2
    assert (folder / "mine.yaml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("[]", "weights-shapes", "it is not an object of names"),
        ("{", "weights-shapes", "it is no JSON"),
        ('{"a": [1.5]}', "weights-shapes", "'a' has no shape"),
        ('{"a": [-1]}', "weights-shapes", "'a' has no shape"),
        ('{"a": {"b": [1]}}', "weights-shapes", "'a' has no shape"),
    ],
)
def test_json_that_holds_no_shapes(content: str, code: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.json").write_text(content)
    out, err, exit_code = run(capsys, "import", "x.json")
    assert (out, exit_code) == ("", 2)
    assert err.startswith(f"x.json: error[{code}]: ")
    assert said in err


@pytest.mark.parametrize(
    ("input", "said"),
    [
        ("1x64x64", "is of a network for inputs of 3 channels, not for 1x64x64"),
        ("784", "is of a network for inputs of 3 channels, not for 784"),
        ("3x2x2", "takes no input of 3x2x2"),
        ("3x64", "an input is CxHxW"),
    ],
)
def test_inputs_that_the_network_does_not_take(input: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.json").write_text(json.dumps(KEYS["resnet18"]))
    out, err, code = run(capsys, "import", "x.json", "--input", input)
    assert (out, code) == ("", 2)
    assert err.startswith("--input: error[usage]: ")
    assert said in err
    assert run(capsys, "import", "x.json", "--input", "3x64x64")[0] == "extends: resnet18\ninput: {channels: 3, height: 64, width: 64}\n"
