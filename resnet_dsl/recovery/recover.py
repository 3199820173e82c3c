"""From the names and shapes of a state_dict to the shortest spec whose network has them, with a description.

Readings are hypotheses: each is compiled, and its tensors are compared with the file's, all names and all shapes. The likeliest
that agrees is taken; where none does, the nearest one says what does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from resnet_dsl.diagnostics import OVERRIDES, Argument, Source, SpecError, Speech, did_you_mean, quote, refuse, speak
from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import Shape
from resnet_dsl.graph.tensors import Tensors, tensors
from resnet_dsl.language.source import MAX_DEPTH, read_value
from resnet_dsl.language.tree import plain
from resnet_dsl.recovery.foreign import Renamed, renamings
from resnet_dsl.recovery.heads import linear_layers, with_heads
from resnet_dsl.recovery.layers import Anatomy, Unread, anatomy, shape_words
from resnet_dsl.recovery.readings import Reading, readings
from resnet_dsl.recovery.stored import Stored
from resnet_dsl.recovery.text import input_mapping, network, spec_text
from resnet_dsl.recovery.twins import Twin, twins
from resnet_dsl.recovery.words import Remark, assumed, described, holding, naming
from resnet_dsl.table import Answer, Column, Layout, Table, shape_text

_HELP = "`resnet-dsl explain weights-unknown` says what can be read; else start from `resnet-dsl new`"
_UNREAD = "the network cannot be read from its names and shapes"
_TRACKED = "num_batches_tracked"


@dataclass(frozen=True, slots=True, repr=False)
class Recovered(Answer):
    """A network that was read from names and shapes: the text of its spec, its graph, what it is in words.

    `same` are the shipped specs that have the same tensors, except for the number of `classes` or input `channels` where these
    are not None; `text` extends the first. `remarks` say whose names the file has, and what was chosen that names and shapes
    do not say.
    """

    text: str
    graph: Graph
    words: str
    same: tuple[str, ...]
    remarks: tuple[Remark, ...]
    classes: int | None = None
    channels: int | None = None

    @property
    def params(self) -> int:
        """Elements of trainable parameters."""
        return self.graph.params

    @property
    def likeness(self) -> str:
        """Which shipped specs it is like, in a sentence; empty where it is like none."""
        if not self.same:
            return ""
        first, *rest = self.same
        others = f"; {', '.join(rest)} {'has' if len(rest) == 1 else 'have'} the same tensors" if rest else ""
        counts = ((self.classes, "classes"), (self.channels, "input channels"))
        changes = " and ".join(f"{count:,} {what}" for count, what in counts if count is not None)
        return f"this is {first}{f' with {changes}' if changes else ''}{others}"

    def tables(self, format: Layout = "table", speech: Speech = "python") -> Sequence[Table]:
        """The remarks; none where there are none."""
        columns = (Column("about", "about"), Column("written", "written"), Column("why", "why", wrap=True))
        return [Table(columns, [(r.what, r.written, speak(r.why, speech)) for r in self.remarks])] if self.remarks else []

    def to_dict(self) -> dict[str, Any]:
        """Its fields, with the number of parameters in place of the graph."""
        return {
            "spec": self.text,
            "words": self.words,
            "params": self.params,
            "same": list(self.same),
            "classes": self.classes,
            "channels": self.channels,
            "remarks": [{"about": r.what, "written": r.written, "why": speak(r.why)} for r in self.remarks],
        }

    def summary(self) -> str:
        """Its name, what it is and its size."""
        return f"{self.graph.name}: {self.words[:150]}; {self.params:,} params"

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The text of the spec; in another format the remarks."""
        return self.text if format == "table" else Answer.render(self, format, bold=bold, width=width, quiet=quiet)


@dataclass(frozen=True, slots=True)
class _Near:
    """A reading that does not agree: how many tensors differ, and the first of them in words."""

    count: int
    reading: Reading
    first: str


