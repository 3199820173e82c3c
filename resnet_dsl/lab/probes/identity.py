"""Are zero weights an identity? Each block's branch is set to zero, and the block's output is compared with its input, bit for bit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.probes.blocks import PlacedBlock, blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics
from resnet_dsl.lab.probes.values import Seen, evaluate, evaluate_scope
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import Column, share
from resnet_dsl.training.batches.seeds import generator


class Passed(NamedTuple):
    """How one input came through a block: the share of its numbers that left as they came (None where shapes differ), and why not all."""

    same: float | None
    why: str


def measure(probed: ProbedNetwork) -> Finding:
    """For every block whose branch has only zeros as parameters: does it return its input, bit for bit, for the inputs that it has in
    the network, and for any (standard normal numbers)?
    """
    graph, model = probed.graph, probed.model
    inputs: dict[str, Tensor] = {}

    def watch(seen: Seen) -> Tensor:
        if seen.node.role == "block":
            inputs[seen.path] = seen.operands[0]
        return seen.value

    rows = []
    with torch.no_grad(), batch_statistics(model):
        evaluate(graph, model, probed.images, watch)
        for block in blocks_of(graph):
            own = inputs[block.path]
            noise = torch.randn(own.shape, generator=generator(probed.seed, "identity", block.path)).to(own)
            zero_branch(model, block)
            here, anywhere = (passed(model, block, x) for x in (own, noise))
            rows.append((block.path, block.shortcut or "none", here.same, anywhere.same, here.why or anywhere.why))
    identities = [[row[column] == 1 for row in rows] for column in (2, 3)]
    return Finding(
        "identity",
        probed.name,
        probed.said,
        (
            Column("block", "block"),
            Column("shortcut", "shortcut"),
            Column("own_inputs", "own inputs", share, True),
            Column("any_inputs", "any inputs", share, True),
            Column("why", "why not", wrap=True),
        ),
        tuple(rows),
        {
            "blocks": len(rows),
            "identities": sum(identities[0]),
            "identities_for_any": sum(identities[1]),
            "share": sum(identities[0]) / len(rows),
        },
        notes=("The shares are of numbers that leave a block as they entered it, to the bit, all parameters of its branch being zero.",),
    )


def zero_branch(model: nn.Module, block: PlacedBlock) -> None:
    """Make every parameter of a block's body zero, those of norms included."""
    for node in block.program.nodes:
        if node.role == "body" and (node.program is not None or OPS[node.op].module is not None):
            for name in node.paths:
                for p in model.get_submodule(f"{block.path}.{name}").parameters():
                    p.zero_()


def passed(model: nn.Module, block: PlacedBlock, x: Tensor) -> Passed:
    """How x (N, *input) comes through a block."""
    merges: list[Seen] = []

    def watch(seen: Seen) -> Tensor:
        if seen.node is block.merge:
            merges.append(seen)
        return seen.value

    y = evaluate_scope(block.program, model.get_submodule(block.path), x, watch, block.path)
    after = " and ".join(OPS[n.op].label(block.program.site(n)) for n in block.program.nodes if n.role == "after")
    if not merges:
        same = None if y.shape != x.shape else _same(y, x)
        return Passed(same, "there is no shortcut" + ("" if y.any() else ": it gives zeros"))
    (merge,) = merges
    skip = merge.skip
    if y.shape != x.shape:
        follows = "" if _same(y, skip) == 1 else f", then {after}" if after else ""
        return Passed(None, f"its shape changes: it gives the shortcut, {block.shortcut}{follows}")
    same = _same(y, x)
    if same == 1:
        return Passed(same, "")
    if _same(skip, x) != 1:
        return Passed(same, f"the shortcut, {block.shortcut}, is not an identity")
    if merge.branch.any():
        return Passed(same, "the branch gives more than zeros")
    if _same(merge.value, x) != 1:
        return Passed(same, "the merge is not an addition")
    return Passed(same, f"{after} comes after the addition")


def _same(a: Tensor, b: Tensor) -> float:
    """The share of numbers that are equal bit for bit: 0.0 is not -0.0."""
    bits = {4: torch.int32, 8: torch.int64}[a.element_size()]
    return (a.contiguous().view(bits) == b.contiguous().view(bits)).cpu().double().mean().item()
