"""A network as a graph for other programs: GraphML, GEXF and networkx's node-link JSON. A node is an operation, an edge an operand."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from resnet_dsl.diagnostics import inline
from resnet_dsl.graph.graph import Graph, Node
from resnet_dsl.graph.network import flatten
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import shape_text

if TYPE_CHECKING:
    import networkx

    from resnet_dsl.graph.network import Network


def to_networkx(graph: Graph) -> Network:
    """The flat network with plain attributes, which every format can hold.

    A node has its full path as its key, and `op`, `label`, `shape` (64x56x56), `channels`, `params`, `macs`, `role` and `shortcut` (does it lie in
    one?); the input has `op` input and its shape. An edge leads from an operand to its reader; its key and its `slot` say which operand it is.
    """
    import networkx

    flat = flatten(graph)
    parts = {f.path: f for f in graph.nodes()}
    plain: Network = networkx.MultiDiGraph(name=inline(graph.name), input=shape_text(graph.input), outputs=" ".join(flat.outputs))
    plain.add_node(flat.source, op="input", label="input", shape=shape_text(graph.input), channels=graph.input[0])
    for path, part in parts.items():
        plain.add_node(path, **_attributes(part.node, part.in_shapes), shortcut=part.in_shortcut)
    for operand, reader, slot in flat.network.edges(keys=True):
        plain.add_edge(operand, reader, key=slot, slot=slot)
    return plain


def _attributes(node: Node, shapes: tuple[tuple[int, ...], ...]) -> Mapping[str, str | int]:
    row, site = OPS[node.op], node.site(shapes)
    return {
        "op": node.op, "label": row.label(site), "shape": shape_text(node.shape), "channels": node.shape[0],
        "params": row.params(site), "macs": row.macs(site), "role": node.role,
    }  # fmt: skip


def to_graphml(graph: Graph) -> str:
    """GraphML, which yEd, Cytoscape, Gephi and igraph read."""
    import networkx

    out = io.BytesIO()
    # Not `write_graphml`, which writes other bytes where lxml is installed.
    networkx.write_graphml_xml(_numbered(graph), out)
    return out.getvalue().decode()


def to_gexf(graph: Graph) -> str:
    """GEXF, which Gephi reads. Without the day on which it was written, so the same network is the same file."""
    import networkx

    out = io.BytesIO()
    networkx.write_gexf(_numbered(graph), out)
    return re.sub(r' lastmodifieddate="[^"]*"', "", out.getvalue().decode(), count=1)


def to_node_link(graph: Graph) -> str:
    """JSON, which `networkx.node_link_graph(document, edges="edges")` reads, and d3 and Cytoscape.js with little more."""
    import networkx

    return json.dumps(networkx.node_link_data(to_networkx(graph), edges="edges"), indent=1) + "\n"


def _numbered(graph: Graph) -> networkx.MultiDiGraph[str]:
    """Both XML formats take an edge's key for its name, of which there may be one in the file."""
    import networkx

    plain = to_networkx(graph)
    numbered: Network = networkx.MultiDiGraph(**plain.graph)
    numbered.add_nodes_from(plain.nodes(data=True))
    for i, (operand, reader, data) in enumerate(plain.edges(data=True)):
        numbered.add_edge(operand, reader, key=i, **data)
    return numbered
