"""Images that grow during a run: a network must be able to read the small ones too."""

from __future__ import annotations

from resnet_dsl.analysis.onevalue import require_values
from resnet_dsl.diagnostics import Source, SpecError, refuse, setting
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language.extends import apply_overrides, load_text, parse_overrides
from resnet_dsl.language.recipe import Resolution
from resnet_dsl.language.resolve import resolve
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import shape_text
from resnet_dsl.training.batches.batches import side


def require_sizes(spec_text: str, graph: Graph, how: Resolution, rows: int, fix: str) -> None:
    """Refuse images that begin so small that the network cannot read them, or that a norm sees one value of them.

    `rows` images are read at once, and `fix` gives more. Raises SpecError (exit 2).
    """
    channels, *full = graph.input
    if not full:
        raise refuse("recipe", "the network reads features, which have no size to grow", "leave the resolution out", at="train.resolution")
    height, width = (side(how, 0, 1, length) for length in full)
    first = f"{channels}x{height}x{width}"
    leave = f"let them begin larger: {setting('train.resolution.start', '0.75')}"
    at = "train.resolution"
    sizes = parse_overrides({"input.height": str(height), "input.width": str(width)})
    try:
        small = compile(resolve(apply_overrides(load_text(Source(graph.name, spec_text), graph.name), sizes)))
    except SpecError as e:
        raise refuse(
            "recipe", f"the first images are {first}, too small for this network: {e.diagnostics[0].message}", leave, at=at
        ) from None
    for node, other in zip(graph.nodes(), small.nodes(), strict=True):
        if OPS[node.node.op].state(node.site) != OPS[other.node.op].state(other.site):
            shapes = " where it reads ".join(shape_text(n.in_shapes[0]) for n in (other, node))
            message = f"the first images are {first}, and {node.path} gets {shapes} of the full size: it takes one size alone"
            raise refuse("recipe", message, "leave the resolution out, or end in a global pool: head=classifier", at=at)
    require_values(small, rows, fix, when=f"of the first images, {first}, ")
