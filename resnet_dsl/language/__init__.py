"""Text to `Spec`: the located reader, inheritance, names and expressions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from resnet_dsl.language.spec import Spec

__all__ = ["Spec", "changed", "load"]


def load(name: str | os.PathLike[str], overrides: Mapping[str, str] | Iterable[str] = (), *, recipe: str | None = None) -> Spec:
    """The spec of a path, of `-` (standard input) or of a shipped spec's name.

    `overrides` are `KEY=VALUE` texts, or a mapping of dotted keys to YAML values, applied before validation:
    `{"shortcut": "C", "stages.layer3.depth": "23"}`. `recipe`, a shipped one's name or a path, is what those under `train.`
    are checked with. Raises SpecError with every mistake, located; its `exit_code` is
    2, or 3 where a file may not be read.
    """
    from resnet_dsl.language.extends import apply_overrides, load_document, parse_overrides
    from resnet_dsl.language.resolve import resolve

    return resolve(replace(apply_overrides(load_document(os.fspath(name)), parse_overrides(overrides)), recipe=recipe))


def changed(spec: Spec, overrides: Mapping[str, str] | Iterable[str], *, recipe: str | None = None) -> Spec:
    """A loaded spec with further settings; the arguments are those of `load`. Raises SpecError."""
    from resnet_dsl.diagnostics import Collector
    from resnet_dsl.language.extends import Loaded, apply_overrides, parse_overrides
    from resnet_dsl.language.resolve import resolve

    where = spec.train
    loaded = Loaded(spec.tree, spec.name, where.root, Collector(), spec.overridden, where.overrides, folded=spec.folded)
    return resolve(replace(apply_overrides(loaded, parse_overrides(overrides)), recipe=recipe))
