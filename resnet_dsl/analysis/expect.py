"""What an author believes of a network, tested against what it is (docs/language.md, Top-level keys: `expect`)."""

from __future__ import annotations

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import SpecError, call, mistake
from resnet_dsl.graph.graph import Graph
from resnet_dsl.language.spec import Spec


def check_expect(spec: Spec, graph: Graph) -> None:
    """Raise SpecError for each figure that differs. Figures of an overridden spec are not those of its author."""
    if spec.overridden or not spec.expect:
        return
    cost = Costs(graph).network
    figures = {"params": cost.params, "macs": cost.macs, "depth": cost.depth}
    wrong = [
        mistake("expect", f"expect: {e.key} is {figures[e.key]:,}, not {e.value:,}", _help(e.key, figures[e.key], e.value), at=e.at)
        for e in spec.expect
        if figures[e.key] != e.value
    ]
    if wrong:
        raise SpecError(wrong)


def _help(key: str, is_: int, said: int) -> str:
    if key == "macs" and said == 2 * is_:
        return f"macs are multiply-accumulates; {said:,} are floating point operations (2 x macs): write {is_}"
    return f"write {key}: {is_} if the network is right; `{call('inspect', by='block')}` shows where it comes from"