def recover(
    stored: Stored, *, at: str, name: str, input: Shape | None = None, classes: int | None = None, prefix: str | None = None
) -> Recovered:
    """The spec of the network that a file is of: the one in its metadata, or one read from its names and shapes.

    `at` is what errors name, `name` what the network is called. `input` is (channels, height, width) or (features,); without
    it a usual size is written. `classes` gives a head to a backbone, which has none; of a file of several networks, `prefix` says which. Raises SpecError (exit code 2) that says what does not fit.
    """
    if stored.spec is not None and classes is None and prefix is None:
        return _own(stored, stored.spec, at, name, input)
    try:
        return _read(_under(stored.tensors, prefix, at), at, name, input, classes)
    except SpecError as e:
        found = (
            None if prefix is not None or e.diagnostics[0].code != "weights-unknown" else _inside(stored.tensors, at, name, input, classes)
        )
        if found is None:
            raise
        return found


def _inside(stored: Mapping[str, Shape], at: str, name: str, input: Shape | None, classes: int | None) -> Recovered | None:
    """The network under the one prefix of a file that has one, beside other tensors; None where there is none.

    Raises SpecError (exit 2) where there are several.
    """
    counts = Counter(before for tensor in stored for before in accumulate(f"{part}." for part in tensor.split(".")[:-1]))
    found: dict[str, Recovered] = {}
    for before, count in counts.most_common():
        if 3 * count < len(stored):
            break
        if count < len(stored) and not before.startswith(tuple(found)):
            try:
                found[before] = _read(_under(stored, before, at), at, name, input, classes)
            except SpecError:
                continue
    if len(found) > 1:
        help = f"say which: {Argument('prefix', next(iter(found)))}"
        raise refuse("weights-prefix", f"holds a network under each of {', '.join(map(quote, found))}", help, at=at)
    for before, read in found.items():
        beside = Remark("names", f"under {quote(before)}", f"{len(stored) - counts[before]:,} other tensors in the file are left out")
        return replace(read, remarks=(beside, *read.remarks))
    return None


def _under(stored: Mapping[str, Shape], prefix: str | None, at: str) -> Mapping[str, Shape]:
    """The tensors whose names begin with a prefix, without it."""
    if not prefix:
        return stored
    before = f"{prefix.rstrip('.')}."
    found = {name.removeprefix(before): shape for name, shape in stored.items() if name.startswith(before)}
    if not found:
        known = list(dict.fromkeys(f"{name.partition('.')[0]}." for name in stored if "." in name))
        raise refuse("weights-prefix", f"no name in it begins with {quote(prefix)}", did_you_mean(prefix, known, what="a prefix"), at=at)
    return found


def _own(stored: Stored, spec: str, at: str, name: str, input: Shape | None) -> Recovered:
    """The spec that the file holds."""
    graph = network(spec, name, folded=stored.folded)
    own = tensors(graph)
    differing = _differing(stored.tensors, own)
    if differing:
        raise refuse(
            "weights-unknown",
            f"the spec in its metadata is of another network: {_both(differing[0], stored.tensors, own, 'that network')}",
            "the file was changed after it was written; write it again",
            at=at,
        )
    if input is not None and input != graph.input:
        raise refuse(
            "usage", f"{at} says its input itself, {shape_text(graph.input)}", f"leave out {Argument('input')}", at=Argument("input")
        )
    return Recovered(spec, graph, graph.description or graph.name, (), holding(stored))


