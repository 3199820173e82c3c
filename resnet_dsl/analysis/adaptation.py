"""What may be changed of a file's weights to bring them into a network: which of its names are meant, a new head, other input channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnet_dsl.diagnostics import Argument, refuse

Head = Literal["new"]
FirstConv = Literal["sum"]


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What is asked for beside a file of weights.

    `prefix` is what stands before each name of the network in the file; None finds it. `head`: the layer that gives the classes is new, with
    what else of the head does not fit. `first_conv`: the kernels of the layer that reads the input are summed or repeated for other channels.
    `key` is where in the file the state_dict is, of several.
    `lenient`: what does not fit of the head is new without having been asked for, as when a training begins with weights.
    """

    prefix: str | None = None
    head: Head | None = None
    first_conv: FirstConv | None = None
    lenient: bool = False
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse words that are none of those known. Raises SpecError (exit 2)."""
        for name, value, known in (("head", self.head, ("new",)), ("first_conv", self.first_conv, ("sum",))):
            if value is not None and value not in known:
                help = f"the only value is {known[0]!r}: {Argument(name, known[0])}"
                raise refuse("unknown-name", f"{Argument(name)} cannot be {value!r}", help, at=Argument(name))

    @property
    def asked(self) -> bool:
        """Is anything asked for?"""
        return self != Adaptation(lenient=self.lenient)


PLAIN = Adaptation()


def kernels(found: int, wanted: int) -> str | None:
    """In words, what brings a kernel of `found` input channels to `wanted`; None where no rule is known.

    To one channel the kernels are summed: a grey picture in all three channels gave this sum. To more they are repeated in turn and scaled
    by found / wanted, so that equal channels give what they gave.
    """
    if found == wanted:
        return None
    if wanted == 1:
        return f"the kernels of {found} channels are summed to 1"
    if found in (1, 3):
        return f"the {'kernels of 3 channels are' if found > 1 else 'kernel of 1 channel is'} repeated for {wanted} and scaled by {found}/{wanted}"
    return None
