"""A network as a PyTorch module: built, and timed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_dsl.analysis.adaptation import Adaptation, FirstConv, Head
from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.records.folder import weights_file
from resnet_dsl.records.stated import silent
from resnet_dsl.verbs.checks import whole
from resnet_dsl.verbs.targets import Network, Settings, graph_of, listed

if TYPE_CHECKING:
    from torch import nn

    from resnet_dsl.records.timing import Bench


def build(
    network: Network,
    overrides: Settings = (),
    *,
    seed: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    outputs: str | Iterable[str] = (),
    output_stride: int | None = None,
    key: str | None = None,
    prefix: str | None = None,
    head: Head | None = None,
    first_conv: FirstConv | None = None,
    tell: Callable[[str], object] = silent,
) -> nn.Module:
    """The network as a module, its weights initialised as the spec says: for those of a run, `open(run).module()`.

    It reads (batch, channels, height, width), or (batch, features), and gives (batch, classes). It is made on torch's
    default device (`with torch.device("meta")` costs no memory) in the default dtype. With a `seed` the weights
    are the same numbers on every device, and torch's global generators are left as they were.

    With `outputs`, paths as `inspect` prints them (`layer2`, `layer2.1`, `stem`), it gives the list of these values in this order in
    place of the classes. What they do not need is neither computed nor there: no head, no later stage. `module.feature_info` says of
    each its `module`, `num_chs` and `reduction` (the stride against the input), in timm's words.

    With `output_stride`, 8 or 16 say, the stages divide the input by no more than that: their other strides become dilation, as in torchvision
    (`replace_stride_with_dilation`) and timm. Names and shapes of the weights stay as they are.

    With `weights`, a `.safetensors` file, a state_dict that torch.save wrote, or a run's folder, all its tensors come from there; the file may have
    the names of another library, and other tensors beside the network. `key` is where in the file they are, where it holds several state_dicts
    (`key="state_dict_ema"`). `prefix` is what stands before the network's names, where the file holds
    several networks. `head="new"`: the layer that gives the classes is new, drawn from `seed`, with what else of the head does not fit.
    `first_conv="sum"`: the kernels that read the input are summed for one channel, or repeated and scaled for more than the file has. What is
    left out, new or changed is told to `tell` in a sentence (`tell=print`). With `outputs` too, the file's tensors for what is left out are not read, whatever
    their shapes, and need not be there.

    The module and each block in it can be pickled: the pickle carries the source, which loading executes, so load
    pickles only from those you trust (as with any pickle).

    Raises SpecError where a spec is refused, where the network has no value of a name in `outputs` (exit 2), and where the file
    cannot be read (exit 3) or does not fit (exit 2), about the first tensor that does not.
    """
    from resnet_dsl.runtime.build import build

    file = None if weights is None else weights_file(Path(weights))
    adapt = Adaptation(prefix, head, first_conv, key=key)
    if file is None and adapt.asked:
        named = next(name for name in ("key", "prefix", "head", "first_conv") if getattr(adapt, name) is not None)
        raise refuse("usage", f"{Argument(named)} is for given weights", f"add {Argument('weights', 'FILE')}", at=Argument(named))
    settings = [*listed(overrides), *([] if output_stride is None else [f"output_stride={output_stride}"])]
    return build(graph_of(network, settings), seed=seed, weights=file, outputs=outputs, adapt=adapt, tell=tell)


def bench(
    network: Network,
    overrides: Settings = (),
    *,
    batch: int = 128,
    seconds: float = 10.0,
    device: str = "auto",
    precision: str | None = None,
    compile: bool | None = None,
    plan: str | None = None,
    fold_bn: bool = False,
) -> Bench:
    """Images per second and memory of training and inference, against the plain module in the same process.

    Each is timed for `seconds`, with `batch` images at once. `device`, `precision`, `compile` and `plan` say how the network computes;
    `fold_bn`: inference with batch norms folded. Raises SpecError (exit 2 or 3).
    """
    whole("batch", batch, 1)
    if not seconds >= 0:
        raise refuse("usage", f"{Argument('seconds')} cannot be {seconds!r}", "give 0 or more", at=Argument("seconds"))
    graph = graph_of(network, overrides)
    from resnet_dsl.analysis.onevalue import require_values
    from resnet_dsl.training.device.plan import pins_of
    from resnet_dsl.training.device.threads import unless_asked
    from resnet_dsl.using.bench import bench

    require_values(graph, batch, f"use {Argument('batch', 2)} or more")
    chosen = unless_asked(pins_of(device, precision, compile, plan), graph, batch, math.inf)
    with chosen.computing():
        return bench(graph, chosen, batch, seconds, fold_bn=fold_bn)
