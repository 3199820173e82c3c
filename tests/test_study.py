"""Studies before anything is trained: measures, the file's form, the plan, paired initial values, the page."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, get_args

import cases
import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.lab.runs.starts import starts
from resnet_dsl.lab.study.form import Budget, StudyForm
from resnet_dsl.lab.study.measures import MEASURES, MeasureName, curve, diverged, of_log, static
from resnet_dsl.lab.study.planning import Choice, StudyPlan, plan
from resnet_dsl.lab.study.reading import NEEDED, read_study, shipped_studies
from resnet_dsl.language import load
from resnet_dsl.records.log import LogRow

ROOT = Path(__file__).parent.parent
ERRORS = Path(__file__).parent / "data" / "study" / "errors.md"


# --- measures ------------------------------------------------------------------------------------------------

ROWS = [
    LogRow(event="train", step=20, epoch=1, train_accuracy=0.2, train_loss=2.0, images_per_s=100.0, seconds=1.0),
    LogRow(event="train", step=40, epoch=2, train_accuracy=0.5, train_loss=1.0, images_per_s=200.0, seconds=2.0),
    LogRow(event="test", step=40, epoch=2, top1=0.5),
    LogRow(event="train", step=60, epoch=3, train_accuracy=0.7, train_loss=0.5, images_per_s=200.0, seconds=3.0),
]


def test_measures_of_a_log() -> None:
    found = of_log(ROWS, tail=40, level=1.0, batch=64)
    assert {k: round(v or 0, 6) for k, v in found.items()} == {
        "train_error": 40.0, "loss": 0.75, "auc": 1.166667, "seconds": 3.0, "step_ms": 320.0, "steps_to": 40.0,
    }  # fmt: skip
    assert of_log(ROWS, tail=1000, level=0.1, batch=64)["steps_to"] == 60.0
    assert of_log([], tail=40, level=None, batch=64) == {}


def test_a_curve_is_thinned_and_ends_at_the_end() -> None:
    rows = [LogRow(event="train", step=s, epoch=s / 10, accuracy=0.5) for s in range(10, 64_010, 10)]
    points = curve(rows)
    assert len(points) <= 60
    assert points[-1] == (64_000, 50.0)
    assert curve(ROWS) == [(20, 80.0), (40, 50.0), (60, 30.0)]


def test_a_run_that_diverged_counts_as_guessing() -> None:
    found = diverged(10, 400, 0.8)
    assert (found["train_error"], found["test_error"], found["gap"], found["loss"]) == (90.0, 90.0, 0.0, None)
    assert (found["steps_to"], round(found["auc"] or 0, 4)) == (400.0, 2.3026)


def test_static_measures_are_those_of_the_counter() -> None:
    # He et al. 2015, section 3.3: a 3x3 layer of 64 has 36,864 weights; a basic block two, and two norms of 128.
    found = static(compile(load("resnet20")))
    assert found == {"params": 269_722, "macs": 40_551_040, "block_params": 2 * 36_864 + 4 * 64, "block_macs": 2 * 36_864 * 64}


def test_every_measure_has_a_name_in_the_form() -> None:
    assert get_args(MeasureName) == tuple(MEASURES)


# --- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases.read(ERRORS), ids=lambda c: c.name)
def test_a_wrong_file_is_refused(case: cases.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = case.write(tmp_path)
    with pytest.raises(SpecError) as e:
        plan(read_study(f"./{name}"), Choice())
    assert e.value.exit_code == 2
    if os.environ.get("RESNET_DSL_ACCEPT"):
        text = ERRORS.read_text()
        head, tail = text.split(f"## {case.name}\n", 1)
        ERRORS.write_text(
            f"{head}## {case.name}\n"
            + re.sub(r"```text\n.*?^```\n", lambda m: f"```text\n{e.value}\n```\n", tail, count=1, flags=re.S | re.M)
        )
    assert f"{e.value}\n" == case.expected


def planned(name: str = "null", **choice: Any) -> StudyPlan:
    return plan(read_study(name), Choice(**choice))


@pytest.mark.parametrize("name", list(shipped_studies()))
def test_shipped_studies_can_be_planned(name: str) -> None:
    study = read_study(name)
    for setting in ("usual", "quick", "long"):
        for data in study.data:
            p = planned(name, setting=setting, data=data)
            assert len(p.tasks(Path())) == len(p.arms) * len(p.recipes) * len(p.seeds)
            assert {c for arm in p.arms for c in arm.static} <= set(MEASURES)
    if name != "null":
        quick, long = planned(name, setting="quick"), planned(name, setting="long")
        assert (len(quick.seeds), quick.batch) == (3, 64)
        # He et al. 2015, section 4.2.
        assert {(r.steps, r.batch, r.lr, r.weight_decay) for r in long.recipes.values()} == {(64_000, 128, 0.1, 1e-4)}
        assert long.arms[0].graph.stages[-1].shape[1:] == (7, 7)


@pytest.mark.parametrize("name", list(shipped_studies()))
def test_claims_are_quoted(name: str) -> None:
    says = read_study(name).says
    if says.source.note is None:
        assert says.source.paper
        return
    (note,) = (ROOT / "docs" / "notes").glob(f"{says.source.note[:3]}*")
    assert " ".join(says.claim.split()) in " ".join(note.read_text().replace("*", "").split())


def test_shipped_studies_train_alike() -> None:
    recipes = {name: planned(name, setting="quick").recipes[0.1] for name in shipped_studies() if name != "null"}
    same = {repr(r.model_copy(update={"steps": 1, "log_every": 1, "description": ""})) for r in recipes.values()}
    assert len(same) == 1


def test_the_arms_of_degradation_are_the_networks_of_the_paper_but_thin() -> None:
    long = planned("degradation", setting="long")
    # Weighted layers 6n + 2; as many parameters with shortcuts as without.
    assert [(a.name, a.depth) for a in long.arms] == [("plain-20", 20), ("plain-56", 56), ("residual-20", 20), ("residual-56", 56)]
    assert long.arms[1].static["params"] == long.arms[3].static["params"] == compile_params("resnet56") - 2 * 16 * 9


def compile_params(name: str) -> int:
    return int(static(compile(load(name)))["params"])


TEXT = """\
title: T
claim: C
source: {paper: P}
data: digits
seeds: 2
learning_rates: [0.1]
steps: 20
network: {params: {n: 1}, input: {channels: 1, height: 8, width: 8}, classes: 10, stem: cifar, block: basic, shortcut: A,
  stages: [{depth: n, width: 4}, {depth: n, width: 8, stride: 2}]}
