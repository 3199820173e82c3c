"""torch.compile for training: the whole network, or block by block.

Block by block ("regional compilation") each distinct block is compiled once however often it stands in the network, so that
the time it takes follows the number of distinct blocks and not the depth. The whole at once takes longer and can fuse more:
between two blocks the compiler keeps the sign of every activation as a byte, which on CPUs it writes and reads so slowly that
blocks alone come out slower than no compilation at all. A plan therefore compiles the whole on a CPU, and blocks elsewhere.
"""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, either, refuse, speak
from resnet_dsl.records.record import Extent

NOT_COMPILED = either("compile=False", speak(str(Argument("no_compile", True)), COMMAND_LINE))
"""How training without torch.compile is asked for, in a message."""


def extent(kind: str) -> Extent:
    """How much of a network is compiled at once on a kind of device, where nobody says."""
    return "whole" if kind == "cpu" else "blocks"


def blocks(model: nn.Module) -> list[nn.Module]:
    """A network's blocks: its outermost modules that have parameters and a class of its own source. The whole where it has none."""
    found: list[nn.Module] = []

    def visit(module: nn.Module) -> None:
        for child in module.children():
            if type(child).__module__ == type(model).__module__ and next(child.parameters(), None) is not None:
                found.append(child)
            else:
                visit(child)

    visit(model)
    return found or [model]


def compile_seconds(model: nn.Module, extent: Extent) -> float:
    """A rough estimate of how long compilation takes where nothing is cached: we saw 2 to 5 seconds per block on a core, for ResNet-20."""
    count = {"no": 0, "blocks": len({type(b) for b in blocks(model)}), "whole": len(blocks(model))}[extent]
    return 3.0 * count + 3.0 if count else 0.0


class Compiled:
    """A network whose training goes through torch.compile, one shape of batch at a time.

    `nn.Module.compile` changes how a module is called and nothing else: keys of state_dict, copies and pickles stay as they are.
    """

    def __init__(self, model: nn.Module, extent: Extent) -> None:
        self.model = model
        for part in [model] if extent == "whole" else blocks(model):
            part.compile(dynamic=False)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The network's output. Raises SpecError (exit 3) where the first call cannot be compiled."""
        try:
            out: torch.Tensor = self.model(images)
        except torch._dynamo.exc.TorchDynamoException as e:
            raise refuse(
                "compile-failed",
                f"torch.compile failed: {reason(e)}",
                f"train without it: {NOT_COMPILED}",
                at=Argument("compile"),
                exit_code=3,
            ) from None
        return out


def eager() -> contextlib.AbstractContextManager[object]:
    """Inside `with`, networks run as they are written, compiled for training or not."""
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def reason(error: BaseException) -> str:
    """A compiler's complaint in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if "error" in line.lower()), lines[0] if lines else type(error).__name__)
    return telling if len(telling) <= 160 else telling[:157] + "..."
