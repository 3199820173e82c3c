"""What the arrays of a file, a folder or a mapping are called, and what each name means: one table, whatever the letters' case."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from resnet_dsl.diagnostics import SpecError, inline, refuse

Part = Literal["train", "test", "spare", "all"]
Role = Literal["images", "labels", "names", "layout"]

PARTS: Mapping[str, Part] = {
    "train": "train", "training": "train", "tr": "train", "test": "test", "testing": "test", "te": "test",
    "val": "spare", "valid": "spare", "validation": "spare", "dev": "spare",
}  # fmt: skip
"""The word in a name that says which part it belongs to. A validation part is the test part where there is no other."""

ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("x", "xs", "image", "images", "img", "imgs", "data", "input", "inputs", "feature", "features", "pixels", "signal",
                     "signals", "spectrogram", "spectrograms"), "images"),
    **dict.fromkeys(("y", "ys", "label", "labels", "target", "targets", "class", "digit", "digits"), "labels"),
    **dict.fromkeys(("classes", "names", "classnames", "labelnames", "targetnames"), "names"),
    "layout": "layout",
}  # fmt: skip
"""The rest of a name, and what the array holds."""

_UNNAMED = {"arr_0": "x", "arr_1": "y"}
"""What np.savez(file, x, y) calls them."""

_WORDS = re.compile(r"[_\-. ]+|(?<=[a-z])(?=[A-Z])")


def meaning(name: str) -> tuple[Part, Role] | None:
    """What an array of this name is: `x`, `X_train`, `train_images`, `testLabels`, `class_names`; None for any other name."""
    words = [w.lower() for w in _WORDS.split(name) if w]
    parts = [PARTS[w] for w in words if w in PARTS]
    role = ROLES.get("".join(w for w in words if w not in PARTS))
    if role is None and len(words) == 1:
        # In one word: xtrain, ytest, trainx.
        for word, part in PARTS.items():
            rest = words[0].removeprefix(word) if words[0].startswith(word) else words[0].removesuffix(word)
            if rest != words[0] and rest in ("x", "y"):
                return part, ROLES[rest]
    if role is None or len(parts) > 1:
        return None
    return (parts[0] if parts else "all"), role


@dataclass(frozen=True, slots=True)
class Sorted:
    """The names of images and labels, of a training part and of a test part, if there is one; the others, and what is not used."""

    train: tuple[str, str]
    test: tuple[str, str] | None
    names: str | None
    layout: str | None
    unused: tuple[str, ...]


def sort(given: Iterable[str], at: str) -> Sorted:
    """Which of these names is which. Raises SpecError (exit 3) that lists them where images or labels are missing, or twice there."""
    listed = list(given)
    renamed = {name: name for name in listed}
    if set(_UNNAMED) == {n for n in listed if n.startswith("arr_")} and not any(map(meaning, listed)):
        renamed |= _UNNAMED
    found: dict[tuple[Part, Role], str] = {}
    unused = []
    for name in listed:
        what = meaning(renamed[name])
        if what is None:
            unused.append(name)
        elif what in found:
            raise _unclear(f"holds {inline(found[what])} and {inline(name)}, which mean the same", listed, at)
        else:
            found[what] = name
    if any(part == "all" and role in ("images", "labels") for part, role in found) and any(part != "all" for part, _ in found):
        raise _unclear("holds arrays of one part, and of no part", listed, at)
    first: Part = "train" if ("train", "images") in found or ("train", "labels") in found else "all"
    train = _pair(found, first, listed, at)
    has = {part for part, _ in found}
    second: Part | None = "test" if "test" in has else "spare" if "spare" in has else None
    test = None if second is None else _pair(found, second, listed, at)
    if second == "test":
        unused += [name for (part, _), name in found.items() if part == "spare"]
    return Sorted(train, test, found.get(("all", "names")), found.get(("all", "layout")), tuple(unused))


def _pair(found: Mapping[tuple[Part, Role], str], part: Part, listed: Sequence[str], at: str) -> tuple[str, str]:
    images, labels = found.get((part, "images")), found.get((part, "labels"))
    if images is None or labels is None:
        of = {"all": "", "spare": "validation ", "train": "training ", "test": "test "}[part]
        missing = f"{of}images and labels" if images is labels else f"{of}images" if images is None else f"{of}labels"
        raise _unclear(f"has no {missing} under a name that is understood", listed, at)
    return images, labels


def _unclear(problem: str, listed: Sequence[str], at: str) -> SpecError:
    shown = ", ".join(map(inline, listed[:12])) + (", ..." if len(listed) > 12 else "")
    problem = f"{problem}; it holds {shown or 'nothing'}"
    pick: Callable[[int], str] = lambda i: repr(listed[i]) if i < len(listed) else "..."  # noqa: E731
    help = f'name them x and y (or x_train, y_train, x_test, y_test): np.savez("new.npz", x=data[{pick(0)}], y=data[{pick(1)}])'
    return refuse("data-keys", problem, help, at=at, exit_code=3)
