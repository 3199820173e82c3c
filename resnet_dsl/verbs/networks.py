"""What a network costs, what it looks like, how it differs from another, and how to make it cheaper."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from resnet_dsl.diagnostics import Argument, SpecError, Speech, refuse
from resnet_dsl.graph import Graph
from resnet_dsl.language import Spec
from resnet_dsl.verbs.checks import one_of
from resnet_dsl.verbs.targets import Network, Settings, each, graph_of, listed, load, name_of, spec_of

if TYPE_CHECKING:
    from resnet_dsl.analysis.compare import By as CompareBy
    from resnet_dsl.analysis.compare import Comparison
    from resnet_dsl.analysis.counters import Counts
    from resnet_dsl.analysis.fitted import Fitted
    from resnet_dsl.analysis.formulas import Formulas
    from resnet_dsl.analysis.inspect import By, Report
    from resnet_dsl.analysis.lint import Lint
    from resnet_dsl.analysis.memory import Optimizer, Precision
    from resnet_dsl.analysis.papers import PaperTable
    from resnet_dsl.analysis.vary import Varied
    from resnet_dsl.pictures.costplot import CostPlot
    from resnet_dsl.pictures.difference import Difference
    from resnet_dsl.pictures.draw import By as DrawBy
    from resnet_dsl.pictures.draw import Direction, Drawing, Style, Theme


def compile(network: Network, overrides: Settings = ()) -> Graph:
    """The verified graph of a network. Raises SpecError, located: names, expressions, shapes, merges, limits."""
    return graph_of(network, overrides)


def inspect(
    network: Network,
    overrides: Settings = (),
    *,
    by: By = "stage",
    columns: str | Iterable[str] = (),
    input: str | int | Sequence[int] | None = None,
    counted: str | Iterable[str] = ("conv", "linear"),
    memory: bool = False,
    batch: int | None = None,
    precision: Precision | None = None,
    optimizer: Optimizer | None = None,
    checkpoint: bool = False,
    max_memory: str | int | None = None,
    outputs: str | Iterable[str] = (),
) -> Report:
    """What a network costs, and its shapes: the network in all, and by stage, block or operation.

    `by` is what a row of the table is, and `columns` what it tells. `input` counts for another input, (3, 128, 128) or "784".
    `counted` says which work MACs are. Bytes are for a `batch` in a `precision`, training with an `optimizer`; with `checkpoint`
    each block saves its input alone. `max_memory`, such as "24GiB", asks for the largest batch that trains in it. Where one of
    these is given, or `memory` is, the table shows memory. With `outputs` it is what `build` makes with them, and `features` of the
    report tell each one's shape and stride. Raises SpecError.
    """
    from resnet_dsl.analysis import inspect as analysis
    from resnet_dsl.analysis.figures import chosen, kinds
    from resnet_dsl.analysis.quantities import input_setting, size
    from resnet_dsl.graph.outputs import select

    one_of("by", by, get_args(analysis.By))
    settings = [*listed(overrides), *([] if input is None else [input_setting(input)])]
    loaded = graph_of(network, settings) if isinstance(network, Graph) else load_for(network, overrides, input)
    # A mistake in what is asked for shows before the network is compiled.
    if max_memory is not None:
        size(max_memory, "max_memory")
    shown, work = chosen(columns), kinds(counted)
    return analysis.inspect(
        select(graph_of(loaded), outputs), by=by, columns=shown, counted=work, memory=memory, batch=batch, precision=precision, optimizer=optimizer,
        checkpoint=checkpoint, max_memory=max_memory,
    )  # fmt: skip


def load_for(network: Spec | str | os.PathLike[str], overrides: Settings = (), input: str | int | Sequence[int] | None = None) -> Spec:
    """A spec, for another input where one is given. Raises SpecError, one for an input that no such network reads."""
    from resnet_dsl.analysis.quantities import fitting_input, input_setting, input_shape

    own = spec_of(network, overrides)
    if input is None or isinstance(network, Spec):
        return own if input is None else spec_of(network, [input_setting(input)])
    loaded = spec_of(network, [*listed(overrides), input_setting(input)])
    if len(loaded.input) != len(own.input):
        try:
            graph_of(loaded)
        except SpecError as e:
            raise fitting_input(e, input_shape(input), own.input, name_of(network)) from None
    return loaded


def formulas(network: Spec | str | os.PathLike[str], overrides: Settings = ()) -> Formulas:
    """Parameters and MACs as exact polynomials in widths, params and the input's size. Raises SpecError."""
    from resnet_dsl.analysis import formulas as analysis

    return analysis.formulas(spec_of(network, overrides))