def _read(stored: Mapping[str, Shape], at: str, name: str, input: Shape | None, classes: int | None) -> Recovered:
    if any(name.count(".") >= MAX_DEPTH for name in stored):
        raise refuse("weights-unknown", f"{_UNREAD}: a name in it has more than {MAX_DEPTH} parts", _HELP, at=at)
    refused: SpecError | None = None
    tries = [renamed for plain in renamings(_complete(stored)) for renamed in with_heads(plain, classes)]
    if not tries:
        problem = f"it has a head, a layer of {quote(linear_layers(dict(stored))[-1])}"
        raise refuse("usage", problem, f"leave out {Argument('classes')}", at=Argument("classes"))
    for renamed in tries:
        try:
            return _recover(renamed, at, name, input)
        except Unread as e:
            why = refuse("weights-unknown", f"{_UNREAD}: {e}", _HELP, at=at)
        except SpecError as e:
            if e.diagnostics[0].code != "weights-unknown":
                raise
            why = e
        # Of names as they are and names as another library's, the latter say better what is not understood.
        refused = refused if refused is not None and renamed.table is None else why
    assert refused is not None
    if classes is None and not linear_layers(dict(stored)) and "stem and head" in refused.diagnostics[0].message:
        raise refuse("weights-unknown", f"{_UNREAD}: it has no head", f"give it one: {Argument('classes', 10)}, say", at=at)
    raise refused


def _recover(renamed: Renamed, at: str, name: str, input: Shape | None) -> Recovered:
    if not renamed.tensors:
        raise Unread(f"its names are those of {renamed.table}, which do not tell the stages, and no shipped spec has these")
    problem: Unread | _Near | None = None
    reading: Reading | None = None
    others: tuple[str, ...] = ()
    found = anatomy(renamed.tensors)
    try:
        agreed, problem = _agreeing(found, name)
        if agreed:
            first = agreed[0]
            alike = [r for r in agreed if (r.blocks[0].before, r.rank) == (first.blocks[0].before, first.rank)]
            reading = min(alike, key=lambda r: r.length[0])
            others = tuple(dict.fromkeys(r.blocks[0].name for r in agreed if r.blocks[0].before != first.blocks[0].before))
    except Unread as e:
        problem = e
    same = _ranked(twins(found), reading, input)
    if same:
        return _extending(same, renamed, name, at, input)
    if reading is None:
        assert problem is not None
        if isinstance(problem, Unread):
            raise problem
        more = f"; {problem.count - 1:,} more differ" if problem.count > 1 else ""
        message = f"no network that can be read has all its tensors; of the nearest, {problem.first}{more}"
        raise refuse("weights-unknown", message, _HELP, at=at)
    spec = reading.spec | _required(renamed, network(reading.text, name))
    if input is not None:
        spec["input"] = _input(input, tuple(spec["input"].values()), at)
    text = spec_text(spec)
    graph = _sized(text, name, at, input)
    reading = replace(reading, spec=spec)
    return Recovered(
        text, graph, described(reading, graph), (), (*naming(renamed), *assumed(found, reading, graph, others, input is not None))
    )


def _complete(stored: Mapping[str, Shape]) -> Tensors:
    """The names and shapes, with the counts of batches added, which files from torch before 0.4.1 do not have."""
    if any(name.endswith(_TRACKED) for name in stored):
        return dict(stored)
    whole: Tensors = {}
    for name, shape in stored.items():
        whole[name] = shape
        if name.endswith(".running_var"):
            whole[name.removesuffix("running_var") + _TRACKED] = ()
    return whole


def _agreeing(found: Anatomy, name: str) -> tuple[list[Reading], Unread | _Near | None]:
    """The readings that agree with the file, likelier ones first, each in its shortest words; and the nearest that does not.

    Raises Unread where there is no reading.
    """
    agreed: list[Reading] = []
    nearest: _Near | None = None
    problem: Unread | None = None
    for alike in readings(found):
        for reading in sorted(alike, key=lambda r: r.length):
            try:
                near = _difference(reading, found.tensors, name)
            except SpecError as e:
                problem = problem or Unread(f"what can be read makes no network: {e.diagnostics[0].message}")
                continue
            if near is None:
                agreed.append(reading)
                break
            if nearest is None or near.count < nearest.count:
                nearest = near
    return agreed, nearest or problem


def _difference(reading: Reading, stored: Tensors, name: str) -> _Near | None:
    own = tensors(network(reading.text, name))
    differing = _differing(stored, own)
    return _Near(len(differing), reading, _both(differing[0], stored, own, reading.title)) if differing else None


