"""A probe carried out: a network at its moments in, one finding out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module

from resnet_dsl.graph import compile
from resnet_dsl.lab.finding import Finding, across
from resnet_dsl.lab.probes.probed import ProbeRequest, moments
from resnet_dsl.lab.table import Probe, Value
from resnet_dsl.language import Spec
from resnet_dsl.records.target import find
from resnet_dsl.training.device.plan import on_threads

Options = Mapping[str, Value]
"""A probe's own options by name."""


def measure(probe: Probe, asked: ProbeRequest, options: Options) -> Finding:
    """What a probe of one network finds. Raises SpecError as `moments` and the probe do."""
    look = _function(probe)
    found = across([(s.step or 0, look(s, **options)) for s in moments(asked)], probe.side_by_side)
    if not any(asked.steps):
        return found
    *before, last = map("{:,}".format, asked.steps)
    after = f"{', '.join(before)} and {last}" if before else last
    return replace(found, about=f"{found.about}; after {after} training step{'s' * (after != '1')}")


def measure_specs(probe: Probe, specs: Sequence[Spec | str | os.PathLike[str]], overrides: Sequence[str], options: Options) -> Finding:
    """What a probe of specs finds of those that are given, else of its own. Raises SpecError."""
    loaded = [s if isinstance(s, Spec) else find(s).load(overrides) for s in specs or probe.default]
    # Its networks read vectors of a few numbers: there is nothing to share.
    with on_threads(1):
        return _function(probe)([compile(spec) for spec in loaded], **options)


def _function(probe: Probe) -> Callable[..., Finding]:
    function: Callable[..., Finding] = import_module(f"resnet_dsl.lab.probes.{probe.name}").measure
    return function
