"""Twelve classes at 1:20: does training that weighs all classes alike find the small ones? Macro recall on a balanced test set, 3 seeds.

The pictures are gratings in noise, made here: 4 directions times 3 wavelengths, 16x16 pixels, from 240 pictures in the largest class to 12
in the smallest. Run: python benchmarks/imbalance.py (about a minute).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import resnet_dsl as rd

SEEDS = 3
CLASSES = [(angle, wave) for angle in range(4) for wave in (3.0, 4.5, 7.0)]
LARGEST, RATIO, TEST, NOISE = 240, 20, 40, 1.6
WAYS = ("none", "class_weights", "sampling")
SPEC = """
name: gratings
input: {channels: 1, height: 16, width: 16}
classes: 12
stem: {cifar: {width: 16}}
block: basic
shortcut: A
stages: [{depth: 1, width: 16}, {depth: 1, width: 32, stride: 2}, {depth: 1, width: 64, stride: 2}]
train: {epochs: 8, batch: 32, lr: 0.1, precision: fp32, augment: {flip: false}, eval_every: 8}
"""


def main() -> None:
    """Make the pictures, train 3 x 3 runs, print the scores; exit with 1 where one of the two ways does not help."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = write_pictures(folder / "data")
        (folder / "gratings.yaml").write_text(SPEC)
        print(f"pictures of each class: {', '.join(map(str, counts))}; {TEST} of each to test on")
        print("way            seed  top-1   macro recall  macro F1  recall of the 4 smallest")
        means = {}
        for way in WAYS:
            found = [trained(folder, way, seed) for seed in range(SEEDS)]
            for seed, scores in enumerate(found):
                print(f"{way:13}  {seed:4}  {row(scores)}")
            means[way] = [statistics.mean(values) for values in zip(*found, strict=True)]
            print(f"{way:13}  mean  {row(means[way])}", flush=True)
    sys.exit(int(not all(means[way][1] > means["none"][1] for way in WAYS[1:])))


def write_pictures(folder: Path) -> list[int]:
    """An image folder; the number of training pictures of each class."""
    chance = np.random.default_rng(0)
    counts = [round(LARGEST * RATIO ** (-i / (len(CLASSES) - 1))) for i in range(len(CLASSES))]
    # Which class is rare has nothing to do with what it looks like.
    chance.shuffle(counts)
    for part, many in (("train", counts), ("val", [TEST] * len(CLASSES))):
        for c, n in enumerate(many):
            home = folder / part / f"{c:02}"
            home.mkdir(parents=True)
            for i in range(n):
                Image.fromarray(grating(*CLASSES[c], chance)).save(home / f"{i:03}.png")
    return counts


def grating(angle: int, wave: float, chance: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A picture (16, 16) uint8: a sine of a random phase, and noise."""
    y, x = np.mgrid[:16, :16]
    along = x * np.cos(angle * np.pi / 4) + y * np.sin(angle * np.pi / 4)
    values = np.sin(2 * np.pi * (along / wave + chance.random())) + chance.normal(0, NOISE, (16, 16))
    return np.asarray((128 + 40 * values).clip(0, 255), np.uint8)


def trained(folder: Path, way: str, seed: int) -> tuple[float, float, float, float]:
    """Top-1, macro recall, macro F1 and mean recall of the four smallest classes of one run."""
    overrides = {} if way == "none" else {f"train.{way}": "balanced"}
    run = rd.train(
        folder / "gratings.yaml", data="imagefolder", data_dir=folder / "data", overrides=overrides, seed=seed, plan="threads=1",
        out=folder / f"{way}-{seed}", quiet=True,
    )  # fmt: skip
    found = rd.evaluate(run.path)
    counts = run.record.class_counts or ()
    rare = sorted(range(len(CLASSES)), key=lambda c: counts[c])[:4]
    return found.top1, found.balanced_accuracy, found.macro_f1, statistics.mean(found.classes[c].recall or 0.0 for c in rare)


def row(scores: list[float] | tuple[float, ...]) -> str:
    """Shares as a line."""
    top1, recall, f1, rare = scores
    return f"{top1:6.2%}  {recall:12.2%}  {f1:8.2%}  {rare:24.2%}"


if __name__ == "__main__":
    main()
