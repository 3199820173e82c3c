"""ResNet-50 answering on this CPU, against the same network laid out by hand: `python benchmarks/inference.py [--compile]`.

For each batch size the plain module (eager, fp32, NCHW), one that a person folded with torch's `fuse_conv_bn_eval` and put into
channels_last, and `runtime.inference.ready`, both in fp32 and bf16; with `--compile` also `ready(..., compiled=True)`. All have the same
weights and are given the same fp32 NCHW images, one after the other in each turn, in alternating order. The ratios are medians over the turns,
and their quartiles. The weights are random, the batch norms' statistics too; the head tells the images (blotches of colour) apart, since the
outputs of a random one are too close together to have a first class that means anything.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import resnet_dsl as rd
from resnet_dsl.graph import Graph
from resnet_dsl.runtime.inference import ready
from resnet_dsl.table import Column, Table

TWIN = runpy.run_path(str(Path(__file__).parent.parent / "tests" / "torch_twin.py"))

Answer = Callable[[torch.Tensor], torch.Tensor]
WARM_UP = 2
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def network(graph: Graph, known: torch.Tensor) -> nn.Module:
    """The module in eval mode, with statistics that a batch norm could have seen and a head that has each image of `known` as a class."""
    model = rd.build(graph, seed=0).eval().requires_grad_(False)
    draws = torch.Generator().manual_seed(0)
    for name, m in model.named_modules():
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_mean is not None and m.running_var is not None
            m.running_mean.normal_(0, 0.1, generator=draws)
            m.running_var.uniform_(0.5, 2, generator=draws)
            # As in a trained network blocks add little; else 50 random layers make all images alike.
            if name.endswith("bn3"):
                m.weight.fill_(0.25)
    head = model.get_submodule("fc")
    assert isinstance(head, nn.Linear)
    features: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    model(known)
    hook.remove()
    middle = features[0].mean(0)
    head.weight.zero_()[: len(known)] = nn.functional.normalize(features[0] - middle, dim=1)
    head.bias.copy_(-(head.weight @ middle))
    return model


def by_hand(model: nn.Module, dtype: torch.dtype) -> Answer:
    """What one does who knows the network: each bn folded into its conv, then channels_last and the type."""
    model = deepcopy(model)
    for m in list(model.modules()):
        children = dict(m.named_children())
        pairs = [(name, name.replace("bn", "conv")) for name in children if name.startswith("bn")]
        if isinstance(m, nn.Sequential) and [type(c) for c in m] == [nn.Conv2d, nn.BatchNorm2d]:
            pairs = [("1", "0")]
        for bn, conv in pairs:
            setattr(m, conv, fuse_conv_bn_eval(children[conv], children[bn]))  # type: ignore[type-var, arg-type]
            setattr(m, bn, nn.Identity())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    model = model.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def answer(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(x.to(dtype=dtype, memory_format=torch.channels_last))
        return found.float()

    return answer


def answers(ours: nn.Module, twin: nn.Module, graph: Graph, compiled: bool) -> dict[str, Answer]:
    """Every way to answer, by name; the first is what the others are measured against."""
    found: dict[str, Answer] = {"plain fp32": twin}
    for name, dtype in TYPES.items():
        found[f"by hand {name}"] = by_hand(twin, dtype)
        found[f"ready {name}"] = ready(graph, ours.state_dict(), dtype=dtype)
        if compiled:
            found[f"compiled {name}"] = ready(graph, ours.state_dict(), dtype=dtype, compiled=True)
    return found


def images(batch: int, side: int) -> torch.Tensor:
    """Blotches of colour: (batch, 3, side, side)."""
    coarse = torch.randn(batch, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    return 2 * nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")


def seconds(answer: Answer, x: torch.Tensor) -> float:
    start = time.perf_counter()
    answer(x)
    return time.perf_counter() - start


def quartiles(ratios: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.2f}x  {low:.2f} to {high:.2f}"


@torch.inference_mode()
def measured(ways: dict[str, Answer], x: torch.Tensor, turns: int) -> list[list[object]]:
    """A row for each way: milliseconds, ratio to plain, ratio to by hand in the same type, relative error, top-1 agreement."""
    plain = next(iter(ways.values()))(x)
    outputs = {}
    for name, answer in ways.items():
        for _ in range(WARM_UP):
            outputs[name] = answer(x)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(ways[name], x))

    def over(base: str, name: str) -> list[float]:
        return [b / t for b, t in zip(times[base], times[name], strict=True)]

    rows: list[list[object]] = []
    first = next(iter(ways))
    for name, y in outputs.items():
        hand = f"by hand {name.rpartition(' ')[2]}"
        against = quartiles(over(hand, name)) if name not in (first, hand) else ""
        error = float((y - plain).abs().max() / plain.abs().max())
        agree = int((y.argmax(1) == plain.argmax(1)).sum())
        faster = quartiles(over(first, name)) if name != first else ""
        rows.append([name, 1000 * statistics.median(times[name]), faster, against, f"{error:.0e}", f"{agree} of {len(x)}"])
    return rows


COLUMNS = (
    Column("way", ""),
    Column("ms", "ms", lambda v: f"{v:.1f}", right=True),
    Column("ratio", "against plain"),
    Column("hand", "against by hand"),
    Column("error", "error"),
    Column("top1", "same top-1"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--side", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    asked = parser.parse_args(arguments)
    graph = rd.compile(rd.load("resnet50", {"input.height": str(asked.side), "input.width": str(asked.side)}))
    batches = [int(size) for size in asked.batches.split(",")]
    known = images(max(*batches, 2), asked.side)
    ours = network(graph, known)
    twin = TWIN["ResNet"](TWIN["Bottleneck"], (3, 4, 6, 3), (64, 128, 256, 512))
    twin.load_state_dict(ours.state_dict())
    ways = answers(ours, twin.eval().requires_grad_(False), graph, asked.compile)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {asked.turns} turns")
    for batch in batches:
        x = known[:batch]
        print(
            f"\n{Table(COLUMNS, measured(ways, x, asked.turns), title=f'ResNet-50, {asked.side}x{asked.side}, {batch} at once').render('table')}"
        )


if __name__ == "__main__":
    main()
