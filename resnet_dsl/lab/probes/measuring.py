"""A probe carried out: subjects in, one finding out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module

from resnet_dsl.graph import compile
from resnet_dsl.lab.finding import Finding, across
from resnet_dsl.lab.probes.subject import Ask, subjects
from resnet_dsl.lab.table import Probe
from resnet_dsl.language import load

Options = Mapping[str, int | float | str | bool]
"""A probe's own options by name."""


def measure(probe: Probe, ask: Ask, options: Options) -> Finding:
    """What a probe of one network finds of what is asked for. Raises SpecError as `subjects` and the probe do."""
    look = _function(probe)
    found = across([(s.step or 0, look(s, **options)) for s in subjects(ask)], probe.side_by_side)
    if not any(ask.steps):
        return found
    *before, last = map("{:,}".format, ask.steps)
    after = f"{', '.join(before)} and {last}" if before else last
    return replace(found, about=f"{found.about}; after {after} training step{'s' * (after != '1')}")


def measure_specs(probe: Probe, specs: Sequence[str], overrides: Sequence[str], options: Options) -> Finding:
    """What a probe of specs finds of those that are named, else of its own. Raises SpecError."""
    return _function(probe)([compile(load(s, overrides)) for s in specs or probe.default], **options)


def _function(probe: Probe) -> Callable[..., Finding]:
    function: Callable[..., Finding] = import_module(f"resnet_dsl.lab.probes.{probe.name}").measure
    return function
