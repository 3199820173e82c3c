"""Writes docs/findings.md to standard output from docs/findings/*.json alone: `python docs/findings.py > docs/findings.md`.

The claims are in docs/claims.yaml; the results are made by docs/collect.py. No figure stands in the page without the run that made it.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as checked

from resnet_dsl.lab.study.records import CANNOT_TELL, NOT_SUPPORTED, SUPPORTED, StudyDocument
from resnet_dsl.lab.study.tables import arms_table, comparisons_table
from resnet_dsl.table import Column, Table, duration

HERE = Path(__file__).parent
KEPT = HERE / "findings"
NOTES = {"000": "notes/000-assignment.md", "001": "notes/001-reading-the-paper.md", "002": "notes/002-questions.md"}
IN_PART = "supported in part"
STRICT = ConfigDict(extra="forbid")


@checked(frozen=True, config=STRICT)
class Quote:
    """Words of a note, and where in it they stand."""

    note: Literal["000", "001", "002"]
    place: str
    text: str


@checked(frozen=True, config=STRICT)
class Claim:
    """A claim, the experiments that were run for it, what decides it, and what there is to say; see claims.yaml."""

    key: str
    title: str
    quotes: tuple[Quote, ...]
    runs: tuple[str, ...]
    decided: tuple[str, ...]
    figures: str
    why: str
    study: str = ""
    open: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    table: Literal["", "arms", "rows"] = ""
    answers: Mapping[str, str] | None = None


@checked(frozen=True, config=STRICT)
class Contradiction:
    """Words of the notes that cannot both be the whole truth, the claims that bear on it, and what the notes overlook."""

    title: str
    sides: tuple[Quote, ...]
    claims: tuple[str, ...]
    text: str


@checked(frozen=True, config=STRICT)
class Untested:
    """What no experiment here decides, and why."""

    what: str
    why: str


@checked(frozen=True, config=STRICT)
class Said:
    """What claims.yaml holds."""

    sections: Mapping[str, tuple[Claim, ...]]
    questions: tuple[Claim, ...]
    contradictions: tuple[Contradiction, ...]
    untested: tuple[Untested, ...]


SAID: Said = TypeAdapter(Said).validate_python(yaml.safe_load((HERE / "claims.yaml").read_text(encoding="utf-8")))
CLAIMS = tuple(c for claims in SAID.sections.values() for c in claims)
EVERY = (*CLAIMS, *SAID.questions)


class Missing(Exception):
    """An experiment whose result is not kept."""


@dataclass(frozen=True)
class Results:
    """Every record that is kept, and its figures as names, once for each seed."""

    records: Mapping[str, Any]
    names: Mapping[str, Sequence[SimpleNamespace]]

    @staticmethod
    def read(folder: Path) -> Results:
        """Those of a folder."""
        records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
        return Results(records, {name: figures(record["documents"]) for name, record in records.items()})

    def values(self, expression: str) -> list[Any]:
        """An expression's value for each seed. Raises Missing; a name that a result lacks is a mistake of the table of claims."""
        code = compile(expression, expression, "eval")
        used = [name for name in code.co_names if name in self.names]
        seeds = max((len(self.names[name]) for name in used), default=1)
        if not used or any(len(self.names[name]) not in (1, seeds) for name in used):
            raise Missing(expression)
        spaces = [{name: self.names[name][seed % len(self.names[name])] for name in used} for seed in range(seeds)]
        return [eval(code, {"__builtins__": {}, "abs": abs, "log": math.log, **space}) for space in spaces]

    def holds(self, rule: str) -> bool:
        """Does a rule hold, for every seed?"""
        return all(self.values(rule))

    def fill(self, text: str) -> str:
        """A text with its {expression:format} as mean, and least and most where seeds differ."""
        return re.sub(r"\{([^{}:]+)(?::([^{}]*))?\}", lambda m: shown(self.values(m[1]), m[2] or ""), text)


def figures(documents: Sequence[Any]) -> list[SimpleNamespace]:
    """The numbers of a result by name, for each seed."""
    first = documents[0]
    if isinstance(first, list):  # compare
        return [_space({network["label"]: network for network in first})]
    if "study" in first:
        return [_of_seed(first, seed) for seed in range(first["seeds"])]
    if "blocks" in first and "probe" not in first:  # inspect --by block
        return [_space({"net": first} | {row["path"]: row for row in first["blocks"]})]
    rows = {_key(row): row for row in first.get("rows", ())}
    return [_space(d["figures"] | {"rows": rows}) for d in documents]


def _of_seed(study: Mapping[str, Any], seed: int) -> SimpleNamespace:
    arms = {arm["name"]: {k: v for k, v in arm.items() if k != "measures"} for arm in study["arms"]}
    for run in study["runs"]:
        if run["chosen"] and run["seed"] == seed:
            arms[run["arm"]] |= run.get("measures", {})
    return _space({"steps": study["steps"]} | arms)


def _key(row: Mapping[str, Any]) -> str:
    """The words that a row begins with."""
    words = []
    for value in row.values():
        if not isinstance(value, str):
            break
        words.append(value)
    return " ".join(words)


