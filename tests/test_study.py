"""Studies before anything is trained: the rule that decides, the file's form, the plan, paired initial values, tables and pictures."""

from __future__ import annotations

import io
import json
import os
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, get_args

import cases
import pytest
import torch

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.lab.runs.starts import starts
from resnet_dsl.lab.study import tables
from resnet_dsl.lab.study.engine import Event, Outcome
from resnet_dsl.lab.study.form import Comparison, Document, Lengths
from resnet_dsl.lab.study.measures import MEASURES, MeasureName, curve, diverged, of_log, static
from resnet_dsl.lab.study.planning import Choice, Plan, plan
from resnet_dsl.lab.study.progress import Board
from resnet_dsl.lab.study.reading import NEEDED, read_study, shipped_studies
from resnet_dsl.lab.study.result import Facts, made, result
from resnet_dsl.lab.study.student import quantile
from resnet_dsl.lab.study.verdict import CANNOT_TELL, NOT_SUPPORTED, SUPPORTED, best_rate, estimate, judge, overall
from resnet_dsl.language import load
from resnet_dsl.records.log import LogRow

ROOT = Path(__file__).parent.parent
ERRORS = Path(__file__).parent / "data" / "study" / "errors.md"

# --- Student's t -------------------------------------------------------------------------------------------

# NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
TABLE = {
    1: (6.314, 12.706, 63.657), 2: (2.920, 4.303, 9.925), 3: (2.353, 3.182, 5.841), 4: (2.132, 2.776, 4.604), 5: (2.015, 2.571, 4.032),
    9: (1.833, 2.262, 3.250), 10: (1.812, 2.228, 3.169), 29: (1.699, 2.045, 2.756), 100: (1.660, 1.984, 2.626),
}  # fmt: skip


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_the_published_ones(freedom: int) -> None:
    found = tuple(round(quantile(p, freedom), 3) for p in (0.95, 0.975, 0.995))
    assert found == TABLE[freedom]


