"""The initial weights that a spec asks for, as the `init_weights` of an emitted module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent

from resnet_dsl.emission.writing import call
from resnet_dsl.graph.graph import Graph, Node, Program
from resnet_dsl.ops.table import OPS

_HE = 'kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")'
_SCHEMES: Mapping[str, tuple[str, str]] = {
    "he": ("He et al. 2015: normal with variance 2 / fan_out.", _HE),
    "he_fan_in": ("He et al. 2015: normal with variance 2 / fan_in.", _HE.replace("fan_out", "fan_in")),
    "xavier": ("Glorot & Bengio 2010: uniform with variance 2 / (fan_in + fan_out).", "xavier_uniform_(m.weight)"),
    "fixup": ("Zhang et al. 2019 (Fixup), from He et al. 2015 (variance 2 / fan_out).", _HE),
}

_FIXUP = '''
def fixup(*layers):
    """Zhang et al. 2019: the last of a body's layers starts at zero, the others at a smaller scale."""
    *others, last = layers
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        for layer in others:
            layer.weight.mul_(BLOCKS ** (-1 / (2 * len(others))))
'''


def initial_text(graph: Graph, classes: Mapping[int, str]) -> list[str]:
    """Definitions that end in `init_weights(model)`; none where torch's own initial weights will do.

    `classes` gives the name of the class of a program by the program's id. The head keeps torch's own weights, but
    under `fixup`, which zeroes them.
    """
    fixup = graph.init_weights == "fixup"
    head = [n for n in graph.root.nodes if n.role == "head"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for program in graph.programs:
        if statements := (*_block_statements(program, fixup, graph.zero_last), *_gate_statements(program)):
            groups.setdefault(statements, []).append(classes[id(program)])

    lines = _scheme_lines(graph.init_weights, head)
    if groups:
        lines.append("for m in model.modules():")
    for statements, names in groups.items():
        which = call("(", names, ")") if len(names) > 1 else names[0]
        lines += [indent(f"if isinstance(m, {which}):", "    "), *(f"        {s}" for s in statements)]
    if fixup:
        lines += [s for path, layer in _weighted(head) for s in _zero("model", path, layer)]
    if not lines:
        return []
    about = _SCHEMES[graph.init_weights][0] if graph.init_weights in _SCHEMES else "What does not start as torch would have it."
    text = "def init_weights(model):\n" + indent("\n".join([f'"""{about}"""', *lines]), "    ")
    blocks = sum(b.times * s.times for s in graph.stages for b in s.callee.nodes if b.role == "block")
    return [_FIXUP.strip().replace("BLOCKS", str(blocks)), text] if fixup else [text]


def zeroed(graph: Graph, program: Program) -> frozenset[str]:
    """The paths of a block's modules whose weights are zero when the network is new."""
    body = [n for n in program.nodes if n.role == "body"]
    paths = {f.path for f in program.flat()[0] if OPS[f.node.op].gain and f.node.get("init") == 0}
    if graph.init_weights == "fixup":
        paths |= {path for path, _ in list(_weighted(body))[-1:]}
    if graph.zero_last and (last := _last_gain(body)) is not None:
        paths.add(last.path)
    return frozenset(paths)


def _scheme_lines(scheme: str, head: Iterable[Node]) -> list[str]:
    if scheme not in _SCHEMES:
        return []
    names = sorted({path.partition(".")[0] for path, _ in _weighted(head)})
    quoted = ", ".join(f'"{name}"' for name in names)
    which = f"not in ({quoted})" if len(names) > 1 else f"!= {quoted}"
    spared = f' and name.partition(".")[0] {which}' if names else ""
    return [
        "for name, m in model.named_modules():",
        f"    if isinstance(m, (nn.Conv2d, nn.Linear)){spared}:",
        f"        nn.init.{_SCHEMES[scheme][1]}",
        "        if m.bias is not None:",
        "            nn.init.zeros_(m.bias)",
    ]


def _block_statements(program: Program, fixup: bool, zero_last: bool) -> Iterator[str]:
    if program.role != "block":
        return
    body = [n for n in program.nodes if n.role == "body"]
    if fixup and (layers := [_of("m", path) for path, _ in _weighted(body)]):
        yield f"fixup({', '.join(layers)})"
    if zero_last and (last := _last_gain(body)) is not None:
        yield from _zero("m", last.path, last)


def _last_gain(body: Sequence[Node]) -> Node | None:
    """What `zero_last` zeroes."""
    return next((n for n in reversed(body) if n.program is None and OPS[n.op].gain and n.get("learn", True)), None)


def _gate_statements(program: Program) -> Iterator[str]:
    for n in program.nodes:
        if n.get("bias_init") is not None:
            yield f"nn.init.constant_({_of('m', n.path)}.bias, {n['bias_init']!r})"


def _weighted(nodes: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    """The weighted layers among nodes, in order, those of chains within them included (a nested residual keeps its own)."""
    for n in nodes:
        if n.program is None:
            if OPS[n.op].weighted:
                yield n.path, n
        elif n.program.is_series:
            yield from ((f"{name}.{path}", layer) for name in n.paths for path, layer in _weighted(n.program.nodes))


def _zero(owner: str, path: str, n: Node) -> Iterator[str]:
    yield f"nn.init.zeros_({_of(owner, path)}.weight)"
    if n.get("bias", False):
        yield f"nn.init.zeros_({_of(owner, path)}.bias)"


def _of(owner: str, path: str) -> str:
    """A child by its path: an attribute where that reads well."""
    return f"{owner}.{path}" if all(map(str.isidentifier, path.split("."))) else f'{owner}.get_submodule("{path}")'
