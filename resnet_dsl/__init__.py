"""Residual networks from short YAML specs: `load`, `compile`, `inspect`, `compare`, `draw`, `emit`, `build`, `train`.

    import resnet_dsl as rd
    graph = rd.compile(rd.load("resnet50", {"shortcut": "C"}))
    print(rd.inspect(graph))
    model = rd.build(graph)

A name is imported when it is first used, so `import resnet_dsl` costs nothing and only `build` and `train` need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from resnet_dsl.version import __version__

if TYPE_CHECKING:
    from resnet_dsl.diagnostics import SpecError
    from resnet_dsl.verbs.lab import probe, study
    from resnet_dsl.verbs.language import check, explain, format, recover
    from resnet_dsl.verbs.modules import bench, build
    from resnet_dsl.verbs.networks import compare, compile, diff, draw, emit, fit, inspect, lint
    from resnet_dsl.verbs.paths import paths
    from resnet_dsl.verbs.seeds import train_seeds
    from resnet_dsl.verbs.targets import load
    from resnet_dsl.verbs.trained import open
    from resnet_dsl.verbs.training import Interrupted, find_lr, rehearse, run, runs, train
    from resnet_dsl.verbs.using import evaluate, export, predict, transfer, verify

__all__ = [
    "Interrupted",
    "SpecError",
    "__version__",
    "bench",
    "build",
    "check",
    "compare",
    "compile",
    "diff",
    "draw",
    "emit",
    "evaluate",
    "explain",
    "export",
    "find_lr",
    "fit",
    "format",
    "inspect",
    "lint",
    "load",
    "open",
    "paths",
    "predict",
    "probe",
    "recover",
    "rehearse",
    "run",
    "runs",
    "study",
    "train",
    "train_seeds",
    "transfer",
    "verify",
]

_HOMES = {
    "Interrupted": "resnet_dsl.records.errors",
    "SpecError": "resnet_dsl.diagnostics",
    "bench": "resnet_dsl.verbs.modules",
    "build": "resnet_dsl.verbs.modules",
    "check": "resnet_dsl.verbs.language",
    "compare": "resnet_dsl.verbs.networks",
    "compile": "resnet_dsl.verbs.networks",
    "diff": "resnet_dsl.verbs.networks",
    "draw": "resnet_dsl.verbs.networks",
    "emit": "resnet_dsl.verbs.networks",
    "evaluate": "resnet_dsl.verbs.using",
    "explain": "resnet_dsl.verbs.language",
    "export": "resnet_dsl.verbs.using",
    "find_lr": "resnet_dsl.verbs.training",
    "fit": "resnet_dsl.verbs.networks",
    "format": "resnet_dsl.verbs.language",
    "inspect": "resnet_dsl.verbs.networks",
    "lint": "resnet_dsl.verbs.networks",
    "load": "resnet_dsl.verbs.targets",
    "open": "resnet_dsl.verbs.trained",
    "paths": "resnet_dsl.verbs.paths",
    "predict": "resnet_dsl.verbs.using",
    "probe": "resnet_dsl.verbs.lab",
    "recover": "resnet_dsl.verbs.language",
    "rehearse": "resnet_dsl.verbs.training",
    "run": "resnet_dsl.verbs.training",
    "runs": "resnet_dsl.verbs.training",
    "study": "resnet_dsl.verbs.lab",
    "train": "resnet_dsl.verbs.training",
    "train_seeds": "resnet_dsl.verbs.seeds",
    "transfer": "resnet_dsl.verbs.using",
    "verify": "resnet_dsl.verbs.using",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'resnet_dsl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