def _space(values: Mapping[str, Any]) -> SimpleNamespace:
    """Attributes out of a mapping; null is a number that is not finite."""
    found = {}
    for key, value in values.items():
        named = re.sub(r"\W", "_", key)
        found[named] = _space(value) if isinstance(value, dict) else math.nan if value is None else value
    return SimpleNamespace(**found)


def shown(values: Sequence[Any], form: str) -> str:
    """What a reader sees of a figure over seeds."""
    if any(not math.isfinite(v) for v in values):
        return "not finite"
    # -0.00 is 0.00.
    mean, least, most = (re.sub(r"^-(?=[0.]*%?$)", "", format(f(values), form)) for f in (_mean, min, max))
    return mean if least == most else f"{mean} ({least} to {most})"


def _mean(values: Sequence[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else statistics.fmean(values)


def verdict(claim: Claim, results: Results) -> str:
    """What the results say of a claim. Raises Missing."""
    require(claim, results)
    if claim.study:
        found = {c["that"]: c["verdict"] for c in results.records[claim.study]["documents"][0]["comparisons"]}
        said = [found[that] for that in claim.decided]
        return next((v for v in (NOT_SUPPORTED, CANNOT_TELL) if v in said), SUPPORTED)
    if any(any(results.values(rule)) for rule in claim.open):
        return CANNOT_TELL
    held = [results.holds(rule) for rule in claim.decided]
    return SUPPORTED if all(held) else IN_PART if any(held) else NOT_SUPPORTED


def require(claim: Claim, results: Results) -> None:
    """Raises Missing where an experiment of a claim is not kept."""
    for name in claim.runs:
        if name not in results.records:
            raise Missing(name)


def page(results: Results) -> Iterator[str]:
    """The lines of findings.md."""
    there, missing = split(results)
    yield from head(results)
    yield from summary([c for c in CLAIMS if c in there], results)
    yield from questions(results)
    yield from contradictions(results)
    for title, claims in SAID.sections.items():
        told = [c for c in claims if c in there]
        if told:
            yield f"\n## {title}"
        for claim in told:
            yield from section(claim, results)
    yield from limits()
    yield from untested(missing)
    yield from runs(results)


def split(results: Results) -> tuple[list[Claim], list[Claim]]:
    """The claims whose experiments are kept, and the others."""
    there = [c for c in EVERY if all(name in results.records for name in c.runs)]
    return there, [c for c in EVERY if c not in there]


def head(results: Results) -> Iterator[str]:
    """What this is, and what it was made with."""
    seconds = sum(r["seconds"] for r in results.records.values())
    made = sorted({(*r["versions"].items(), ("cores", r["cores"])) for r in results.records.values()})
    yield "# Findings"
    yield ""
    yield "What [the notes](notes/README.md) claim about residual networks, held against experiments. Written by `python docs/findings.py > docs/findings.md` from the results in `docs/findings/`; `make findings` makes both anew."
    yield ""
    yield (
        "A claim is decided by a rule that stands beside it; the rules were written before the runs kept here, with the figures of small trials "
        "at hand. Studies judge by the 95 % interval over seeds, paired ([studies](studies.md)), and say *cannot tell at this budget* where it "
        "leaves both open. A rule over the figures of a probe ([the lab](lab.md)) has to hold for every seed; where some of a claim's rules hold "
        "it is *supported in part*. Figures are means over the seeds, with the least and the most in brackets. What they mean is said apart "
        "from them, with its source."
    )
    yield ""
    yield f"{len(results.records)} experiments, {duration(seconds)} of computing in all. Made with " + "; ".join(
        ", ".join(f"{name} {value}" for name, value in m[:-1]) + f", {m[-1][1]} cores" for m in made
    ) + "."  # fmt: skip
    if "null" in results.records:
        found = results.records["null"]["documents"][0]
        yield f"\nThe method on a network against itself, which it must not tell apart (`{results.records['null']['command']}`): {found['verdict']}."


def summary(claims: Sequence[Claim], results: Results) -> Iterator[str]:
    """One line for each claim."""
    yield "\n## In short\n"
    yield "| claim | notes | verdict |\n|---|---|---|"
    for claim in claims:
        notes = ", ".join(dict.fromkeys(q.note for q in claim.quotes))
        yield f"| [{claim.title}](#{anchor(claim.title)}) | {notes} | {verdict(claim, results)} |"


def questions(results: Results) -> Iterator[str]:
    """The questions of note 002, answered."""
    there, _ = split(results)
    if not any(c in there for c in SAID.questions):
        return
    yield "\n## The questions of note 002"
    for claim in SAID.questions:
        if claim in there:
            yield from section(claim, results)


def contradictions(results: Results) -> Iterator[str]:
    """Where the notes say different things, with what was found of each."""
    by_key = {c.key: c for c in EVERY}
    there, _ = split(results)
    yield "\n## Where the notes contradict each other"
    for found in SAID.contradictions:
        yield f"\n### {found.title}\n"
        for side in found.sides:
            yield from quotation(side)
        yield found.text
        told = [by_key[key] for key in found.claims if by_key[key] in there]
        if told:
            yield "\nFound: " + "; ".join(f"[{lower(c.title)}](#{anchor(c.title)}): {verdict(c, results)}" for c in told) + "."


def section(claim: Claim, results: Results) -> Iterator[str]:
    """A claim, quoted, with its verdict, figures, meaning, pictures and commands."""
    yield f"\n### {claim.title}\n"
    for quote in claim.quotes:
        yield from quotation(quote)
    found = verdict(claim, results)
    yield (
        f"**{claim.answers[found]}** {results.fill(claim.figures)}"
        if claim.answers
        else f"**{found.capitalize()}.** {results.fill(claim.figures)}"
    )
    yield ""
    yield results.fill(claim.why)
    if claim.table == "arms":
        document = results.records[claim.study]["documents"][0]
        found_by_study = StudyDocument.model_validate(document)
        for table in (arms_table(found_by_study), comparisons_table(found_by_study)):
            yield "\n" + replace(table, title="", notes=()).render("markdown").rstrip()
        if not document["rule_fixed_beforehand"]:
            yield "\nThe rule was changed after runs had been made, so this is no test of the claim."
    elif claim.table == "rows":
        yield "\n" + rows(results.records[claim.runs[0]]["documents"][0]).rstrip()
    for picture in claim.pictures:
        if (KEPT / picture).is_file():
            yield f"\n![{claim.title}: {picture.partition('.')[0].replace('_', ' ')}](findings/{picture})"
    decided = "; ".join(claim.decided if claim.study else (f"`{rule}`" for rule in claim.decided))
    undecided = "; ".join(f"`{rule}`" for rule in claim.open)
    yield f"\nDecided by the {'comparisons' if claim.study else 'rules'}: {decided}{f'; open where {undecided}' if undecided else ''}."
    yield "Runs: " + "; ".join(command(name, results) for name in claim.runs) + "."


def quotation(quote: Quote) -> Iterator[str]:
    """Words of a note, and where they stand."""
    yield f"> {quote.text}"
    yield f"> ([{quote.note}]({NOTES[quote.note]}), {quote.place})\n"


def rows(document: Mapping[str, Any]) -> str:
    """The table of a probe, as Markdown."""
    first = document["rows"][0]
    columns = tuple(
        Column(k, k.replace("_", " "), lambda v: v if isinstance(v, str) else f"{v:.3g}", not isinstance(first[k], str)) for k in first
    )
    return Table(columns, [list(row.values()) for row in document["rows"]]).render("markdown")


def command(name: str, results: Results) -> str:
    """How an experiment is run, and what it takes."""
    record = results.records[name]
    seeds = f", N from 0 to {record['seeds'] - 1}" if record["seeds"] > 1 else ""
    return f"`{record['command'].replace('{seed}', 'N')}`{seeds}"


def limits() -> Iterator[str]:
    """What none of this can show."""
    yield """
## What the small scale cannot show

- **Sizes of effects.** Widths of 8 to 32, grey images of 28x28, some hundred steps, three seeds. The sign of an effect carries over to the paper's networks as far as theory says so; its size does not, and no figure here is comparable with one of the paper.
- **Gains from depth.** That a deeper residual network becomes *better* than a shallower one takes tens of epochs. "No degradation" is all that a short study can say.
- **Where curves end.** Rates are constant, nothing is annealed: a network that learns more slowly cannot be told from one that ends worse. The paper's answer is that three times the steps do not repair a plain network.
- **Small differences.** With three seeds an interval is about five standard errors wide. Differences such as those between options A, B and C in the paper, below one point, are out of reach.
- **Batch norm's scale.** It begins at 1 and hardly moves in some hundred steps, so everything that lives on it (small responses, blocks near the identity, flat minima) shows weakly or not at all.
- **Other data and losses.** One data set of clothes and one of digits.
"""


def untested(missing: Sequence[Claim]) -> Iterator[str]:
    """What was not run, and why."""
    yield "## Not tested\n"
    yield "| what | why not |\n|---|---|"
    for row in SAID.untested:
        yield f"| {row.what} | {row.why} |"
    for claim in missing:
        yield f"| {claim.title} | Its runs have not been made yet: {', '.join(claim.runs)}. |"


def runs(results: Results) -> Iterator[str]:
    """Every experiment that is kept."""
    yield "\n## Runs\n"
    yield "Each command was run in one folder, so that probes find the runs of studies; {seed} stands for 0, 1, ... Seconds are those of this machine while it did other things too, and of studies the sum over their runs.\n"
    yield "| result | command | seeds | seconds |\n|---|---|---:|---:|"
    for name, record in results.records.items():
        document = record["documents"][0]
        seeds = document["seeds"] if isinstance(document, dict) and "study" in document else record["seeds"]
        yield f"| [{name}](findings/{name}.json) | `{record['command']}` | {seeds} | {record['seconds']:,.0f} |"


def anchor(title: str) -> str:
    """The name that a page gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def lower(title: str) -> str:
    """A title within a sentence."""
    return title if re.match(r"[A-Z]{2}", title) else title[:1].lower() + title[1:]


if __name__ == "__main__":
    print("\n".join(page(Results.read(KEPT))))
