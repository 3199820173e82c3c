"""What the usual counters say of a network, and why they differ: their conventions as one table.

A counter is a sum over what the op table says a network does (`Op.work`), each quantity taken so many times. We found how
they are made up by running the tools, and test them against the tools and against recorded figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.analysis.cost import total_work
from resnet_dsl.analysis.structure import late_strides
from resnet_dsl.graph.graph import Graph
from resnet_dsl.table import Answer, Column, Layout, Table, count, short


@dataclass(frozen=True, slots=True)
class Counter:
    """A row: `version` is what was run, `unit` whether a multiply-add is one (MAC, though most say FLOP) or two (FLOP), `adds`
    how often each quantity goes in.

    `early` moves each block's stride from its 3x3 conv to the 1x1 before it.
    """

    name: str
    version: str
    unit: str
    adds: Mapping[str, int]
    early: bool = False

    def count(self, work: Mapping[str, int]) -> int:
        """What it says of a network that does this work."""
        return sum(times * work.get(what, 0) for what, times in self.adds.items())


_MACS = {"conv": 1, "linear": 1}
_DOUBLE = {"conv": 2, "linear": 2}
_BIASES = {"conv bias": 1, "linear bias": 1}

COUNTERS: tuple[Counter, ...] = (
    Counter("resnet-dsl", "", "MAC", _MACS),
    Counter("He et al. 2015", "", "MAC", _MACS, early=True),
    Counter("torchvision", "_ops", "MAC", _MACS),
    Counter("torch", "flop_counter", "FLOP", _DOUBLE),
    Counter("fvcore", "0.1.5", "MAC",
            {**_MACS, "batch norm": 2, "group norm": 5, "layer norm": 5, "layer norm of a map": 5, "instance norm": 5,
             "global avg pool inputs": 1}),
    Counter("fvcore, train()", "0.1.5", "MAC", {**_MACS, "norm": 5, "global avg pool inputs": 1}),
    Counter("torchinfo", "1.8", "MAC", {**_MACS, **_BIASES, "norm params": 1, "scale params": 1, "bias params": 1}),
    Counter("ptflops", "0.7.5", "MAC",
            {**_MACS, **_BIASES, "batch norm": 2, "group norm": 2, "instance norm": 2, "layer norm": 1, "ReLU": 2, "GELU": 2, "ELU": 2,
             "ReLU6": 1, "leaky ReLU": 1, "SiLU": 1, "softmax": 1, "max pool inputs": 2, "average pool inputs": 2,
             "global avg pool inputs": 2, "global max pool inputs": 2}),
    Counter("ptflops, aten", "0.7.5", "MAC", {**_MACS, **_BIASES}),
    Counter("thop", "0.1.1", "MAC",
            {**_MACS, "batch norm": 4, "layer norm": 4, "instance norm": 4, "softmax": 3, "softmax, sums": -1,
             "average pool outputs": 1, "global avg pool inputs": 1, "global avg pool outputs": 1}),
    Counter("calflops", "0.3.2", "FLOP",
            {**_DOUBLE, "conv bias": 1, "batch norm": 2, "group norm": 5, "layer norm": 5, "layer norm of a map": 5,
             "instance norm": 5, "ReLU": 1, "ReLU6": 1, "leaky ReLU": 1, "ELU": 1, "GELU": 1, "SiLU": 1, "softmax": 1, "max pool inputs": 1,
             "average pool inputs": 1, "global avg pool inputs": 1, "global max pool inputs": 1}),
    Counter("torchprofile", "0.1.0", "MAC",
            {**_MACS, "norm": 1, "average pool outputs": 1, "global avg pool outputs": 1, "scale": 1, "mul": 1, "leaky ReLU": 1}),
)  # fmt: skip

_NOTES = (
    "MACs are those of conv and linear; the other figures are elements. Unit: is a",
    "multiply-add one (MAC) or two (FLOP)? Several tools that count MACs say FLOPs.",
    "Tools that count by module type are given the module that `emit` writes.",
)


@dataclass(frozen=True, slots=True)
class Saying:
    """What one counter says of one network, and what its figure is made of."""

    counter: Counter
    count: int
    makes: str


@dataclass(frozen=True, slots=True, repr=False)
class Counts(Answer):
    """What every usual counter says of the network `name`, for one input."""

    name: str
    rows: tuple[Saying, ...]

    def summary(self) -> str:
        """The network, and the smallest and largest figure."""
        figures = [s.count for s in self.rows]
        return f"{self.name}: {len(figures)} counters say {short(min(figures))} to {short(max(figures))}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """One row per counter."""
        columns = (
            Column("counter", "counter"), Column("count", "it says", count, True), Column("unit", "unit"),
            Column("makes", "which is", wrap=True),
        )  # fmt: skip
        rows = [[f"{s.counter.name} {s.counter.version}".strip(), s.count, s.counter.unit, s.makes] for s in self.rows]
        return [Table(columns, rows, f"{self.name}: what the usual counters say, for one input", notes=_NOTES)]

    def to_dict(self) -> list[dict[str, object]]:
        """The JSON document of `inspect --explain-count`."""
        return [
            {"counter": s.counter.name, "version": s.counter.version, "count": s.count, "unit": s.counter.unit, "makes": s.makes}
            for s in self.rows
        ]


def counters(graph: Graph) -> Counts:
    """What each counter says of a network, for one input."""
    work = total_work(graph)
    spared = sum(late.spared for late in late_strides(graph))
    return Counts(graph.name, tuple(_saying(c, work, spared if c.early else 0) for c in COUNTERS))


def _saying(c: Counter, work: Mapping[str, int], spared: int) -> Saying:
    double = "2 x MACs" if c.adds["conv"] == 2 else "MACs"
    terms = [f" {'-' if n < 0 else '+'} {f'{abs(n)} x ' if abs(n) > 1 else ''}{work[what]:,} {what}"
             for what, n in c.adds.items() if what not in _MACS and work.get(what)]  # fmt: skip
    moved = f" - {spared:,}: the stride of each bottleneck in its first 1x1" if spared else ""
    return Saying(c, c.count(work) - spared, double + "".join(terms) + moved)
