"""`resnet-dsl export`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import QuietOption, SetOption, WeightsOption, complete_spec, seed_option
from resnet_dsl.cli.output import note


def command(
    target: Annotated[
        str,
        line.Argument(
            metavar="RUN|SPEC",
            help="A run's folder; a spec, with --weights or untrained; or a .safetensors file that holds its spec.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        line.Option(
            "--out", "-o", metavar="FILE", help="Where to write; its ending decides: .onnx, .pt2 or .safetensors.", show_default=False
        ),
    ],
    weights: WeightsOption = None,
    seed: Annotated[int | None, seed_option("For the initial weights of a spec without --weights (0).", least=None)] = None,
    fold_bn: Annotated[bool, line.Option("--fold-bn", help="Fold batch norms into the layers before them.")] = False,
    opset: Annotated[
        int | None,
        line.Option(min=18, max=26, metavar="N", help="The opset of an ONNX file, 18 to 26; default: torch's own.", show_default=False),
    ] = None,
    overrides: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a network with its weights for other programs, with its spec, class names and normalisation inside.

    ONNX and torch.export's program take any batch and give the logits. Both are run before they are written, and compared with torch.
    """
    found = rd.export(
        target, out, weights=weights, overrides=overrides or (), fold_bn=fold_bn, opset=opset, seed=seed,
        tell=lambda text: note(text, quiet=quiet),
    )  # fmt: skip
    note(str(found), quiet=quiet)
