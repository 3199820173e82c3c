"""The rules: each finds its own example and not the fixed one, and the shipped specs have only findings that we looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_explain import BASE

from resnet_dsl.analysis.lint import RULES, lint
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import Diagnostic, SpecError
from resnet_dsl.explanations import CODES
from resnet_dsl.language import load
from resnet_dsl.language.files import shipped_specs

# What is found in the zoo, and why it stays.
REVIEWED = {
    # torchvision's placement, as the descriptions say; resnet50-v1 and its like are the paper's
    **dict.fromkeys(
        ("resnet50", "resnet101", "resnet152", "resnet50-gn", "wide-resnet50-2", "wide-resnet101-2"), frozenset({"late-stride"})
    ),
    **dict.fromkeys(("resnet14t", "resnet26d", "resnet50d", "resnet101d", "resnet152d"), frozenset({"late-stride"})),
    **dict.fromkeys(("preresnet50", "preresnet101", "preresnet152", "preresnet200"), frozenset({"late-stride"})),
    **dict.fromkeys(("se-resnet50", "se-resnet101", "se-resnet152"), frozenset({"late-stride"})),
    # VGG stays at 512; torchvision's convs have a bias with batch norm too
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), frozenset({"halved-map"})),
    **dict.fromkeys(("vgg11-bn", "vgg13-bn", "vgg16-bn", "vgg19-bn"), frozenset({"halved-map", "bias-before-norm"})),
    # widths of their own: found by search, or after FitNets
    **dict.fromkeys(
        (f"regnetx-{n}" for n in ("200mf", "400mf", "600mf", "800mf", "1.6gf", "3.2gf", "4.0gf", "6.4gf")), frozenset({"halved-map"})
    ),
    "regnetx-8.0gf": {"halved-map", "late-stride"},  # its first stage is one group
    **dict.fromkeys(("mobilenetv2", "efficientnet-b0"), frozenset({"halved-map", "same-map"})),
    **dict.fromkeys(("squeezenet", "squeezenet-bypass"), frozenset({"same-map"})),
    "highway19": {"halved-map"},
    "highway32": {"halved-map", "no-norm", "uneven-stages"},
    # without norm on purpose: what stacks of layers fit by themselves is what they are asked
    **dict.fromkeys(("plain-stack", "residual-stack"), frozenset({"no-norm"})),
}


def written(folder: Path, excerpt: str) -> str:
    given = re.findall(r"^(\w+):", excerpt, re.MULTILINE)
    base = {} if "extends" in given else BASE
    path = folder / "spec.yaml"
    path.write_text("".join(f"{k}: {v}\n" for k, v in base.items() if k not in given) + excerpt + "\n")
    return str(path)


def found(folder: Path, excerpt: str) -> list[Diagnostic]:
    return lint(load(written(folder, excerpt)))


def codes(folder: Path, excerpt: str) -> set[str]:
    return {d.code for d in found(folder, excerpt)}


@pytest.mark.parametrize("code", RULES)
def test_example(code: str, tmp_path: Path) -> None:
    assert codes(tmp_path, RULES[code].wrong) == {code}
    assert codes(tmp_path, RULES[code].right) == set()


@pytest.mark.parametrize("name", shipped_specs())
def test_the_zoo(name: str) -> None:
    assert {d.code for d in lint(load(name))} == REVIEWED.get(name, set())


def test_codes_are_their_own() -> None:
    assert not set(RULES) & set(CODES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in RULES)


BLOCK = "blocks:\n  mine:\n    body:\n      - conv: {out: mid, kernel: 1}\n      - norm\n      - act\n      - conv: {out: mid, kernel: 3, stride: stride}\n      - norm\n      - act\n      - conv: {out: out, kernel: 1}\n    let: {mid: width // 4}\n    after: [act]\nblock: mine\nstages: [{depth: 1, width: 16, stride: 2}]"


@pytest.mark.parametrize(
    ("excerpt", "expected"),
    [
        # Rules read the graph: a block of another name, a stem by hand, a policy of one's own.
        (BLOCK, {"late-stride"}),
        ("stem: [conv: {out: 16, kernel: 5, stride: 2}, norm, act, maxpool: {kernel: 2}]", {"imagenet-stem"}),
        ("stem: imagenet\ninput: {channels: 3, height: 224, width: 224}", set()),
        ("shortcuts: {mine: {change: [subsample: {stride: stride, when: stride > 1}, pad_channels: {out: out}]}}\nshortcut: mine\n"
         "stages: [{depth: 1, width: 16}, {depth: 1, width: 64, stride: 2}]  # lint: allow halved-map", {"mostly-zeros"}),
        ("block: dense\nshortcut: D\nstages: [{depth: 2, width: 8}, {depth: 2, width: 8, stride: 2}]", set()),
        ("stem: [conv: {out: 16, kernel: 3, bias: true}, norm: {kind: group, groups: 4}, act]", set()),
        ("stem: [conv: {out: 16, kernel: 3, bias: true}, act]", set()),
        ("stem: [cifar, act: gelu]", set()),
        ("norm: none\nstages: [{depth: 20, width: 16}]\ninit: {zero_last: true}", set()),
        ("norm: none\nstages: [{depth: 5, width: 16}]", set()),
        ("params: {k: 16}\nblocks: {mine: {body: [conv: {out: out, kernel: 3, stride: stride}, norm]}}\nblock: mine\nstages: [{depth: 1, width: k}]", set()),
        ("blocks: {mine: {body: [conv: {out: out, kernel: 3, stride: stride}, norm, act: sigmoid]}}\nblock: mine", set()),
        ("extends: resnet20\nstages: {layer3: {depth: 9}}", {"uneven-stages"}),
        ("extends: resnet50", {"late-stride"}),
        # After the last layer, however it is wrapped; a ReLU before a last pool is meant, a gate or a squashing there is not.
        ("head: [globalpool, flatten, linear: {out: classes}, act: relu]", {"act-after-head"}),
        ("head: [globalpool, flatten, linear: {out: classes}, act: tanh, dropout: {rate: 0.1}]", {"act-after-head"}),
        ("head: [globalpool, flatten, chain: [linear: {out: classes}, chain: [act: sigmoid]]]", {"act-after-head"}),
        ("head: [conv: {out: classes, kernel: 1, bias: true}, act, globalpool, flatten]", set()),
        ("head: [conv: {out: classes, kernel: 1, bias: true}, act: softmax, globalpool, flatten]", {"act-after-head"}),
        ("head: [conv: {out: classes, kernel: 1, bias: true}, act: sigmoid, globalpool, flatten]", {"act-after-head"}),
        ("head: [globalpool, flatten, linear: {out: classes}, act: identity]", set()),
        ("head: [globalpool, flatten, act, linear: {out: classes}]", set()),
        ("extends: squeezenet", {"same-map"}),
        # A stride that a dilation replaces.
        ("stages: [{depth: 1, width: 16}, {depth: 1, width: 32}]\nblocks: {mine: {body: [conv: {out: out, kernel: 3, dilation: 2}, norm], after: [act]}}\nblock: mine", set()),
        # Only what is padded is a finding, and an even kernel cannot do better than one pixel less.
        ("stem: [conv: {out: 16, kernel: 5, padding: 1}, norm, act]", {"map-by-padding"}),
        ("stem: [conv: {out: 16, kernel: 1, padding: 1}, norm, act]", {"map-by-padding"}),
        ("stem: [conv: {out: 16, kernel: [1, 3], padding: 1}, norm, act]", {"map-by-padding"}),
        ("stem: [conv: {out: 16, kernel: 3, dilation: 2, padding: 1}, norm, act]", {"map-by-padding"}),
        ("stem: [cifar, maxpool: {kernel: 2, stride: 1, padding: 1}]", {"map-by-padding"}),
        ("stem: [conv: {out: 16, kernel: 3, padding: 0}, norm, act]", set()),
        ("stem: [conv: {out: 16, kernel: 4, padding: 1}, norm, act]", set()),
        ("stem: [conv: {out: 16, kernel: 3, dilation: 2, padding: 2}, norm, act, maxpool: {kernel: 3, stride: 1, padding: 1}]", set()),
    ],
)  # fmt: skip
def test_rules_read_the_graph(excerpt: str, expected: set[str], tmp_path: Path) -> None:
    assert codes(tmp_path, excerpt) == expected


@pytest.mark.parametrize(
    ("excerpt", "line", "shown"),
    [
        ("stem: imagenet", "stem: imagenet", "stem"),
        ("stages:\n  - {depth: 1, width: 16}\n  - {depth: 1, width: 24, stride: 2}", "  - {depth: 1, width: 24, stride: 2}", "24"),
        ("stem:\n  - conv: {out: 16, kernel: 3, bias: true}\n  - norm\n  - act", "  - conv: {out: 16, kernel: 3, bias: true}", "conv"),
        ("extends: resnet50\nblock: {bottleneck: {se: 16}}", "block: {bottleneck: {se: 16}}", "bottleneck"),
        ("head: [globalpool, flatten, linear: {out: classes},\n  act: softmax]", "  act: softmax]", "act"),
        # What a child changes is blamed in the child, not the parent's line.
        ("extends: resnet18\nstages: {layer4: {stride: 1}}", "stages: {layer4: {stride: 1}}", "1}"),
        ("extends: resnet20\nstages:\n  layer2: {depth: 9}", "  layer2: {depth: 9}", "9}"),
        ("extends: resnet18\nstages:\n  layer4:\n    width: 300", "    width: 300", "300"),
        ("extends: resnet34\nstages:\n  layer2: {stride: 1}", "  layer2: {stride: 1}", "1}"),
    ],
)
def test_places(excerpt: str, line: str, shown: str, tmp_path: Path) -> None:
    (one,) = found(tmp_path, excerpt)
    at = one.location
    assert at.source.line(at.line) == line
    assert line[at.column - 1 :].startswith(shown)


@pytest.mark.parametrize(
    ("excerpt", "left"),
    [
        ("# lint: allow same-map\nstages: [{depth: 1, width: 16}, {depth: 1, width: 32}]", set()),
        ("stages: [{depth: 1, width: 16}, {depth: 1, width: 32}]  # on purpose; # lint: allow same-map", set()),
        ("# lint: allow twice, same-map\nstem: [cifar, act]\nstages: [{depth: 1, width: 16}, {depth: 1, width: 32}]", set()),
        ("stem: [cifar, act]  # lint: allow same-map\nstages: [{depth: 1, width: 16}, {depth: 1, width: 32}]", {"twice", "same-map"}),
        ("# lint: allow late-stride\nextends: resnet50", set()),
    ],
)
def test_comments_silence(excerpt: str, left: set[str], tmp_path: Path) -> None:
    assert codes(tmp_path, excerpt) == left


def test_a_comment_may_not_allow_what_is_no_rule(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'late-stride'"):
        found(tmp_path, "# lint: allow late-strid\nextends: resnet50")


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str, int]:
    code = main(["lint", *args])
    out, err = capsys.readouterr()
    return out, err, code


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    out, _, code = run(capsys, "resnet50", "resnet18")
    assert (code, "warning[late-stride]" in out, out.splitlines()[-1]) == (0, True, "ok resnet18")
    assert run(capsys, "resnet50", "--strict")[2] == 1
    assert run(capsys, "resnet50", "--strict", "--allow", "late-stride", "-q") == ("", "", 0)
    assert "did you mean 'late-stride'" in run(capsys, "resnet50", "--allow", "late-strides")[1]
    assert run(capsys, "resnet50", "nothing")[2] == 2
    document = json.loads(run(capsys, "resnet50", "resnet18", "-f", "json")[0])
    assert [(d["spec"], [f["code"] for f in d["findings"]]) for d in document] == [("resnet50", ["late-stride"]), ("resnet18", [])]
    assert run(capsys, "resnet50", "-f", "github")[0].startswith("::warning file=resnet50.yaml,line=3,col=8,")
