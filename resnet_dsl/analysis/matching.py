"""How the tensors of a file meet those of a network: which fits, under which name, and what is left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resnet_dsl.diagnostics import Argument, either, quote, refuse, setting
from resnet_dsl.emission.naming import NameTable
from resnet_dsl.emission.naming import tables as name_tables
from resnet_dsl.graph.graph import Shape
from resnet_dsl.table import Answer, Column, Layout, Table, count, shape_text

State = Literal["mapped", "renamed", "reshaped", "reordered", "adapted", "filled", "new", "misfit", "missing", "unexpected", "outside"]
"""mapped: name and shape are the network's. reshaped: a 1x1 conv for a linear layer, or the like: the same numbers in the same order.
reordered: channels in another order. adapted: kernels for other input channels. filled: a count of batches that old files lack, which is 0.
new: of the head, drawn anew. misfit: another shape, or no real numbers. missing: only in the network. unexpected: only in the file, in a part
that the network has. outside: only in the file, beside the network.
"""
COUNT = "num_batches_tracked"
"""How the name of a batch norm's count of batches ends."""

EVERY_TENSOR = either("resnet_dsl.verbs.using.match(SPEC, FILE)", "resnet-dsl weights SPEC FILE")
"""What shows how each tensor of a file fits."""

FITS = frozenset({"mapped", "renamed", "reshaped", "reordered", "adapted", "filled", "new", "outside"})
_WORST: tuple[State, ...] = ("misfit", "missing", "unexpected")

_PLAIN = frozenset({"mapped", "outside"})
"""States that need no row of their own: nothing happens to the tensor, or a note says it."""

_ABOUT: Mapping[State, str] = {
    "mapped": "taken as they are",
    "renamed": "under another name",
    "reshaped": "the same numbers in another shape",
    "reordered": "channels in another order",
    "adapted": "kernels for other input channels",
    "filled": "counts of batches, 0",
    "new": "of the head, drawn anew",
    "misfit": "of another shape or type",
    "missing": "only in the network",
    "unexpected": "only in the file, within the network",
    "outside": "only in the file, beside the network",
}


@dataclass(frozen=True, slots=True)
class TensorMatch:
    """A tensor: its name and shape in the network, `key` and `shape`, and in the file, `source` and `found`. Where it is missing it has no shape.
    `order` is that of the channels along `axis` where it is another, and `kind` the type of numbers that do not do. `raw` is the whole name in
    the file, and `fix` what brings the kernels to the network's input channels, in words.
    """

    state: State
    key: str | None
    shape: Shape | None
    source: str
    found: Shape | None
    kind: str | None = None
    axis: int = 0
    order: tuple[int, ...] = ()
    raw: str = ""
    fix: str | None = None

    @property
    def there(self) -> str | None:
        """Its name in the file; None where it is not there."""
        return None if self.found is None else self.source

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        shapes = {"shape": self.shape, "found": self.found}
        return {
            "state": self.state,
            "tensor": self.key,
            "source": self.there,
            **{name: None if s is None else list(s) for name, s in shapes.items()},
            **({"type": self.kind} if self.kind else {}),
        }

    def __str__(self) -> str:
        """What is wrong with it."""
        ours = f" {self.key}" if self.key != self.source else ""
        if self.state == "missing":
            return f"lacks {self.source} {self.shape}" + (f", in the network{ours}" if ours else "")
        if self.state == "unexpected":
            return f"has {self.source} {self.found}, which the network lacks"
        if self.kind is not None:
            return f"{self.source} holds {self.kind}, in the network{ours} real numbers"
        return f"{self.source} is {self.found}, in the network{ours} {self.shape}"


