"""Data that is a value of Python: what a call brought, or what a function gives that `PACKAGE.MODULE:NAME` names."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from resnet_dsl.diagnostics import Argument, SpecError, quote, refuse, suggest
from resnet_dsl.training.data import arrays, items
from resnet_dsl.training.data.arrays import ArrayPart, Arrays
from resnet_dsl.training.data.dataset import Asked, Dataset

_FORMS = "give (X, y), {'train': (X, y), 'test': (X, y)}, or a Dataset of (image, label)"


def made(name: str) -> object:
    """What a name `PACKAGE.MODULE:NAME` stands for: what the function gives, or the value itself. It runs the user's own code.

    Modules are found in the current folder too. Raises SpecError: exit 2 where there is none of that name, 3 where it raises.
    """
    module, _, attribute = name.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            if not hasattr(found, part):
                near = suggest(part, [n for n in dir(found) if not n.startswith("_")])
                help = f"did you mean {quote(near)}?" if near else "name what gives the data: a function without arguments"
                raise refuse("unknown-name", f"{quote(module)} has no {quote(part)}", help, at=Argument("data"))
            found = getattr(found, part)
        return found() if callable(found) and not _is_dataset(found) else found
    except ModuleNotFoundError as e:
        if e.name is not None and (module == e.name or module.startswith(f"{e.name}.")):
            help = "check the name; modules are found in the current folder and where Python is installed"
            raise refuse("unknown-name", f"there is no module {quote(e.name)}", help, at=Argument("data")) from None
        raise _fails(name, e) from e
    except SpecError:
        raise
    except (Exception, SystemExit) as e:  # somebody else's code may raise anything
        raise _fails(name, e) from e
    finally:
        sys.path.remove(here)


def _fails(name: str, e: BaseException) -> SpecError:
    problem = f"raises {type(e).__name__}: {str(e)[:200]}"
    return refuse("data-code", problem, "mend it; it is called without arguments, and gives the data", at=name, exit_code=3)


def load(value: object, name: str, origin: str, asked: Asked) -> Dataset:
    """The data set that a value is. Raises SpecError: exit 2 for what is none and what does not fit, 3 for what is damaged."""
    if isinstance(value, Mapping):
        parts = {
            arrays_part(key): v for key, v in value.items() if (isinstance(key, str) and isinstance(v, tuple | list)) or _is_dataset(v)
        }
        if "train" in parts and set(parts) <= {"train", "test"} and len(parts) == len(value):
            return _parts([parts[k] for k in ("train", "test") if k in parts], name, origin, asked)
        return arrays.load(arrays.by_name({str(k): v for k, v in value.items()}, name), name, origin, asked)
    if isinstance(value, tuple | list) and len(value) == 2 and not _items(value):
        both = [v for v in value if _is_pair(v) or _is_dataset(v)]
        return _parts(list(value) if len(both) == 2 else [value], name, origin, asked)
    if isinstance(value, tuple) and len(value) in (3, 4):
        help = "name the parts: {'train': (X_train, y_train), 'test': (X_test, y_test)}"
        raise refuse("data-kind", f"{len(value)} arrays may be in several orders", help, at=name)
    return _parts([value], name, origin, asked)


def arrays_part(key: object) -> str:
    """The part that a key of a mapping names: train, test, or the key itself."""
    return {"training": "train", "val": "test", "validation": "test", "valid": "test"}.get(str(key).lower(), str(key).lower())


def _parts(given: Sequence[Any], name: str, origin: str, asked: Asked) -> Dataset:
    given = [tuple(v.tensors) if isinstance(v, TensorDataset) and type(v) is TensorDataset and len(v.tensors) == 2 else v for v in given]
    if all(_is_pair(v) for v in given):
        pairs = [_pair(v, f"{name}, {part}" if len(given) > 1 else name) for v, part in zip(given, ("training", "test"), strict=False)]
        return arrays.load(Arrays(pairs[0], pairs[1] if len(pairs) > 1 else None), name, origin, asked)
    ats = [name] if len(given) == 1 else [f"{name}, {part}" for part in ("training", "test")]
    for v, at in zip(given, ats, strict=True):
        if isinstance(v, DataLoader):
            help = "give what it loads, loader.dataset; order and batches are the recipe's"
            raise refuse("data-kind", "is a DataLoader", help, at=at)
        if isinstance(v, IterableDataset):
            raise refuse("data-kind", "is an IterableDataset, whose items have no numbers", "give a map-style Dataset", at=at)
        if not (_is_dataset(v) or _items(v)):
            raise refuse("data-kind", f"{type(v).__name__} is no data", _FORMS, at=at)
    opened = [items.opened(v, asked.input, None, asked.workers or 0, at) for v, at in zip(given, ats, strict=True)]
    parts = [part for part, _ in opened]
    numbers = [part.labels.numpy() for part in parts]
    known = names if (names := items.names_of(given[0])) and all(int(n.max()) < len(names) for n in numbers) else ()
    classes = arrays.class_names(numbers, ats, known, asked)
    exact = all(same for _, same in opened)
    return arrays.assembled(name, parts, classes, origin, items.fingerprint(parts), asked, exact)


def _pair(value: Sequence[object], at: str) -> ArrayPart:
    return ArrayPart(value[0], value[1], (f"{at}, images", f"{at}, labels"))


def _is_array(value: object) -> bool:
    return isinstance(value, torch.Tensor) or hasattr(value, "__array__") or hasattr(value, "to_numpy")


def _is_pair(value: object) -> bool:
    """Images and labels: two arrays, or lists of them."""
    return isinstance(value, tuple | list) and len(value) == 2 and all(_is_array(v) or isinstance(v, list) for v in value)


def _is_dataset(value: object) -> bool:
    plain = isinstance(value, tuple | list | Mapping | str | type) or _is_array(value)
    return not plain and hasattr(value, "__getitem__")


def _items(value: object) -> bool:
    """A list of (image, label), which is a Dataset as it stands."""
    return isinstance(value, list) and len(value) > 0 and all(isinstance(v, Mapping) or _item(v) for v in value)


def _item(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and not (_is_array(value[1]) and len(getattr(value[1], "shape", (1,))))
