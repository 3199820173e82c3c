"""A row of the op table: everything that is to be known of one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from resnet_dsl.ops import costs, effects, exactness
from resnet_dsl.ops.arguments import Arg
from resnet_dsl.ops.gates import GateStep
from resnet_dsl.ops.site import Shape, Site, Value

Group = Literal["conv", "linear", "norm", "act", "pool", "noise", "affine", "shape", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """A row. Its functions take the site where the operation stands; only `shape` is not told the shape that comes out.

    `about` and `args` are what the language says of it, and `called` is its name there where that is another; a norm, an act and a merge
    are kinds, every other operation is a step.
    `module` is the text of the torch module's constructor; ops that have none (merges) are an expression instead.
    `helper` names the class in `torch_text.HELPERS` that the constructor needs where torch has no such module.
    `inplace` is true where the module's constructor takes `inplace=True`.
    `name` is the module name of an unnamed step (docs/language.md, Module names), with a count where `counted`.
    """

    group: Group
    about: str
    args: Mapping[str, Arg] = field(default_factory=dict)
    called: str = ""
    shape: Callable[[Site], Shape]
    label: Callable[[Site], str]
    name: str = ""
    counted: bool = False
    params: Callable[[Site], int] = costs.none
    macs: Callable[[Site], int] = costs.none
    module: Callable[[Site], str] | None = None
    expression: Callable[[Site, Sequence[str]], str] | None = None
    helper: str | None = None
    inplace: bool = False
    weighted: bool = False
    """Has a weight matrix: counted in `depth` and `activations`."""
    arity: int | None = 1
    """Operands; None: two or more."""
    fresh: bool = False
    """What comes out is memory of its own, no view, that its own backward does not read: what follows may overwrite it."""
    state: Callable[[Site], costs.State] = costs.no_state
    """The tensors of the module's state_dict."""
    gain: bool = False
    """The module has a `weight` and gives nothing where that is zero: what `zero_last` zeroes."""
    work: effects.Work = effects.nothing
    """What counters may count of it besides its multiply-accumulates, by what it is."""
    window: effects.Window = effects.pointwise
    """What an output position sees of the map."""
    saved: effects.Keeps = effects.keeps_nothing
    """What autograd saves of it for the backward pass."""
    view: bool = False
    """What comes out lies in the memory of what went in."""
    centers: bool = False
    """Takes each channel's mean away, and with it a bias that was added before."""
    averaged: Callable[[Site], int] | None = None
    """A norm's: how many values of one image a mean is taken over. Where it is `tracked`, those of the whole batch are taken together."""
    tracked: bool = False
    """Normalises by the batch in training and by running statistics in evaluation: there it is affine, and folds into the layer before."""
    exact: exactness.Exact = exactness.OPAQUE
    """When it gives back exactly what it reads, or exactly zero."""
    wide: bool = False
    """Computes in fp32 where the rest computes in half precision (torch's autocast on a GPU)."""
    shares: bool = False
    """What comes out are shares that add up to 1 (in each of its groups), as the loss makes of a network's outputs."""
    pads: bool = False
    """Adds channels of zeros."""
    sums: bool = False
    """A merge that adds: where there is no shortcut, the body alone is the sum."""
    joins: bool = False
    """A merge whose operands' channels stand side by side, those of the shortcut first."""
    scales: bool = False
    """A merge by which the body of a residual in place scales what it reads: the main path goes through the other operand."""
    gate: Callable[[Shape, int, tuple[int, int], Mapping[str, Value]], tuple[GateStep, ...]] | None = None
    """A merge with a third operand, which it makes from the scope's input: the input's shape, the channels, the stride, its arguments."""