def _differing(stored: Mapping[str, Shape], own: Tensors) -> list[str]:
    """The tensors that are not the same in both: the file's, in its order, then those that it has not."""
    return [n for n in (*stored, *(n for n in own if n not in stored)) if stored.get(n) != own.get(n)]


def _both(tensor: str, stored: Mapping[str, Shape], own: Tensors, whose: str) -> str:
    """A tensor that differs, with both shapes."""
    file = f"{quote(tensor)} is {shape_words(stored[tensor])}" if tensor in stored else f"there is no {quote(tensor)}"
    return f"{file}, where {whose} has {shape_words(own[tensor]) if tensor in own else 'none'}"


def _ranked(found: Iterator[Twin], reading: Reading | None, input: Shape | None) -> list[Twin]:
    """Twins, best first: with the fewest changes, of the input that was asked for, with the function that was read, with the plainest name."""

    def changes(twin: Twin) -> tuple[int, ...]:
        return (
            twin.channels is not None,
            twin.classes is not None,
            input is not None and twin.graph.input != input,
            reading is not None and not _same_steps(twin.graph, reading),
            len(twin.name),
        )

    return sorted(found, key=changes)


def _same_steps(graph: Graph, reading: Reading) -> bool:
    """True where a reading gives the same graph on this input, apart from the network's name and initial weights."""
    spec = {**reading.spec, "input": input_mapping(graph.input)}
    try:
        own = network(spec_text(spec), graph.name)
    except SpecError:
        return False
    return own.text().split("\n", 1)[1] == graph.text().split("\n", 1)[1]


def _extending(same: Sequence[Twin], renamed: Renamed, name: str, at: str, input: Shape | None) -> Recovered:
    """The spec that extends a shipped one."""
    twin = same[0]
    spec: dict[str, object] = {"extends": twin.name}
    if twin.channels is not None or (input is not None and twin.graph.input != input):
        spec["input"] = _input(input or twin.graph.input, twin.graph.input, at)
    if twin.classes is not None:
        spec["classes"] = twin.classes
    spec |= _required(renamed, twin.graph)
    text = spec_text(spec)
    graph = _sized(text, name, at, input)
    names = tuple(t.name for t in same if (t.classes, t.channels) == (twin.classes, twin.channels))
    return Recovered(text, graph, twin.spec.description, names, naming(renamed), twin.classes, twin.channels)


def _required(renamed: Renamed, graph: Graph) -> dict[str, Any]:
    """A setting of the library whose names the file has, as a key of a spec, where the network would differ without it."""
    needs = None if renamed.table is None else renamed.table.requires
    if needs is None or (needs.unmet(graph) is None and any(n.op == needs.op for p in graph.programs for n in p.nodes)):
        return {}
    key, _, value = needs.set.partition("=")
    return {key: plain(read_value(Source(OVERRIDES, value), 0))}


def _input(wanted: Shape, own: Shape, at: str) -> dict[str, int]:
    """An input as a spec says it. Raises SpecError where its channels or features are not the file's."""
    if len(wanted) != len(own) or wanted[0] != own[0]:
        what = f"{own[0]} channels" if len(own) == 3 else f"{own[0]} features"
        raise refuse(
            "usage",
            f"{at} is of a network for inputs of {what}, not for {shape_text(wanted)}",
            f"write {Argument('input', f'{own[0]}x224x224')}, say" if len(own) == 3 else f"leave out {Argument('input')}",
            at=Argument("input"),
        )
    return input_mapping(wanted)


def _sized(text: str, name: str, at: str, input: Shape | None) -> Graph:
    """The network of a spec's text. Raises SpecError where the input is too small for it."""
    try:
        return network(text, name)
    except SpecError as e:
        if input is None:
            raise
        raise refuse(
            "usage",
            f"the network in {at} takes no input of {shape_text(input)}: {e.diagnostics[0].message}",
            f"ask for a larger one, or leave out {Argument('input')}",
            at=Argument("input"),
        ) from None
