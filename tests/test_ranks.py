"""What one process can know of ranks: environments, refusals, lost ranks, blocks and recomputed activations."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch

import resnet_dsl as rd
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.ranks import world as ranks
from resnet_dsl.training.ranks.parallel import Layout, block_paths, parallelize, require_layout
from resnet_dsl.training.ranks.world import World, alone, joined
from resnet_dsl.verbs.modules import build

REFUSED = [
    (("--parallel", "fsdp"), "one process has nothing to share"),
    (("--sync-batchnorm",), "one process has nothing to share"),
]


@pytest.mark.parametrize(("args", "message"), REFUSED)
def test_refused(args: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    from resnet_dsl.cli.app import main

    assert main(["train", "resnet20-digits", *args]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


TWO = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
ENVIRONMENTS = [
    ({k: v for k, v in TWO.items() if k != "MASTER_ADDR"}, "ranks-environment", "MASTER_ADDR is not set"),
    ({"WORLD_SIZE": "2"}, "ranks-environment", "RANK is not set"),
    ({**TWO, "RANK": "x"}, "ranks-environment", "RANK is 'x', which is not a number"),
    ({**TWO, "RANK": "2"}, "ranks-environment", "RANK is 2, but WORLD_SIZE is 2"),
    ({**TWO, "RESNET_DSL_TIMEOUT": "soon"}, "ranks-environment", "is 'soon', which is not a number of seconds"),
    ({**TWO, "RANK": "1", "RESNET_DSL_TIMEOUT": "1"}, "ranks-connect", "rank 1 of 2 did not reach the others at 127.0.0.1:1"),
]


@pytest.mark.parametrize(("environ", "code", "message"), ENVIRONMENTS, ids=[e[2] for e in ENVIRONMENTS])
def test_environments_that_are_no_world(environ: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(SpecError) as caught, joined("cpu", environ):
        pass
    assert caught.value.exit_code == 3
    assert f"error[{code}]" in str(caught.value)
    assert message in str(caught.value)


def test_one_process_is_alone() -> None:
    with joined("cpu", {}) as world:
        assert world == alone()
    with joined("cpu", {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "TORCHELASTIC_MAX_RESTARTS": "3"}) as world:
        assert world == World(0, 1, 0, 3)
    value = torch.ones(2)
    assert world.sum(value) is value
    assert (world.agree(True), world.most(-1), world.share("x"), world.gather("x")) == (True, -1, "x", ["x"])
    world.same("x", "spec")


LOST = [
    ("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1", "the connection to another rank is lost: it has died"),
    ("[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 60000ms for recv", "another rank did not answer for 60 s"),
]


@pytest.mark.parametrize(("text", "message"), LOST)
def test_a_collective_that_fails_is_a_lost_rank(text: str, message: str) -> None:
    found = ranks._as_lost(RuntimeError(text), timedelta(seconds=60))
    assert message in str(found)
    assert isinstance(found, SpecError)
    other = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert ranks._as_lost(other, timedelta(seconds=60)) is other


def test_stops_are_asked_for_less_often_by_many() -> None:
    assert [World(0, size, 0).stride for size in (1, 2, 8, 16, 800)] == [1, 1, 1, 2, 100]


def test_sync_batchnorm_is_refused_on_the_cpu() -> None:
    with pytest.raises(SpecError, match="only on CUDA, and this run is on cpu") as caught:
        require_layout(Layout(sync_batchnorm=True), torch.device("cpu"))
    assert caught.value.exit_code == 2
    require_layout(Layout(sync_batchnorm=True), torch.device("cuda"))


def test_blocks_by_path() -> None:
    graph = rd.compile(rd.load("resnet34"))
    paths = block_paths(graph)
    assert len(paths) == 16
    assert (paths[0], paths[-1]) == ("layer1.0", "layer4.2")
    model = build(graph, seed=0)
    assert all(model.get_submodule(path) is not None for path in paths)


def test_recomputed_activations_change_no_bit() -> None:
    """Gradients, and batch norm's statistics, which a second pass must not count again."""
    graph = rd.compile(rd.load("resnet20-digits"))
    plan = Plan("cpu", "fp32", True, 1)
    shape = torch.Size((8, *graph.input))
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = []
    for layout in (Layout(), Layout(checkpoint_activations=True)):
        network = parallelize(build(graph, seed=0), block_paths(graph), shape, plan, alone(), layout)
        network.model.train()
        for _ in range(2):
            network.forward(images).square().sum().backward()
        found.append({**network.model.state_dict(), **{f"{n}.grad": p.grad for n, p in network.model.named_parameters()}})
    plain, recomputed = found
    assert list(plain) == list(recomputed)
    assert all(torch.equal(plain[name], recomputed[name]) for name in plain)
    assert any(name.endswith("num_batches_tracked") and int(value) == 2 for name, value in recomputed.items())
