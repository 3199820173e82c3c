"""`rd.probe` and `rd.study`: look inside one network, and compare networks by many runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_dsl.datasets.naming import DATA, taken
from resnet_dsl.diagnostics import Argument, quote, refuse
from resnet_dsl.lab.assertion import Assertion, failures
from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.table import PROBES, Option, Probe, Value, find
from resnet_dsl.language import Spec
from resnet_dsl.records.errors import StudyInterrupted
from resnet_dsl.verbs.targets import Settings

__all__ = [
    "DATA",
    "PROBES",
    "STUDIES_HOME",
    "Assertion",
    "Finding",
    "Option",
    "Probe",
    "StudyInterrupted",
    "failures",
    "probe",
    "studies",
    "study",
]

if TYPE_CHECKING:
    from resnet_dsl.lab.study.form import Setting
    from resnet_dsl.lab.study.launch import EngineName
    from resnet_dsl.lab.study.result import StudyResult

LEAST_IMAGES = 2
STUDIES_HOME = Path("runs/studies")
"""Where studies lie unless `out` says otherwise."""


def probe(
    name: str,
    *networks: Spec | str | os.PathLike[str],
    steps: Iterable[int] = (),
    data: object = None,
    data_dir: str | os.PathLike[str] | None = None,
    images: int | None = None,
    seed: int | None = None,
    overrides: Settings = (),
    recipe: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    key: str | None = None,
    prefix: str | None = None,
    device: str = "auto",
    quiet: bool = False,
    **options: Value | Sequence[str],
) -> Finding:
    """Look inside one network with the probe `name`: `rd.probe("gradients", "plain56-digits", steps=(0, 10)).figures`.

    The network is a loaded spec, or the name of a shipped spec, a YAML file, a run's folder or a .safetensors file. The probe uses its
    initial weights, those of the run or file, or those in `weights` (`key` and `prefix` as in `build`). With `steps` it uses the weights after each of these numbers of
    training steps by `recipe`. It uses `images` training images of `data`; the default is the run's data set, else one that fits the
    spec and is on this machine, else noise. `options` are the probe's own, with the command's defaults: see
    `resnet-dsl probe NAME --help`. The probe `target` takes any number of specs, and of the other arguments only `overrides` and
    `seed`. Progress goes to standard error unless `quiet`.

    Raises SpecError: exit 2 where the request does not fit, 3 for data, files and device, 1 where a training's loss is not finite.
    """
    row = find(name)
    _require_weights(weights, key=key, prefix=prefix)
    changes = tuple(f"{k}={v}" for k, v in overrides.items()) if isinstance(overrides, Mapping) else tuple(overrides)
    if row.of == "specs":
        given = {
            "steps": steps, "data": data, "data_dir": data_dir, "images": images, "recipe": recipe, "weights": weights, "key": key,
            "prefix": prefix,
        }  # fmt: skip
        _refuse_all(name, given)
        own = row.settings(options if seed is None else {**options, "seed": seed})
        from resnet_dsl.lab.probes.measuring import measure_specs

        return measure_specs(row, networks, changes, own)
    if len(networks) != 1:
        named = all(isinstance(network, str | os.PathLike | Spec) for network in networks)
        help = "name one network" if named else "give data by its name: data=(X, y)"
        raise refuse("usage", f"the probe {name} looks at one network, and {len(networks)} are given", help, at=name)
    if images is not None and images < LEAST_IMAGES:
        raise refuse("usage", f"must be at least {LEAST_IMAGES}, not {images}", f"the default is {row.images}", at=Argument("images"))
    own = row.settings(options)
    from resnet_dsl.lab.probes.measuring import measure
    from resnet_dsl.lab.probes.probed import ProbeRequest

    request = ProbeRequest(
        networks[0], changes, taken(data), _path(data_dir), row.images if images is None else images, seed, _path(weights), recipe,
        _moments(steps), device, (lambda text: None) if quiet else _tell, key, prefix,
    )  # fmt: skip
    return measure(row, request, own)


def _refuse_all(probe: str, given: Mapping[str, object]) -> None:
    """Refuse arguments that a probe of specs does not take."""
    for unused in (k for k, v in given.items() if v is not None and v != ()):
        raise refuse(
            "usage", f"the probe {probe} makes its own data and trains itself", f"leave out {Argument(unused)}", at=Argument(unused)
        )


def _require_weights(weights: object, **about: object) -> None:
    """Refuse what is said of weights where none are given."""
    for lone in (name for name, value in about.items() if value is not None and weights is None):
        raise refuse("usage", f"{Argument(lone)} is for given weights", f"add {Argument('weights', 'FILE')}", at=Argument(lone))


def study(
    study: str | os.PathLike[str],
    setting: Setting = "usual",
    *,
    seeds: int | None = None,
    steps: int | None = None,
    out: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    limit_train: int | None = None,
    device: str = "cpu",
    jobs: int | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    plot: str | os.PathLike[str] | None = None,
    curves: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> StudyResult:
    """Compare networks by many runs, and decide a claim by a rule that was fixed before them: `rd.study("degradation", "quick").verdict`.

    `study` is a shipped study's name or a YAML file; `setting` is usual, quick or long. The study's folder is `out`; the default is one
    under runs/studies whose name says the setting. Finished runs in it are read, and those that were begun resume. `plot` and `curves`
    are files for the pictures; the defaults are study.svg and curves.svg in the folder. The other arguments are the options of
    `resnet-dsl study`. Progress goes to standard error unless `quiet`. Runs are trained in processes of their own, which do not run the
    calling script.

    A run that fails is in the result's `failures`; `result.require_complete()` raises if there is one. Raises SpecError: exit 2 where
    the request does not fit or the folder holds other runs, 3 for data, device and disk. Raises `StudyInterrupted` after Ctrl-C, with
    everything saved, so that the same call resumes.
    """
    from resnet_dsl.lab.study.launch import Launch, launch
    from resnet_dsl.lab.study.planning import Choice

    if (name := taken(data)) is not None and not isinstance(name, str):
        help = "save it, and name the file: np.savez('cells.npz', x=X, y=y), data='cells.npz'"
        raise refuse("usage", "a study trains in processes of their own, which a value of Python does not reach", help, at=Argument("data"))
    choice = Choice(setting, name, _path(data_dir), seeds, steps, limit_train, device)
    return launch(
        os.fspath(study), choice, Launch(STUDIES_HOME, _path(out), download, jobs, engine, address, _path(plot), _path(curves), quiet)
    )


def studies() -> list[str]:
    """The names of the shipped studies."""
    from resnet_dsl.lab.study.reading import shipped_studies

    return list(shipped_studies())


def _moments(steps: Iterable[int]) -> tuple[int, ...]:
    """The steps in order, each once."""
    if isinstance(steps, str | int):
        raise refuse("usage", f"{quote(repr(steps))} is not a list of steps", "write steps=(0, 1, 3, 10), say", at=Argument("steps"))
    found = sorted(set(steps))
    if any(type(n) is not int or n < 0 for n in found):
        raise refuse("usage", f"{quote(repr(found))} is not a list of steps", "write steps=(0, 1, 3, 10), say", at=Argument("steps"))
    return tuple(found)


def _path(given: str | os.PathLike[str] | None) -> Path | None:
    return None if given is None else Path(given)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
