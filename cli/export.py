"""`resnet-dsl export`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.cli.options import QuietOption, SetOption, WeightsOption, complete_spec
from resnet_dsl.cli.output import note
from resnet_dsl.diagnostics import quote, refuse, suggest
from resnet_dsl.language.stored import ENDING

ENDINGS = (".onnx", ".pt2", ENDING)


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC",
            help="A run's folder; a spec, with --weights or untrained; or a .safetensors file that holds its spec.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Where to write; its ending decides: .onnx, .pt2 or .safetensors.", show_default=False
        ),
    ],
    weights: WeightsOption = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="For the initial weights of a spec without --weights (0).", show_default=False)
    ] = None,
    fold_bn: Annotated[bool, typer.Option("--fold-bn", help="Fold batch norms into the layers before them.")] = False,
    opset: Annotated[
        int | None, typer.Option(min=18, max=26, metavar="N", help="Of an ONNX file, 18 to 26; left out: torch's own.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a network with its weights for other programs, with its spec, class names and normalisation inside.

    ONNX and torch.export's program take any batch and give the logits. Both are run before they are written, and compared with torch.
    """
    path = Path(out)
    ending = _ending(out, target)
    if opset is not None and ending != ".onnx":
        raise refuse("usage", f"{ending} files have no opset", "leave out --opset, or write an .onnx file", at="--opset")
    is_run = Path(target).is_dir()
    if weights is None and target.endswith(ENDING):
        weights = Path(target)
    if is_run and (weights is not None or overrides):
        option = "--weights" if weights is not None else "--set"
        raise refuse("usage", "a run is exported as it was trained", f"leave out {option}, or give a spec", at=option)
    if seed is not None and (is_run or weights is not None):
        raise refuse("usage", "--seed is for initial weights, and these are given", "leave it out", at="--seed")

    from resnet_dsl.graph import compile
    from resnet_dsl.graph.folding import fold, folds
    from resnet_dsl.language import load
    from resnet_dsl.records.folder import SPEC
    from resnet_dsl.runtime.build import build
    from resnet_dsl.runtime.export import Network, export
    from resnet_dsl.runtime.folding import fold_weights
    from resnet_dsl.runtime.weights import about
    from resnet_dsl.training.job import without_recipe
    from resnet_dsl.using.trained import from_run, from_weights

    trained = from_run(Path(target)) if is_run else None
    spec = load(str(Path(target) / SPEC) if is_run else target, overrides or ())
    if weights is not None:
        trained = from_weights(spec, weights)
    if trained is None:
        graph, artifact = compile(spec), None
        note(f"the weights are initial ones (seed {seed or 0}): --weights FILE, or a run's folder, brings others", quiet=quiet)
    else:
        graph, artifact = trained.graph, trained.artifact
        if artifact.classes is None or artifact.normalisation is None:
            note(f"{trained.file} does not say the class names and the normalisation of the input, so neither does {out}", quiet=quiet)
    tensors = (build(graph, seed=seed or 0) if trained is None else trained.module()).state_dict()
    folded = spec.folded or (artifact is not None and artifact.folded)
    if fold_bn and (count := len(list(folds(graph)))):
        graph, tensors, folded = fold(graph), fold_weights(graph, tensors), True
        note(f"folded {count:,} batch norm{'s' if count > 1 else ''}", quiet=quiet)
    elif fold_bn:
        note("nothing to fold: no batch norm follows a layer that it alone reads", quiet=quiet)
    metadata = about(
        # What the author expects of the network is not true of the folded one.
        spec=without_recipe(replace(spec, folded=folded, overridden=spec.overridden or folded)),
        classes=None if artifact is None else artifact.classes,
        normalisation=None if artifact is None else artifact.normalisation,
        data=None if artifact is None else artifact.data,
        folded=folded,
    )
    checked = export(Network(graph, tensors, metadata), path, opset)
    note(f"wrote {out}: {checked}", quiet=quiet)


def _ending(out: str, target: str) -> str:
    """The ending of a file that can be written."""
    ending = Path(out).suffix.lower()
    if ending in ENDINGS:
        return ending
    help = f"a file that can be exported ends in {', '.join(ENDINGS)}"
    if ending == ".py":
        help = f"`resnet-dsl emit {target} -o {out}` writes the network as Python"
    elif ending in (".pth", ".pt", ".bin", ".ckpt"):
        help = f"{ending} is a pickle, which can run programs: use {ENDING}, or .pt2 with the computation"
    elif near := suggest(ending, ENDINGS):
        help = f"did you mean '{near}'?"
    raise refuse("usage", f"{quote(out)}: no file of this ending is exported", help, at="--out")
