"""Mixup and cutmix: against loops over images and cross-entropy on soft targets; slices of a batch are rows of the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.augment import Augment
from resnet_dsl.training.batches.mixing import Targets, mix, require_halves

G = torch.Generator().manual_seed(0)
IMAGES, LABELS = torch.rand(12, 3, 7, 9, generator=G), torch.randint(0, 5, (12,), generator=G)


def test_without_mixing_nothing_is_touched() -> None:
    images, targets = mix(IMAGES, LABELS, Augment(), 0, 3)
    assert images is IMAGES
    assert targets.labels is LABELS
    assert targets.others is None


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_is_that_of_soft_targets(share: float, smoothing: float) -> None:
    others, logits = LABELS.roll(3), torch.randn(12, 5, generator=G)
    soft = share * functional.one_hot(LABELS, 5) + (1 - share) * functional.one_hot(others, 5)
    expected = functional.cross_entropy(logits, soft.float(), label_smoothing=smoothing)
    assert torch.allclose(Targets(LABELS, others, share).loss(logits, smoothing), expected)
    hard = functional.cross_entropy(logits, LABELS, label_smoothing=smoothing)
    assert torch.equal(Targets(LABELS).loss(logits, smoothing), hard)
    assert len(Targets(LABELS)) == 12


@pytest.mark.parametrize("step", range(5))
def test_mixup(step: int) -> None:
    images, targets = mix(IMAGES, LABELS, Augment(mixup=0.4), 1, step)
    assert targets.others is not None
    for i in range(12):
        partner = (i + 6) % 12
        assert torch.equal(images[i], IMAGES[i] * targets.share + IMAGES[partner] * (1 - targets.share))
        assert targets.others[i] == LABELS[partner]


def test_cutmix() -> None:
    shares = []
    for step in range(60):
        images, targets = mix(IMAGES, LABELS, Augment(cutmix=1.0), 1, step)
        own, other = (images == IMAGES).all(1), (images == IMAGES.roll(-6, 0)).all(1)
        assert bool((own ^ other).all())
        assert torch.equal(other, other[:1].expand_as(other))
        rows, columns = other[0].any(1).sum(), other[0].any(0).sum()
        assert int(other[0].sum()) == int(rows * columns)
        assert targets.share == pytest.approx(float(own[0].float().mean()), abs=1e-6)
        shares.append(targets.share)
    assert len(set(shares)) > 15
    assert 0.5 < sum(shares) / 60 < 0.8  # more than a half: of a box at the border a part is cut off


@pytest.mark.parametrize(("alpha", "variance"), [(0.2, 1 / (4 * 1.4)), (1.0, 1 / 12), (8.0, 1 / (4 * 17))])
def test_shares_are_betas(alpha: float, variance: float) -> None:
    tiny, labels = torch.zeros(2, 1, 1, 1), torch.zeros(2, dtype=torch.int64)
    shares = torch.tensor([mix(tiny, labels, Augment(mixup=alpha), 0, step)[1].share for step in range(2000)])
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(shares.var()) == pytest.approx(variance, rel=0.1)


def test_both_take_turns_by_chance() -> None:
    how = Augment(mixup=0.5, cutmix=0.5)
    blended = [bool(((x != IMAGES) & (x != IMAGES.roll(-6, 0))).any()) for x, _ in (mix(IMAGES, LABELS, how, 0, s) for s in range(200))]
    assert 70 < sum(blended) < 130


@pytest.mark.parametrize("how", [{"mixup": 0.7}, {"cutmix": 0.7}])
@pytest.mark.parametrize("slices", [2, 3, 6])
def test_slices_are_rows_of_the_whole(how: dict[str, Any], slices: int) -> None:
    whole, targets = mix(IMAGES, LABELS, Augment(**how), 5, 6)
    require_halves(Augment(**how), 12, slices)
    for s in range(slices):
        images, part = mix(IMAGES[s::slices], LABELS[s::slices], Augment(**how), 5, 6)
        assert torch.equal(images, whole[s::slices])
        assert part.others is not None
        assert targets.others is not None
        assert torch.equal(part.others, targets.others[s::slices])
        assert part.share == targets.share


def test_partners_that_would_be_parted_are_refused() -> None:
    require_halves(Augment(), 12, 4)
    require_halves(Augment(mixup=1.0), 13, 1)
    with pytest.raises(SpecError, match=r"batch=16") as e:
        require_halves(Augment(mixup=1.0), 12, 4)
    assert e.value.exit_code == 2
