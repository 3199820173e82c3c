"""The state_dicts in what a file holds: mappings of names to tensors, beside whatever else a training program saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.checkpoints.pickles import Entries, Made
from resnet_dsl.checkpoints.rebuilt import FileView, array_of
from resnet_dsl.checkpoints.tensor import FileTensor, Unsound

_OTHERS = re.compile(r"(?i)^_?(optim|lr_?sched|sched|grad_?scal|scaler|amp\b|rng|callbacks|loops)")
"""Keys of what a training program keeps for itself."""

_DEPTH, _LIST = 6, 16
_MODULES, _PATH = 20_000, 1000


@dataclass(frozen=True, slots=True)
class State:
    """Tensors by name. `left` are names in the same mapping whose values are no tensors; `module`: they were a module's, saved whole."""

    tensors: Mapping[str, FileTensor]
    left: tuple[str, ...] = ()
    module: bool = False


def states(root: object) -> dict[str, State]:
    """The state_dicts in a value, by their keys with dots between; `""` is the value itself. An optimizer's are left out where there are others."""
    found: dict[str, State] = {}
    _collect(root, "", 0, found, set())
    kept = {
        key: state
        for key, state in found.items()
        if any(t.shape and (t.is_floating_point() or t.problem) for t in state.tensors.values())
        and not any(map(_OTHERS.match, key.split(".")))
    }
    return kept or found


def _collect(value: object, key: str, depth: int, found: dict[str, State], seen: set[int]) -> bool:
    """Add the state_dicts in `value`; are there any?"""
    if depth > _DEPTH or id(value) in seen:
        return False
    seen.add(id(value))
    if (module := _module(value)) is not None:
        found[key] = State(module, module=True)
        return True
    entries = entries_of(value)
    if not entries:
        return False
    inside = [
        _collect(v, f"{key}.{k}" if key else k, depth + 1, found, seen)
        for k, v in entries.items()
        if not isinstance(v, FileView | FileTensor)
    ]
    tensors = {k: t for k, v in entries.items() if (t := tensor_of(v)) is not None}
    # A list has no names.
    if any(inside) or not tensors or isinstance(value, list | tuple):
        return any(inside)
    found[key] = State(tensors, tuple(k for k in entries if k not in tensors))
    return True


def tensor_of(value: object) -> FileTensor | None:
    """The tensor that a value is; None where it is something else. Raises Unsound."""
    if isinstance(value, FileView):
        return value.placed()
    if isinstance(value, Made):
        return array_of(value)
    return value if isinstance(value, FileTensor) else None


def entries_of(value: object) -> Mapping[str, object]:
    """The entries of a dict, of an object that is one, or of a short list; empty for anything else."""
    if isinstance(value, Made):
        if value.items is None and value.of in ("copyreg._reconstructor", "copy_reg._reconstructor") and len(value.args) == 3:
            return entries_of(value.args[2])
        value = value.items
    if isinstance(value, list | tuple) and len(value) <= _LIST:
        return {str(i): v for i, v in enumerate(value)}
    return value.entries if isinstance(value, Entries) else {}


def at(root: object, key: str) -> object:
    """What a key leads to, dots between its parts, of which each may hold dots; None where it leads nowhere."""
    entries = entries_of(root)
    if key in entries:
        return entries[key]
    for cut in (i for i, c in enumerate(key) if c == "."):
        if key[:cut] in entries and (found := at(entries[key[:cut]], key[cut + 1 :])) is not None:
            return found
    return None


def _module(value: object) -> dict[str, FileTensor] | None:
    """The state_dict of a module that was saved whole, from its parameters, buffers and inner modules; None for anything else.

    Raises Unsound where it has too many: one module in two places has two names, and one within itself has no end.
    """
    if not _parts(value):
        return None
    found: dict[str, FileTensor] = {}
    waiting, left = [("", value)], _MODULES
    while waiting:
        prefix, at = waiting.pop()
        left -= 1
        if left < 0 or len(prefix) > _PATH:
            help = "save its state_dict: torch.save(model.state_dict(), 'weights.pth')"
            raise Unsound(f"holds a module of more than {_MODULES:,} parts, or one within itself", help)
        found.update((prefix + name, t) for name, t in _own(_parts(at)).items())
        inner = entries_of(_parts(at).get("_modules"))
        waiting += [(f"{prefix}{name}.", m) for name, m in reversed([*inner.items()]) if _parts(m)]
    return found or None


def _parts(value: object) -> Mapping[str, object]:
    state = value.state if isinstance(value, Made) else None
    parts = state.entries if isinstance(state, Entries) else {}
    return parts if {"_parameters", "_buffers", "_modules"} <= parts.keys() else {}


def _own(parts: Mapping[str, object]) -> dict[str, FileTensor]:
    """The parameters and buffers of a module itself, those that its state_dict has."""
    unsaved = parts.get("_non_persistent_buffers_set")
    if isinstance(unsaved, Made) and unsaved.args:
        unsaved = unsaved.args[0]
    names = [n for n in unsaved if isinstance(n, str)] if isinstance(unsaved, list) else []
    held = [*entries_of(parts.get("_parameters")).items(), *entries_of(parts.get("_buffers")).items()]
    return {name: t for name, value in held if name not in names and (t := tensor_of(value)) is not None}
