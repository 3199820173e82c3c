"""Fine-tuning: what is taken from a file of weights, what is refused, and that what is frozen does not move."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.conventions import kept
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.finetune import FrozenNorm, freeze, start, take
from resnet_dsl.verbs.modules import build

SPEC = """
input: {channels: 1, height: 8, width: 8}
classes: 10
stem: cifar
block: basic
shortcut: B
stages: [{depth: 1, width: 4}, {depth: 2, width: 8, stride: 2}]
"""
HERE = Path("some.file")


def network(folder: Path, *settings: str, seed: int = 1) -> tuple[nn.Module, Graph]:
    (folder / "net.yaml").write_text(SPEC)
    graph = compile(load(str(folder / "net.yaml"), settings))
    return build(graph, seed=seed), graph


def source(model: nn.Module, classes: tuple[str, ...] | None = None, normalisation: Normalisation | None = None) -> weights.Artifact:
    return weights.Artifact({k: v.clone() for k, v in model.state_dict().items()}, None, classes, normalisation, None)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(count))


@pytest.mark.parametrize(
    ("settings", "there", "here", "new"),
    [
        ((), None, names(10), ()),
        ((), names(10), names(10), ()),
        ((), names(10), names(10)[::-1], ("fc",)),  # as many, but others
        (("classes=3",), None, names(3), ("fc",)),
        (("classes=3",), names(10), names(3), ("fc",)),
        (("head=[globalpool, flatten, linear: {out: 7}, act, linear: {out: classes}]",), names(10), names(10), ("fc1", "fc2")),
    ],
    ids=["unnamed", "the same", "other names", "fewer, unnamed", "fewer", "another head"],
)
def test_what_is_taken(
    settings: tuple[str, ...], there: tuple[str, ...] | None, here: tuple[str, ...], new: tuple[str, ...], tmp_path: Path
) -> None:
    old, _ = network(tmp_path, seed=1)
    model, graph = network(tmp_path, *settings, seed=2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    artifact = source(old, there)
    if new == ("fc1", "fc2"):
        new = tuple(name for name, m in model.named_modules() if isinstance(m, nn.Linear))
        artifact = weights.Artifact({k: v for k, v in artifact.tensors.items() if not k.startswith("fc.")}, None, there, None, None)
    found = take(model, graph, here, artifact, HERE)
    after = model.state_dict()
    taken = [k for k in after if k.rpartition(".")[0] not in new]
    assert found.new == new
    assert found.tensors == len(taken)
    assert all(torch.equal(after[k], old.state_dict()[k]) for k in taken)
    assert all(torch.equal(after[k], before[k]) for k in after if k not in taken)
    assert str(found) == (f"{len(taken)} tensors taken, the head ({', '.join(new)}) is new" if new else f"all {len(taken)} tensors taken")


def test_a_norm_in_the_head_is_taken(tmp_path: Path) -> None:
    """Pre-activation networks end in a norm, which is in the head and does not depend on the classes."""
    head = "head=[norm, act, globalpool, flatten, linear: {out: classes}]"
    old, _ = network(tmp_path, head, seed=1)
    model, graph = network(tmp_path, head, "classes=3", seed=2)
    with torch.no_grad():
        for m in old.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.weight.fill_(3)
    found = take(model, graph, names(3), source(old, names(10)), HERE)
    assert found.new == (next(name for name, m in model.named_modules() if isinstance(m, nn.Linear)),)
    assert all(bool((m.weight == 3).all()) for m in model.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("stages.layer2.width=16",), r"layer2.0.conv1.weight is (8, 4, 3, 3), in the network (16, 4, 3, 3) (and "),
        (("stages.layer2.depth=3",), r"lacks layer2.2.conv1.weight (8, 8, 3, 3) (and "),
        (("stages.layer2.depth=1",), r"has layer2.1.conv1.weight (8, 8, 3, 3), which the network lacks (and "),
        (("input.channels=3",), r"conv1.weight is (4, 1, 3, 3), in the network (4, 3, 3, 3)"),
    ],
)
def test_elsewhere_nothing_may_differ(settings: tuple[str, ...], message: str, tmp_path: Path) -> None:
    old, _ = network(tmp_path)
    model, graph = network(tmp_path, *settings, "classes=3")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(SpecError) as e:
        take(model, graph, names(3), source(old), HERE)
    assert message in str(e.value)
    assert "some.file: error[weights-fit]: does not fit net: " in str(e.value)
    assert e.value.exit_code == 2
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_mean_and_deviation_that_come_with_weights(tmp_path: Path) -> None:
    model, graph = network(tmp_path)
    channel = Normalisation(torch.full((1, 1, 1), 7.0), torch.ones(1, 1, 1))
    image = Normalisation(torch.full((1, 8, 8), 7.0), torch.ones(1, 1, 1))
    assert kept(source(model, None, channel), graph) is channel
    assert kept(source(model, None, image), graph) is image
    assert kept(source(model), graph) is None
    _, larger = network(tmp_path, "input.height=16")
    assert kept(source(model, None, channel), larger) is channel
    assert kept(source(model, None, image), larger) is None
    _, colour = network(tmp_path, "input.channels=3")
    assert kept(source(model, None, channel), colour) is None


def test_a_start_from_a_file_and_from_a_run(tmp_path: Path) -> None:
    old, _ = network(tmp_path, seed=1)
    _, graph = network(tmp_path, "classes=3")
    (tmp_path / "run").mkdir()
    how = Normalisation(torch.full((1, 1, 1), 7.0), torch.ones(1, 1, 1))
    told = weights.about(spec="", classes=names(10), normalisation=how, data="digits")
    weights.save(tmp_path / "run/model.safetensors", old.state_dict(), told)
    torch.save(old.state_dict(), tmp_path / "old.pth")
    fresh = build(graph, seed=5).state_dict()
    for given, means in (("run", "mean and deviation are kept"), ("old.pth", "mean and deviation are measured on the new data")):
        begun = start(graph, 5, names(3), tmp_path / given)
        assert begun.said.endswith(f": {len(fresh) - 2} tensors taken, the head (fc) is new; {means}")
        assert (begun.normalisation is None) == (given == "old.pth")
        assert all(torch.equal(v, fresh[k] if k.startswith("fc.") else old.state_dict()[k]) for k, v in begun.tensors.items())
    with pytest.raises(SpecError, match="weights-missing"):
        start(graph, 5, names(3), tmp_path / "nowhere")


# --- freezing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "frozen", "still"),
    [
        (("layer1",), ("layer1.",), ("layer1.",)),
        (("layer1.*,conv1",), ("layer1.", "conv1."), ("layer1.",)),
        (("layer1", "bn1, conv1"), ("layer1.", "conv1.", "bn1."), ("layer1.", "bn1")),
        (("*.conv2",), ("layer1.0.conv2", "layer2.0.conv2", "layer2.1.conv2"), ()),
        (("layer?.0",), ("layer1.0.", "layer2.0."), ("layer1.0.", "layer2.0.")),
        (("fc",), ("fc.",), ()),
    ],
)
def test_what_is_frozen(patterns: tuple[str, ...], frozen: tuple[str, ...], still: tuple[str, ...], tmp_path: Path) -> None:
    model, _ = network(tmp_path)
    keys = list(model.state_dict())
    expected = tuple(name for name, _ in model.named_parameters() if name.startswith(frozen))
    assert expected
    assert freeze(model, patterns) == expected
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == list(expected)
    norms = {name: type(m) for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d | FrozenNorm)}
    assert len(norms) == 8
    assert norms == {name: FrozenNorm if still and name.startswith(still) else nn.BatchNorm2d for name in norms}
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("layr1",), "did you mean 'layer1'?"),
        (("layer1", "layer9.*"), "'layer9.*' names no module of the network"),
        (("conv1,",), "'' names no module"),
        (("act1",), "'act1' names only modules without parameters"),
        (("*",), "everything is frozen, and nothing is left to train"),
    ],
)
def test_freezing_refuses(patterns: tuple[str, ...], message: str, tmp_path: Path) -> None:
    model, _ = network(tmp_path)
    with pytest.raises(SpecError) as e:
        freeze(model, patterns)
    assert message in str(e.value)
    assert e.value.exit_code == 2


def trained(model: nn.Module, steps: int = 3) -> nn.Module:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9, weight_decay=0.1)
    draw = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        images, labels = torch.randn(16, 1, 8, 8, generator=draw) * 3 + 1, torch.randint(0, 10, (16,), generator=draw)
        nn.functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def test_what_is_frozen_does_not_move_and_the_rest_does(tmp_path: Path) -> None:
    """Neither by gradients, nor by weight decay, nor by a norm's running statistics; also in a copy and out of a pickle."""
    model, _ = network(tmp_path)
    freeze(model, ["conv1,bn1,layer1"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for m in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model):
        after = trained(m).state_dict()
        moved = {k for k, v in after.items() if not torch.equal(v, before[k])}
        assert moved == {k for k in after if k.startswith(("layer2.", "fc."))}


def test_a_frozen_norm_uses_its_statistics(tmp_path: Path) -> None:
    """The same as a norm in evaluation mode, whose gradient also reaches what is before it."""
    model, _ = network(tmp_path)
    twin, _ = network(tmp_path)
    freeze(model, ["bn1"])
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 5
    model.train()
    twin.train()
    twin.bn1.eval()
    assert torch.equal(model(images), twin(images))
    model(images).sum().backward()
    twin(images).sum().backward()
    assert torch.equal(model.conv1.weight.grad, twin.conv1.weight.grad)
    assert (model.bn1.weight.grad, twin.bn1.weight.grad is None) == (None, False)


def test_a_frozen_norm_is_left_alone_by_what_changes_batch_norms(tmp_path: Path) -> None:
    model, _ = network(tmp_path)
    freeze(model, ["layer1"])
    spread = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    kinds = {type(m) for name, m in spread.named_modules() if name.startswith("layer1.") and "bn" in name.rpartition(".")[2]}
    assert kinds == {FrozenNorm}
    assert any(isinstance(m, nn.SyncBatchNorm) for m in spread.modules())


def test_nothing_frozen_changes_nothing(tmp_path: Path) -> None:
    model, _ = network(tmp_path)
    twin, _ = network(tmp_path)
    assert freeze(model, []) == ()
    one, other = trained(model).state_dict(), trained(twin).state_dict()
    assert all(torch.equal(one[k], other[k]) for k in one)


# --- files of torch.save -----------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_of_torch_save_is_read(zipped: bool, tmp_path: Path) -> None:
    model, _ = network(tmp_path)
    path = tmp_path / "net.pth"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=zipped)
    found = weights.load(path)
    assert (found.classes, found.normalisation) == (None, None)
    other, _ = network(tmp_path, seed=2)
    weights.put(other, found.tensors, path)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    assert weights.fingerprint(found.tensors) == weights.fingerprint(weights.load(tmp_path / "net.safetensors").tensors)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_that_is_cut_short(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(network(tmp_path)[0].state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for size in range(2, len(whole) - 1, max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with pytest.raises(SpecError, match="weights-damaged"):
            weights.load(path)
