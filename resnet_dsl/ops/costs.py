"""What an operation costs and what tensors its module has: the cells of the op table's columns `params`, `macs` and `state`.

Costs follow docs/language.md, What is counted: `macs` are the multiply-accumulates of convolutions and linear layers for one input
(bias, norm, activation, pooling and merging count 0); `params` are elements of trainable parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from resnet_dsl.ops.site import Shape, Site

State = tuple[tuple[str, Shape], ...]
"""The tensors of a module's state_dict by name, with their shapes, in its order."""


def none(site: Site) -> int:
    return 0


def no_state(site: Site) -> State:
    return ()


def _conv_weights(site: Site) -> int:
    return site.out[0] * (site.first[0] // site.whole("groups")) * prod(site.pair("kernel"))


def conv_params(site: Site) -> int:
    return _conv_weights(site) + (site.out[0] if site["bias"] else 0)


def conv_macs(site: Site) -> int:
    return _conv_weights(site) * prod(site.out[1:])


def linear_params(site: Site) -> int:
    return site.out[0] * (site.first[0] + bool(site["bias"]))


def linear_macs(site: Site) -> int:
    return site.out[0] * site.first[0]


def norm_params(site: Site) -> int:
    return 2 * site.out[0]


def affine_params(site: Site) -> int:
    return (site.out[0] if site["per"] == "channel" else 1) if site.get("learn", True) else 0


# --- what a state_dict holds -------------------------------------------------------------------------------


def conv_state(site: Site) -> State:
    weight = ("weight", (site.out[0], site.first[0] // site.whole("groups"), *site.pair("kernel")))
    return (weight, ("bias", site.out[:1])) if site["bias"] else (weight,)


def linear_state(site: Site) -> State:
    weight = ("weight", (site.out[0], site.first[0]))
    return (weight, ("bias", site.out[:1])) if site["bias"] else (weight,)


def norm_state(site: Site) -> State:
    return ("weight", site.out[:1]), ("bias", site.out[:1])


def batch_norm_state(site: Site) -> State:
    return *norm_state(site), ("running_mean", site.out[:1]), ("running_var", site.out[:1]), ("num_batches_tracked", ())


def affine_state(name: str) -> Callable[[Site], State]:
    def state(site: Site) -> State:
        return ((name, (site.out[0], *(1 for _ in site.out[1:])) if site["per"] == "channel" else ()),) if site.get("learn", True) else ()

    return state
