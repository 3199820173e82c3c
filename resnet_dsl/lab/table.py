"""THE table of probes: what each measures, in words for its help, and the options that are its own. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse

Value = int | float | str | bool
"""What an option of a probe may be."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of one probe: the keyword `name` of its `measure`, with the type of its default.

    `choices` are the values it may have; `least` is the lowest number.
    """

    name: str
    default: Value
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None

    def checked(self, given: object) -> Value:
        """A value of the option's kind; names may be given as a list. Raises SpecError (exit 2)."""
        at, kind = Argument(self.name), type(self.default)
        if kind is str and not isinstance(given, str) and isinstance(given, Iterable):
            given = ",".join(map(str, given))
        if kind is float and type(given) is int:
            given = float(given)
        if not isinstance(given, int | float | str) or type(given) is not kind:
            wanted = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}[kind]
            raise refuse("usage", f"must be {wanted}, not {quote(repr(given))}", f"the default is {self.default!r}", at=at)
        if self.choices and given not in self.choices:
            message = f"is one of {', '.join(self.choices)}, not {quote(str(given))}"
            raise refuse("usage", message, did_you_mean(str(given), self.choices, what=self.name), at=at)
        if self.least is not None and not isinstance(given, str) and given < self.least:
            raise refuse("usage", f"must be at least {self.least:g}, not {given:g}", f"the default is {self.default!r}", at=at)
        return given


