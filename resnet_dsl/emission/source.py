"""Graph to Python source: the network as one standalone module that needs torch alone.

One class a distinct block; a scope whose children follow one another is an `nn.Sequential`. The text is what
`runtime.build` executes and what a user takes away who wants to leave with plain PyTorch.

Nothing in a spec reaches the source as text: names are checked to be identifiers, attributes enter through `repr`
of typed values. This file imports no torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from resnet_dsl.analysis.features import features
from resnet_dsl.diagnostics import refuse
from resnet_dsl.emission.initial import initial_text
from resnet_dsl.emission.writing import call, camel, checked_name, checked_path, class_text, import_lines
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Output, Program
from resnet_dsl.ops.table import OPS
from resnet_dsl.ops.torch_text import HELPERS
from resnet_dsl.table import shape_text
from resnet_dsl.version import __version__

MAX_CLASSES = 20_000
"""Of one module: the text is made, and read by Python, in some seconds."""

_INLINE_LEVELS = 3
"""Containers written inside one another; a deeper one is a class of its own, as readers and Python's parser prefer."""

_RESERVED = {"F", "OrderedDict", *HELPERS}
_WORDS = {"self", "torch", "nn", "range", "str", "i", "x", "s", "t"}
"""Names that a `forward` uses itself."""


def emit(graph: Graph) -> str:
    """The source of a module with one class a distinct block, `init_weights`, and the network's class.

    The network's class is called `class_name(graph)`; made without arguments, its weights are initialised as the spec
    says. The names, the order and the shapes in its state_dict follow the graph's nodes.
    Equal graphs give equal text. Raises SpecError for a network with more than `MAX_CLASSES` distinct scopes.
    """
    if len(graph.programs) > MAX_CLASSES:
        message = f"{checked_name(graph.name)} has {len(graph.programs):,} blocks and parts that differ, over the limit of {MAX_CLASSES:,} classes"
        raise refuse("limit", message, "use fewer blocks that differ: a number that reads `position` makes each its own class", at="SPEC")
    return _Emitter(graph).source()


def excerpts(graph: Graph) -> dict[int, str]:
    """The text that makes each distinct scope, by the `id` of its program: its class, or its constructor where it has none."""
    emitter = _Emitter(graph)
    classes = {m[1]: part for part in emitter.source().split("\n\n\n") if (m := re.match(r"class (\w+)\(", part))}
    inline = {key: made.text for key, made in emitter.made.items() if key not in emitter.class_names}
    return inline | {key: classes[name] for key, name in emitter.class_names.items()}


def class_name(graph: Graph) -> str:
    """The name of the network's class in the emitted module: `Resnet18` for resnet18."""
    return camel(graph.name, "Net", _RESERVED)


@dataclass(frozen=True, slots=True)
class _Made:
    """How a scope is made where it is called, and how many containers deep that text is."""

    text: str
    level: int = 0