def counters(network: Network, overrides: Settings = ()) -> Counts:
    """What the usual FLOP counters say of a network, and why they differ. Raises SpecError."""
    from resnet_dsl.analysis import counters as analysis

    return analysis.counters(graph_of(network, overrides))


def resolved(network: Spec | str | os.PathLike[str], overrides: Settings = (), *, speech: Speech = "python") -> str:
    """The spec with all defaults, and where each value is from, as YAML. Raises SpecError."""
    from resnet_dsl.language.resolved import resolved as text

    return text(spec_of(network, overrides), speech=speech)


def compare(
    *networks: Network | Iterable[Network],
    labels: Sequence[str] = (),
    vary: Varied = (),
    overrides: Settings = (),
    by: CompareBy = "net",
    sort: str | None = None,
) -> Comparison:
    """What networks cost, side by side, with the difference and the ratio to the first.

    `vary` makes one network per value, and one per pair of values of two keys: `{"shortcut": ["A", "B"]}`. `labels` name the
    rows; left out, a row says what sets it apart. `by` is what a row is; `sort` is params, macs, activations or depth, with `-`
    before it for the largest first. Raises SpecError.
    """
    from resnet_dsl.analysis import compare as analysis
    from resnet_dsl.analysis.apart import apart
    from resnet_dsl.analysis.vary import combinations, varied

    given = each(networks)
    if not given:
        ways = f"name some specs, or write {Argument('preset', 'he2015-table1')}"
        raise refuse("usage", "there is no network to compare", ways, at="SPEC")
    every = combinations(vary, len(given))
    graphs = [graph_of(network, [*listed(overrides), *settings]) for network in given for settings in every]
    names = [varied(name_of(network), settings, len(given) > 1) for network in given for settings in every]
    return analysis.compare(graphs, labels or apart(graphs, names), by, sort)


def plot(comparison: Comparison) -> CostPlot:
    """The plot of a comparison: MACs against parameters, and both by stage. `plot(found).save("costs.svg")`, .png or .html."""
    from resnet_dsl.pictures.costplot import CostPlot

    return CostPlot(comparison)


def paper_table(name: str, overrides: Settings = ()) -> PaperTable:
    """A paper's table beside ours: `he2015-table1`, ... Raises SpecError for a table that we do not have."""
    from resnet_dsl.analysis import papers

    return papers.paper_table(name, listed(overrides))


def diff(
    a: Network, b: Network, *, labels: tuple[str, str] | None = None, overrides: Settings = (), overrides_b: Settings = ()
) -> Difference:
    """What changes from A to B: steps, costs by stage, and whether A's weights fit B.

    `overrides` are for both, `overrides_b` for B alone: `diff("resnet34", "resnet34", overrides_b={"shortcut": "C"})`.
    Raises SpecError.
    """
    from resnet_dsl.pictures import difference

    more = listed(overrides_b)
    first, second = (n if isinstance(n, Graph) else spec_of(n, s) for n, s in ((a, listed(overrides)), (b, [*listed(overrides), *more])))
    named = labels or (name_of(a), " ".join([name_of(b), *more]))
    return difference.diff(graph_of(first), graph_of(second), named)


