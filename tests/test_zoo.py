"""The shipped specs: short, described, and the networks that the paper's tables name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.reports.cost import Costs

SPECS = Path(__file__).parent.parent / "specs"
HE2015 = sorted((SPECS / "he2015").glob("*.yaml"))
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
}

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


def test_nothing_is_shipped_that_no_table_here_names() -> None:
    assert {path.stem for path in HE2015} == {*ROWS, *OTHERS}


@pytest.mark.parametrize("path", HE2015, ids=lambda path: path.stem)
def test_a_spec_is_short_and_says_what_it_is(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 16
    spec = load(path.stem)
    assert spec.name == path.stem
    assert spec.description
    assert {e.key for e in spec.expect} == {"params", "macs", "depth"}


def test_a_name_is_shipped_once() -> None:
    stems = [path.stem for path in SPECS.rglob("*.yaml") if path.parent.name != "recipes"]
    assert len(stems) == len(set(stems))
