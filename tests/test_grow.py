"""Growth: that a deeper network computes what a shallow one does, bit for bit, on networks of every kind; that it learns; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from growing import STAGES, Spec, of_depths, outputs, pair, trained
from networks import compiled
from torch.nn import functional

from resnet_dsl.analysis.transfer import plan_growth
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, speak
from resnet_dsl.emission.initial import zeroed
from resnet_dsl.graph.growth import growth
from resnet_dsl.runtime import transfer
from resnet_dsl.verbs.modules import build

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")


def skipinit(learn: bool, init: float = 0) -> Spec:
    conv = {"kernel": 3, "bias": True}
    body = [
        {"conv": {"out": "out", "stride": "stride", **conv}},
        "act",
        {"conv": {"out": "out", **conv}},
        {"scale": {"init": init, "learn": learn}},
    ]
    return {"norm": "none", "block": "skip", "blocks": {"skip": {"body": body, "after": ["act"]}}}


FIXUP: Spec = {
    "norm": "none", "block": "fix", "init": {"weights": "fixup"},
    "blocks": {"fix": {
        "body": ["bias", {"conv": {"out": "out", "kernel": 3, "stride": "stride"}}, "bias", "act", "bias", {"conv": {"out": "out", "kernel": 3}},
                 "scale", "bias"],
        "after": ["act"],
    }},
}  # fmt: skip
RES2NET: Spec = {
    "block": "split",
    "blocks": {"split": {
        "body": [
            {"conv": {"out": "out", "kernel": 1, "stride": "stride"}}, "norm", "act",
            {"branches": {"merge": "concat", "paths": [
                [{"slice": {"to": "out // 2"}}, {"conv": {"out": "out // 2", "kernel": 3}}], [{"slice": {"from": "out // 2"}}]]}},
            {"conv": {"out": "out", "kernel": 1}}, "norm",
        ],
        "after": ["act"],
    }},
}  # fmt: skip
FEATURES: Spec = {"input": {"features": 12}, "norm": "none", "stages": STAGES[:1]}

IDENTITY_OF_BASIC = (
    "bn2.weight=1 bn2.bias=0 bn2.running_mean=0 bn2.running_var=0.99999 conv2.weight=identity "
    "bn1.weight=1 bn1.bias=0 bn1.running_mean=0 bn1.running_var=0.99999 conv1.weight=identity"
)

# What is grown, as changes of a residual network, and what the tensors of each added block are set to.
GROWN: dict[str, tuple[Spec, str]] = {
    "A": ({"shortcut": "A"}, "bn2.weight=0 bn2.bias=0"),
    "B": ({}, "bn2.weight=0 bn2.bias=0"),
    "C": (
        {"shortcut": "C"},
        "downsample.1.weight=1 downsample.1.bias=0 downsample.1.running_mean=0 downsample.1.running_var=0.99999 "
        "downsample.0.weight=identity bn2.weight=0 bn2.bias=0",
    ),
    "plain": ({"shortcut": "none"}, IDENTITY_OF_BASIC),
    "plain-eps": (
        {"shortcut": "none", "block": "single", "norm": {"batch": {"eps": 0.001}}},
        "bn1.weight=1 bn1.bias=0 bn1.running_mean=0 bn1.running_var=0.999 conv1.weight=identity",
    ),
    "plain-relu6": ({"shortcut": "none", "block": "single", "norm": "none", "act": "relu6"}, "conv1.weight=identity"),
    # Two leaky ReLUs between two that are not.
    "plain-leaky": (
        {"shortcut": "none", "norm": "none", "act": "leaky_relu", "block": "mine", "stem": [{"conv": {"out": 8, "kernel": 3}}, {"act": "relu"}],
         "blocks": {"mine": {"body": [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}, "act"], "after": [{"act": "relu"}]}}},
        "conv1.weight=identity",
    ),
    "bottleneck": ({"block": "bottleneck"}, "bn3.weight=0 bn3.bias=0"),
    "grouped": ({"block": {"bottleneck": {"groups": 2, "base_width": 32, "se": 4}}}, "bn3.weight=0 bn3.bias=0"),
    "preact": ({"block": "preact_basic", "head": "preact_classifier"}, "conv2.weight=0"),
    "preact-bottleneck": ({"block": "preact_bottleneck", "head": "preact_classifier"}, "conv3.weight=0"),
    "se": ({"block": {"basic": {"se": 4}}}, "bn2.weight=0 bn2.bias=0"),
    "droppath": ({"block": {"basic": {"drop_path": "0.3 * position / total"}}}, "bn2.weight=0 bn2.bias=0"),
    "group-norm": ({"norm": {"group": {"groups": 4}}}, "bn2.weight=0 bn2.bias=0"),
    "no-norm": ({"norm": "none"}, "conv2.weight=0"),
    "leaky": (
        {"block": "mine", "act": "leaky_relu",
         "blocks": {"mine": {"body": [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}, "norm", "act"]}}},
        "bn1.weight=0 bn1.bias=0",
    ),
    "zero-last": ({"init": {"zero_last": True}}, "bn2.weight=0 bn2.bias=0"),
    "skipinit": (skipinit(True), "scale.weight=0"),
    "nothing-learnt": (skipinit(False), ""),
    # The last convolution is zero under Fixup, and the scale behind it must not be: neither would ever learn.
    "fixup": (FIXUP, "bias4.bias=0 conv2.weight=0"),
    "res2net": (RES2NET, "bn2.weight=0 bn2.bias=0"),
    # A gate that is half open, between two equal things.
    "highway": ({"merge": {"highway": {"gate": "conv", "kernel": 3}}}, f"gate.weight=0 gate.bias=0 {IDENTITY_OF_BASIC}"),
    "mlp": (
        FEATURES | {"stem": [{"linear": {"out": 8}}], "block": {"mlp": {"hidden": 24}}, "shortcut": "identity"},
        "fc2.weight=0 fc2.bias=0",
    ),
    "plain-mlp": (
        FEATURES | {"stem": [{"linear": {"out": 8}}, "act"], "block": "layer", "shortcut": "none",
                    "blocks": {"layer": {"body": [{"linear": {"out": "out"}}, "act"]}}},
        "fc.weight=identity fc.bias=0",
    ),
    "before-and-after": (
        {"stages": [{**stage, "before": [{"conv": {"kernel": 1}}], "after": ["norm", "act"]} for stage in STAGES]},
        "bn2.weight=0 bn2.bias=0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWN)
def test_a_grown_network_computes_the_same_bits(name: str) -> None:
    a, b = pair(name, **GROWN[name][0])
    before = trained(a)
    after = transfer.grow(a, before, b, seed=5)
    assert list(after) == list(build(b).state_dict())
    for batch in (1, 2, 9):
        images = 3 * torch.randn(batch, *a.input, generator=torch.Generator().manual_seed(batch))
        x, y = outputs(a, before, images), outputs(b, after, images)
        assert x.std() > 0 and x.isfinite().all()
        assert torch.equal(x.view(torch.int32), y.view(torch.int32))


@pytest.mark.parametrize("name", GROWN)
def test_what_is_set(name: str) -> None:
    changes, expected = GROWN[name]
    a, b = pair(name, **changes)
    added = growth(a, b, lambda program: zeroed(b, program))
    assert list(added) == [f"layer{s}.{i}" for s, numbers in ((1, (1, 2)), (2, (2, 3))) for i in numbers][: 2 * len(a.stages)]
    for fills in added.values():
        assert " ".join(f"{k}={v if v == 'identity' else f'{v:g}'}" for k, v in fills.items()) == expected


# Constants that no one learns stay zero, and with them the block.
@pytest.mark.parametrize("name", [n for n in GROWN if n != "nothing-learnt"])
def test_no_added_block_is_dead(name: str) -> None:
    """After a few steps of training every weighted layer of every added block has a gradient."""
    a, b = pair(name, **GROWN[name][0])
    model = build(b)
    model.load_state_dict(transfer.grow(a, trained(a), b, seed=5))
    model.train()
    added = tuple(f"{path}." for path in growth(a, b, lambda program: zeroed(b, program)))
    images = torch.randn(16, *a.input, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(16) % b.classes
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(4):
        optimizer.zero_grad()
        torch.manual_seed(0)
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    dead = [k for k, p in model.named_parameters() if k.startswith(added) and p.ndim > 1 and (p.grad is None or not p.grad.any())]
    assert dead == []


def test_another_added_block_computes_something_else() -> None:
    """The comparison is no comparison of equals: moving one number of an added block is seen."""
    a, b = pair("B")
    before = trained(a)
    after = transfer.grow(a, before, b, seed=5)
    after["layer2.3.bn2.bias"][0] = 1e-3
    with pytest.raises(SpecError) as caught:
        transfer.require_same(a, before, b, after, seed=5)
    assert caught.value.exit_code == 1 and "error[grow-differs]: its outputs differ from A's on 4 of 4 random images" in str(caught.value)
    before["fc.bias"][0] = float("nan")
    with pytest.raises(SpecError, match="not finite"):
        transfer.grow(a, before, b, seed=5)


def test_what_is_left_open_is_drawn_from_the_seed() -> None:
    a, b = pair("B")
    first, again, other = (transfer.grow(a, trained(a), b, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(first[k], again[k]) for k in first)
    drawn = [k for k in first if not torch.equal(first[k], other[k])]
    assert drawn == [f"layer{s}.{i}.conv{c}.weight" for s, i in ((1, 1), (1, 2), (2, 2), (2, 3)) for c in (1, 2)]
    new = build(b, seed=1).state_dict()
    assert all(torch.equal(first[k], new[k]) for k in drawn)


HELP = {
    "only": "B may add blocks behind those of A's stages, and change nothing else; without --grow what fits is copied",
    "never": "a residual block whose shortcut can be the identity always can; without --grow what fits is copied",
}
SHALLOW, DEEP = of_depths(1, 2), of_depths(3, 4)


def both(**changes: Any) -> tuple[Spec, Spec]:
    return SHALLOW | changes, DEEP | changes


# What B may not be, and why.
REFUSED: dict[str, tuple[tuple[Spec, Spec], str]] = {
    "input": ((SHALLOW, DEEP | {"input": {"channels": 1, "height": 8, "width": 8}}), "A reads 3x8x8, B 1x8x8|only"),
    "classes": ((SHALLOW, DEEP | {"classes": 7}), "fc is fc 5 in A, fc 7 in B|only"),
    "stages": ((SHALLOW, of_depths(1, 2, 1, given=(*STAGES, STAGES[1]))), "A has the stages layer1, layer2, B layer1, layer2, layer3|only"),
    "shallower": ((DEEP, SHALLOW), "layer1 has 3 blocks in A, in B only 1|only"),
    "width": ((SHALLOW, of_depths(3, 3, given=({"width": 12}, STAGES[1]))), "conv1 is 3x3 conv, 8 in A, 3x3 conv, 12 in B|only"),
    "stem": ((SHALLOW, DEEP | {"stem": ["cifar", {"maxpool": {"kernel": 2}}]}), "maxpool (2x2 max pool, /2) is in B alone|only"),
    "shortcut": ((SHALLOW, DEEP | {"shortcut": "A"}), "layer2.0.downsample.0 is 1x1 conv, 16, /2 in A, subsample /2 in B|only"),
    "eps": ((SHALLOW, DEEP | {"norm": {"batch": {"eps": 0.1}}}), "bn1 is BN in A, BN, eps 0.1 in B|only"),
    "se": (
        (SHALLOW, DEEP | {"block": {"basic": {"se": 4}}}),
        "layer1.0.se.avgpool (global avg pool) in B stands where layer1.0.add (+) stands in A|only",
    ),
    "before": ((SHALLOW, of_depths(3, 4, given=[{**s, "before": ["norm"]} for s in STAGES])), "layer1.bn1 (BN) is in B alone|only"),
    "constant": (
        (SHALLOW | skipinit(False), DEEP | skipinit(False, 0.5)),
        "layer1.0.scale is times 0 per scalar in A, times 0.5 per scalar in B|only",
    ),
    "plain-bottleneck": (
        both(block="bottleneck", shortcut="none"),
        "layer1.1 cannot begin as the identity, for its conv3 (1x1 conv, 32): it makes 32 channels of 8|never",
    ),
    "plain-preact": (
        both(block="preact_basic", shortcut="none"),
        "layer1.1 cannot begin as the identity, for its act2 (ReLU): what it reads may be negative|never",
    ),
    "plain-gelu": (
        both(shortcut="none", act="gelu"),
        "layer1.1 cannot begin as the identity, for its act2 (GELU): it changes every number but zero|never",
    ),
    "plain-group-norm": (
        both(shortcut="none", norm={"group": {"groups": 4}}),
        "layer1.1 cannot begin as the identity, for its bn2 (GN, 4 groups): it measures what it reads, and so never gives it back|never",
    ),
    "plain-se": (
        both(shortcut="none", block={"basic": {"se": 4}}),
        "layer1.1 cannot begin as the identity, for its se.mul (x): a product with a gate is not what the gate reads|never",
    ),
    "plain-eps": (
        both(shortcut="none", norm={"batch": {"eps": 1}}),
        "layer1.1 cannot begin as the identity, for its bn2 (BN, eps 1): no variance and eps 1 add up to 1|never",
    ),
    "residual-gelu": (
        both(act="gelu"),
        "layer1.1 cannot begin as the identity, for its act2 (GELU): it changes every number but zero|never",
    ),
    "residual-sigmoid": (
        both(block="mine", blocks={"mine": {"body": [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}, {"act": "sigmoid"}]}}),
        "layer1.1 cannot begin as the identity, for its act1 (sigmoid): a gate is never exactly zero|never",
    ),
    "preact-C": (
        both(block="preact_basic", shortcut="C"),
        "layer1.1 cannot begin as the identity, for its act1 (ReLU): what it reads may be negative|never",
    ),
    "dense": (
        both(block={"dense": {"growth": 4}}, shortcut="D"),
        "layer1.1 cannot begin as the identity: what comes out has another shape than what goes in|never",
    ),
    "mul": (
        both(merge="mul"),
        "layer1.1 cannot begin as the identity, for its mul (x): a product with a gate is not what the gate reads|never",
    ),
    "highway-preact": (
        both(merge="highway", block="preact_basic"),
        "layer1.1 cannot begin as the identity, for its act2 (ReLU): what it reads may be negative|never",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_grown_is_refused(name: str) -> None:
    (a, b), expected = REFUSED[name]
    with pytest.raises(SpecError) as caught:
        plan_growth(compiled(a, "a"), compiled(b, "b"))
    (found,) = caught.value.diagnostics
    message, _, help = expected.partition("|")
    assert (found.code, found.message, speak(found.help, COMMAND_LINE), caught.value.exit_code) == ("grow", message, HELP[help], 2)


def test_a_refusal_shows_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep.yaml").write_text("extends: resnet20\nshortcut: none\nblock: bottleneck\nstages:\n  layer2: {depth: 5}\n")
    (tmp_path / "flat.yaml").write_text("extends: deep.yaml\nstages:\n  layer2: {depth: 3}\n")
    assert main(["transfer", str(tmp_path / "flat.yaml"), str(tmp_path / "deep.yaml"), "--grow"]) == 2
    assert (
        capsys.readouterr().err.replace(f"{tmp_path}/", "")
        == """\
resnet20.yaml:10:5: error[grow]: layer2.3 cannot begin as the identity, for its conv3 (1x1 conv, 128): it makes 128 channels of 32
  10 |   - {depth: n, width: 32, stride: 2}
     |     ^
  help: a residual block whose shortcut can be the identity always can; without --grow what fits is copied
"""
    )