def comment(found: Difference, lint: Lint) -> str:
    """What `diff --format comment` prints: Markdown for a pull request that changes A into B, with what `lint` finds in B."""
    from resnet_dsl.pictures.comment import changed

    return changed(found, lint.findings)


def draw(
    *networks: Network | Iterable[Network],
    overrides: Settings = (),
    by: DrawBy = "stage",
    style: Style = "folded",
    theme: Theme = "light",
    direction: Direction | None = None,
    all: bool = False,
) -> Drawing:
    """A picture of a network, or of several side by side: `draw("resnet34").save("resnet34.svg")`.

    `by` and `style` say how much is shown (`pictures.draw.draw`). `direction` is TB (downwards) or LR (to the right). `all` draws
    every block of a network with more than 300 operations. Solid shortcuts are identities, dotted ones compute something.
    Raises SpecError for an unknown option and for a picture of more than 5,000 boxes.
    """
    from resnet_dsl.pictures import draw as pictures

    return pictures.draw(_titled(each(networks), overrides), by, style, theme, direction, all=all)


def _titled(networks: Sequence[Network], overrides: Settings) -> list[Graph]:
    """Graphs whose names tell them apart: where two have one name, they are called as in `compare`."""
    from resnet_dsl.analysis.apart import apart

    graphs = [graph_of(n, overrides) for n in networks]
    own = [g.name for g in graphs]
    names = [g.name if own.count(g.name) == 1 else name_of(n) for g, n in zip(graphs, networks, strict=True)]
    return [g if g.name == label else replace(g, name=label) for g, label in zip(graphs, apart(graphs, names), strict=True)]


def lint(*networks: Spec | str | os.PathLike[str], overrides: Settings = (), allow: Iterable[str] = ()) -> Lint:
    """What is legal in specs and still deserves a second look; `allow` leaves rules out. Raises SpecError."""
    from resnet_dsl.analysis import lint as analysis

    codes = analysis.checked(allow)
    return analysis.Lint(tuple((name_of(n), tuple(analysis.lint(spec_of(n, overrides), codes))) for n in networks))


def fit(
    network: str | os.PathLike[str],
    overrides: Settings = (),
    *,
    params: str | int | None = None,
    macs: str | int | None = None,
    like: Network | None = None,
    over: str | Sequence[str] = ("width",),
    multiple: int = 1,
    out: str | os.PathLike[str] = "-",
) -> Fitted:
    """The dearest network within a budget, of those with the stages' widths or depths scaled, as a spec that extends `network`.

    `params` and `macs` are at most so many: 5_000_000 or "5M"; `like` is a network whose costs are the budget. `over` is width,
    depth or both; `multiple` is what widths are to be divisible by. `out` is where the result is to be saved: a spec can be
    extended only from its own folder or one above. Raises SpecError, and where no such network is cheap enough.
    """
    from resnet_dsl.analysis import fitted
    from resnet_dsl.records.target import find

    # What was asked for is checked before anything is computed.
    axes = fitted.axes(over)
    budget = fitted.limits(params, macs, None if like is None else graph_of(like))
    parent = find(network).text
    fitted.extended(parent, os.fspath(out))
    settings = tuple(map(fitted.setting, listed(overrides)))
    return fitted.fit(load(network, overrides), parent, settings, budget, axes, multiple, os.fspath(out))


def emit(network: Network, overrides: Settings = (), *, fold_bn: bool = False, outputs: str | Iterable[str] = ()) -> str:
    """The network as one Python file that needs nothing but PyTorch.

    `fold_bn` folds its batch norms into the layers before them; with `outputs` it gives these values in place of the classes, as
    `build` does. Raises SpecError.
    """
    from resnet_dsl.emission import source
    from resnet_dsl.graph.folding import fold
    from resnet_dsl.graph.outputs import select

    graph = graph_of(network, overrides)
    return source.emit(select(fold(graph) if fold_bn else graph, outputs))