@dataclass(frozen=True, slots=True)
class Probe:
    """A row: `resnet_dsl.lab.probes.<name>` holds the function `measure`.

    `about` and `formula` are lines of the help, `source` is where the measure is from. `side_by_side` is the column that stands once
    for each step where there are several (see `finding.across`). `images` is how many images are looked at where nothing is said; `plots`:
    its finding has a chart.
    """

    name: str
    summary: str
    about: str
    formula: str
    source: str
    examples: tuple[str, ...]
    options: tuple[Option, ...] = ()
    side_by_side: str = ""
    images: int = 64
    plots: bool = True
    of: Literal["network", "specs"] = "network"
    """`network`: `measure(probed, ...)`. `specs`: `measure(graphs, ...)`, the compiled specs that are named, else `default`."""
    default: tuple[str, ...] = ()

    def settings(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Every option of the probe's own, with what is given in place of defaults. Raises SpecError (exit 2)."""
        own = {o.name: o for o in self.options}
        for name in given:
            if name not in own:
                help = did_you_mean(name, own, what=f"an option of {self.name}")
                raise refuse("usage", f"the probe {self.name} has no option {quote(name)}", help, at=Argument(name))
        return {o.name: o.checked(given[o.name]) if o.name in given else o.default for o in self.options}


PROBES = (
    Probe(
        "signals",
        "forward mean and variance, backward norms, branch against skip",
        "For every node: mean and variance of what it gives (all images, channels and places together), the share of exact zeros in it, "
        "the norm of the loss's gradient by it, and by its weights. For every residual block: how large the branch is compared with the skip. "
        "Batch norms use the statistics of the batch, as in training; dropout is off. Without norms: --set norm=none.",
        "mean(y), var(y), #{y = 0} / #y, |dL/dy|, |dL/dw|; branch ratio = var(F) / var(s) where y = F + s",
        "He et al. 2015a (arXiv 1502.01852), section 2.2; branch ratio: De & Smith 2020 (arXiv 2002.10444), section 3",
        (
            "resnet-dsl probe signals resnet56-digits --by stage",
            "resnet-dsl probe signals resnet20-digits --set norm=none",
        ),
        (Option("by", "block", "What each row is: a node, a block or a stage.", "op|block|stage", ("op", "block", "stage")),),
    ),
    Probe(
        "gradients",
        "gradient norm of every weighted layer, over depth and over steps",
        "The gradient of the mean loss by each layer's weight, at the start or at steps of a training: do gradients vanish or explode with "
        "depth, and for how long? The figures leave out shortcuts and the head; per_layer is the average factor per layer in "
        "first_over_last.",
        "|dL/dw|; rms: |dL/dw| / sqrt(#w); relative: |dL/dw| / |w|",
        "Glorot & Bengio 2010, section 4.2; with batch norm: Yang et al. 2019 (arXiv 1902.08129)",
        (
            "resnet-dsl probe gradients plain56-digits --assert 'first_over_last > 100'",
            "resnet-dsl probe gradients resnet20-digits --steps 0,1,3,10",
        ),
        (Option("of", "norm", "What is shown of each gradient.", "norm|rms|relative", ("norm", "rms", "relative")),),
        side_by_side="gradient",
    ),
    Probe(
        "shattering",
        "are input gradients of neighbouring points alike, or noise?",
        "Points on a line between two images, equally far apart; the gradient of one random combination of the outputs by the input at "
        "each; and how alike these gradients are, by how far their points are apart. In a shattered network they are like white noise. "
        "Batch norms hold the statistics of all images.",
        "mean of cos(g(x_i), g(x_(i + k))), g(x) = d(u . f(x))/dx, u ~ N(0, 1), x_i = a + (b - a) i / intervals",
        "Balduzzi et al. 2017 (arXiv 1702.08591), section 3",
        (
            "resnet-dsl probe shattering plain56-digits",
            "resnet-dsl probe shattering resnet56-digits --assert 'neighbours > 0.3'",
        ),
        (
            Option("intervals", 64, "Steps from one image to the other.", "N", least=1),
            Option("pairs", 4, "Lines, each between two images.", "N", least=1),
        ),
    ),
    Probe(
        "identity",
        "are zero weights an identity, bit for bit? where not, why",
        "Every parameter of a block's branch is made zero, and the block is run on the inputs that it has in the network, and on normal "
        "numbers, a half of them negative. It reports the share of numbers that leave the block unchanged, bit for bit, and what "
        "changes the others: a shortcut that computes, a merge that is not an addition, an activation after the sum.",
        "H(x) = x for F = 0, where H(x) = after(F(x) + s(x))",
        "He et al. 2015b (arXiv 1512.03385), section 3.1; He et al. 2016 (arXiv 1603.05027), section 2",
        (
            "resnet-dsl probe identity resnet20-digits --set shortcut=C",
            "resnet-dsl probe identity resnet20-digits --assert 'identities == 7'",
        ),
        plots=False,
    ),
    Probe(
        "highway",
        'the "+1": each block\'s Jacobian as shortcut, branch and open gates',
        "At each block's input in the network, along random directions v: the block's Jacobian J, the branch's J_F and the shortcut's J_s. "
        "With an identity and nothing after the sum J = I + J_F; an activation after the sum multiplies by gates D, a projection "
        "puts W_s in place of I. Also: how much of the loss's gradient at the end of a stage arrives at a block unchanged in direction.",
        "J v = D (J_F v + J_s v), by forward-mode differentiation; J_s v = v for an identity; trunk = cos(dL/dx_l, dL/dx_end)",
        "He et al. 2016 (arXiv 1603.05027), section 2, equations 4 and 5",
        (
            "resnet-dsl probe highway resnet20-digits",
            "resnet-dsl probe highway resnet20-digits --set block=preact_basic --assert 'open == 1'",
        ),
        (Option("directions", 4, "Random directions for each block.", "N", least=1),),
        images=16,
    ),
    Probe(
        "responses",
        "how strongly layers respond, by layer and by size",
        "For every weighted layer of the main path except the head: the standard deviation of its output after the norm that follows, before "
        "a nonlinearity or an addition, over all images, channels and places. Batch norms use the statistics of the images, as in training. "
        "The paper finds smaller responses in residual nets than in plain ones, and smaller ones the deeper they are.",
        "std(y); padded: sqrt(mean F^2) in the channels carried and padded; lipschitz: max |g(a) - g(b)| / |a - b|, g = block - id",
        "He et al. 2015 (arXiv 1512.03385), figure 7; --lipschitz: Bartlett, Evans & Long 2018 (arXiv 1804.05012)",
        (
            "resnet-dsl probe responses resnet20-digits --steps 0,20",
            "resnet-dsl probe responses resnet20-digits --channels padded",
        ),
        (
            Option(
                "channels",
                "all",
                "padded: the channels that option A fills with zeros, beside those that it keeps.",
                "all|padded",
                ("all", "padded"),
            ),
            Option("lipschitz", False, "How far each block is from the identity, in place of responses."),
        ),
    ),
    Probe(
        "lesion",
        "test error without one block, or with two blocks swapped",
        "One block at a time is removed from a trained network, and the error on test images is measured. In a residual block the branch is removed "
        "and the shortcut stays; a plain block is removed as a whole. A block cannot be dropped where nothing of the right shape remains. "
        "Batch norms hold their running statistics; at --steps, those of the training images. As many test images as --images says.",
        "rise = error(y_i = after_i(s_i)) - error; plain: y_i = x_i; swap: blocks i and i+1 in each other's place",
        "Veit, Wilber & Belongie 2016 (arXiv 1605.06431), sections 4.1 to 4.3",
        (
            "resnet-dsl probe lesion resnet20-digits --steps 20",
            "resnet-dsl probe lesion plain20-digits --images 100 --change swap",
        ),
        (Option("change", "drop", "Drop each block, or swap each with the next.", "drop|swap", ("drop", "swap")),),
        images=500,
    ),
    Probe(
        "paths",
        "how much paths of each length contribute to the gradient",
        "n residual blocks make 2^n paths. For each length k, subsets of k blocks are drawn. In these blocks the gradient passes only the branches, in all "
        "others only the shortcuts. Its norm at the images, times the number of paths of that length, is what the length contributes.",
        "contribution(k) = C(n, k) * mean |dL/dx through k branches and n - k shortcuts|; all 2^n such gradients add up to dL/dx",
        "Veit, Wilber & Belongie 2016 (arXiv 1605.06431), section 4.3 and figure 6",
        ("resnet-dsl probe paths resnet20-digits --samples 4",),
        (Option("samples", 8, "Subsets drawn for each length.", "N", least=1),),
    ),
    Probe(
        "gates",
        "how far highway gates are open",
        "For every highway merge: the mean of its gate over all images and places, how much its units (channels) differ, how much each varies, "
        "and the shares of units closed (mean below 0.1: the block passes on its input) and open (above 0.9).",
        "T = sigmoid(gate(x)), where y = T * F + (1 - T) * s",
        "Srivastava, Greff & Schmidhuber 2015 (arXiv 1507.06228), section 3.3",
        ("resnet-dsl probe gates resnet20-digits --set merge=highway --steps 20",),
    ),
    Probe(
        "landscape",
        "the loss around the weights, along one or two directions",
        "Random directions from the seed, each filter as long as the network's own; biases and the parameters of norms stay. The mean loss on "
        "training images at equal steps along them. Norms hold their running statistics; at --steps, those of the images.",
        "L(w + a d + b e), with d_f = r_f |w_f| / |r_f| for every filter f, r normal",
        "Li, Xu, Taylor, Studer & Goldstein 2018 (arXiv 1712.09913), section 4",
        (
            "resnet-dsl probe landscape resnet20-digits --steps 20 --grid 11",
            "resnet-dsl probe landscape resnet20-digits --directions 2 --grid 5 -o landscape.svg",
        ),
        (
            Option("directions", 1, "1: a line; 2: a map.", "1|2", least=1),
            Option("grid", 21, "Places along each direction, an odd number.", "N", least=3),
            Option("span", 1.0, "How far to go each way, in lengths of the filters.", "X", least=0),
        ),
    ),
    Probe(
        "target",
        "fit identity, constant, zero, ... with plain and residual stacks",
        "Networks that map d features to d numbers are fitted to known functions of standard normal x, by Adam on the mean squared error, each from several "
        "initial schemes: as the spec says, each residual branch times 1/sqrt(L), each branch at zero. Which functions are near for which network?",
        "targets x, x + 0.3 tanh(Wx), c, 0, -x, Qx; error = mean (f(x) - target(x))^2; condition = largest / smallest eigenvalue of J J^T / N",
        "He et al. 2015 (arXiv 1512.03385), section 3.1; Bartlett, Helmbold & Long 2018 (arXiv 1802.06093)",
        (
            "resnet-dsl probe target --target identity,zero --updates 50 --seeds 1",
            "resnet-dsl probe target residual-stack --target negation --updates 50 --seeds 1 --report distance",
        ),
        (
            Option("target", "identity,near-identity,constant,zero,negation,rotation", "Which functions to fit.", "NAME,NAME,..."),
            Option("init", "spec,scaled,zero-last", "How residual branches begin.", "NAME,NAME,..."),
            Option("updates", 600, "Steps of Adam.", "N", least=0),
            Option("batch", 128, "Fresh points in each.", "N", least=1),
            Option("lr", 1e-3, "Learning rate.", "X", least=0),
            Option("seeds", 3, "The number of seeds.", "N", least=1),
            Option("seed", 0, "What the seeds are derived from.", "N", least=0),
            Option(
                "report",
                "error",
                "distance: how far the weights went, how far zero is, and the error there.",
                "error|distance",
                ("error", "distance"),
            ),
            Option("condition", False, "Also the condition number of the Gauss-Newton matrix at the beginning."),
        ),
        of="specs",
        default=("plain-stack", "residual-stack"),
    ),
    Probe(
        "embed",
        "a network placed in a deeper one: equal bit for bit, then trained",
        "The deeper network begins as the first: its further blocks are the identity (transfer --grow), and both give the same in evaluation, "
        "bit for bit. So an equally good solution exists. Does training keep it, and does training from initial weights find one? All are trained "
        "with the same batches of the images, by SGD with momentum 0.9. As many test images as --images says.",
        "B = A: further blocks F = 0 with H(x) = x + F, or Dirac kernels and BN(x) = x; loss before, and after the updates",
        "He et al. 2015 (arXiv 1512.03385), section 3.1; Chen, Goodfellow & Shlens 2016 (arXiv 1511.05641), section 2.3",
        (
            "resnet-dsl probe embed resnet20-digits --steps 50 --into resnet56-digits --updates 0",
            "resnet-dsl probe embed plain20-digits --steps 50 --assert 'max_difference == 0'",
        ),
        (
            Option("into", "", "The deeper spec; default: each stage with twice as many blocks, copies of its last.", "SPEC"),
            Option("updates", 50, "Steps of SGD.", "N", least=0),
            Option("batch", 64, "Images in each.", "N", least=2),
            Option("lr", 0.02, "Learning rate.", "X", least=0),
        ),
        images=500,
    ),
)
"""Every probe, in the order of the help."""


def find(name: str) -> Probe:
    """The row of a probe's name. Raises SpecError (exit 2)."""
    rows = {p.name: p for p in PROBES}
    if name not in rows:
        raise refuse("unknown-name", f"there is no probe {quote(name)}", did_you_mean(name, rows, what="a probe"), at=name)
    return rows[name]
