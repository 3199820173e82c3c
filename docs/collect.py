"""Runs the experiments that docs/findings.md tells of, and keeps their results in docs/findings/: `python docs/collect.py [NAME...]`.

Without names all are run, with names those that match (`gradients_*`). Runs lie in build/findings/, and what is finished there is
not trained again. Then: `python docs/findings.py > docs/findings.md`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "findings"
WORK = HERE.parent / "build" / "findings"


@dataclass(frozen=True)
class Experiment:
    """A command whose JSON is kept as NAME.json, and its picture as NAME.svg. With {seed} in it, it is run for each of `seeds`."""

    name: str
    command: str
    seeds: int = 1


def _study(name: str) -> Experiment:
    return Experiment(name, f"study {name} --quick --out {name}")


def _probe(name: str, command: str, seeds: int = 3) -> Experiment:
    return Experiment(name, f"probe {command}{' --seed {seed}' if seeds > 1 else ''}", seeds)


def _trained(name: str, probe: str, arm: str, options: str = "") -> Experiment:
    """A probe of the runs that the study `degradation` leaves."""
    return Experiment(name, f"probe {probe} degradation/runs/{arm}-lr0.02-seed{{seed}}{options}", 3)


class Failed(Exception):
    """A command that did not succeed."""


EXPERIMENTS = (
    # Counted, exactly.
    Experiment("options", "compare resnet34 --vary shortcut=none,A,B,C"),
    Experiment("basic_34", "inspect resnet34 --by block"),
    Experiment("bottleneck_identity", "inspect resnet50 --by block"),
    Experiment("bottleneck_projection", "inspect resnet50 --set shortcut=C --by block"),
    Experiment("plain_34", "inspect plain34 --by block"),
    # Many runs.
    *map(_study, ("degradation", "early", "depth", "shortcuts", "span", "bottleneck", "order", "norm", "null")),
    # Initial weights, three seeds.
    _probe("signals_plain", "signals plain56-fmnist"),
    _probe("signals_plain_no_norm", "signals plain56-fmnist --set norm=none"),
    _probe("signals_residual", "signals resnet56-fmnist"),
    _probe("signals_residual_no_norm", "signals resnet56-fmnist --set norm=none"),
    _probe("gradients_plain", "gradients plain56-fmnist"),
    _probe("gradients_plain_no_norm", "gradients plain56-fmnist --set norm=none"),
    _probe("gradients_residual", "gradients resnet56-fmnist"),
    _probe("gradients_plain_steps", "gradients plain56-digits --steps 0,1,3,10,30,100"),
    _probe("gradients_residual_steps", "gradients resnet56-digits --steps 0,1,3,10,30,100"),
    _probe("shattering_plain_20", "shattering plain20-fmnist"),
    _probe("shattering_plain_56", "shattering plain56-fmnist"),
    _probe("shattering_plain_56_no_norm", "shattering plain56-fmnist --set norm=none"),
    _probe("shattering_residual_20", "shattering resnet20-fmnist"),
    _probe("shattering_residual_56", "shattering resnet56-fmnist"),
    _probe("identity_residual", "identity resnet20-fmnist", 1),
    _probe("identity_projections", "identity resnet20-fmnist --set shortcut=C", 1),
    _probe("identity_preact", "identity resnet20-fmnist --set block=preact_basic", 1),
    _probe("highway_post", "highway resnet56-fmnist"),
    _probe("highway_pre", "highway resnet56-fmnist --set block=preact_basic"),
    _probe("highway_projections", "highway resnet56-fmnist --set shortcut=C"),
    Experiment("target", "probe target --report distance --condition"),
    # Short trainings of their own.
    _probe("gates", "gates resnet20-digits --set merge=highway --steps 0,150"),
    # Networks that the study of degradation has trained.
    _trained("embed", "embed", "plain-20", " --into degradation/specs/plain-56.yaml --updates 100"),
    _trained("lesion_plain_20", "lesion", "plain-20"),
    _trained("lesion_residual_20", "lesion", "residual-20"),
    _trained("lesion_residual_56", "lesion", "residual-56"),
    _trained("paths", "paths", "residual-56"),
    _trained("responses_plain_20", "responses", "plain-20"),
    _trained("responses_residual_20", "responses", "residual-20"),
    _trained("responses_residual_56", "responses", "residual-56"),
    _trained("padded", "responses", "residual-20", " --channels padded"),
    _trained("lipschitz_20", "responses", "residual-20", " --lipschitz"),
    _trained("lipschitz_56", "responses", "residual-56", " --lipschitz"),
    _trained("landscape_plain_56", "landscape", "plain-56"),
    _trained("landscape_residual_56", "landscape", "residual-56"),
)


def main(wanted: Sequence[str]) -> None:
    """Run what matches one of the names, or everything, in the table's order."""
    chosen = [e for e in EXPERIMENTS if not wanted or any(fnmatchcase(e.name, w) for w in wanted)]
    if not chosen:
        raise SystemExit(f"no experiment matches {' '.join(wanted)}; there are: {' '.join(e.name for e in EXPERIMENTS)}")
    WORK.mkdir(parents=True, exist_ok=True)
    KEPT.mkdir(exist_ok=True)
    failed = []
    for i, experiment in enumerate(chosen, 1):
        print(f"[{i}/{len(chosen)}] resnet-dsl {experiment.command}", file=sys.stderr, flush=True)
        try:
            keep(experiment)
        except Failed as e:
            failed.append(str(e))
    if failed:
        raise SystemExit("\n".join(["these failed, and what was kept of them before stays:", *failed]))
    if not wanted:
        known = {e.name for e in EXPERIMENTS}
        for path in KEPT.iterdir():
            if path.name.partition(".")[0] not in known:
                path.unlink()