@dataclass(frozen=True, repr=False)
class Match(Answer):
    """How the tensors of `file` meet a network. `table` is the one whose names the file has, None where they are ours; `prefix` stands before
    each of them. `converted` counts the tensors of other types of numbers than torch's default. `head` are the names of the head's tensors.
    `library` is the table whose names they are, also where these are ours; `outputs` and `channels` are the classes that the file's last layer
    gives and the channels that its first one reads, as far as they are there. `remarks` say how the tensors were found in the file.
    """

    file: str
    network: str
    table: NameTable | None
    prefix: str
    rows: tuple[TensorMatch, ...]
    converted: Mapping[str, int]
    unmet: float | None
    head: tuple[str, ...] = ()
    library: NameTable | None = None
    outputs: int | None = None
    channels: int | None = None
    remarks: tuple[str, ...] = ()

    @property
    def imagenet(self) -> bool:
        """Is it known to be of ImageNet: a library's names, 1,000 classes and three channels in the file?"""
        return self.library is not None and self.library.imagenet and (self.outputs, self.channels) == (1000, 3)

    @property
    def fits(self) -> bool:
        """Does every tensor of the network come from the file, and none within the network stay in the file?"""
        return self.unmet is None and not self.bad

    @property
    def bad(self) -> list[TensorMatch]:
        """The tensors that do not fit."""
        return [r for r in self.rows if r.state not in FITS]

    @property
    def counts(self) -> dict[str, int]:
        """Tensors by state."""
        return dict(Counter(r.state for r in self.rows))

    @property
    def taken(self) -> dict[str, str]:
        """The whole name in the file of each tensor that is there, by the network's."""
        return {r.key: r.raw for r in self.rows if r.key is not None and r.found is not None}

    @property
    def new(self) -> tuple[str, ...]:
        """The modules of the head that are drawn anew."""
        return tuple(dict.fromkeys(_owner(r.key) for r in self.rows if r.state == "new"))

    @property
    def strange(self) -> str | None:
        """Whose names the file has, in a sentence, where they are hardly any of the network's; else None."""
        ours = [r.key for r in self.rows if r.key is not None and not r.key.endswith(COUNT)]
        known = len([k for k in self.taken if not k.endswith(COUNT)])
        if 4 * known >= len(ours):
            return None
        if (signed := self._signed()) is not None and signed is not self.table:
            return f"its names are those of {signed}"
        theirs = [r.source for r in self.rows if r.found is not None and r.key is None]
        both = f"it has {_two(theirs)}, the network {_two(ours)}"
        if known:
            return f"{known:,} of the network's {len(ours):,} names {'is' if known == 1 else 'are'} known in it: {both}"
        return f"none of its names is known: {both}" if theirs else "it holds no tensors"

    @property
    def said(self) -> str:
        """What is left out, new or changed of the weights, in words; empty for nothing."""
        if self.strange is not None:
            return ""
        beside = [r.source for r in self.rows if r.state == "outside"]
        head = next((r for r in self.rows if r.state == "renamed" and r.key in self.head), None) if self.table is None else None
        parts = [f"names under {quote(self.prefix)} are taken"] if beside and self.prefix else []
        parts += [f"{_owner(r.key)}: {r.fix}" for r in self.rows if r.state == "adapted"]
        if head is not None and _owner(head.source) != _owner(head.key):
            parts.append(f"the head ({_owner(head.key)}) is {quote(_owner(head.source))} in it")
        if self.new:
            parts.append(f"the head ({', '.join(self.new)}) is new")
        if beside:
            tensors = f"{len(beside):,} tensors beside the network are" if len(beside) > 1 else "1 tensor beside the network is"
            parts.append(f"{tensors} left out ({_two(beside)})")
        return "; ".join([*parts, *self.remarks])

    @property
    def told(self) -> str:
        """What to say where the weights are used: the same, and what is converted."""
        converted = [f"{n:,} tensors are converted from {kind}" for kind, n in self.converted.items()]
        return "; ".join([*converted, *([self.said] if self.said else [])])

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """How many tensors fit and how, and one row per module that is not taken as it is; in CSV one row per tensor.

        Where hardly any name is known, nothing is gained by a row for each.
        """
        if format == "csv":
            columns = tuple(Column(n, n) for n in ("state", "tensor", "shape", "source", "found"))
            return [Table(columns, [[r.state, r.key, _shape(r.shape), r.there, _shape(r.found)] for r in self.rows])]
        if self.strange is not None:
            return [self._summary()]
        # The first tensor of a module says its shape.
        modules = {(r.state, _owner(r.key), _owner(r.there)): _shapes(r) for r in reversed(self.rows) if r.state not in _PLAIN}
        rows = [[state, here, there or None, shape] for (state, here, there), shape in reversed(modules.items())]
        columns = (Column("state", "state"), Column("here", "here"), Column("there", "in the file"), Column("shape", "shape"))
        return [self._summary(), *([Table(columns, rows)] if rows else [])]

    def _summary(self) -> Table:
        columns = (Column("state", "state"), Column("tensors", "tensors", count, right=True), Column("about", "", wrap=True))
        counts = self.counts
        strange, said = self.strange, self.said
        whose = "its names are the network's own" if self.table is None else f"its names are those of {self.table}"
        prefix = f"; each begins with {quote(self.prefix)}" if self.prefix else ""
        notes = (
            f"{_sentence(strange if strange is not None else whose + prefix)}.",
            *(f"{n:,} tensors are converted from {kind}." for kind, n in self.converted.items()),
            *([f"{_sentence(said)}."] if said else []),
            *([f"{self.requirement}."] if self.requirement else []),
            *([f"{_sentence(self.table.says)}."] if self.table is not None and self.table.says else []),
        )
        rows = [[state, counts[state], text] for state, text in _ABOUT.items() if state in counts]
        return Table(columns, rows, title=f"{self.file} {self._verdict} {self.network}", notes=notes)

    @property
    def _verdict(self) -> str:
        return "fits" if self.fits else "does not fit"

    def summary(self) -> str:
        """Whether it fits, and how many tensors there are of each state."""
        states = ", ".join(f"{n:,} {state}" for state, n in self.counts.items())
        return f"{self.file[-100:]} {self._verdict} {self.network:.80}: {states}"

    def to_dict(self) -> dict[str, Any]:
        """What `weights` prints as JSON."""
        return {
            "fits": self.fits,
            "network": self.network,
            "names": None if self.table is None else {"family": self.table.family, "library": self.table.library},
            "prefix": self.prefix,
            "counts": self.counts,
            "converted": dict(self.converted),
            "requires": self.requirement,
            "new": list(self.new),
            "tensors": [r.to_dict() for r in self.rows],
        }

    @property
    def requirement(self) -> str | None:
        """What the library does and the network does not, where a file does not say so."""
        if self.unmet is None or self.table is None or self.table.requires is None:
            return None
        need = self.table.requires
        return (
            f"{self.table} has {need.op.replace('_', ' ')} with {need.attribute} {need.value:g}, "
            f"the network {self.unmet:g}: its outputs would be others"
        )

    def require(self) -> None:
        """Raise SpecError (exit 2) where it does not fit: it names the first tensor of another shape, or else the first that is missing or left over."""
        bad = self.bad
        if bad:
            why = self.strange
            problem = why if why is not None and why.startswith(("none", "it holds")) else self._first(bad)
            raise refuse("weights-fit", f"does not fit {self.network}: {problem}", self._fix(bad), at=self.file)
        self.require_settings()

    def require_settings(self) -> None:
        """Raise SpecError (exit 2) where the library does what the network does not."""
        if self.requirement is not None and self.table is not None and self.table.requires is not None:
            fix = self.table.requires.set
            raise refuse("weights-fit", self.requirement, either(f"overrides=[{fix!r}]", f"--set '{fix}'"), at=self.file)

    def _fix(self, bad: Sequence[TensorMatch]) -> str:
        """What to type, where the head or the input's channels are all that differs."""
        conv, head = (r for r in bad if r.fix is not None), [r for r in bad if r.key in self.head]
        first = next(conv, None)
        if any(r.fix is None and (r not in head or r.kind) for r in bad):
            return f"use the spec that the weights were made with; {EVERY_TENSOR} shows every tensor"
        asked = [*([str(Argument("first_conv", "sum"))] if first is not None else []), *([str(Argument("head", "new"))] if head else [])]
        why = [*([str(first.fix)] if first is not None else []), *(["the head is drawn anew"] if head else [])]
        classes = next((r.found[0] for r in head if r.found), None)
        other = f"; or {setting('classes', str(classes))}, to use the head of the weights" if classes is not None and first is None else ""
        return f"add {' '.join(asked)}: {', and '.join(why)}{other}"

    def _first(self, bad: Sequence[TensorMatch]) -> str:
        first = min(bad, key=lambda r: _WORST.index(r.state))
        more = len(bad) - 1
        rest = f" (and {more:,} more {'does' if more == 1 else 'do'} not fit)" if more else ""
        theirs = self.table or self._signed()
        return f"{first}{rest}" + (f"; its names are those of {theirs}" if theirs is not None else "")

    def _signed(self) -> NameTable | None:
        """The table whose sign a file has that shares few names with the network."""
        held = {r.source for r in self.rows if r.found is not None}
        common = sum(r.key is not None and r.source in held for r in self.rows)
        return None if 2 * common >= len(held) else next((t for t in name_tables() if t.signs(held)), None)


def _two(names: Sequence[str]) -> str:
    """The first two of names."""
    return ", ".join(map(quote, names[:2])) + (", ..." if len(names) > 2 else "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shapes(row: TensorMatch) -> str | None:
    """The shape, or both where they differ."""
    here, there = _shape(row.shape), _shape(row.found)
    return here or there if here == there or not (here and there) else f"{here} from {there}"


def _owner(name: str | None) -> str:
    return (name or "").rpartition(".")[0]


def _shape(shape: Shape | None) -> str | None:
    return None if shape is None else shape_text(shape)
