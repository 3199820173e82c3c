"""Labels for networks side by side: their names, and what differs between networks of one name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph.graph import Graph, Node
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import shape_text


def apart(graphs: Sequence[Graph], names: Sequence[str] = ()) -> list[str]:
    """One label per network: `resnet50`, or `resnet50 shortcut=B` and `resnet50 shortcut=C`. Equal networks are numbered.

    `names` are what the networks are called where that is not their own names.
    """
    names = names or [g.name for g in graphs]
    labels = list(names)
    for name in (n for n, times in Counter(names).items() if times > 1):
        places = [i for i, n in enumerate(names) if n == name]
        for i, about in zip(places, _told([graphs[i] for i in places]), strict=True):
            labels[i] = f"{name} {about}"
    return labels


def _told(graphs: Sequence[Graph]) -> list[str]:
    """What sets each network of one name apart: the first fact in which all differ, or as few facts as tell them apart."""
    columns = {key: [tell(g) for g in graphs] for key, tell in _FACTS.items()}
    told = {key: texts for key, texts in columns.items() if len(set(texts)) > 1}
    for key, texts in told.items():
        if len(set(texts)) == len(graphs):
            return [f"{key}={text}" for text in texts]
    labels = [""] * len(graphs)
    for key, texts in told.items():
        more = [f"{label} {key}={text}".strip() for label, text in zip(labels, texts, strict=True)]
        labels = more if len(set(more)) > len(set(labels)) else labels
    if len(set(labels)) < len(graphs):
        labels = [f"{label} #{i}".strip() for i, label in enumerate(labels, 1)]
    return labels


def _calls(graph: Graph, role: str) -> str:
    """The kinds of the scopes with this role, each once."""
    return _listed(n.callee.kind for p in graph.programs for n in p.nodes if n.role == role and n.program is not None)


def _ops(graph: Graph, group: str) -> str:
    """The operations of a group, each once."""
    return _listed(n.op for p in graph.programs for n in p.nodes if n.program is None and OPS[n.op].group == group)


def _blocks(stage: Node) -> int:
    return sum(n.times for n in stage.callee.nodes if n.role == "block")


def _listed(words: Iterable[str]) -> str:
    return "+".join(sorted(set(words))) or "none"


_FACTS: Mapping[str, Callable[[Graph], str]] = {
    "shortcut": lambda g: _calls(g, "shortcut"),
    "block": lambda g: _calls(g, "block"),
    "depths": lambda g: "-".join(str(_blocks(s)) for s in g.stages),
    "widths": lambda g: "-".join(str(s.shape[0]) for s in g.stages),
    "input": lambda g: shape_text(g.input),
    "classes": lambda g: str(g.classes),
    "norm": lambda g: _ops(g, "norm"),
    "act": lambda g: _ops(g, "act"),
    "merge": lambda g: _ops(g, "merge"),
    "init": lambda g: g.init_weights,
    "zero_last": lambda g: str(g.zero_last).lower(),
    "params": lambda g: f"{Costs(g).network.params:,}",
    "macs": lambda g: f"{Costs(g).network.macs:,}",
}
"""What a label may tell, most telling first."""
