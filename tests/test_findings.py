"""The findings: the page is what the results say, the results are those of the commands, and quotes are the notes' own words."""

from __future__ import annotations

import json
import math
import re
import shlex
import socket
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from resnet_dsl.cli.app import PROGRAM
from resnet_dsl.cli.groups import parse

DOCS = Path(__file__).parent.parent / "docs"


def script(name: str) -> ModuleType:
    """A script of docs/, imported as the scripts import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        return __import__(name)


FINDINGS, COLLECT = script("findings"), script("collect")
RESULTS = FINDINGS.Results.read(FINDINGS.KEPT)
STALE = "python docs/findings.py > docs/findings.md"


def test_the_page_is_written_from_the_results() -> None:
    assert (DOCS / "findings.md").read_text(encoding="utf-8") == "\n".join(FINDINGS.page(RESULTS)) + "\n", STALE


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("note", FINDINGS.NOTES)
def test_quotes_are_the_note_s_own_words(note: str) -> None:
    own = squeezed((DOCS / FINDINGS.NOTES[note]).read_text(encoding="utf-8"))
    quotes = [q for c in FINDINGS.EVERY for q in c.quotes] + [q for c in FINDINGS.SAID.contradictions for q in c.sides]
    told = [q.text for q in quotes if q.note == note]
    assert told
    assert [text for text in told if squeezed(text) not in own] == []


def test_claims_speak_of_experiments_that_there_are() -> None:
    known = {e.name: e for e in COLLECT.EXPERIMENTS}
    assert len(known) == len(COLLECT.EXPERIMENTS)
    assert {name for c in FINDINGS.EVERY for name in c.runs} <= set(known)
    assert {c.study for c in FINDINGS.EVERY} - {""} <= set(known)
    keys = [c.key for c in FINDINGS.EVERY]
    assert len(set(keys)) == len(keys)
    assert {key for c in FINDINGS.SAID.contradictions for key in c.claims} <= set(keys)
    assert all(
        c.answers is None or set(c.answers) == {FINDINGS.SUPPORTED, FINDINGS.NOT_SUPPORTED, FINDINGS.IN_PART} for c in FINDINGS.EVERY
    )
    for claim in FINDINGS.EVERY:
        rules = () if claim.study else (*claim.decided, *claim.open)
        assert {n for rule in rules for n in re.findall(r"\b(\w+)\.(?=[a-z])", rule) if n in known} <= set(claim.runs), claim.key
        used = {n for text in (claim.figures, claim.why) for n in re.findall(r"\{(?:[\d* (]*)(\w+)\.", text)}
        assert used <= set(claim.runs), claim.key


def test_comparisons_are_those_of_the_studies() -> None:
    from resnet_dsl.lab.study.reading import read_study

    for claim in FINDINGS.EVERY:
        if claim.study:
            assert set(claim.decided) <= {c.that for c in read_study(claim.study).says.decide}, claim.key


@pytest.mark.parametrize("experiment", COLLECT.EXPERIMENTS, ids=lambda e: e.name)
def test_the_commands_are_commands(experiment: Any) -> None:
    """Every word is parsed; nothing is run."""
    parse(PROGRAM, "resnet-dsl", shlex.split(experiment.command.format(seed=0)))


@pytest.mark.parametrize("name", sorted(RESULTS.records))
def test_a_result_is_that_of_its_command_and_says_nothing_of_the_machine(name: str) -> None:
    (experiment,) = (e for e in COLLECT.EXPERIMENTS if e.name == name)
    record = RESULTS.records[name]
    assert (record["command"], record["seeds"]) == (f"resnet-dsl {experiment.command}", experiment.seeds)
    assert len(record["documents"]) == experiment.seeds
    assert set(record["versions"]) == {"resnet-dsl", "python", "torch"} and record["cores"] > 0 and record["seconds"] > 0
    text = (FINDINGS.KEPT / f"{name}.json").read_text(encoding="utf-8")
    assert re.findall(r"(?:^|[\s\"'=:(,])(/[\w.-]+/?[\w.-]*)", text) == []
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    assert len(text) < 120_000


def test_nothing_is_kept_that_no_experiment_makes() -> None:
    known = {e.name for e in COLLECT.EXPERIMENTS}
    assert [p.name for p in FINDINGS.KEPT.iterdir() if p.name.partition(".")[0] not in known or p.suffix not in (".json", ".svg")] == []


def test_what_was_not_run_is_told() -> None:
    _, missing = FINDINGS.split(RESULTS)
    rest = (DOCS / "findings.md").read_text(encoding="utf-8").partition("## Not tested")[2]
    assert all(f"| {claim.title} | Its runs have not been made yet" in rest for claim in missing)


# --- the machinery, on invented results ---


def probe(*values: float | None) -> dict[str, Any]:
    return {"documents": [{"probe": "p", "figures": {"f": v, "g": 2.0}, "rows": [{"a": "x-y", "b": "z", "n": 7.5}]} for v in values]}


def study(*verdicts: str) -> dict[str, Any]:
    runs = [
        {"arm": "a-1", "seed": seed, "chosen": lr == 0.1, "measures": {"train_error": 10 * seed + lr}}
        for seed in (0, 1)
        for lr in (0.02, 0.1)
    ]
    document = {
        "study": "s",
        "seeds": 2,
        "steps": 400,
        "arms": [{"name": "a-1", "params": 5, "measures": {"train_error": {"mean": 99}}}],
        "runs": runs,
        "comparisons": [{"that": f"c{i}", "verdict": v} for i, v in enumerate(verdicts)],
    }
    return {"documents": [document]}


def results(**records: Any) -> Any:
    return FINDINGS.Results(records, {name: FINDINGS.figures(r["documents"]) for name, r in records.items()})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{p.f:.1f}", "2.0 (1.0 to 3.0)"),
        ("{p.g:g} {q.f:,.0f}", "2 1,234"),
        ("{p.f / p.g:.2f} of {p.rows.x_y_z.n}", "1.00 (0.50 to 1.50) of 7.5"),
        ("{q.f - p.f:,.0f}", "1,232 (1,231 to 1,233)"),
        ("{s.a_1.train_error:.1f} {s.a_1.params} {s.steps}", "5.1 (0.1 to 10.1) 5 400"),
        ("{n.f:.3f}", "not finite"),
        ("{z.f:.2f} {z.f:.0%} {z.f:.3f}", "0.00 0% -0.001"),
        ("{c.shortcut_A.params:,} {i.net.params} {i.layer1_1_2.macs}", "1,000 9 8"),
    ],
)
def test_figures_in_texts(text: str, filled: str) -> None:
    compared = {"documents": [[{"label": "shortcut=none", "params": 7}, {"label": "shortcut=A", "params": 1000}]]}
    inspected = {"documents": [{"params": 9, "blocks": [{"path": "layer1.1-2", "macs": 8}]}]}
    found = results(p=probe(1.0, 3.0), q=probe(1234.0), s=study(), n=probe(None), z=probe(-0.001), c=compared, i=inspected)
    assert found.fill(text) == filled


def test_a_name_that_a_result_lacks_is_a_mistake() -> None:
    found = results(p=probe(1.0), q=probe(1.0, 2.0), r=probe(1.0, 2.0, 3.0))
    with pytest.raises(AttributeError):
        found.fill("{p.h}")
    with pytest.raises(FINDINGS.Missing):
        found.fill("{other.f}")
    with pytest.raises(FINDINGS.Missing):
        found.fill("{q.f + r.f}")


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (("p.f > 0", "p.g == 2"), FINDINGS.SUPPORTED),
        (("p.f > 2", "p.g == 2"), FINDINGS.IN_PART),  # for every seed, and one has 1
        (("p.f > 2",), FINDINGS.NOT_SUPPORTED),
        (("0.5 < p.f < 4", "abs(log(p.g)) < 1"), FINDINGS.SUPPORTED),
        (("n.f > 0 or n.f <= 0",), FINDINGS.NOT_SUPPORTED),  # what is not finite fulfils no rule
    ],
)
def test_verdicts_by_rules(rules: tuple[str, ...], verdict: str) -> None:
    found = results(p=probe(1.0, 3.0), n=probe(None))
    claim = FINDINGS.Claim("k", "t", (), ("p",), rules, "", "")
    assert FINDINGS.verdict(claim, found) == verdict
    assert FINDINGS.verdict(replace(claim, open=("p.f == 2",)), found) == verdict
    # For one seed nothing can be told.
    assert FINDINGS.verdict(replace(claim, open=("p.f == 3",)), found) == "cannot tell at this budget"


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (("supported", "supported"), "supported"),
        (("supported", "cannot tell at this budget"), "cannot tell at this budget"),
        (("cannot tell at this budget", "not supported"), "not supported"),
        (("supported", "supported", "not supported"), "supported"),  # the third is another claim's
    ],
)
def test_verdicts_of_studies(verdicts: tuple[str, ...], verdict: str) -> None:
    claim = FINDINGS.Claim("k", "t", (), ("s",), ("c0", "c1"), "", "", study="s")
    assert FINDINGS.verdict(claim, results(s=study(*verdicts))) == verdict
    with pytest.raises(FINDINGS.Missing):
        FINDINGS.verdict(claim, results(p=probe(1.0)))


def test_a_result_is_kept_as_its_command_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COLLECT, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(COLLECT, "WORK", tmp_path / "work")
    monkeypatch.setattr(COLLECT, "EXPERIMENTS", (COLLECT.Experiment("small", "compare resnet20 --vary shortcut=none,A"),))
    COLLECT.main(["small"])
    record = json.loads((tmp_path / "kept" / "small.json").read_text())
    assert [n["params"] for n in record["documents"][0]] == [269722, 269722]
    assert math.isclose(record["seconds"], record["seconds"]) and record["command"] == "resnet-dsl compare resnet20 --vary shortcut=none,A"
    with pytest.raises(SystemExit, match="no experiment matches large; there are: small"):
        COLLECT.main(["large"])


def test_one_that_fails_does_not_keep_the_others_from_being_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COLLECT, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(COLLECT, "WORK", tmp_path / "work")
    experiments = (COLLECT.Experiment("wrong", "inspect nothing"), COLLECT.Experiment("right", "inspect resnet20"))
    monkeypatch.setattr(COLLECT, "EXPERIMENTS", experiments)
    with pytest.raises(SystemExit, match="resnet-dsl inspect nothing: exit code 2"):
        COLLECT.main([])
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["right.json"]
