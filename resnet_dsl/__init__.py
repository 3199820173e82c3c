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
    from resnet_dsl.analysis.compare import compare
    from resnet_dsl.analysis.diff import diff
    from resnet_dsl.analysis.inspect import inspect
    from resnet_dsl.diagnostics import SpecError
    from resnet_dsl.emission.source import emit
    from resnet_dsl.graph import compile
    from resnet_dsl.language import load
    from resnet_dsl.pictures.draw import draw
    from resnet_dsl.runtime.build import build
    from resnet_dsl.training.train import train
    from resnet_dsl.verbs.lab import probe

__all__ = ["SpecError", "__version__", "build", "compare", "compile", "diff", "draw", "emit", "inspect", "load", "probe", "train"]

_HOMES = {
    "SpecError": "resnet_dsl.diagnostics",
    "build": "resnet_dsl.runtime.build",
    "compare": "resnet_dsl.analysis.compare",
    "compile": "resnet_dsl.graph",
    "diff": "resnet_dsl.analysis.diff",
    "draw": "resnet_dsl.pictures.draw",
    "emit": "resnet_dsl.emission.source",
    "inspect": "resnet_dsl.analysis.inspect",
    "load": "resnet_dsl.language",
    "probe": "resnet_dsl.verbs.lab",
    "train": "resnet_dsl.training.train",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'resnet_dsl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