@pytest.mark.parametrize(("probability", "freedom"), [(0.5, 3), (1.0, 3), (0.9, 0)])
def test_there_is_no_such_quantile(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile(probability, freedom)


def test_an_estimate_is_the_textbook_one() -> None:
    found = estimate([1.0, 2.0, 3.0])
    # 2 +- 4.302653 * 1 / sqrt(3)
    assert (found.mean, found.sd) == (2.0, 1.0)
    assert (found.low, found.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert estimate([5.0]).low is None
    assert estimate([]).mean is None


# --- the rule ----------------------------------------------------------------------------------------------


def rule(text: str) -> Comparison:
    """`greater 2`, `between 1.8 2.2`."""
    name, *numbers = text.split()
    keys: dict[str, Any] = {"that": "a claim", "measure": "train_error", "of": "a", "rule": name}
    if name == "between":
        return Comparison(**keys, over="b", low=float(numbers[0]), high=float(numbers[1]))
    return Comparison(**keys, minus="b", margin=float(numbers[0]) if numbers else 0.0)


CASES = [
    # The rule, the runs of a and of b by seed, the verdict.
    ("greater 2", [48, 47, 49], [19, 20, 21], SUPPORTED),
    ("greater 2", [22.4, 22.5, 22.6], [20, 20, 20], SUPPORTED),
    ("greater 2", [20, 20, 20], [22.4, 22.5, 22.6], NOT_SUPPORTED),
    ("greater 2", [21, 21, 21], [20, 20, 20], CANNOT_TELL),  # an effect, but none that is known to be large enough
    ("greater 2", [30, 20, 25], [19, 20, 21], CANNOT_TELL),  # too much spread
    ("greater", [20, 21, 22], [20, 21, 22], CANNOT_TELL),  # the same runs twice: no spread, and no difference
    ("greater 2", [20, 21, 22], [20, 21, 22], CANNOT_TELL),
    ("greater", [20.1, 20.9, 22.2], [20, 21, 22], CANNOT_TELL),
    ("greater", [21, 22, 23], [20, 21, 22], SUPPORTED),  # paired: every difference is 1
    ("greater", [21, 22, 23], [22, 21, 20], CANNOT_TELL),  # the same runs, paired otherwise
    ("greater 2", [48], [19], CANNOT_TELL),
    ("greater 2", [48, 47], [19, 20], SUPPORTED),
    ("greater 2", [48, 35], [19, 20], CANNOT_TELL),
    ("greater 2", [48, None, 49], [19, 20, 21], CANNOT_TELL),
    ("greater 2", [], [], CANNOT_TELL),
    ("greater 2", [90, 90, 90], [19, 20, 21], SUPPORTED),  # all diverged: the error of chance
    ("at_most 5", [21, 22, 21], [20, 21, 20], SUPPORTED),
    ("at_most 5", [10, 11, 10], [20, 21, 20], SUPPORTED),  # better by far is at most, too
    ("at_most 5", [30, 31, 30], [20, 21, 20], NOT_SUPPORTED),
    ("at_most 5", [24, 27, 25], [20, 20, 20], CANNOT_TELL),
    ("equivalent 2", [20.5, 21.4, 22.6], [20, 21, 22], SUPPORTED),
    ("equivalent 2", [20, 21, 22], [20, 21, 22], SUPPORTED),
    ("equivalent 2", [26, 27, 28], [20, 21, 22], NOT_SUPPORTED),
    ("equivalent 2", [20, 21, 22], [26, 27, 28], NOT_SUPPORTED),
    ("equivalent 2", [22, 20, 24], [20, 21, 22], CANNOT_TELL),
    ("between 1.8 2.2", [20, 40, 60.5], [10, 20, 30], SUPPORTED),
    ("between 1.8 2.2", [30, 60, 90.5], [10, 20, 30], NOT_SUPPORTED),
    ("between 1.8 2.2", [11, 22, 33.5], [10, 20, 30], NOT_SUPPORTED),
    ("between 1.8 2.2", [10, 40, 90], [10, 20, 30], CANNOT_TELL),
    ("between 1.8 2.2", [10, 40], [0, 20], CANNOT_TELL),
]  # fmt: skip


@pytest.mark.parametrize(("text", "of", "other", "verdict"), CASES)
def test_a_comparison_is_decided(text: str, of: list[float | None], other: list[float | None], verdict: str) -> None:
    found = judge(rule(text), of, other)
    assert found.verdict == verdict
    assert re.fullmatch(r"[A-Z0-9].*\.", found.why)
    assert found.to_dict()["verdict"] == verdict


@pytest.mark.parametrize(
    ("text", "of", "other", "why"),
    [
        ("greater 2", [48, 47, 49], [19, 20, 21], "The 95 % interval of a less b is 25.52 to 30.48 points, above 2."),
        ("greater 2", [20, 20, 20], [22, 23, 24], "The 95 % interval of a less b is -5.484 to -0.5159 points, below 0: the difference goes the other way."),
        ("greater", [20, 21], [20, 21], "The 95 % interval of a less b is 0 to 0 points, which holds 0."),
        ("greater 2", [21, 21], [20, 20], "The 95 % interval of a less b is 1 to 1 points, not known to be above 2."),
        ("equivalent 2", [22, 20], [20, 21], "The 95 % interval of a less b is -18.56 to 19.56 points, partly within 2 of 0, partly not."),
        ("between 1.8 2.2", [20, 40], [10, 20], "The 95 % interval of a over b is 2 to 2, between 1.8 and 2.2."),
        ("greater", [20], [20], "One pair of runs has no spread to judge by: it takes two seeds or more."),
        ("greater", [20, None], [20, 21], "1 of 2 pairs of runs is missing."),
        ("greater", [20, None], [None, 21], "2 of 2 pairs of runs are missing."),
    ],
)  # fmt: skip
def test_why(text: str, of: list[float | None], other: list[float | None], why: str) -> None:
    assert judge(rule(text), of, other).why == why


def test_what_is_known_without_training_needs_no_seeds() -> None:
    exact = Comparison(that="doubled", measure="block_params", of="a", over="b", rule="between", low=1.8, high=2.2)
    assert judge(exact, [1941.0], [1000.0]).verdict == SUPPORTED
    assert judge(exact, [1941.0], [1000.0]).why == "A over b is exactly 1.941, between 1.8 and 2.2."
    assert judge(exact, [1500.0], [1000.0]).verdict == NOT_SUPPORTED


def test_noise_against_noise_is_rarely_called_an_effect() -> None:
    """The interval is one of 95 %: of 4,000 null studies some 2.5 % are wrong on each side, whatever the seeds."""
    draws = random.Random(0)
    for seeds in (2, 3, 5):
        noise = [[draws.gauss(20, 1) for _ in range(2 * seeds)] for _ in range(4000)]
        found = [judge(rule("greater"), runs[:seeds], runs[seeds:]).verdict for runs in noise]
        assert found.count(SUPPORTED) / 4000 == pytest.approx(0.025, abs=0.008)
        assert found.count(NOT_SUPPORTED) / 4000 == pytest.approx(0.025, abs=0.008)


def test_all_comparisons_have_to_hold() -> None:
    yes, no, open_ = (judge(rule("greater"), of, [1, 2, 3]) for of in ([9, 10, 11], [-9, -8, -7], [1, 2, 3]))
    assert overall([yes, yes]) == (SUPPORTED, "All 2 comparisons hold.")
    assert overall([yes])[0] == SUPPORTED
    assert overall([yes, open_])[0] == CANNOT_TELL
    assert overall([open_, no, yes]) == (NOT_SUPPORTED, f"a claim: {no.why[0].lower()}{no.why[1:]}")


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ({0.02: [1.0, 1.0], 0.1: [0.9, 1.0]}, 0.1),
        ({0.02: [1.0, 1.0], 0.1: [1.0, 1.0]}, 0.02),
        ({0.02: [2.0, 2.0], 0.1: [0.1, None]}, 0.02),  # a run that diverged spoils its rate
        ({0.02: [None], 0.1: [None]}, 0.02),
    ],
)
def test_the_rate_of_an_arm(losses: dict[float, list[float | None]], best: float) -> None:
    assert best_rate(losses) == best


