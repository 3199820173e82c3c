"""A network spread over ranks: what is done to it block by block, by path, in one order.

1. synchronised batch norm, 2. activation checkpointing, 3. compilation, 4. the wrapper: DDP (Li et al. 2020, "PyTorch
Distributed") or FSDP2 (Zhao et al. 2023, "PyTorch FSDP"; `torch.distributed.fsdp.fully_shard`), blocks first, then the whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.graph import Graph
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.ranks.world import World

Wrapper = Literal["ddp", "fsdp"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a run is spread, as it was asked for; recorded with the run.

    `parallel`: every rank holds the whole network (ddp) or a part of each tensor (fsdp). `checkpoint_activations`: a block keeps
    its input alone and computes the rest again on the way back (Chen et al. 2016, "Training Deep Nets with Sublinear Memory
    Cost"). `sync_batchnorm`: the statistics of batch norm are those of the whole batch, not of a rank's part of it.
    """

    parallel: Wrapper = "ddp"
    checkpoint_activations: bool = False
    sync_batchnorm: bool = False


def require_layout(layout: Layout, device: torch.device) -> None:
    """Refuse what torch cannot do on a device. Raises SpecError (exit 2)."""
    if layout.sync_batchnorm and device.type != "cuda":
        raise refuse(
            "ranks-layout",
            f"torch synchronises batch norm only on CUDA, and this run is on {device.type}",
            "leave it out: each process then has statistics of its own images",
            at=Argument("sync_batchnorm"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ParallelModel:
    """A network as the ranks hold it.

    `model` has the parameters, under the names of the network, and is what is evaluated; under FSDP each is a DTensor. `forward`
    is what is trained: its backward pass leaves the mean of the ranks' gradients.
    """

    model: nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]
    layout: Layout

    @contextlib.contextmanager
    def part(self, last: bool) -> Iterator[None]:
        """Around one part of an accumulated step: the ranks' gradients meet after the last alone."""
        if isinstance(self.forward, nn.parallel.DistributedDataParallel):
            with contextlib.nullcontext() if last else self.forward.no_sync():
                yield
        else:
            if self.sharded:
                self.model.set_requires_gradient_sync(last)  # type: ignore[operator]
            yield

    @property
    def sharded(self) -> bool:
        """Does each rank hold a part of every parameter alone?"""
        return hasattr(self.model, "set_requires_gradient_sync")

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Weights and optimizer as a checkpoint holds them, `model` and `optimizer`. Under FSDP all ranks must call it."""
        if self.layout.parallel == "ddp":
            return {"model": self.model.state_dict(), "optimizer": optimizer.state_dict()}
        from torch.distributed.checkpoint.state_dict import get_state_dict

        # By the parameters' names, so that another number of ranks can read it, and one.
        weights, steps = get_state_dict(self.model, optimizer)
        return {"model": weights, "optimizer": steps}

    def restore(self, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        if self.layout.parallel == "ddp":
            self.model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return
        from torch.distributed.checkpoint.state_dict import set_state_dict

        set_state_dict(self.model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])


def suited(plan: Plan, layout: Layout) -> Plan:
    """The plan, as far as FSDP goes along with it: torch has no fused optimizer for its tensors, and compiles within blocks alone."""
    if layout.parallel == "ddp":
        return plan
    return replace(plan, fused=False, compile="no" if plan.compile == "no" else "blocks")


def block_paths(graph: Graph) -> tuple[str, ...]:
    """The paths of the network's blocks, in order; of a block within a block the outer one."""
    found: list[str] = []
    for path, program in graph.instances():
        if program.role == "block" and not (found and path.startswith(found[-1] + ".")):
            found.append(path)
    return tuple(found)


def parallelize(model: nn.Module, blocks: Sequence[str], part: torch.Size, plan: Plan, world: World, layout: Layout) -> ParallelModel:
    """ParallelModel a network that has been placed by the plan. `part` is the shape of what a rank computes at once (N, C, H, W).

    Call it before an optimizer is made: FSDP puts new parameters in place.
    """
    if layout.sync_batchnorm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if layout.checkpoint_activations:
        for path in blocks:
            block = model.get_submodule(path)
            block.forward = _Recomputed(block)
    forward = plan.compiled(model)
    if world.size == 1:
        return ParallelModel(model, forward, layout)
    if layout.parallel == "fsdp":
        _shard(model, blocks, plan, world)
        return ParallelModel(model, model, layout)
    # The buffers are not broadcast at each step: `broadcast_buffers` does it where they are used.
    wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    wrapped.broadcast_buffers = False
    _settle(wrapped, part, plan)
    return ParallelModel(model, wrapped, layout)


def load_full(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load whole tensors, which every rank has, into a model, spread or not."""
    if not any(hasattr(p, "to_local") for p in model.parameters()):
        model.load_state_dict(dict(tensors))
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    # Each is a collective of its own, so the ranks must take them in one order.
    ordered: dict[str, Any] = {name: tensors[name] for name in model.state_dict()}
    set_model_state_dict(model, ordered, options=StateDictOptions(full_state_dict=True))


def broadcast_buffers(model: nn.Module, world: World) -> None:
    """Give every rank the buffers of rank 0: running statistics of batch norm, which each rank takes of its own images.

    Rank 0's are saved, so a run that is resumed from a checkpoint continues with the same ones.
    """
    if world.size == 1:
        return
    from torch import distributed

    for buffer in model.buffers():
        distributed.broadcast(buffer, src=0)


def full_state(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state_dict without DTensors: each whole, on every rank. Under FSDP all ranks must call it."""
    return {name: full_tensor(t) for name, t in tensors.items()}


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is spread over the ranks, whole on every rank; any other as it is."""
    found: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor that is spread over the ranks; any other as it is."""
    found: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return found


def _shard(model: nn.Module, blocks: Sequence[str], plan: Plan, world: World) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(plan.torch_device.type, (world.size,))
    # FSDP takes dense rows alone; maps keep the plan's memory format.
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for path in blocks:
        fully_shard(model.get_submodule(path), mesh=mesh)
    fully_shard(model, mesh=mesh)


def _settle(wrapped: nn.parallel.DistributedDataParallel, part: torch.Size, plan: Plan) -> None:
    """One step on nothing, without a trace.

    After its first backward pass DDP sorts the gradients into other buckets, and with three ranks and more the bucket decides the
    order in which a gradient is summed. So that the first step of a resumed run sums as the same step of an undisturbed one, all
    real steps come after that.
    """
    before = [b.clone() for b in wrapped.module.buffers()]
    zeros = torch.zeros(part, device=plan.torch_device).to(memory_format=plan.memory_format)
    wrapped.train()  # type: ignore[no-untyped-call]
    with plan.autocast():
        out = wrapped(zeros)
    out.float().sum().backward()
    wrapped.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, value in zip(wrapped.module.buffers(), before, strict=True):
            buffer.copy_(value)


class _Recomputed:
    """A block's forward that keeps nothing but its input for the backward pass.

    The second time through, batch norm must not count the batch into its running statistics again.
    """

    def __init__(self, block: nn.Module) -> None:
        self.inner = block.forward
        self.norms = [m for m in block.modules() if isinstance(m, _BatchNorm)]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            out: torch.Tensor = self.inner(x)
            return out
        from torch.utils.checkpoint import checkpoint

        # A compiler sees both passes as one and keeps the side effects of the first alone.
        extra: dict[str, Any] = {} if torch.compiler.is_compiling() else {"context_fn": lambda: (contextlib.nullcontext(), self._aside())}
        result: torch.Tensor = checkpoint(self.inner, x, use_reentrant=False, **extra)
        return result

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Copies in place of the statistics, so that what is counted is lost."""
        kept = [(norm, name, b) for norm in self.norms for name, b in norm.named_buffers(recurse=False)]
        for norm, name, b in kept:
            setattr(norm, name, b.clone())
        try:
            yield
        finally:
            for norm, name, b in kept:
                setattr(norm, name, b)
