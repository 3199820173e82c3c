"""Do the tensors of a file fit a network, and under which names? What is taken is said tensor by tensor; nothing is guessed. No torch.

Names are read in every known way: as ours, and as those of each library's table, with whatever stands before them. A way in which the
whole network is there is taken; where there are several, they are named and one must be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path

from resnet_dsl.analysis.adaptation import PLAIN, Adaptation, kernels
from resnet_dsl.analysis.matching import COUNT, FITS, Match, State, TensorMatch
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.emission.naming import NameTable, owner, tables
from resnet_dsl.emission.reordering import orders
from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.graph.tensors import tensors as tensors_of
from resnet_dsl.recovery.inputs import readers
from resnet_dsl.recovery.layers import natural

_INSIDE = frozenset({"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
"""What torch's wrappers put into names wherever a module was wrapped: data parallel, compiled, checkpointed, sharded."""


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor of a file: its shape, and the type of its numbers as torch writes it (float16)."""

    shape: Shape
    kind: str = "float32"

    @property
    def real(self) -> bool:
        """Are they real numbers?"""
        return self.kind.startswith(("float", "bfloat"))


@dataclass(frozen=True)
class _Way:
    """The names of a network's tensors in a file, by ours: those of a table (None: ours), after a prefix."""

    table: NameTable | None
    names: Mapping[str, str]
    prefix: str

    @cached_property
    def places(self) -> dict[str, str]:
        """With the prefix."""
        return {key: self.prefix + name for key, name in self.names.items()}


@dataclass(frozen=True, slots=True)
class _File:
    """A file's tensors by their names without what wrappers put inside; `raw` are the names as the file has them."""

    tensors: Mapping[str, Held]
    raw: Mapping[str, str]

    @staticmethod
    def of(tensors: Mapping[str, Held], own: Collection[str]) -> _File:
        used = {part for key in own for part in key.split(".")}
        inside = _INSIDE - used
        clean = {".".join(p for p in name.split(".") if p not in inside): name for name in tensors}
        if len(clean) < len(tensors):
            # Two of its names would be one.
            clean = {name: name for name in tensors}
        return _File({name: tensors[raw] for name, raw in clean.items()}, clean)


def match(
    graph: Graph,
    tensors: Mapping[str, Held],
    at: str | Path,
    adapt: Adaptation = PLAIN,
    *,
    wanted: Collection[str] | None = None,
    default: str = "float32",
) -> Match:
    """How the tensors of a file meet a network, of which only those that are `wanted` matter (None: all).

    `default` is the type of numbers that the network has. Raises SpecError (exit 2) where the file may be read in several ways.
    """
    return _Matching(graph, tensors, str(at), adapt, wanted, default).found()


