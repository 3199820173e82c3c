"""Graph to `nn.Module`: checked as a networkx graph, emitted as source in the order found there, and executed once."""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import Graph
from resnet_dsl.graph import compile as compile_spec
from resnet_dsl.graph.folding import fold
from resnet_dsl.graph.network import checked
from resnet_dsl.graph.outputs import select
from resnet_dsl.graph.tensors import tensors as tensors_of
from resnet_dsl.language import load
from resnet_dsl.language.spec import Spec
from resnet_dsl.runtime.fitting import fitted
from resnet_dsl.runtime.weights import load as load_weights


def build(
    network: Graph | Spec | str, *, seed: int | None = None, weights: Path | str | None = None, outputs: Iterable[str] = ()
) -> nn.Module:
    """The network (a graph, a spec, or a spec's path or name) as a module, its weights initialised as the spec says.

    It reads (batch, channels, height, width), or (batch, features), and gives (batch, classes). It is made on torch's
    default device (`with torch.device("meta")` costs no memory) in the default dtype. With a `seed` the weights
    are the same numbers on every device, and torch's global generators are left as they were.

    With `outputs`, paths as `inspect` prints them (`layer2`, `layer2.1`, `stem`), it gives the list of these values in this order in
    place of the classes. What they do not need is neither computed nor there: no head, no later stage. `module.feature_info` says of
    each its `module`, `num_chs` and `reduction` (the stride against the input), in timm's words.

    With `weights`, a `.safetensors` file or a state_dict that torch.save wrote, all its tensors come from there; the file may have
    the names of another library (see `naming`). With `outputs` too, the file's tensors for what is left out are not read, whatever
    their shapes, and need not be there.

    The module and each block in it can be pickled: the pickle carries the source, which loading executes, so load
    pickles only from those you trust (as with any pickle).

    Raises SpecError where a spec is refused, where the network has no value of a name in `outputs` (exit 2), and where the file
    cannot be read (exit 3) or does not fit (exit 2), about the first tensor that does not.
    """
    if isinstance(network, str):
        network = load(network)
    graph = compile_spec(network) if isinstance(network, Spec) else network
    return _made(select(graph, outputs), seed) if weights is None else _loaded(graph, Path(weights), tuple(outputs))


def _loaded(graph: Graph, file: Path, outputs: Iterable[str]) -> nn.Module:
    artifact = load_weights(file)
    whole = fold(graph) if artifact.folded else graph
    graph = select(whole, outputs)
    tensors = fitted(whole, artifact.tensors, file, wanted=tensors_of(graph))
    device = torch.get_default_device()
    # Nothing is drawn that the file replaces.
    with torch.device("meta"):
        model = _made(graph, None)
    if device.type != "meta":
        model.to_empty(device=device).load_state_dict(tensors)
    return model


def _made(graph: Graph, seed: int | None) -> nn.Module:
    make: type[nn.Module] = getattr(load_source(emit(checked(graph))), class_name(graph))
    if seed is None:
        return make()
    device = torch.get_default_device()
    # Drawn on the CPU wherever the module goes: `torch.manual_seed` would seed every device's generator and leave it so.
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
