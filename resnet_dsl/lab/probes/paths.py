"""`paths`: which lengths of path the gradient takes through a residual network (Veit, Wilber & Belongie 2016, section 4.3)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor

from resnet_dsl.diagnostics import refuse, setting
from resnet_dsl.lab.finding import Finding, Plot, number_text
from resnet_dsl.lab.probes.blocks import PlacedBlock, blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import held_statistics
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column, share, short
from resnet_dsl.training.batches.seeds import generator

_COLUMNS = (
    Column("length", "length", str, right=True),
    Column("paths", "paths", lambda v: short(v) if v < 1e15 else f"{v:.1e}", right=True),
    Column("norm", "norm of one", number_text, right=True),
    Column("contribution", "contribution", number_text, right=True),
    Column("share", "share", share, right=True),
    Column("up_to", "up to here", share, right=True),
)


def measure(probed: ProbedNetwork, samples: int = 8) -> Finding:
    """The gradient of the mean loss by the images through paths of each length, and how much each length contributes.

    A network of n residual blocks has 2^n paths; one of length k goes through k branches and n - k shortcuts. For each k, `samples` subsets of k blocks are
    drawn (all, where there are no more); through a chosen block the gradient passes the branch alone, through another the shortcut alone.
    Its norm, mean over the subsets, times the number of paths C(n, k) is what the length contributes; shares are of the sum of all.

    Forward values are those of the whole network, with norms that hold the statistics of the images.
    Raises SpecError (exit 2) where no block has a shortcut that is added.
    """
    merges = residual_merges(blocks_of(probed.graph))
    if not merges:
        raise refuse(
            "probe-nothing",
            "has one path: no block adds a shortcut",
            f"use a residual network: {setting('shortcut', 'A')}, say",
            at=probed.name,
        )
    n = len(merges)
    norms = []
    with held_statistics(probed.model, probed.images):
        for k in range(n + 1):
            subsets = list(_subsets(n, k, samples, generator(probed.seed, "paths", k)))
            norms.append(statistics.fmean(float(path_gradient(probed, {merges[i] for i in s}).double().norm()) for s in subsets))
    return _finding(probed, n, norms)


def _finding(probed: ProbedNetwork, n: int, norms: Sequence[float]) -> Finding:
    """From the mean norm of the gradient through one path of each length, 0 to n."""
    lengths, paths = range(n + 1), [math.comb(n, k) for k in range(n + 1)]
    contributions = [count * norm for count, norm in zip(paths, norms, strict=True)]
    total = math.fsum(contributions)
    shares = [c / total if total else math.nan for c in contributions]
    below = [math.fsum(shares[: k + 1]) for k in lengths]
    low, high = (next((k for k, b in enumerate(below) if b >= part), n) for part in (0.05, 0.95))
    return Finding(
        "paths",
        probed.name,
        probed.said,
        _COLUMNS,
        tuple(zip(lengths, paths, norms, contributions, shares, below, strict=True)),
        {
            "blocks": n,
            "effective_length": math.fsum(k * s for k, s in enumerate(shares)),
            "peak": max(lengths, key=lambda k: contributions[k]),
            "low": low,
            "high": high,
            "norm_ratio": norms[-1] / norms[0] if norms[0] else math.nan,
        },
        (
            "effective_length: mean of the lengths, by their shares. From low to high: at least 90% of the gradient. "
            "norm_ratio: the norm of the longest path over that of the shortest.",
        ),
        Plot(
            (
                Series("share of the gradient", list(enumerate(shares)), 0),
                Series("share of the paths", [(k, count / 2**n) for k, count in enumerate(paths)], 1, dashed=True),
            ),
            x="length of the path, in branches",
            y="share",
        ),
    )


def residual_merges(blocks: Collection[PlacedBlock]) -> list[str]:
    """The paths of the nodes where a block adds its shortcut."""
    return [path for b in blocks if b.merge is not None and OPS[b.merge.op].sums and (path := b.merge_path) is not None]


def path_gradient(probed: ProbedNetwork, branches: Collection[str], *, whole: Collection[str] = ()) -> Tensor:
    """The gradient by the images (N, *input) that passes the branch alone of the merges in `branches`, and the shortcut alone of all others.

    Those in `whole` pass both.
    """
    merges = set(residual_merges(blocks_of(probed.graph))) - set(whole)

    def watch(seen: Seen) -> Tensor:
        if seen.path not in merges:
            return seen.value
        # The same sum; no gradient passes one of its parts.
        return seen.branch + seen.skip.detach() if seen.path in branches else seen.branch.detach() + seen.skip

    images = probed.images.clone().requires_grad_()
    loss = probed.loss(evaluate(probed.graph, probed.model, images, watch))
    (gradient,) = torch.autograd.grad(loss, images)
    return gradient


def _subsets(n: int, k: int, samples: int, draw: torch.Generator) -> Iterator[Collection[int]]:
    """All subsets of k of n where there are at most `samples`; else so many, drawn."""
    if math.comb(n, k) <= samples:
        yield from combinations(range(n), k)
        return
    for _ in range(samples):
        yield torch.randperm(n, generator=draw)[:k].tolist()
