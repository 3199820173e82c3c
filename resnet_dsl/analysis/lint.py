"""What is legal and still deserves a second look. THE table of rules: each reads the compiled graph, never names.

A rule is silenced by a comment: `# lint: allow CODE` on a line of its own for the whole file, at the end of a line for what
is found there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from resnet_dsl.analysis import rules
from resnet_dsl.analysis.rules import Finding, Subject
from resnet_dsl.diagnostics import (
    Argument,
    Collector,
    Diagnostic,
    Location,
    Source,
    Speech,
    did_you_mean,
    inline,
    mistake,
    quote,
    refuse,
    render,
    sort,
)  # fmt: skip
from resnet_dsl.graph import compile
from resnet_dsl.language.spec import Spec
from resnet_dsl.table import Answer, Column, Layout, Table

_ALLOW = re.compile(r"#\s*lint:\s*allow\s+([a-z][a-z0-9, -]*)\s*$")


@dataclass(frozen=True, slots=True)
class LintRule:
    """A row: a title, why it matters, what to do, a spec's excerpt that has it and the same without, and the test."""

    title: str
    why: str
    help: str
    wrong: str
    right: str
    find: Callable[[Subject], Iterator[Finding]]


RULES: Mapping[str, LintRule] = {
    "late-stride": LintRule("a bottleneck with its stride in the 3x3 conv (v1.5)",
        "He et al. 2015 put a block's stride in its first 1x1 conv; torchvision, and most weights that people share, have it in the 3x3. "
        "Both are good networks, but different ones: costs and accuracies of one are not those of the other.",
        "block: {bottleneck: {stride_at: 1}} is the paper; or say that you mean v1.5: # lint: allow late-stride",
        "block: bottleneck\nstages: [{depth: 1, width: 16, stride: 2}]",
        "block: {bottleneck: {stride_at: 1}}\nstages: [{depth: 1, width: 16, stride: 2}]", rules.late_stride),
    "imagenet-stem": LintRule("an ImageNet stem on small pictures",
        "A 7x7 conv with stride 2 and a pool leave a sixteenth of the pixels. A picture of 32x32 is 8x8 before the first block "
        "reads it: accuracy on CIFAR falls by several points.",
        "use stem: cifar", "stem: imagenet", "stem: cifar", rules.imagenet_stem),
    "pixel-kernel": LintRule("a wide convolution over a map of one pixel",
        "Only the middle of its kernel reads the map; the rest reads padding. It costs parameters and does what a 1x1 conv would do.",
        "use fewer strides, a larger input, or 1x1 convs there",
        "norm: {group: {groups: 4}}\ninput: {channels: 3, height: 4, width: 4}\nstages: [{depth: 1, width: 16, stride: 2}, {depth: 1, width: 32, stride: 2}]",
        "norm: {group: {groups: 4}}\ninput: {channels: 3, height: 8, width: 8}\nstages: [{depth: 1, width: 16, stride: 2}, {depth: 1, width: 32, stride: 2}]",
        rules.pixel_kernel),
    "pads-nothing": LintRule("a zero-padding shortcut with nothing to pad",
        "Option A appends zero channels where the width grows. Where only the size changes, it only drops three pixels of four.",
        "use shortcut B or D there, or let the width grow with the stride",
        "shortcut: A\nstages: [{depth: 1, width: 16}, {depth: 1, width: 16, stride: 2}]  # lint: allow halved-map",
        "shortcut: B\nstages: [{depth: 1, width: 16}, {depth: 1, width: 16, stride: 2}]  # lint: allow halved-map", rules.pads_nothing),
    "mostly-zeros": LintRule("a zero-padding shortcut that gives mostly zeros",
        "Where a block has more than twice the channels that enter it, as the first bottleneck of a network has, most of the padded "
        "shortcut is zeros. The paper uses projections (B) with bottlenecks.",
        "use shortcut B", "block: {bottleneck: {stride_at: 1}}\nshortcut: A", "block: {bottleneck: {stride_at: 1}}\nshortcut: B", rules.mostly_zeros),
    "same-map": LintRule("maps of one size with different widths",
        "The first of the paper's two rules: for the same size of map, layers have the same number of filters (He et al. 2015, section 3.3).",
        "give both stages one width, or the second a stride", "stages: [{depth: 1, width: 16}, {depth: 1, width: 32}]",
        "stages: [{depth: 1, width: 16}, {depth: 1, width: 32, stride: 2}]", rules.same_map),
    "halved-map": LintRule("a halved map without a doubled width",
        "The second of the paper's two rules: where the map is halved the number of filters is doubled, so that every layer takes about "
        "the same time (He et al. 2015, section 3.3).",
        "double the width where the map is halved", "stages: [{depth: 1, width: 16}, {depth: 1, width: 24, stride: 2}]",
        "stages: [{depth: 1, width: 16}, {depth: 1, width: 32, stride: 2}]", rules.halved_map),
    "instance-norm-pixel": LintRule("an instance norm of a map of one pixel",
        "It subtracts each value's own mean, which leaves zero. torch refuses to train it.",
        "use fewer strides, a larger input, or another norm",
        "norm: instance\ninput: {channels: 3, height: 2, width: 2}\nstages: [{depth: 1, width: 16, stride: 2}]  # lint: allow pixel-kernel",
        "norm: instance\nstages: [{depth: 1, width: 16, stride: 2}]", rules.instance_norm_pixel),
    "batch-norm-pixel": LintRule("a batch norm of a map of one pixel",
        "Mean and variance are taken over the batch only; with a batch of one torch refuses to train it, and with a small one they are noise.",
        "use fewer strides, a larger input, or group norm",
        "input: {channels: 3, height: 2, width: 2}\nstages: [{depth: 1, width: 16, stride: 2}]  # lint: allow pixel-kernel",
        "stages: [{depth: 1, width: 16, stride: 2}]", rules.batch_norm_pixel),
    "batch-of-one": LintRule("batch norm with a tiny batch",
        "Batch norm normalises each value by the others of its batch. With a batch of a few pictures the statistics are mostly noise, and "
        "training and testing see different networks (Wu and He 2018).",
        "train with a batch of 8 or more, or use norm: group", "train: {batch: 2}", "train: {batch: 128}", rules.batch_of_one),
    "bias-before-norm": LintRule("a bias that the next norm removes",
        "A batch or instance norm subtracts each channel's mean, and with it a bias that was added just before. The bias has "
        "parameters, takes time, and does nothing.",
        "leave out bias: true there", "stem: [conv: {out: 16, kernel: 3, bias: true}, norm, act]",
        "stem: [conv: {out: 16, kernel: 3}, norm, act]", rules.bias_before_norm),
    "act-after-add": LintRule("pre-activation with an activation after the addition",
        "Pre-activation blocks leave the shortcut free from end to end (He et al. 2016). An activation after the addition interrupts "
        "it again; such a block is a mix of the two designs.",
        "leave out `after`, or use a block without `before`",
        "blocks: {mine: {before: [norm, act], body: [conv: {out: out, kernel: 3, stride: stride}], after: [act]}}\nblock: mine",
        "blocks: {mine: {before: [norm, act], body: [conv: {out: out, kernel: 3, stride: stride}]}}\nblock: mine\nhead: preact_classifier", rules.act_after_add),
    "no-last-norm": LintRule("a pre-activation network without a last norm",
        "Nothing follows the last addition of a pre-activation network, so its head begins with a norm and an activation "
        "(He et al. 2016, appendix).",
        "use head: preact_classifier", "block: preact_basic", "block: preact_basic\nhead: preact_classifier", rules.no_last_norm),
    "uneven-stages": LintRule("a CIFAR network that is not 6n+2",
        "The paper's networks for small pictures have three stages of n blocks each: 6n+2 layers, 9n+2 with bottlenecks. Stages of "
        "different depth are not an error, but the result is not one of the paper's networks.",
        "give all three stages one depth",
        "stages: [{depth: 2, width: 16}, {depth: 3, width: 32, stride: 2}, {depth: 2, width: 64, stride: 2}]",
        "stages: [{depth: 2, width: 16}, {depth: 2, width: 32, stride: 2}, {depth: 2, width: 64, stride: 2}]", rules.uneven_stages),
    "unused-param": LintRule("a parameter that nothing reads",
        "Changing it changes nothing, which is seldom intended.",
        "delete it, or use it in an expression", "params: {k: 4}", "params: {k: 4}\nstages: [{depth: 1, width: 4 * k}]", rules.unused_param),
    "no-norm": LintRule("a deep network with nothing to keep signals in bounds",
        "Without a norm the signals of a residual network grow with every addition, and those of a plain network vanish or explode. "
        "Fixup, zero_last, or a learnt scale (SkipInit) replace it.",
        "use a norm, init: {weights: fixup}, or init: {zero_last: true}",
        "norm: none\nstages: [{depth: 20, width: 16}]", "norm: none\nstages: [{depth: 20, width: 16}]\ninit: {weights: fixup}", rules.no_norm),
    "act-in-body": LintRule("a body that ends in a ReLU",
        "The branch is then never negative, so the signal only grows from block to block. This was the worst of the placements in "
        "He et al. 2016 (table 2: ReLU before addition).",
        "end the body in a norm, and put the ReLU in `after`",
        "blocks: {mine: {body: [conv: {out: out, kernel: 3, stride: stride}, norm, act]}}\nblock: mine",
        "blocks: {mine: {body: [conv: {out: out, kernel: 3, stride: stride}, norm], after: [act]}}\nblock: mine", rules.act_in_body),
    "twice": LintRule("the same norm or activation twice",
        "The second one has no further effect. Most often a sequence already ends in it.",
        "delete one of the two", "stem: [cifar, act]", "stem: cifar", rules.twice),
    "act-after-head": LintRule("an activation between the last layer and the loss",
        "Training applies softmax and the logarithm in its loss, so a network ends in plain scores (logits). A softmax, sigmoid or tanh "
        "before it keeps the scores within 1 of each other, and a ReLU takes all negative ones away: the network learns slowly, or nothing.",
        "delete that step: `predict` gives probabilities, which it makes from the scores",
        "head: [globalpool, flatten, linear: {out: classes}, act: softmax]", "head: [globalpool, flatten, linear: {out: classes}]",
        rules.act_after_head),
    "map-by-padding": LintRule("a map that grows or shrinks by its padding",
        "A step of stride 1 with padding is meant to keep the size of the map: padding `same` does. Another number changes the size by a "
        "few pixels, which costs time or information and fits no later stride. A step without padding (a valid convolution) is no finding.",
        "write padding: same, or leave padding out",
        "stem: [conv: {out: 16, kernel: 3, padding: 2}, norm, act]", "stem: [conv: {out: 16, kernel: 3}, norm, act]", rules.map_by_padding),
}  # fmt: skip
"""By code, in the order of `resnet-dsl lint --help`."""


