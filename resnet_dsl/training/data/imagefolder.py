"""The user's own pictures: a folder a class, under train/ and val/ or all in one folder.

Held in memory where all have one size and fit there; else, or where a recipe crops them, they stay in their files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from resnet_dsl.datasets.catalog import DataSource
from resnet_dsl.diagnostics import Argument, inline, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.records.leftout import Tally
from resnet_dsl.training.data.classes import ClassedFiles, parts_of
from resnet_dsl.training.data.dataset import Dataset, InMemory
from resnet_dsl.training.data.opening import PixelForm, form_of, open_picture, orientation, require_pillow, upright_size
from resnet_dsl.training.data.pictures import Headers, Pictures, default_workers
from resnet_dsl.training.data.split import HeldOut, held_out
from resnet_dsl.training.data.views import AsItIs, CentreCrop, look


def load(
    source: DataSource,
    folder: Path | None,
    input: Shape,
    crop: int | CentreCrop | None = None,
    workers: int | None = None,
    hold_out: HeldOut = HeldOut(),  # noqa: B008
    classes: int | None = None,
) -> Dataset:
    """The pictures of a folder. `crop` is the side of the squares that a network sees of them; None: nothing is resized.

    Where the folder has no part for the test, `hold_out` says which share of each class becomes one. Pictures that stay in their files are
    decoded by `workers` processes (default: one for each core but one), and the header of each is checked now. `classes` is the number of
    the network's, None for any.
    Raises SpecError (exit 3 for the files, 2 for sizes that differ).
    """
    require_pillow(source.name)
    if folder is None:
        raise refuse("usage", "which folder?", f"add {Argument('data_dir', 'FOLDER')}", at=source.name)
    tally = Tally()
    train, test, names = parts_of(folder, tally, classes)
    split = hold_out if test is None else None
    whole = train
    if test is None:
        train, test = train.split(held_out(train.labels, hold_out.share, hold_out.seed))
    form, view = _form(train.root / train.files[0].path, input)
    count = default_workers() if workers is None else workers
    *parts, everything = [
        Pictures(part.root, np.array([os.fsencode(f.path) for f in part.files]), torch.from_numpy(part.labels), form,
                 view if crop is None else CentreCrop(crop) if isinstance(crop, int) else crop, count)
        for part in (train, test, whole)
    ]  # fmt: skip
    headers = [part.check_headers() for part in parts]
    notes = _notes(folder, (train, test), names, split, headers)
    found = Dataset(
        source.name, parts[0], parts[1], names, str(folder), _fingerprint((train, test), headers), held_out=split,
        whole=None if split is None else everything, left_out=tally.found(), notes=notes,
    )  # fmt: skip
    if crop is None and sum(map(len, parts)) * form.channels * view.height * view.width * (4 if form.deep else 1) <= _free_memory():
        inside = [_decoded(pictures, len(names)) for pictures in parts]
        return replace(found, train=inside[0], test=inside[1])
    return found


def _form(first: Path, input: Shape) -> tuple[PixelForm, AsItIs]:
    """PixelForm and size of the first picture, which all must have where nothing is resized."""
    with open_picture(first) as picture:
        width, height = upright_size(picture, orientation(picture))
        return form_of(picture, input[0] if len(input) == 3 else 0), AsItIs(height, width, first.name)


def _free_memory() -> float:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # macOS has no such figure, Windows no sysconf
        return float("inf")


def _decoded(pictures: Pictures, classes: int) -> InMemory:
    """Pictures of one size as a part in memory."""
    pixels = np.empty((len(pictures), *pictures.shape), np.float32 if pictures.form.deep else np.uint8)
    for i in range(len(pictures)):
        path = pictures.path(i)
        pixels[i] = look(path, pictures.form, pictures.view, (), path)
    return replace(InMemory.of(pixels, pictures.labels.numpy(), classes, pictures.root), deep=pictures.form.deep)


def _fingerprint(parts: Sequence[ClassedFiles], headers: Sequence[Headers]) -> str:
    """SHA-256 over names, sizes in bytes, labels, and how pictures are turned: to read every byte would take hours where files are many.

    The same whether the pictures are held in memory or not: that may change from one start of a run to the next.
    """
    digest = hashlib.sha256()
    for part, found in zip(parts, headers, strict=True):
        for file, label, turn in zip(part.files, part.labels.tolist(), found.turns.tolist(), strict=True):
            turned = "" if turn == 1 else f" turned {turn}"
            digest.update(os.fsencode(file.path) + f" {file.bytes} {label}{turned}\n".encode())
    return digest.hexdigest()


def _notes(
    folder: Path, parts: Sequence[ClassedFiles], names: Sequence[str], split: HeldOut | None, headers: Sequence[Headers]
) -> tuple[str, ...]:
    """What somebody who trains on the pictures, or tests, should know of them; a line each."""
    (train, test), lines = parts, []
    if split is not None:
        of = f"{len(test.files):,} of {len(train.files) + len(test.files):,} pictures"
        lines.append(
            f"note: {folder} has no part for the test: {of} are held out for it ({split.share:g} of each class, by seed {split.seed})"
        )
    if absent := test.absent(names):
        listed = ", ".join(inline(n[:40]) for n in absent[:5]) + (", ..." if len(absent) > 5 else "")
        where = "what is held out" if split is not None else test.root
        lines.append(f"warning: {where} holds no pictures of {listed}: the test says nothing of them")
    turned = sum(int((h.turns != 1).sum()) for h in headers)
    found = [*((headers[0].changes + headers[1].changes).most_common()), *([("turned as EXIF data says", turned)] if turned else [])]
    if found:
        lines.append("note: " + ", ".join(f"{n:,} picture{' is' if n == 1 else 's are'} {what}" for what, n in found))
    return tuple(lines)
