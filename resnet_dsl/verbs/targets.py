"""What every verb accepts for a network: a graph, a spec, or a name of one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from resnet_dsl.diagnostics import Argument, quote, refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec
from resnet_dsl.records.target import find

Network = Graph | Spec | str | os.PathLike[str]
"""A compiled graph, a loaded spec, or its name: a shipped spec, a YAML file, a run's folder, a .safetensors file with its spec."""

Settings = Mapping[str, str] | Iterable[str]
"""`{"shortcut": "C"}`, or `["shortcut=C"]`."""


def load(target: str | os.PathLike[str], overrides: Settings = (), *, recipe: str | None = None) -> Spec:
    """The spec that `target` names: a shipped spec, a YAML file, `-` for standard input, a run's folder, or a .safetensors file.

    `overrides` are applied before validation: `{"shortcut": "C", "stages.layer3.depth": "23"}`. `recipe`, a shipped one's name
    or a path, is what those under `train.` are checked with. Raises SpecError with every mistake, located.
    """
    return find(target).load(overrides, recipe=recipe)


def listed(overrides: Settings) -> list[str]:
    """Settings as `KEY=VALUE` texts."""
    return [f"{k}={v}" for k, v in overrides.items()] if isinstance(overrides, Mapping) else list(overrides)


def spec_of(network: Spec | str | os.PathLike[str], overrides: Settings = ()) -> Spec:
    """The spec of a name, or the spec itself. Raises SpecError, and for overrides of a spec that is loaded already."""
    if not isinstance(network, Spec):
        return load(network, overrides)
    _refuse_settings(network, overrides)
    return network


def graph_of(network: Network, overrides: Settings = ()) -> Graph:
    """The graph of whatever names a network. Raises SpecError, and for overrides of one that is loaded already."""
    if not isinstance(network, Graph):
        return compile(spec_of(network, overrides))
    _refuse_settings(network, overrides)
    return network


def each(networks: Iterable[Network | Iterable[Network]]) -> list[Network]:
    """The networks, given one by one or as a list."""
    found: list[Network] = []
    for n in networks:
        found += [n] if isinstance(n, Graph | Spec | str | os.PathLike) else list(n)
    return found


def name_of(network: Network) -> str:
    """What a network was called: its name as it was given, or its own."""
    return network.name if isinstance(network, Graph | Spec) else os.fspath(network)


def _refuse_settings(network: Graph | Spec, overrides: Settings) -> None:
    settings = listed(overrides)
    if settings:
        raise refuse(
            "usage",
            f"{quote(network.name)} is loaded already, so {quote(settings[0])} cannot be set",
            "give the settings where it is loaded: load(NAME, settings)",
            at=Argument("overrides", option="set"),
        )
