"""`paths`: how many paths lead through a network, how long they are, and where all of them meet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from resnet_dsl.verbs.targets import Network, Settings, each, graph_of

if TYPE_CHECKING:
    from resnet_dsl.pictures.paths import By, Paths


def paths(*networks: Network | Iterable[Network], overrides: Settings = (), by: By = "net") -> Paths:
    """The paths through each network from its input to its classes, exact: `rd.paths("resnet56")[0].count` is 2^27.

    A path follows operands; its length is the number of weighted layers (convolutions and linear layers) on it (Veit, Wilber &
    Belongie 2016, section 3). Each network has its `lengths` with the number of paths that have them, `shortest`, `longest` and `mean`; its
    `cuts`, the values through which every path leads, with shape, parameters and multiply-accumulates up to there; and `tied`, groups of
    layers whose widths an elementwise merge makes equal. `by` is what a row of the table is: a network, a length, a cut or a group.

    Raises SpecError where a spec is refused (exit 2), and where the numbers have more than 16 million bits together (exit 2).
    """
    from resnet_dsl.analysis.paths import paths_of
    from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
    from resnet_dsl.pictures.paths import BYS, Paths

    given = each(networks)
    if not given:
        raise refuse("usage", "there is no network to look at", "give at least one", at="paths")
    if by not in BYS:
        raise refuse("usage", f"by is not {quote(str(by))}", did_you_mean(str(by), BYS, what="by"), at=Argument("by"))
    return Paths(tuple(paths_of(graph_of(network, overrides)) for network in given), by)
