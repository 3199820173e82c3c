"""Graph to `nn.Module`: checked as a networkx graph, emitted as source in the order found there, and executed once."""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from resnet_dsl.analysis.adaptation import PLAIN, Adaptation
from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import Graph
from resnet_dsl.graph.folding import fold
from resnet_dsl.graph.network import checked
from resnet_dsl.graph.outputs import select
from resnet_dsl.graph.tensors import tensors as tensors_of
from resnet_dsl.runtime.fitting import FittedWeights, fitted
from resnet_dsl.runtime.weights import load as load_weights


def build(
    graph: Graph,
    *,
    seed: int | None = None,
    weights: Path | str | None = None,
    outputs: str | Iterable[str] = (),
    adapt: Adaptation = PLAIN,
    tell: Callable[[str], object] = lambda text: None,
) -> nn.Module:
    """The module of a graph: see `verbs.modules.build`. Raises SpecError."""
    if weights is None:
        return _made(select(graph, outputs), seed)
    file = Path(weights)
    artifact = load_weights(file, adapt.key)
    whole = fold(graph) if artifact.folded else graph
    graph = select(whole, outputs)
    found = fitted(whole, artifact.tensors, file, adapt, wanted=tensors_of(graph))
    if found.match.told:
        tell(f"{file}: {found.match.told}")
    return loaded(graph, found, seed)


def loaded(graph: Graph, found: FittedWeights, seed: int | None) -> nn.Module:
    """The module of a graph with the tensors of a file; what is new in it is drawn from `seed`."""
    device = torch.get_default_device()
    if found.match.new:
        model = _made(graph, seed)
        if device.type != "meta":
            model.load_state_dict({**model.state_dict(), **found.tensors})
        return model
    # Nothing is drawn that the file replaces.
    with torch.device("meta"):
        model = _made(graph, None)
    if device.type != "meta":
        model.to_empty(device=device).load_state_dict(found.tensors)
    return model


def _made(graph: Graph, seed: int | None) -> nn.Module:
    make: type[nn.Module] = getattr(load_source(emit(checked(graph))), class_name(graph))
    if seed is None:
        return make()
    device = torch.get_default_device()
    # Drawn on the CPU, whatever device the module is on: `torch.manual_seed` would seed every device's generator and leave it so.
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
        torch.default_generator.manual_seed(seed)
        return make().to(device)


def load_source(source: str) -> ModuleType:
    """The module of an emitted source, executed at its first mention; equal sources are one module.

    It stands in `sys.modules` and in `linecache`, where compilers, debuggers and tracebacks look.
    """
    name = f"resnet_dsl.emitted.m{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    # exec needs the module in place, as an import does; a source that fails leaves nothing behind.
    sys.modules[name] = module
    try:
        exec(compile(source, module.__file__, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise

    def reduce(self: Any) -> tuple[Any, ...]:
        return _bare, (source, type(self).__name__), self.__getstate__()

    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == name:
            value.__reduce__ = reduce  # type: ignore[method-assign, assignment]
    return module


def _bare(source: str, name: str) -> nn.Module:
    """A module before its state is put in; what a pickle calls."""
    cls: type[nn.Module] = getattr(load_source(source), name)
    return cls.__new__(cls)
