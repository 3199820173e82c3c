"""Ten crops and several scales, against Pillow and a loop over pictures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.dataset import Images, InMemory
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.using.crops import HE_SCALES, score_scales, score_ten_crops, ten_crops

PLAN = Plan("cpu", "fp32", True, 1, "")
CROP = 28


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures, as PNG so that they are decoded alike in every way."""
    where, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part in ("train", "val"):
        for name in "abcdefgh":
            (where / part / name).mkdir(parents=True)
            for i in range(5 if part == "val" else 1):
                small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
                small.resize(tuple(rng.integers(34, 70, 2).tolist()), Image.Resampling.BICUBIC).save(where / part / name / f"{i}.png")
    return where


@pytest.fixture(scope="module")
def images(folder: Path) -> Images:
    return open_dataset("imagefolder", (3, CROP, CROP), folder, crop=CROP, workers=0).test


class Net(torch.nn.Module):
    """Fully convolutional, and different under mirroring."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = torch.nn.Conv2d(3, 6, 5), torch.nn.BatchNorm2d(6)
        self.head = torch.nn.Linear(6, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)) * 9)


NORMALISATION = Normalisation(torch.rand(3, CROP, CROP, generator=torch.Generator().manual_seed(1)) * 99, torch.full((3, 1, 1), 50.0))


def pillows(folder: Path, side: int) -> list[np.ndarray]:
    made = []
    for path in sorted((folder / "val").glob("*/*")):
        with Image.open(path) as picture:
            width, height = (max(side, round(n * side / min(picture.size))) for n in picture.size)
            made.append(np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1))
    return made


def expected(rows: list[torch.Tensor]) -> tuple[float, float, float]:
    """Loss, top-1 and top-5 of averaged probabilities, by a loop."""
    loss, first, five = 0.0, 0, 0
    for i, row in enumerate(rows):
        order = sorted(range(8), key=lambda c: -float(row[c]))
        loss -= math.log(float(row[i // 5]))
        first += order[0] == i // 5
        five += i // 5 in order[:5]
    return loss / 40, first / 40, five / 40


def test_ten_crops_are_corners_middle_and_mirrors() -> None:
    picture = torch.arange(2 * 7 * 9).view(2, 7, 9)
    found = ten_crops(picture, 4)
    corners = [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)]
    assert found.shape == (10, 2, 4, 4)
    for k, (y, x) in enumerate(corners):
        cut = picture.numpy()[:, y : y + 4, x : x + 4]
        assert np.array_equal(found[k], cut)
        assert np.array_equal(found[k + 5], cut[:, :, ::-1])
    assert HE_SCALES == (224, 256, 384, 480, 640)


def test_scores_on_ten_crops(folder: Path, images: Images) -> None:
    net = Net()
    found = score_ten_crops(net, images, NORMALISATION, PLAN, CROP)
    net.eval()
    rows = []
    for picture in pillows(folder, 32):
        crops = ten_crops(torch.from_numpy(picture.copy()), CROP)
        rows.append(torch.stack([net(((x - NORMALISATION.mean) / 50)[None])[0].softmax(0) for x in crops]).mean(0).detach())
    assert found is not None
    assert (found.loss, found.top1, found.top5) == pytest.approx(expected(rows), rel=1e-4)
    assert found.images == 40


def test_scores_on_whole_pictures_at_several_scales(folder: Path, images: Images) -> None:
    net = Net().eval()
    found = score_scales(net, images, NORMALISATION, PLAN, (30, 45))
    rows = [torch.zeros(8) for _ in range(40)]
    colour = NORMALISATION.mean.mean((1, 2))[:, None, None]
    for side in (30, 45):
        for row, picture in zip(rows, pillows(folder, side), strict=True):
            x = (torch.from_numpy(picture.copy()) - colour) / 50
            row += sum(net(y[None])[0].softmax(0).detach() for y in (x, x.flip(2))) / 4
    assert found is not None
    assert (found.loss, found.top1, found.top5) == pytest.approx(expected(rows), rel=1e-4)
    assert net.training is False


def test_a_wish_to_stop_is_heard(images: Images) -> None:
    net = Net().train()
    assert score_ten_crops(net, images, NORMALISATION, PLAN, CROP, lambda: True) is None
    assert score_scales(net, images, NORMALISATION, PLAN, (30,), lambda: True) is None
    assert net.training


def test_what_has_no_more_than_its_pixels_is_refused() -> None:
    part = InMemory(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    for call in (lambda: score_ten_crops(Net(), part, NORMALISATION, PLAN, 8), lambda: score_scales(Net(), part, NORMALISATION, PLAN)):
        with pytest.raises(SpecError, match="imagefolder") as e:
            call()
        assert e.value.exit_code == 2


def test_a_network_for_one_size_is_refused(images: Images) -> None:
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * CROP * CROP, 8))
    with pytest.raises(SpecError, match="global pooling") as e:
        score_scales(flat, images, NORMALISATION, PLAN, (40,))
    assert e.value.exit_code == 2