arms: {a: {shortcut: none}, b: {}, c: {extends: mine.yaml}}
decide: [{that: one, measure: train_error, of: a, minus: b, rule: greater}]
"""
MINE = "extends: resnet20-digits\nparams: {n: 1}\ntrain: quick\n"


def of_text(folder: Path, text: str = TEXT) -> StudyPlan:
    (folder / "mine.yaml").write_text(MINE)
    (folder / "s.yaml").write_text(text)
    return plan(read_study(str(folder / "s.yaml")), Choice())


def test_an_arm_extends_the_network_or_a_spec(tmp_path: Path) -> None:
    p = of_text(tmp_path)
    assert [(a.name, a.graph.name, a.depth, int(a.static["params"])) for a in p.arms] == [
        ("a", "a", 6, 1334), ("b", "b", 6, 1334), ("c", "c", 8, compile_params(str(tmp_path / "mine.yaml"))),
    ]  # fmt: skip
    # A file that says all: it gives the same network, and no recipe comes along.
    assert all("train" not in a.spec_text and "extends" not in a.spec_text for a in p.arms)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("title: T", "title: Other", set()),
        ("margin: 0", "margin: 0", set()),
        ("rule: greater", "rule: greater, margin: 3", set()),
        ("seeds: 2", "seeds: 3", set()),
        ("steps: 20", "steps: 21", {"a", "b", "c"}),
        ("steps: 20", "limit_train: 100\nsteps: 20", {"a", "b", "c"}),
        ("steps: 20", "tail: 50\nsteps: 20", {"a", "b", "c"}),
        ("steps: 20", "recipe: {batch: 32}\nsteps: 20", {"a", "b", "c"}),
        ("steps: 20", "recipe: {description: other words}\nsteps: 20", set()),
        # Initial values are shared with the arms before.
        ("b: {}", "b: {act: silu}", {"b", "c"}),
        ("c: {extends: mine.yaml}", "c: {}", {"c"}),
    ],
)
def test_what_makes_a_run_another(before: str, after: str, changed: set[str], tmp_path: Path) -> None:
    one, two = ({t.name: t for t in of_text(tmp_path, text).tasks(tmp_path)} for text in (TEXT, TEXT.replace(before, after)))
    assert {t.arm for name, t in one.items() if two[name].identity != t.identity} == changed


def test_a_short_run_has_a_line_of_log(tmp_path: Path) -> None:
    assert of_text(tmp_path, TEXT.replace("steps: 20", "steps: 7")).recipes[0.1].log_every == 7


# --- paired initial values -----------------------------------------------------------------------------------


def states(*overrides: dict[str, str], seed: int = 3) -> list[dict[str, torch.Tensor]]:
    return list(starts([compile(load("resnet20-digits", o)) for o in overrides], seed))


def test_plain_and_residual_networks_begin_alike() -> None:
    plain, a, b, c = states(*({"shortcut": s} for s in ("none", "A", "B", "C")))
    assert plain.keys() == a.keys()
    assert all(torch.equal(plain[k], a[k]) for k in plain)
    assert a.keys() < b.keys() < c.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert all(torch.equal(b[k], c[k]) for k in b)
    again = states({"shortcut": "none"}, {"shortcut": "C"})
    assert all(torch.equal(plain[k], again[0][k]) for k in plain)


def test_depths_share_what_they_have_in_common_and_no_random_number_twice() -> None:
    shallow, deep = states({"params.n": "1"}, {"params.n": "3"})
    drawn = [k for k in shallow if shallow[k].dim() > 1]
    assert all(torch.equal(shallow[k], deep[k]) for k in drawn)
    # Two layers of one network that were drawn from the same numbers would begin with the same ones, up to a factor.
    firsts = [t.flatten()[:8] / t.flatten()[0] for k, t in deep.items() if t.dim() == 4]
    assert len({tuple(round(float(x), 4) for x in f) for f in firsts}) == len(firsts)


def test_seeds_and_schemes_are_apart() -> None:
    (one,), (other,) = states({}, seed=0), states({}, seed=1)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])
    he, xavier, zero = states({}, {"init.weights": "xavier"}, {"init.zero_last": "true"})
    assert not torch.equal(he["layer1.0.conv1.weight"], xavier["layer1.0.conv1.weight"])
    assert torch.equal(he["layer1.0.conv1.weight"], zero["layer1.0.conv1.weight"])
    assert bool((zero["layer1.0.bn2.weight"] == 0).all())
    assert bool((he["layer1.0.bn2.weight"] == 1).all())
    short, long = starts([compile(load("fixup-20", {"params.n": n})) for n in ("1", "3")], 0)
    assert not torch.equal(short["layer1.0.conv1.weight"], long["layer1.0.conv1.weight"])


# --- the page ------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "studies.md").read_text()


def test_the_page_has_every_key_and_measure() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, flags=re.M))
    fields = {**StudyForm.model_fields, **Budget.model_fields}
    assert {k: rows[k] for k in fields} == {k: f.description for k, f in fields.items()}
    assert {m: rows[m] for m in MEASURES} == {m: f"{row.unit} | {row.about}" for m, row in MEASURES.items()}
    assert set(NEEDED) <= set(rows)


def test_the_study_on_the_page_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.M | re.S)
    (tmp_path / "mine.yaml").write_text(text)
    p = plan(read_study(str(tmp_path / "mine.yaml")), Choice("quick"))
    assert [a.name for a in p.arms] == ["plain", "residual", "wide"]
    assert len(p.tasks(Path())) == 18
