"""What an author believes of a network, tested against what it is (docs/language.md, Expectations)."""

from __future__ import annotations

from collections.abc import Mapping

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.field import Reach, Reaches
from resnet_dsl.diagnostics import Argument, Diagnostic, SpecError, call, did_you_mean, mistake, quote, refuse
from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.graph.outputs import known_values, value_shape
from resnet_dsl.language.expectations import Expectation, ExpectedShape
from resnet_dsl.language.spec import Spec
from resnet_dsl.table import shape_text


def check_expect(spec: Spec, graph: Graph, *, exercise: bool = False) -> None:
    """Raise SpecError for each figure that differs. Figures of an overridden spec are not those of its author.

    `exercise`: the message says which line does not hold, and no figure of the network. An exercise needs something to hold.
    """
    if exercise and spec.overridden:
        raise refuse(
            "usage", "an exercise is checked as it is written", f"leave out {Argument('overrides', option='set')}", at=Argument("exercise")
        )
    if spec.overridden or not (spec.expect or spec.expect_shapes):
        if exercise:
            raise refuse(
                "expect", "nothing is expected here: an exercise needs `expect`", "add expect: {params: ..., depth: ...}", at=spec.at
            )
        return
    figures = _figures(graph, {e.key for e in spec.expect})
    wrong = [_figure(e, figures[e.key], exercise) for e in spec.expect if not e.holds(figures[e.key])]
    wrong += [d for e in spec.expect_shapes if (d := _shape(e, graph, exercise)) is not None]
    if wrong:
        raise SpecError(wrong)


def _figures(graph: Graph, wanted: set[str]) -> Mapping[str, int]:
    cost = Costs(graph).network
    found = {
        "params": cost.params,
        "macs": cost.macs,
        "depth": cost.depth,
        "activations": cost.activations,
        "shortcut_params": cost.shortcut_params,
        "shortcut_macs": cost.shortcut_macs,
        "blocks": sum(n.times for stage in graph.stages for n in stage.callee.nodes if n.role == "block"),
    }
    return found | {"receptive": _receptive(graph)} if "receptive" in wanted else found


def _receptive(graph: Graph) -> int:
    """The smaller side of what one position after the last stage sees; the input's where it sees all of it."""
    after = next(after for node, _, after in reversed([*Reaches(graph).nodes(graph.root, Reach())]) if node.role == "stage")
    return min(after.size or graph.input[1:] or (1,))


def _figure(e: Expectation, figure: int, exercise: bool) -> Diagnostic:
    if exercise:
        return mistake("expect", f"expect: {e.key} does not hold", _EXERCISE, at=e.at)
    if e.value is None:
        inspect = f"`{call('inspect', by='block')}` shows where it comes from"
        return mistake("expect", f"expect: {e.key} is {figure:,}, not {e}", f"change the network or the bound; {inspect}", at=e.at)
    return mistake("expect", f"expect: {e.key} is {figure:,}, not {e.value:,}", _help(e.key, figure, e.value), at=e.at)


_EXERCISE = "count it again by hand, then change the network"


def _shape(e: ExpectedShape, graph: Graph, exercise: bool) -> Diagnostic | None:
    found: Shape | None = value_shape(graph, e.name)
    if found is None:
        help = did_you_mean(e.name, known_values(graph), what="a value of the network")
        return mistake("unknown-name", f"expect: {graph.name} has no value called {quote(e.name)}", help, at=e.at)
    if found == e.shape:
        return None
    if exercise:
        return mistake("expect", f"expect: the shape of {e.name} does not hold", _EXERCISE, at=e.at)
    message = f"expect: {e.name} is {shape_text(found)}, not {shape_text(e.shape)}"
    return mistake("expect", message, f"write {e.name}: {shape_text(found)} if the network is right", at=e.at)


def _help(key: str, is_: int, said: int) -> str:
    if key == "macs" and said == 2 * is_:
        return f"macs are multiply-accumulates; {said:,} are floating point operations (2 x macs): write {is_}"
    return f"write {key}: {is_} if the network is right; `{call('inspect', by='block')}` shows where it comes from"