@dataclass(frozen=True, repr=False)
class Lint(Answer):
    """What the rules found in specs: by a spec's name its findings, by position, each a warning. `speech` is for whom they are said."""

    results: tuple[tuple[str, tuple[Diagnostic, ...]], ...]
    speech: Speech = "python"

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """All findings, spec by spec."""
        return tuple(d for _, found in self.results for d in found)

    def __add__(self, other: Lint) -> Lint:
        return Lint((*self.results, *other.results), self.speech)

    def summary(self) -> str:
        """The specs and the codes of what was found, each code once."""
        codes = ", ".join(dict.fromkeys(d.code for d in self.findings))
        return f"{', '.join(spec for spec, _ in self.results)}: {codes or 'nothing found'}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """One row per finding."""
        columns = (
            Column("spec", "spec"), Column("code", "code"), Column("file", "file"), Column("line", "line", right=True),
            Column("column", "column", right=True), Column("message", "message", wrap=True), Column("help", "help", wrap=True),
        )  # fmt: skip
        rows = [
            [spec, d.code, d.location.source.name, d.location.line or None, d.location.column or None, d.message, d.help]
            for spec, found in self.results
            for d in found
        ]
        return [Table(columns, rows)]

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """Findings as errors are shown, with the line they are about; `ok SPEC` where there is none."""
        if format != "table":
            return super().render(format, quiet=quiet)
        ok = "" if quiet else "ok {}\n"
        return "".join(render(found, self.speech) + "\n" if found else ok.format(inline(spec)) for spec, found in self.results)

    def to_dict(self) -> list[dict[str, object]]:
        """The JSON document of `lint --format json`."""
        return [{"spec": spec, "findings": [d.to_dict(self.speech) for d in found]} for spec, found in self.results]


def checked(allow: Iterable[str]) -> frozenset[str]:
    """Codes of rules. Raises SpecError for one that is none, with a suggestion."""
    codes = list(allow)
    for code in codes:
        if code in RULES:
            continue
        raise refuse("unknown-name", f"no such rule: {quote(code)}", did_you_mean(code, RULES, what="a rule"), at=Argument("allow"))
    return frozenset(codes)


def lint(spec: Spec, allow: Collection[str] = ()) -> list[Diagnostic]:
    """What the rules find in a spec, by position; each finding is a warning.

    Raises SpecError where the spec does not compile, or where a comment allows a code that no rule has.
    """
    subject = Subject(spec, compile(spec).pattern)  # no rule reads a real number
    own = spec.at.source
    comments: dict[Source, Mapping[int, list[_Comment]]] = {}
    found = Collector()
    for code, rule in RULES.items():
        if code in allow:
            continue
        for at, message in rule.find(subject):
            for source in (own, at.source):
                if source not in comments:
                    comments[source] = _comments(source)
            places = [(own, 0), (at.source, 0), (at.source, at.line)]
            if not any(code in _allowed(comments[source], line) for source, line in places):
                found.add(mistake(code, message, rule.help, at=at, level="warning"))
    return sort(found.found.values())


_Comment = tuple[Location, str]
"""Codes that a comment allows, and their place."""


def _comments(source: Source) -> Mapping[int, list[_Comment]]:
    """The comments of a text that silence rules on one line, by the line; 0 are those that silence them everywhere."""
    found: dict[int, list[_Comment]] = {}
    for number, text in enumerate(source.text.split("\n"), 1):
        if (comment := _ALLOW.search(text)) is not None:
            at = Location(source, number, comment.start(1) + 1, len(comment[1]))
            found.setdefault(number if text[: comment.start()].strip() else 0, []).append((at, comment[1].strip()))
    return found


def _allowed(comments: Mapping[int, list[_Comment]], line: int) -> set[str]:
    """The codes that comments silence everywhere (line 0), or on one line. Raises SpecError for a code that no rule has."""
    codes: set[str] = set()
    for at, text in comments.get(line, ()):
        for word in re.split(r"[,\s]+", text):
            if word not in RULES:
                raise refuse("unknown-name", f"no such rule: {quote(word)}", did_you_mean(word, RULES, what="a rule"), at=at)
            codes.add(word)
    return codes