class _Emitter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.classes: list[str] = []
        self.helpers: set[str] = set()
        self.made: dict[int, _Made] = {}
        self.class_names: dict[int, str] = {id(graph.root): class_name(graph)}
        self.taken = {class_name(graph)}
        self.numbers: Counter[str] = Counter()
        self.called: dict[int, str] = {}
        for p in graph.programs:
            for n in p.nodes:
                if n.program is not None:
                    self.called.setdefault(id(n.program), n.path)

    def source(self) -> str:
        for program in self.graph.programs:
            if program is self.graph.root:
                continue
            self.made[id(program)] = self.inline(program) or self.named(program)
        initial = initial_text(self.graph, self.class_names)
        network = self.forward_class(self.graph.root, "nn.Module", ["init_weights(self)"] if initial else [], self.graph.outputs)
        parts = [*(HELPERS[name].strip() for name in HELPERS if name in self.helpers), *self.classes, *initial, network]
        body = "\n\n\n".join(parts)
        return f"{self.header()}\n\n{import_lines(body)}\n\n\n{body}\n"

    def header(self) -> str:
        g = self.graph
        given = f"{len(g.outputs)} output{'s' if len(g.outputs) > 1 else ''}" if g.outputs else shape_text(g.root.shape)
        about = f"{checked_name(g.name)}: {shape_text(g.input)} -> {given}, {g.params:,} parameters."
        return f'"""{about}\n\nWritten by resnet-dsl {__version__}.\n"""'

    def named(self, program: Program) -> _Made:
        name = self.class_names[id(program)] = self.new_name(program)
        if _is_container(program):
            opening, items, closing = _container(self.modules(program), "super().__init__")
            self.classes.append(class_text(name, "nn.Sequential", _about(program, [program.output]), [call(opening, items, closing)]))
        else:
            names = [n.path for n, _ in self.modules(program)]
            self.classes.append(self.forward_class(program, "nn.Module" if all(map(str.isidentifier, names)) else "nn.ModuleDict"))
        return _Made(f"{name}()")

    def inline(self, program: Program) -> _Made | None:
        """The scope as an `nn.Sequential` where it is called; None where it needs a class."""
        if not _is_container(program):
            return None
        level = 1 + max((self.made[id(n.program)].level for n in program.nodes if n.program is not None), default=0)
        return _Made(call(*_container(self.modules(program), "nn.Sequential")), level) if level <= _INLINE_LEVELS else None

    def forward_class(self, program: Program, base: str, ending: Sequence[str] = (), outputs: Sequence[Output] = ()) -> str:
        """A scope with a `forward` of its own. Children whose names are numbers need a `ModuleDict`."""
        modules = self.modules(program)
        if base == "nn.Module":
            start = ["super().__init__()", *(f"self.{n.path} = {text}" for n, text in modules)]
        else:
            start = [call("super().__init__({", [_entry(n, text) for n, text in modules], "})")]
        name = self.class_names[id(program)]
        forward = list(_forward(program, base == "nn.Module", outputs))
        values = [o.value for o in outputs] or [program.output, *program.taps]
        return class_text(name, base, _about(program, values), [*start, *ending], forward, _feature_info(self.graph) if outputs else "")

    def modules(self, program: Program) -> list[tuple[Node, str]]:
        """The nodes of a scope that are modules, in order, each with the text that makes it."""
        uses = Counter([*(operand for n in program.nodes for operand in n.inputs), *program.taps])
        ours: set[str] = set()
        found = []
        for n in program.nodes:
            checked_path(n.path)
            if n.program is not None:
                found.append((n, self.made[id(n.program)].text))
                continue
            row = OPS[n.op]
            if row.module is not None:
                text = row.module(program.site(n))
                if row.inplace and n.inputs[0] in ours and uses[n.inputs[0]] == 1:
                    text = f"{text[:-1]}{'' if text.endswith('()') else ', '}inplace=True)"
                self.use_helper(row.helper, text)
                found.append((n, text))
            elif row.expression is not None:
                self.use_helper(row.helper, f"{row.helper}(")
            # A merge of one operand is that operand itself.
            if row.fresh and (row.module is not None or len(n.inputs) > 1):
                ours.add(n.path)
        return found

    def use_helper(self, helper: str | None, text: str) -> None:
        if helper is not None and text.startswith(f"{helper}("):
            self.helpers.add(helper)

    def new_name(self, program: Program) -> str:
        """`Basic` for the first block made from `basic`, then `Basic2`, ...; a scope in place is called as its first caller calls it."""
        path = self.called[id(program)].rstrip("0123456789")
        stem = camel(path if program.role == "step" and path else program.kind, "Block", _RESERVED)
        while True:
            self.numbers[stem] += 1
            name = stem if self.numbers[stem] == 1 else f"{stem}{self.numbers[stem]}"
            if name not in self.taken:
                self.taken.add(name)
                return name


