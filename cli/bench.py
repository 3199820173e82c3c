"""`resnet-dsl bench`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import CompileOption, FormatOption, PlanOption, PrecisionOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import answer


def command(
    spec: SpecArgument,
    overrides: SetOption = None,
    batch: Annotated[int, line.Option("--batch", min=1, metavar="N", help="Images in a batch.")] = 128,
    seconds: Annotated[float, line.Option(min=0, metavar="S", help="How long training and inference are timed, each.")] = 10.0,
    device: Annotated[str, line.Option(metavar="auto|cpu|cuda|mps", help="Where to compute; auto takes a GPU if there is one.")] = "auto",
    precision: PrecisionOption = None,
    compiled: CompileOption = None,
    plan: PlanOption = None,
    fold_bn: Annotated[bool, line.Option("--fold-bn", help="Inference with batch norms folded, as `export --fold-bn` does.")] = False,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Measure images per second and memory of training and inference, against the plain module in the same process.

    The plan is the one that a short run gets; --compile adds torch.compile, which can take minutes before the first step. The images
    are noise: reading and augmenting data is not measured.
    """
    found = rd.bench(
        spec, overrides=overrides or (), batch=batch, seconds=seconds, device=device, precision=precision, compile=compiled, plan=plan,
        fold_bn=fold_bn,
    )  # fmt: skip
    answer(found, format, quiet=quiet)