# --- measures ----------------------------------------------------------------------------------------------

ROWS = [
    LogRow(event="train", step=20, epoch=1, accuracy=0.2, loss=2.0, images_per_s=100.0, seconds=1.0),
    LogRow(event="train", step=40, epoch=2, accuracy=0.5, loss=1.0, images_per_s=200.0, seconds=2.0),
    LogRow(event="test", step=40, epoch=2, top1=0.5),
    LogRow(event="train", step=60, epoch=3, accuracy=0.7, loss=0.5, images_per_s=200.0, seconds=3.0),
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


# --- files -------------------------------------------------------------------------------------------------


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


def planned(name: str = "null", **choice: Any) -> Plan:
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
    same = {repr(r.model_copy(update={"steps": 1, "log_every": 1})) for r in recipes.values()}
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


def of_text(folder: Path, text: str = TEXT) -> Plan:
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


# --- paired initial values ---------------------------------------------------------------------------------


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


# --- result, tables, pictures ------------------------------------------------------------------------------


def invented(p: Plan, errors: dict[str, tuple[float, ...]]) -> dict[str, dict[str, Any]]:
    """Measures of all runs: those at the first rate are 5 points worse, and lose."""
    found = {}
    for t in p.tasks(Path()):
        worse = 5.0 if t.lr != max(p.recipes) else 0.0
        e = errors[t.arm][t.seed] + worse
        measures = {"train_error": e, "train_error_eval": e + 1, "test_error": e + 2, "gap": 1.0, "loss": e / 50, "seconds": 10.0}
        found[t.name] = {"diverged": None, "measures": measures, "curve": [[20, 90.0], [40, e]], "weights_sha256": "0", "data_sha256": "1"}
    return found


DEGRADED = {
    "plain-20": (20.0, 19.5, 20.4),
    "plain-56": (48.0, 47.0, 49.1),
    "residual-20": (15.0, 14.5, 15.2),
    "residual-56": (16.1, 15.9, 16.0),
}
FACTS = Facts("resnet-dsl study degradation --quick", 2, "local", "cpu")


def document(errors: dict[str, tuple[float, ...]], **changes: Any) -> dict[str, Any]:
    p = planned("degradation", setting="quick")
    found = invented(p, errors)
    for name, change in changes.items():
        if change is None:
            del found[name]
        else:
            found[name] = {**found[name], **change}
    return json.loads(json.dumps(result(p, p.tasks(Path()), found, made(FACTS)), allow_nan=False))


def test_a_result_is_decided_on_the_best_rate() -> None:
    d = document(DEGRADED)
    assert d["verdict"] == SUPPORTED
    assert {a["name"]: a["lr"] for a in d["arms"]} == dict.fromkeys(DEGRADED, 0.1)
    assert sum(r["chosen"] for r in d["runs"]) == 12
    assert d["comparisons"][0]["pairs"] == pytest.approx([28.0, 27.5, 28.7])
    assert d["cost"] == {"runs": 24, "seconds": 240.0}
    assert "/" not in json.dumps(d["made"])


def test_the_other_verdicts() -> None:
    assert document(DEGRADED | {"plain-56": (15.0, 14.0, 16.0)})["verdict"] == NOT_SUPPORTED
    assert document(DEGRADED | {"plain-56": (15.0, 40.0, 30.0)})["verdict"] == CANNOT_TELL


def test_a_missing_run_leaves_its_arm_undecided() -> None:
    d = document(DEGRADED, **{"plain-56-lr0.02-seed1": None})
    assert d["verdict"] == CANNOT_TELL
    assert [c["verdict"] for c in d["comparisons"]] == [CANNOT_TELL, CANNOT_TELL, CANNOT_TELL, SUPPORTED]
    assert [r["name"] for r in d["runs"] if r.get("missing")] == ["plain-56-lr0.02-seed1"]
    assert "?: missing." in tables.runs_table(d).render("table")


def test_diverged_runs_count_and_are_said() -> None:
    bad = {"diverged": "the loss is nan", "measures": diverged(10, 400, None), "curve": [[20, 90.0]]}
    d = document(DEGRADED, **{f"plain-56-lr0.1-seed{s}": bad for s in range(3)})
    assert {a["name"]: a["lr"] for a in d["arms"]}["plain-56"] == 0.02
    assert d["verdict"] == SUPPORTED
    assert [row[-1] for row in tables.runs_table(d).rows].count("x") == 3


@pytest.mark.parametrize("format", ["table", "markdown", "csv"])
def test_tables(format: Any, tmp_path: Path) -> None:
    d = document(DEGRADED, **{"plain-56-lr0.02-seed1": {"diverged": "the loss is nan"}})
    parts = [tables.csv_table(d)] if format == "csv" else [tables.runs_table(d), tables.arms_table(d), tables.comparisons_table(d)]
    text = "\n".join(t.render(format) for t in parts)
    if format == "table":
        text += f"\n{tables.verdict_text(d)}"
        assert max(map(len, text.splitlines())) <= 80
    golden = Path(__file__).parent / "data" / "study" / f"tables.{format}.txt"
    if os.environ.get("RESNET_DSL_ACCEPT"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_pictures_show_every_run() -> None:
    d = document(DEGRADED, **{"residual-20-lr0.1-seed0": None})
    svg = "{http://www.w3.org/2000/svg}"
    dots = ET.fromstring(tables.dots_svg(d).encode())
    # 23 runs in each of four panels.
    circles = [c.get("fill") for c in dots.iter(f"{svg}circle")]
    assert len(circles) == 4 * 23
    # No rate is chosen for the arm that lacks a run.
    assert sum(fill != "none" for fill in circles) == 4 * 9
    curves = ET.fromstring(tables.curves_svg(d).encode())
    words = "".join(curves.itertext())
    assert all(arm in words for arm in DEGRADED)


def test_a_changed_rule_is_said() -> None:
    p = planned("null", setting="quick")
    d = result(p, p.tasks(Path()), {}, made(FACTS), rule_kept=False)
    assert "The rule was changed after runs had been made" in " ".join(tables.verdict_text(d).split())
    assert d["verdict"] == CANNOT_TELL


def test_progress_without_a_terminal() -> None:
    p = planned("null", setting="quick")
    one, two, *_ = p.tasks(Path())
    stream = io.StringIO()
    board = Board(stream, False, [one, two], {one.name: 1.0, two.name: 1.0}, 3)
    board.event(Event("began", one))
    board.event(Event("step", one, 30, 60))
    board.event(Event("again", one, text="its process was killed by SIGKILL"))
    measures = {"train_error": 20.0, "test_error": 21.0, "seconds": 61.0}
    board.outcome(Outcome(one, {"diverged": None, "measures": measures}))
    board.outcome(Outcome(two, error="disk full", exit_code=3))
    board.close()
    assert re.sub(r"\d+:\d\d left", "T left", stream.getvalue()) == (
        "one-lr0.1-seed0: its process was killed by SIGKILL; it goes on from its checkpoint\n"
        "[4/5] one-lr0.1-seed0: train error 20.0 %, test error 21.0 %, 1:01  (T left)\n"
        "[5/5] one-lr0.1-seed1: failed: disk full\n"
    )


# --- the page ----------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "studies.md").read_text()


def test_the_page_has_every_key_and_measure() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, flags=re.M))
    fields = {**Document.model_fields, **Lengths.model_fields}
    assert {k: rows[k] for k in fields} == {k: f.description for k, f in fields.items()}
    assert {m: rows[m] for m in MEASURES} == {m: f"{row.unit} | {row.about}" for m, row in MEASURES.items()}
    assert set(NEEDED) <= set(rows)


def test_the_study_on_the_page_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.M | re.S)
    (tmp_path / "mine.yaml").write_text(text)
    p = plan(read_study(str(tmp_path / "mine.yaml")), Choice("quick"))
    assert [a.name for a in p.arms] == ["plain", "residual", "wide"]
    assert len(p.tasks(Path())) == 18


# --- the command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("study degradatio", 2, "did you mean 'degradation'?"),
        ("study null --quick --long", 2, "--quick and --long exclude each other"),
        ("study null --data cifar10", 2, "its data is one of: digits, fashion-mnist"),
        ("study null -o plot.png", 2, "name a file that ends in .svg"),
        ("study null --address here", 2, "an address is for Ray"),
        ("study nothing.yaml", 2, "the file is not found"),
        ("study null --seeds 0", 2, "--seeds"),
        ("study degradation --quick --data-dir nowhere --out d", 3, "not found on this machine"),
        ("list studies", 0, ""),
    ],
)
def test_requests(
    line: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == code
    out, err = capsys.readouterr()
    assert said in err
    assert code == 2 or line.startswith("study") or all(name in out for name in shipped_studies())
