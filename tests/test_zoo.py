"""The shipped specs: short, described, and the networks that the paper's tables name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph import compile
from resnet_dsl.language import files, load
from resnet_dsl.language.files import aliases, shipped_name, shipped_specs

SPECS = Path(__file__).parent.parent / "specs"
ZOO = sorted(path for path in SPECS.glob("*/*.yaml") if path.parent.name != "recipes")
TRUTH = json.loads((Path(__file__).parent / "data" / "counts.json").read_text())

# shipped name -> row of counts.json
ROWS = {
    **{f"plain{d}": f"plain-{d}" for d in (18, 34)},
    **{f"resnet{d}": f"resnet-{d}-B" for d in (18, 34)},
    **{f"resnet{d}-{policy}": f"resnet-{d}-{policy}" for d in (18, 34) for policy in "AC"},
    **{f"resnet{d}": f"resnet-{d}-B-s3x3" for d in (50, 101, 152)},
    **{f"resnet{d}-v1": f"resnet-{d}-B-s1x1" for d in (50, 101, 152)},
    **{f"vgg{d}": f"vgg-{d}" for d in (16, 19)},
    **{f"resnet{d}": f"cifar-resnet-{d}-A" for d in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{d}": f"cifar-plain-{d}" for d in (20, 32, 44, 56, 110, 1202)},
    "resnet20-fmnist": "cifar-resnet-20-A-28px-gray",
    "vgg19-bn": "vgg-19-bn",
    **{f"preresnet{d}": f"preact-resnet-{d}-timm" for d in (18, 34, 50, 101, 152, 200)},
    "preresnet110": "cifar-preact-resnet-110-A",
    **{f"preresnet{d}": f"cifar-preact-resnet-{d}-bottleneck" for d in (164, 1001)},
    **{name: name for name in ("wrn-16-4", "wrn-16-8", "wrn-22-8", "wrn-28-10", "wrn-40-1", "wrn-40-2", "wrn-40-4", "wrn-40-8")},
    "wrn-40-4-fmnist": "wrn-40-4-fmnist",
    **{f"wide-resnet{d}-2": f"wrn-{d}-2-bottleneck" for d in (50, 101)},
    **{f"resnext{name}": f"resnext-{name}" for name in ("50-32x4d", "101-32x8d", "101-64x4d", "29-8x64d", "29-16x64d")},
    **{f"se-resnet{d}": f"se-resnet-{d}" for d in (18, 34)},
    **{f"se-resnet{d}": f"se-resnet-{d}-s3x3" for d in (50, 101, 152)},
    **{f"se-resnet{d}": f"cifar-se-resnet-{d}-A-r16" for d in (20, 56, 110)},
    "se-resnext50-32x4d": "se-resnext-50-32x4d",
    **{f"highway{d}": f"cifar-highway-{d}-elem1x1-B" for d in (20, 110)},
    "residual-mlp": "mlp-res-784-128x6-h512-10",
}

# What has no row there: parameters as published.
PUBLISHED = {
    # torchvision's model pages, exactly
    "densenet121": "7978856", "densenet161": "28681000", "densenet169": "14149480", "densenet201": "20013928",
    "vgg11": "132863336", "vgg13": "133047848", "vgg11-bn": "132868840", "vgg13-bn": "133053736", "vgg16-bn": "138365992",
    "mobilenetv2": "3504872", "efficientnet-b0": "5288548", "squeezenet": "1248424", "squeezenet-bypass": "1248424",
    "regnetx-400mf": "5495976", "regnetx-800mf": "7259656", "regnetx-1.6gf": "9190136", "regnetx-3.2gf": "15296552",
    "regnetx-8.0gf": "39572648",
    # timm's table of results
    "resnet18d": "11.71 M", "resnet34d": "21.82 M", "resnet50d": "25.58 M", "resnet101d": "44.57 M", "resnet152d": "60.21 M",
    "resnet26d": "16.01 M", "resnet14t": "10.08 M", "darknet53": "41.61 M", "res2net50-26w4s": "25.70 M", "resnet50-gn": "25.56 M",
    # the papers
    "regnetx-200mf": "2.7 M", "regnetx-600mf": "6.2 M", "regnetx-4.0gf": "22.1 M", "regnetx-6.4gf": "26.2 M",
    "highway19": "2.3 M", "stochastic-depth-110": "1.7 M",
}  # fmt: skip

# What a paper gives no figure for: ResNet-20 or -110 changed in a known way, by arithmetic.
DERIVED = {
    # A bias a conv and a scale a block for the norms, and two projections with a bias each.
    "skipinit-20": 269_722 - 2 * (7 * 16 + 6 * 32 + 6 * 64) + (7 * 16 + 6 * 32 + 6 * 64) + 9 + (16 * 32 + 32) + (32 * 64 + 64),
    # Four scalar biases and a scale a block, one bias behind the stem and one before the head, for the norms.
    "fixup-20": 269_722 - 2 * (7 * 16 + 6 * 32 + 6 * 64) + 9 * 5 + 2,
    "fixup-110": 1_727_962 - 2 * (37 * 16 + 36 * 32 + 36 * 64) + 54 * 5 + 2,
    # The stem, three stages of four 3x3 convs and a projection, their norms, the classifier.
    "resnet14-fmnist": 9 * 16 + 2 * 16 + sum(9 * w * (e + 3 * w) + e * w + 5 * 2 * w for e, w in ((16, 32), (32, 64), (64, 128))) + 1290,
    # The stem, three stages of six 3x3 convs, their norms, the classifier.
    "thin20-fmnist": 9 * 8 + 2 * 8 + sum(9 * w * (e + 5 * w) + 6 * 2 * w for e, w in ((8, 8), (8, 16), (16, 32))) + 330,
    # 31 convs with a bias, of which 28 come twice (with their gate), and the classifier.
    "highway32": (27 + 1) * 24 + 18 * (9 * 24 + 1) * 24 + (9 * 24 + 1) * 40 + 18 * (9 * 40 + 1) * 40 + (9 * 40 + 1) * 70
    + 20 * (9 * 70 + 1) * 70 + 71 * 10,
    # Twenty linear layers of 32 on 32, each with its bias.
    **{f"{net}-stack": 20 * 33 * 32 for net in ("plain", "residual")},
}  # fmt: skip

# What the networks for small data sets have beside the shipped names above: n of 6n + 2 layers, one input channel.
OTHERS = {
    f"{net}{6 * n + 2}-{data}": (n, side) for net in ("resnet", "plain") for n in (3, 9) for data, side in (("fmnist", 28), ("digits", 8))
}


@pytest.mark.parametrize("name", ROWS)
def test_a_shipped_name_is_the_counted_network(name: str) -> None:
    cost = Costs(compile(load(name))).network
    truth = TRUTH[ROWS[name]]["counts"]
    assert {key: getattr(cost, key) for key in truth} == truth


@pytest.mark.parametrize("name", OTHERS)
def test_a_network_for_a_small_data_set(name: str) -> None:
    n, side = OTHERS[name]
    cost = Costs(compile(load(name))).network
    maps = [(w, (side + f - 1) // f) for w, f in ((16, 1), (32, 2), (64, 4))]  # width and side of each stage
    weights = [(9 * 16, maps[0])]  # the stem's, and where they run
    enters = 16
    for width, size in maps:
        weights += [(9 * enters * width, (width, size))] + [(9 * width * width, (width, size))] * (2 * n - 1)
        enters = width
    assert cost.params == sum(w + 2 * width for w, (width, _) in weights) + 64 * 10 + 10
    assert cost.macs == sum(w * size**2 for w, (_, size) in weights) + 64 * 10
    assert (cost.depth, cost.shortcut_params) == (6 * n + 2, 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_as_published(name: str) -> None:
    params, printed = Costs(compile(load(name))).network.params, PUBLISHED[name]
    decimals = len(printed.removesuffix(" M").partition(".")[2])
    assert printed == (f"{params / 1e6:.{decimals}f} M" if printed.endswith("M") else str(params))


@pytest.mark.parametrize("name", DERIVED)
def test_parameters_by_arithmetic(name: str) -> None:
    assert Costs(compile(load(name))).network.params == DERIVED[name]


def test_nothing_is_shipped_that_no_table_here_names() -> None:
    assert {path.stem for path in ZOO} == {*ROWS, *OTHERS, *PUBLISHED, *DERIVED}


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_a_spec_is_short_and_says_what_it_is(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 25
    spec = load(path.stem)
    assert spec.name == path.stem
    assert spec.description
    assert {e.key for e in spec.expect} == {"params", "macs", "depth"}


def test_a_name_is_shipped_once() -> None:
    stems = [path.stem for path in SPECS.rglob("*.yaml") if path.parent.name != "recipes"]
    assert len(stems) == len(set(stems))


def test_every_alias_leads_to_a_spec_and_hides_none() -> None:
    specs = shipped_specs()
    assert set(aliases().values()) <= set(specs)
    assert not set(aliases()) & set(specs)
    text = (Path(files.__file__).parent / "aliases.yaml").read_text(encoding="utf-8")
    rows = [line.partition(": [") for line in text.splitlines() if not line.startswith("#")]
    named = [alias for *_, others in rows for alias in others.rstrip("]").split(", ")]
    assert sorted(named) == sorted(aliases()), "no alias twice"


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("wide_resnet50_2", "wide-resnet50-2"), ("seresnet50", "se-resnet50"), ("regnet_x_400mf", "regnetx-400mf"), ("densenet121", "densenet121"),
        ("mobilenetv2_100", "mobilenetv2"), ("mobilenet_v2", "mobilenetv2"), ("resnet50.tv_in1k", "resnet50"), ("efficientnet_b0", "efficientnet-b0"),
        ("resnext50_32x4d", "resnext50-32x4d"), ("wrn_40_4", "wrn-40-4"), ("seresnet50.ra2_in1k", "se-resnet50"), ("vgg16_bn", "vgg16-bn"),
        ("resnext101_32x8d.fb_swsl_ig1b_ft_in1k", "resnext101-32x8d"),
    ],
)  # fmt: skip
def test_specs_answer_to_the_names_of_other_libraries(alias: str, name: str) -> None:
    assert load(alias).name == name
    assert compile(load(alias)).text() == compile(load(name)).text()


@pytest.mark.parametrize(
    "other",
    [
        "regnetx_004",
        "cifar10_resnet20",
        "preactresnet18",
        "legacy_seresnet50",
        "seresnet18",
        "seresnet34",
        "resnet50.yaml_in1k.tv",
        "resnet50.",
    ],
)
def test_a_network_that_differs_has_no_alias(other: str) -> None:
    assert shipped_name(other) is None


def test_an_alias_is_a_parent_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: wide_resnet50_2\nclasses: 7\n")
    assert load(str(tmp_path / "mine.yaml")).classes == 7
