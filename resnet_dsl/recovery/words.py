"""What was read, in words, and what names and shapes do not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_dsl.diagnostics import Argument, quote
from resnet_dsl.graph import Graph
from resnet_dsl.recovery.foreign import Renamed
from resnet_dsl.recovery.layers import Anatomy
from resnet_dsl.recovery.readings import Reading
from resnet_dsl.recovery.stored import Stored
from resnet_dsl.table import shape_text


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to know of a spec: what it is about, what was written or found, and why."""

    what: str
    written: str
    why: str


def holding(stored: Stored) -> tuple[Remark, ...]:
    """What is known of a file that holds its spec."""
    folded = "the file's weights are of this network with its batch norms folded into other layers"
    return (Remark("spec", "as the file holds it", folded if stored.folded else "it was written with the weights"),)


def naming(renamed: Renamed) -> tuple[Remark, ...]:
    """Which library's names the file has, where they are not ours."""
    rows = []
    if renamed.prefix:
        rows.append(Remark("names", f"without {quote(renamed.prefix)}", "each name in the file begins with it"))
    if renamed.table is not None:
        rows.append(Remark("names", "ours", f"those in the file are of {renamed.table}"))
    return tuple(rows)


def described(reading: Reading, graph: Graph) -> str:
    """The family, then what its blocks are: `ResNeXt: 3, 4, 6, 3 blocks (bottleneck) of width 64, 128, 256, 512, shortcut B`."""
    depths = ", ".join(str(d) for d in reading.depths)
    widths = ", ".join(str(b.width) for b in reading.blocks)
    kinds = ", ".join(dict.fromkeys(b.name for b in reading.blocks))
    policies = ", ".join(dict.fromkeys(p.name for p in reading.shortcuts))
    return f"{_family(reading)}: {depths} blocks ({kinds}) of width {widths}, shortcut {policies}"


def _family(reading: Reading) -> str:
    """The name that papers have for such a network."""
    first = reading.blocks[0]
    names, args = {b.name for b in reading.blocks}, first.args
    plain = {p.name for p in reading.shortcuts} == {"none"}
    if names == {"dense"}:
        return "DenseNet"
    if names == {"mlp"}:
        return "residual MLP"
    if plain:
        return "plain network"
    if "merge" in reading.spec:
        return "highway network"
    if any(b.definition is not None for b in reading.blocks):
        return "residual network"
    family = "ResNet"
    if args.get("groups", 1) > 1:
        family = "ResNeXt"
    elif args.get("base_width", 64) > 64 or (first.name == "preact_basic" and first.enters < first.width):
        family = "Wide ResNet"
    if "se" in args:
        family = f"SE-{family}"
    if reading.ends.stem.name == "deep" and {p.name for p in reading.shortcuts} == {"D"}:
        family += "-D"
    return f"pre-activation {family}" if first.before else family


def assumed(found: Anatomy, reading: Reading, graph: Graph, others: Sequence[str], input_given: bool) -> tuple[Remark, ...]:
    """The choices that were made where the file leaves several."""
    rows = []
    if reading.ends.map is not None:
        rows.append(Remark("input", shape_text(graph.input), f"the head needs a map of {reading.ends.map}x{reading.ends.map}"))
    elif len(graph.input) == 3 and not input_given:
        rows.append(Remark("input", shape_text(graph.input), f"weights fit any size; {Argument('input', 'CxHxW')} says another"))
    if others:
        rows.append(Remark("block", reading.blocks[0].name, f"{' and '.join(others)} would have the same tensors"))
    free = [s.name for s, p in zip(found.stages, reading.shortcuts, strict=True) if not p.stride_known]
    if free and len(graph.input) == 3:
        strides = ", ".join(str(p.stride) for p in reading.shortcuts)
        if any(stage.around for stage in found.stages):
            why = "what stands between the stages may have them"
        elif len(found.stages) == 1:
            why = "1 is usual"
        elif len(free) < len(found.stages) or reading.shortcuts[0].stride > 1:
            why = f"nothing tells those of {', '.join(free)}"
        else:
            why = "2 from the second stage on is usual"
        rows.append(Remark("strides", strides, why))
    for name in dict.fromkeys(p.name for p in reading.shortcuts if not p.policy_known):
        other = {"none": "shortcuts without weights", "B": "C"}.get(name, "a plain network (none)")
        rows.append(Remark("shortcut", name, f"{other} would have the same tensors"))
    if any("bottleneck" in b.name for b in reading.blocks) and any(p.stride > 1 for p in reading.shortcuts):
        rows.append(Remark("stride_at", "2", "stride in the 3x3 conv; the paper of 2015 has it in the first, 1"))
    if reading.ends.stem.divides > 1:
        rows.append(Remark("stem", "stride 2, max pool", "strides and pools have no weights"))
    if reading.norm in ("group", "layer"):
        rows.append(Remark("norm", str(reading.norm), "without running statistics; group, layer and instance norm have the same tensors"))
    if "act" not in reading.spec:
        rows.append(Remark("act", "relu", "activations, dropout and drop path have no weights"))
    return tuple(rows)