class _Matching:
    """One question, with what its parts share."""

    def __init__(
        self, graph: Graph, tensors: Mapping[str, Held], at: str, adapt: Adaptation, wanted: Collection[str] | None, default: str
    ) -> None:
        self.graph, self.at, self.adapt, self.default = graph, at, adapt, default
        self.every = tensors_of(graph)
        self.shapes = {k: s for k, s in self.every.items() if wanted is None or k in wanted}
        self.file = _File.of(tensors, self.every)
        heads = tuple(f"{n.path}." for n in graph.root.nodes if n.role == "head")
        self.head = [k for k in self.shapes if k.startswith(heads)] if heads else []
        self.last = [k for k in self.head if owner(k) == owner(self.head[-1])]
        self.readers = readers(graph)

    def found(self) -> Match:
        ways = self._ways()
        asked = self._clean(self.adapt.prefix)
        if asked is not None:
            ways = self._asked(ways, asked)
        needed = [k for k in self.shapes if not k.endswith(COUNT)]
        hits = [sum(w.places[k] in self.file.tensors for k in needed) for w in ways]
        most = max(hits)
        # Of a whole network the head may be missing, or stand elsewhere.
        least = max(1, len(needed) - len(self.head))
        near = [(n, w, self._match(w)) for w, n in zip(ways, hits, strict=True) if n >= least]
        fitting = [(n, w, m) for n, w, m in near if not m.bad]
        if fitting:
            # Names that are there say more than a head that is found elsewhere, or is new.
            top = max(n for n, _, _ in fitting)
            return self._only([(w, m) for n, w, m in fitting if n == top])
        best = [w for w, n in zip(ways, hits, strict=True) if n == most]
        if asked is None and len(prefixes := list(dict.fromkeys(w.prefix for w in best))) > 1 and 2 * most > len(needed):
            raise self._several(prefixes, "most of a network")
        return self._match(best[0])

    def _only(self, whole: Sequence[tuple[_Way, Match]]) -> Match:
        """The one way in which a whole network is there. Raises SpecError (exit 2) where there are several."""
        prefixes = list(dict.fromkeys(w.prefix for w, _ in whole))
        if len(prefixes) > 1:
            raise self._several(prefixes, "a whole network")
        first, found = whole[0]
        rival = next((w for w, m in whole if m.taken != found.taken), None)
        if rival is not None and first.table is not None:
            raise refuse(
                "weights-fit",
                f"its names may be those of {first.table} or of {rival.table}",
                "rename its tensors to those of the network",
                at=self.at,
            )
        return found

    def _several(self, prefixes: Sequence[str], what: str) -> Exception:
        shown = [quote(self._raw_prefix(p)) for p in prefixes]
        listed = ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")
        help = f"say which: {Argument('prefix', self._raw_prefix(prefixes[0]))}"
        return refuse("weights-prefix", f"holds {what} under each of {listed}", help, at=self.at)

    def _raw_prefix(self, prefix: str) -> str:
        """A prefix as the file has it."""
        of = [(name, raw) for name, raw in self.file.raw.items() if name.startswith(prefix)]
        starts = {raw[: len(raw) - len(name) + len(prefix)] for name, raw in of if raw.endswith(name[len(prefix) :])}
        start = min(starts, key=len, default=prefix)
        return start if all(raw.startswith(start) for _, raw in of) else prefix

    # --- how the names may be read ---

    def _ways(self) -> list[_Way]:
        """Each table, ours first, with each prefix under which a name of it stands."""
        own = {key: key for key in self.every}
        signed: list[tuple[NameTable | None, Mapping[str, str]]] = [(None, own)]
        signed += [(table, table.names(self.graph)) for table in tables() if table.signs(self.file.tensors)]
        found: list[_Way] = []
        for whose, names in signed:
            known = frozenset(names.values())
            prefixes = {"": None} | {p: None for name in self.file.tensors for p, rest in _splits(name) if rest in known}
            found += [_Way(whose, names, p) for p in prefixes]
        return found

    def _clean(self, prefix: str | None) -> str | None:
        if not prefix:
            return prefix
        parts = [p for p in prefix.rstrip(".").split(".") if not (p in _INSIDE and self.file.tensors.keys() != set(self.file.raw.values()))]
        return "".join(f"{p}." for p in parts)

    def _asked(self, ways: Sequence[_Way], prefix: str) -> list[_Way]:
        if not any(name.startswith(prefix) for name in self.file.tensors):
            half = len(self.shapes) // 2
            known = [self._raw_prefix(p) for p in dict.fromkeys(w.prefix for w in ways if w.prefix)
                     if sum(name.startswith(p) for name in self.file.tensors) > half]  # fmt: skip
            help = did_you_mean(str(self.adapt.prefix), known, what="a prefix") if known else f"leave out {Argument('prefix')}"
            raise refuse("weights-prefix", f"no name in it begins with {quote(str(self.adapt.prefix))}", help, at=self.at)
        return [w for w in ways if w.prefix == prefix] or [_Way(None, {key: key for key in self.every}, prefix)]

    # --- one way, tensor by tensor ---

    def _match(self, way: _Way) -> Match:
        moved = orders(self.graph, way.table.pads_both_sides) if way.table is not None and way.table.pads_both_sides is not None else {}
        places = {**way.places, **self._head_elsewhere(way)}
        prefix = self._raw_prefix(way.prefix)
        rows = [self._row(key, shape, places[key], prefix, *moved.get(key, (0, ()))) for key, shape in self.shapes.items()]
        rows = self._with_new_head(rows)
        rows += self._left(way, set(places.values()), prefix)
        other = Counter(h.kind for h in self.file.tensors.values() if h.real and h.kind != self.default)
        unmet = way.table.requires.unmet(self.graph) if way.table is not None and way.table.requires is not None else None
        return Match(
            self.at,
            self.graph.name,
            way.table,
            prefix,
            tuple(rows),
            dict(other),
            unmet,
            tuple(self.head),
            self._library(way),
            self._axis(self.last[:1], places, 0),
            self._axis([k for k in self.shapes if k in self.readers], places, 1),
        )

    def _library(self, way: _Way) -> NameTable | None:
        """The table whose names these are; of ours, the first that has the same."""
        own = (t for t in tables() if way.table is None and t.signs(self.file.tensors) and t.names(self.graph) == way.names)
        return way.table or next(own, None)

    def _axis(self, keys: Sequence[str], places: Mapping[str, str], axis: int) -> int | None:
        """The length of the first of these tensors that the file has, along an axis."""
        held = (self.file.tensors[places[k]].shape for k in keys if places[k] in self.file.tensors)
        return next((shape[axis] for shape in held if len(shape) > axis), None)

    def _row(self, key: str, shape: Shape, place: str, prefix: str, axis: int, order: tuple[int, ...]) -> TensorMatch:
        held = self.file.tensors.get(place)
        if held is None:
            counts = key.endswith(COUNT) and place.replace(COUNT, "running_mean") in self.file.tensors
            return TensorMatch("filled" if counts else "missing", key, shape, place.removeprefix(prefix), None)
        raw = self.file.raw[place]
        source, found = raw.removeprefix(prefix), held.shape
        row = TensorMatch("misfit", key, shape, source, found, raw=raw)
        if not (held.real or key.endswith(COUNT)):
            return replace(row, kind=held.kind)
        if found == shape:
            state: State = "reordered" if order else "mapped" if source == key else "renamed"
            return replace(row, state=state, axis=axis, order=order)
        # A linear layer of a flattened map and a conv that covers the map read the same numbers in the same order.
        if {len(found), len(shape)} == {2, 4} and found[0] == shape[0] and prod(found) == prod(shape):
            return replace(row, state="reshaped", axis=axis, order=order)
        if key in self.readers and len(found) == len(shape) > 1 and (found[0], *found[2:]) == (shape[0], *shape[2:]):
            fix = kernels(found[1], shape[1])
            if fix is not None:
                return replace(row, state="misfit" if self.adapt.first_conv is None else "adapted", fix=fix, axis=axis, order=order)
        return row

    def _head_elsewhere(self, way: _Way) -> dict[str, str]:
        """Where the last layer stands in a file that has only this layer under another name: `head`, or `fc.1` after a dropout.

        It is taken where a single layer in the file has its tensors and shapes.
        """
        if not self.last or any(way.places[k] in self.file.tensors for k in self.last):
            return {}
        parts = {k.rpartition(".")[2]: self.shapes[k] for k in self.last}
        taken = {owner(name) for name in way.places.values()}
        layers = {owner(name) for name in self.file.tensors} - taken
        own = {_first(n) for k, n in way.names.items() if k not in self.head}
        fitting = [
            layer for layer in layers
            if all(_same(self.file.tensors.get(f"{layer}.{p}"), shape) for p, shape in parts.items())
            and ("bias" in parts) == (f"{layer}.bias" in self.file.tensors)
            and not (layer.startswith(way.prefix) and _first(layer.removeprefix(way.prefix)) in own)
        ]  # fmt: skip
        return {k: f"{fitting[0]}.{k.rpartition('.')[2]}" for k in self.last} if len(fitting) == 1 else {}

    def _with_new_head(self, rows: Sequence[TensorMatch]) -> list[TensorMatch]:
        """With what is new of the head: the modules that do not fit, and the last layer where that was asked for."""
        if self.adapt.head is None and not self.adapt.lenient:
            return list(rows)
        own = set(self.head)
        new = {owner(r.key) for r in rows if r.key in own and r.state not in FITS}
        new |= {owner(k) for k in self.last} if self.adapt.head == "new" else set()
        return [
            TensorMatch("new", r.key, r.shape, r.source, None) if r.key is not None and owner(r.key) in new and r.key in own else r
            for r in rows
        ]

    def _left(self, way: _Way, taken: Collection[str], prefix: str) -> Iterator[TensorMatch]:
        """What is only in the file. Beside the network, it is merely told; within it, it says that the network is another."""
        heads = {_first(way.names[k]) for k in self.head}
        bodies = {_first(name) for k, name in way.names.items() if k not in set(self.head)}
        words = {natural(first)[0] for first in heads | bodies}
        free = heads - bodies if self.adapt.head is not None or self.adapt.lenient else set()
        for name, held in self.file.tensors.items():
            if name not in taken:
                first = _first(name.removeprefix(way.prefix))
                beside = not name.startswith(way.prefix) or natural(first)[0] not in words or first in free or name.endswith(COUNT)
                raw = self.file.raw[name]
                yield TensorMatch("outside" if beside else "unexpected", None, None, raw.removeprefix(prefix), held.shape, raw=raw)


def _same(held: Held | None, shape: Shape) -> bool:
    return held is not None and held.real and (held.shape == shape or (held.shape[2:] == (1, 1) and held.shape[:2] == shape))


def _first(name: str) -> str:
    return name.partition(".")[0]


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A name cut at each of its dots: what stands before, with the dot, and the rest."""
    at = -1
    while True:
        yield name[: at + 1], name[at + 1 :]
        at = name.find(".", at + 1)
        if at < 0:
            return
