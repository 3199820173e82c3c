"""`resnet-dsl transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_dsl.analysis.transfer import Plan, plan, plan_growth
from resnet_dsl.cli.options import FormatOption, QuietOption, complete_spec
from resnet_dsl.cli.output import note, show_json, show_table
from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec, load
from resnet_dsl.language.stored import ENDING
from resnet_dsl.records.folder import SPEC, RunFolder


def command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="Where the weights are: a run's folder, a .safetensors file that holds its spec, or a spec, with --weights.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="The network to begin: a path, - for standard input, or a shipped spec's name.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar=f"FILE{ENDING}", help="Where to write B's weights; left out: only the plan.", show_default=False
        ),
    ] = None,
    grow: Annotated[
        bool, typer.Option("--grow", help="B is a deeper A: what it adds begins as the identity, so both compute the same.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", "-w", metavar="FILE", help="A's weights, where A is a spec: a .safetensors or .pth file.", show_default=False
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Of what is new in B (0).", show_default=False)] = None,
    by: Annotated[Literal["part", "tensor"], typer.Option(metavar="part|tensor", help="A row a block or layer, or a tensor.")] = "part",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", show_default=False, help="Set a key of B before validation, as often as you like."),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Begin a network with the weights of another: what fits by name and shape is copied, the rest is new, and each is told.

    With --grow, blocks that B adds behind those of A's stages begin as the identity, and what B computes in evaluation is what A computes,
    bit for bit; both are run and compared before anything is written. Input normalisation and class names travel along.
    """
    _check(a, out, weights, seed)
    text_a = str(RunFolder.open(Path(a)).path / SPEC) if Path(a).is_dir() else a
    spec_a, spec_b = load(text_a), load(b, overrides or ())
    of_a, of_b = compile(spec_a), compile(spec_b)
    made = (plan_growth if grow else plan)(of_a, of_b)
    if out is not None and "copied" not in made.counts:
        raise refuse(
            "weights-fit", f"no tensor of {quote(a)} fits {quote(b)}", f"`resnet-dsl diff {text_a} {b}` shows what sets them apart", at=b
        )
    if out is not None:
        _write(made, a, spec_a, weights, spec_b, of_b, Path(out), seed or 0, grow)
    if format == "json":
        show_json(made.to_dict() | {"grown": grow, "seed": None if out is None else seed or 0, "file": out})
    else:
        show_table(made.by_part() if by == "part" else made.by_tensor(), format, quiet=quiet)
    if out is None:
        note("nothing is written without -o FILE.safetensors", quiet=quiet)
    else:
        proof = "; in evaluation it gives what A gives, bit for bit on random images" if grow else ""
        note(f"wrote {out}{proof}", quiet=quiet)


def _check(a: str, out: str | None, weights: Path | None, seed: int | None) -> None:
    """Refuse what does not go together."""
    holds = Path(a).is_dir() or a.endswith(ENDING)
    if out is None and (weights is not None or seed is not None):
        option = "--seed" if weights is None else "--weights"
        raise refuse("usage", "without --out there is only a plan, which reads and draws no weights", "add -o FILE.safetensors", at=option)
    if out is not None and not out.endswith(ENDING):
        raise refuse("usage", f"{quote(out)}: weights are written as {ENDING}", f"name a file that ends in {ENDING}", at="--out")
    if holds and weights is not None:
        raise refuse("usage", f"{quote(a)} has its own weights", "leave out --weights, or give a spec", at="--weights")
    if out is not None and not holds and weights is None:
        raise refuse("usage", f"{quote(a)} is a spec, and has no weights", "add --weights FILE, or give a run's folder", at=a)


def _write(made: Plan, a: str, spec_a: Spec, weights: Path | None, spec_b: Spec, of_b: Graph, out: Path, seed: int, grown: bool) -> None:
    from resnet_dsl.runtime import transfer
    from resnet_dsl.runtime.weights import about, save
    from resnet_dsl.training.finetune import normalisation_of
    from resnet_dsl.training.job import without_recipe
    from resnet_dsl.using.trained import from_run, from_weights

    source = from_run(Path(a)) if Path(a).is_dir() else from_weights(spec_a, weights or Path(a))
    tensors = source.module().state_dict()
    begun = transfer.carry_out(made, tensors, of_b, seed)
    if grown:
        transfer.require_same(source.graph, tensors, of_b, begun, seed)
    artifact = source.artifact
    classes = artifact.classes if artifact.classes is not None and len(artifact.classes) == of_b.classes else None
    metadata = about(
        spec=without_recipe(spec_b),
        classes=classes,
        normalisation=normalisation_of(artifact, of_b),
        data=artifact.data,
        folded=spec_b.folded,
    )
    save(out, begun, metadata)