def keep(experiment: Experiment) -> None:
    """Run one, and keep its result and its picture."""
    picture = KEPT / f"{experiment.name}.svg"
    began = time.monotonic()
    documents = [run(experiment.command.format(seed=seed), picture if seed == 0 else None) for seed in range(experiment.seeds)]
    record = {
        "command": f"resnet-dsl {experiment.command}",
        "seeds": experiment.seeds,
        "seconds": seconds(documents, time.monotonic() - began),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"resnet-dsl": version("resnet-dsl"), "python": platform.python_version(), "torch": version("torch")},
        # The tables of further seeds say nothing that their figures do not.
        "documents": [documents[0], *({k: v for k, v in d.items() if k != "rows"} for d in documents[1:])],
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    # A list of numbers on one line: curves are long.
    text = re.sub(r"\[\s+(-?\d[-+\deE.,\s]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    (KEPT / f"{experiment.name}.json").write_text(text + "\n", encoding="utf-8")


def run(command: str, picture: Path | None) -> Any:
    """The JSON document of a command line. `picture` is where its picture goes, if it draws one."""
    words = shlex.split(command)
    drawn = WORK / "picture.svg"
    drawn.unlink(missing_ok=True)
    draws = picture is not None and words[0] in ("probe", "study") and words[1] != "identity"
    line = [sys.executable, "-m", "resnet_dsl", *words, "--format", "json", *(["-o", drawn.name] if draws else [])]
    done = subprocess.run(line, cwd=WORK, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"resnet-dsl {command}: exit code {done.returncode}")
    if picture is not None and drawn.exists():
        shutil.copyfile(drawn, picture)
    if words[0] == "study":
        shutil.copyfile(WORK / words[-1] / "curves.svg", KEPT / f"{words[-1]}.curves.svg")
    return json.loads(done.stdout)


def seconds(documents: Sequence[Any], wall: float) -> float:
    """What an experiment took: a study tells itself, since runs that were finished before are not repeated."""
    told = [d["cost"]["seconds"] for d in documents if isinstance(d, dict) and "cost" in d]
    return round(sum(told) if told else wall, 1)


if __name__ == "__main__":
    main(sys.argv[1:])