def _forward(program: Program, attribute: bool, outputs: Sequence[Output]) -> Iterator[str]:
    """The lines of `forward`. The main path is `x`, what a shortcut keeps or makes is `s`, a gate is `t`, paths are `y1`, ...

    A value that is given beside another has a name of its own, `layer2` or `x1`.
    """
    given = [o.value for o in outputs] or [program.output, *program.taps]
    own = given if outputs else program.taps
    alone = not outputs and not program.taps
    last_use = {operand: i for i, n in enumerate(program.nodes) for operand in n.inputs} | dict.fromkeys(given, len(program.nodes))
    names = {SCOPE_INPUT: "x"}
    for i, n in enumerate(program.nodes):
        operands = [names[p] for p in n.inputs]
        row = OPS.get(n.op)
        if row is not None and row.expression is not None:
            value = row.expression(program.site(n), operands)
        else:
            value = f"{_child(n.path, attribute)}({operands[0]})"
        if n is program.nodes[-1] and alone:
            yield f"return {value}"
            return
        names = {p: v for p, v in names.items() if last_use.get(p, -1) > i}
        name = {"shortcut": "s", "gate": "t", "step": "y1"}.get(n.role, "x")
        if n.path in own:
            name = _own_name(n.path, names.values())
        elif name in names.values():
            if name == "x":
                kept = _free_name("s", names.values())
                yield f"{kept} = x"
                names = {p: kept if v == "x" else v for p, v in names.items()}
            else:
                name = _free_name(name, names.values())
        names[n.path] = name
        for tap in n.program.taps if n.program is not None else ():
            names[f"{n.path}.{tap}"] = _own_name(f"{n.path}.{tap}", names.values())
        if n.times > 1:
            yield from _loop(n, name, operands[0])
            continue
        made = ", ".join([name, *(names[f"{n.path}.{tap}"] for tap in (n.program.taps if n.program is not None else ()))])
        remark = f"  # {shape_text(n.shape)}" if n.role == "stage" else ""
        yield f"{made} = {value}{remark}"
    if alone:
        yield "return x"
    else:
        values = [names[v] for v in given]
        yield call("return [", values, "]") if outputs else f"return {', '.join(values)}"


def _loop(n: Node, name: str, operand: str) -> Iterator[str]:
    """A run of children, one after the other, outside a container."""
    if name != operand:
        yield f"{name} = {operand}"
    yield f"for i in range({n.paths[0]}, {int(n.paths[-1]) + 1}):"
    yield f"    {name} = self[str(i)]({name})"


def _child(path: str, attribute: bool) -> str:
    return f"self.{path}" if attribute else f'self["{path}"]'


def _entry(n: Node, text: str) -> str:
    """A child, or a run of equal ones, in the dict that makes a `ModuleDict`."""
    return f'"{n.path}": {text}' if n.times == 1 else f"**{{str(i): {text} for i in range({n.paths[0]}, {int(n.paths[-1]) + 1})}}"


def _own_name(value: str, used: Iterable[str]) -> str:
    """A variable called as the value is: `layer2`, `layer2_1`, `x1` for a child called 1."""
    name = value.replace(".", "_")
    return _free_name(name if name[0].isalpha() else f"x{name}", {*used, *_RESERVED, *_WORDS})


def _feature_info(graph: Graph) -> str:
    """What each output is, in the keys that timm's `feature_info` has."""
    rows = [f'{{"module": "{f.name}", "num_chs": {f.channels}, "reduction": {f.reduction!r}}}' for f in features(graph)]
    return call("feature_info = [", rows, "]")


def _free_name(first: str, used: Iterable[str]) -> str:
    taken = set(used)
    stem = first.rstrip("0123456789")
    return next(name for name in (first, *(f"{stem}{i}" for i in range(2, len(taken) + 3))) if name not in taken)


def _is_container(program: Program) -> bool:
    """Is the scope just its children, one after the other? A block is a class with a `forward` to read even so."""
    if program.role in ("block", "part") or program.taps or not program.is_series:
        return False
    return all(n.program is not None or OPS[n.op].module is not None for n in program.nodes)


def _container(modules: Sequence[tuple[Node, str]], maker: str) -> tuple[str, list[str], str]:
    """The call that makes a container of children: opening, items, closing. A run of equal children is one item."""
    places = accumulate((n.times for n, _ in modules), initial=0)
    if all(n.path == str(place) for (n, _), place in zip(modules, places, strict=False)):
        return f"{maker}(", [text if n.times == 1 else f"*({text} for _ in range({n.times}))" for n, text in modules], ")"
    items = []
    for n, text in modules:
        if n.times == 1:
            items.append(f'("{n.path}", {text})')
        else:
            items.append(f"*((str(i), {text}) for i in range({n.paths[0]}, {int(n.paths[-1]) + 1}))")
    return f"{maker}(OrderedDict([", items, "]))"


def _about(program: Program, values: Iterable[str]) -> str:
    what = "" if program.role == program.kind else f"{checked_name(program.kind)}: "
    return f"{what}{shape_text(program.input)} -> {', '.join(shape_text(program.value_shape(value)) for value in values)}"
