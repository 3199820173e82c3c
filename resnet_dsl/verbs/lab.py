"""`rd.probe` and `rd.study`: look inside one network, and compare networks by many runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import Argument, quote, refuse
from resnet_dsl.lab.assertion import Assertion, failures
from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.table import PROBES, Option, Probe, Value, find
from resnet_dsl.language import Spec
from resnet_dsl.verbs.targets import Settings

__all__ = ["PROBES", "SOURCES", "Assertion", "Finding", "Option", "Probe", "failures", "probe"]

LEAST_IMAGES = 2


def probe(
    name: str,
    *networks: Spec | str | os.PathLike[str],
    steps: Iterable[int] = (),
    data: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    images: int | None = None,
    seed: int | None = None,
    overrides: Settings = (),
    recipe: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    quiet: bool = False,
    **options: Value | Sequence[str],
) -> Finding:
    """What the probe `name` finds of a network: `rd.probe("gradients", "plain56-digits", steps=(0, 10)).figures`.

    The network is a loaded spec or a name: of a shipped spec, a YAML file, a run's folder, a .safetensors file. It is looked at with
    its initial weights, those of the run or file, or those of `weights`; with `steps`, after so many steps of training each, by
    `recipe`. `images` training images of `data` are looked at; `data` left out is the run's own, what fits the spec and is on this
    machine, else noise. `options` are the probe's own, with the command's defaults: see `resnet-dsl probe NAME --help`. The probe
    `target` takes any number of specs, and of the other arguments `overrides` and `seed`. News of a training goes to standard error
    unless `quiet`.

    Raises SpecError: exit 2 where the request does not fit, 3 for data, files and device, 1 where a training's loss is not finite.
    """
    row = find(name)
    changes = tuple(f"{k}={v}" for k, v in overrides.items()) if isinstance(overrides, Mapping) else tuple(overrides)
    if row.of == "specs":
        given = {"steps": steps, "data": data, "data_dir": data_dir, "images": images, "recipe": recipe, "weights": weights}
        for unused in (k for k, v in given.items() if v not in (None, ())):
            raise refuse(
                "usage", f"the probe {name} makes its own data and trains itself", f"leave out {Argument(unused)}", at=Argument(unused)
            )
        own = row.settings(options if seed is None else {**options, "seed": seed})
        from resnet_dsl.lab.probes.measuring import measure_specs

        return measure_specs(row, networks, changes, own)
    if len(networks) != 1:
        raise refuse("usage", f"the probe {name} looks at one network, and {len(networks)} are given", "name one network", at=name)
    if images is not None and images < LEAST_IMAGES:
        raise refuse("usage", f"must be at least {LEAST_IMAGES}, not {images}", f"the default is {row.images}", at=Argument("images"))
    own = row.settings(options)
    from resnet_dsl.lab.probes.measuring import measure
    from resnet_dsl.lab.probes.probed import ProbeRequest

    request = ProbeRequest(
        networks[0], changes, data, _path(data_dir), row.images if images is None else images, seed, _path(weights), recipe,
        _moments(steps), device, (lambda text: None) if quiet else _tell,
    )  # fmt: skip
    return measure(row, request, own)


def _moments(steps: Iterable[int]) -> tuple[int, ...]:
    """The steps in order, each once."""
    found = sorted(set(steps))
    if any(type(n) is not int or n < 0 for n in found):
        raise refuse("usage", f"{quote(repr(found))} is not a list of steps", "write steps=(0, 1, 3, 10), say", at=Argument("steps"))
    return tuple(found)


def _path(given: str | os.PathLike[str] | None) -> Path | None:
    return None if given is None else Path(given)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
