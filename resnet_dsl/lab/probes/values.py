"""A network run node by node: every value in it can be seen, and replaced, by the path of its node.

Merges are expressions of a scope's `forward`, and activations overwrite what they read, so hooks on modules do not see all.
Here the scopes' programs are walked instead; the modules that compute, and with them all weights, are the network's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from resnet_dsl.emission.writing import import_lines
from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import SCOPE_INPUT, Node, Program, join
from resnet_dsl.ops.table import OPS
from resnet_dsl.ops.torch_text import HELPERS
from resnet_dsl.runtime.build import load_source


class Seen(NamedTuple):
    """A node that has been computed: its full path, the node, what it read (one tensor a slot), and what it gives (N, *node.shape)."""

    path: str
    node: Node
    operands: tuple[Tensor, ...]
    value: Tensor

    @property
    def branch(self) -> Tensor:
        """Of a merge, the operand that the main path brings: F."""
        return self.operands[self._spine]

    @property
    def skip(self) -> Tensor:
        """Of a merge, the other operand, or the first of those: s."""
        return self.operands[1 if self._spine == 0 else 0]

    @property
    def _spine(self) -> int:
        spine = self.node["spine"]
        assert isinstance(spine, tuple)
        return spine[0]


Watch = Callable[[Seen], Tensor]
"""Is shown every node of a network; gives what the nodes after it read: its value, or another.

A call of a scope is shown after what is in it, once under each of its paths.
"""


def evaluate(graph: Graph, model: nn.Module, images: Tensor, watch: Watch) -> Tensor:
    """The outputs (N, classes) of `model`, the network of `graph`, for images (N, *input); equal to the bit to `model(images)`."""
    return evaluate_scope(graph.root, model, images, watch)


def evaluate_scope(program: Program, module: nn.Module, x: Tensor, watch: Watch, path: str = "") -> Tensor:
    """The same for one scope: `module` is it, `path` its own path, before those of its nodes."""
    last_use = {operand: i for i, n in enumerate(program.nodes) for operand in n.inputs}
    values = {SCOPE_INPUT: x}
    y = x
    for i, n in enumerate(program.nodes):
        operands = tuple(values[p] for p in n.inputs)
        if n.program is not None:
            (y,) = operands
            for name in n.paths:
                child = join(path, name)
                entering = y
                y = evaluate_scope(n.program, module.get_submodule(name), entering, watch, child)
                y = watch(Seen(child, n, (entering,), y))
        else:
            made = apply(module.get_submodule(n.path), operands[0]) if OPS[n.op].module is not None else _merge(n, program)(*operands)
            y = watch(Seen(join(path, n.path), n, operands, made))
        values[n.path] = y
        # What nothing reads any more is let go, as in the emitted forward.
        values = {p: v for p, v in values.items() if last_use.get(p, -1) > i}
    return y


def apply(module: nn.Module, x: Tensor) -> Tensor:
    """What a module gives for x, which it does not overwrite."""
    y: Tensor = module(x.clone() if getattr(module, "inplace", False) else x)
    return y


def _merge(node: Node, program: Program) -> Callable[..., Tensor]:
    """What the emitted `forward` says of a merge, as a function."""
    row = OPS[node.op]
    assert row.expression is not None
    names = [f"x{i}" for i in range(len(node.inputs))]
    body = f"def merge({', '.join(names)}):\n    return {row.expression(program.site(node), names)}\n"
    helper = f"{HELPERS[row.helper].strip()}\n\n\n" if row.helper else ""
    merge: Callable[..., Tensor] = load_source(f"{import_lines(helper + body)}\n\n\n{helper}{body}").merge
    return merge
