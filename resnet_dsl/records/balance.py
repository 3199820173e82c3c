"""Scores in which every class counts the same, however many images it has: balanced accuracy and macro F1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnet_dsl.diagnostics import clean

RATIO = 5
"""From this many images in the largest class for one in the smallest, a run says that its classes are unequal."""

_NAMED = 12
"""Classes whose counts fit a line."""


def recall(hits: int, images: int) -> float | None:
    """The share of a class's images that were found; None where it has none."""
    return hits / images if images else None


def precision(hits: int, guesses: int) -> float | None:
    """Of the images taken for a class, the share that are of it; None where none was."""
    return hits / guesses if guesses else None


def f1(hits: int, images: int, guesses: int) -> float | None:
    """The harmonic mean of recall and precision, 2 hits / (images + guesses); None where both are 0."""
    return 2 * hits / (images + guesses) if images + guesses else None


def balanced_accuracy(images: Sequence[int], hits: Sequence[int]) -> float:
    """The mean recall of the classes that have images, also called macro recall (Brodersen et al. 2010; scikit-learn's
    `balanced_accuracy_score`). A class without images has no recall, and is left out.
    """
    return _mean(recall(h, n) for n, h in zip(images, hits, strict=True))


def macro_f1(images: Sequence[int], guesses: Sequence[int], hits: Sequence[int]) -> float:
    """The mean F1 of the classes that have images or were guessed (scikit-learn's `f1_score(average="macro")`).

    A class without images that was guessed counts 0; one that was not guessed either has no F1, and is left out.
    """
    return _mean(f1(h, n, g) for n, g, h in zip(images, guesses, hits, strict=True))


def _mean(values: Iterable[float | None]) -> float:
    known = [v for v in values if v is not None]
    return sum(known) / len(known)


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Weights of the loss under which each class counts the same: N / (K n), for N images in all, n in the class and K classes that have
    images (King & Zeng 2001; scikit-learn's `class_weight="balanced"`). Their mean over the images is 1. A class without images has 0.
    """
    whole, present = sum(counts), sum(n > 0 for n in counts)
    return tuple(whole / (present * n) if n else 0.0 for n in counts)


def unequal(counts: Sequence[int], names: Sequence[str]) -> str | None:
    """Words for classes of unequal size; None where none is `RATIO` times as large as another. Classes without images are not counted."""
    found = sorted(((n, name) for n, name in zip(counts, names, strict=True) if n), key=lambda x: -x[0])
    if not found or found[0][0] < RATIO * found[-1][0]:
        return None
    shown = found if len(found) <= _NAMED else [found[0], found[-1]]
    each = ", ".join(f"{clean(name):.40} {n:,}" for n, name in shown)
    return f"classes are unequal, 1:{found[0][0] / found[-1][0]:,.3g} ({'largest and smallest: ' if shown != found else ''}{each} images)"
