"""Training over processes: two of them over gloo, started by torchrun as a user does, against one, and against faults."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import resnet_dsl as rd
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.ranks import sharded
from resnet_dsl.training.ranks import world as ranks
from resnet_dsl.training.ranks.parallel import Layout, block_paths, parallelize, require_layout
from resnet_dsl.training.ranks.world import World, alone, joined
from resnet_dsl.verbs.modules import build

SPEC = """
input: {channels: 1, height: 8, width: 8}
classes: 10
norm: {group: {groups: 4}}
stem: cifar
block: basic
shortcut: B
stages:
  - {depth: 1, width: 8}
  - {depth: 1, width: 16, stride: 2}
head: classifier
"""
# 44 steps an epoch, a checkpoint every fourth, one evaluation at the end.
RECIPE = ("steps=14", "batch=32", "lr=0.1", "precision=fp32", "log_every=7", "checkpoint_every=0.09", "eval_every=10")

# A rank that dies once: torchrun starts it again with a count above 0.
MORTAL = """
import os, runpy, sys
if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    os.environ["RESNET_DSL_FAULT"] = os.environ.get("MORTAL_FAULT", "")
if "MORTAL_SPEC" in os.environ and os.environ["RANK"] == "1":
    sys.argv = [os.environ["MORTAL_SPEC"] if a.endswith("net.yaml") else a for a in sys.argv]
runpy.run_module("resnet_dsl", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A folder with the network, where runs are made; each run is made once."""

    path: Path

    def run(self, *args: str, processes: int = 1, restarts: int = 0, fault: str = "", **environ: str) -> Ended:
        start: tuple[str, ...] = ("-m", "resnet_dsl")
        if processes > 1:
            start = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", f"--max-restarts={restarts}")
            start += ("mortal.py",) if fault or environ else ("-m", "resnet_dsl")
        given = {**os.environ, "OMP_NUM_THREADS": "1", "RESNET_DSL_TIMEOUT": "60", **environ, **({"MORTAL_FAULT": fault} if fault else {})}
        done = subprocess.run(
            [sys.executable, *start, "train", *args], cwd=self.path, env=given, capture_output=True, text=True, timeout=200, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def begin(self, out: str, *more: str, **how: Any) -> Ended:
        settings = [word for item in RECIPE for word in ("--set", f"train.{item}")]
        return self.run("net.yaml", "--data", "digits", *settings, "--no-compile", "--out", out, *more, **how)

    def weights(self, out: str) -> Mapping[str, torch.Tensor]:
        return load_file(self.path / out / "model.safetensors")

    def results(self, out: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / out / "results.json").read_text())
        return found

    def log(self, out: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (self.path / out / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_s")} for row in rows]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("scale")
    (path / "net.yaml").write_text(SPEC)
    (path / "mortal.py").write_text(MORTAL)
    here = Place(path)
    ended = here.begin("one")
    assert ended.code == 0, ended.err
    for out, more in (("ddp", ()), ("fsdp", ("--parallel", "fsdp", "--checkpoint-activations"))):
        ended = here.begin(out, *more, processes=2)
        assert ended.code == 0, ended.err
        assert ended.out.count("params") == 1
    return here


@pytest.mark.parametrize("out", ["ddp", "fsdp"])
def test_two_processes_train_what_one_does(place: Place, out: str) -> None:
    """Equal but for rounding: a gradient is the mean of two halves' means, where one process sums all images in another order.

    In fp32 a sum of 32 differs by some 1e-7 of itself; 14 steps at a high rate carry that to the fifth digit at most.
    """
    one, two = place.weights("one"), place.weights(out)
    assert list(one) == list(two)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=2e-5, msg=lambda m, name=name: f"{name}: {m}")
    ours, theirs = place.results(out), place.results("one")
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
    assert ours["test"]["loss"] == pytest.approx(theirs["test"]["loss"], rel=1e-4)
    assert (ours["test"]["images"], ours["params"], ours["steps"]) == (360, theirs["params"], 14)
    # The two halves of every batch together are the whole: the count of right guesses is that of one process.
    assert [row["step"] for row in place.log(out)] == [row["step"] for row in place.log("one")]


def test_a_killed_worker_changes_nothing(place: Place) -> None:
    ended = place.begin("killed", "--resume", processes=2, restarts=3, fault="kill@step=10")
    assert ended.code == 0, ended.err
    assert "resuming killed at step 8" in ended.err
    assert place.results("killed")["weights_sha256"] == place.results("ddp")["weights_sha256"]
    assert place.log("killed") == place.log("ddp")


def test_a_sharded_run_is_killed_damaged_and_gone_on_with(place: Place) -> None:
    """Killed at step 10, with checkpoints of steps 4 and 8. Three copies go on: as it is, damaged, and with one process."""
    ended = place.begin("cut", "--parallel", "fsdp", "--checkpoint-activations", processes=2, fault="kill@step=10")
    assert ended.code == 1
    assert "Signal 9 (SIGKILL)" in ended.err
    checkpoints = place.path / "cut/checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == ["step-000000004.sharded", "step-000000008.sharded"]
    newest = checkpoints / "step-000000008.sharded"
    assert {"manifest.json", ".metadata", "__0_0.distcp", "__1_0.distcp", "rest.pt"} == {p.name for p in newest.iterdir()}

    shard = newest / "__1_0.distcp"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    ended = place.run("--resume", "cut", processes=2)
    assert ended.code == 0, ended.err
    assert re.search(r"warning: cut/checkpoints/step-000000008\.sharded is not used: __1_0\.distcp: its SHA-256", ended.err)
    assert "resuming cut at step 4" in ended.err
    assert place.results("cut")["weights_sha256"] == place.results("fsdp")["weights_sha256"]
    assert place.log("cut") == place.log("fsdp")

    # Longer, by one process alone: the parts are put together.
    ended = place.run("--resume", "cut", "--steps", "16")
    assert ended.code == 0, ended.err
    assert "note: 1 process now, the run had 2 processes: the result will not be the same to the bit" in ended.err
    assert place.results("cut")["steps"] == 16


def test_another_number_of_processes_is_said(place: Place) -> None:
    ended = place.run("--resume", "ddp", "--steps", "16", "--format", "json")
    assert ended.code == 0, ended.err
    assert "note: 1 process now, the run had 2 processes" in ended.err
    assert json.loads(ended.out)["steps"] == 16


def test_processes_with_different_networks_refuse(place: Place) -> None:
    (place.path / "other.yaml").write_text(SPEC.replace("width: 16", "width: 24"))
    ended = place.begin("never", processes=2, MORTAL_SPEC="other.yaml")
    assert ended.code == 1
    assert ended.err.count("error[ranks-differ]: the spec of rank 1 is not that of rank 0") == 2  # ours, and torchrun's summary
    assert "exitcode  : 2" in ended.err
    assert not (place.path / "never").exists()


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


def state(step: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    weights = {"a": torch.randn(3, 2, generator=generator), "b": torch.randn(5, generator=generator)}
    return {
        "step": step,
        "model": weights,
        "optimizer": {"state": {"a": {"momentum_buffer": weights["a"] * 2}}},
        "average": None,
        "metrics": 7,
    }


def test_sharded_checkpoints_of_one_process(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        sharded.save(tmp_path, step, state(step), alone())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000002.sharded", "step-000000003.sharded"]
    found, damaged = sharded.load_newest(tmp_path, alone())
    assert found is not None
    assert (found["step"], found["metrics"], damaged) == (3, 7, [])
    back = sharded.read(found, state(9), alone())
    for name, value in state(3)["model"].items():
        assert torch.equal(back["model"][name], value)
    assert torch.equal(back["optimizer"]["state"]["a"]["momentum_buffer"], state(3)["optimizer"]["state"]["a"]["momentum_buffer"])
    assert (back["step"], back["average"]) == (3, None)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


DAMAGE = [
    ("__0_0.distcp", cut, "__0_0.distcp: its"),
    ("__0_0.distcp", flip, "__0_0.distcp: its SHA-256 is not what it should be"),
    (".metadata", flip, ".metadata: its SHA-256 is not what it should be"),
    ("rest.pt", flip, "rest.pt: its SHA-256 is not what it should be"),
    ("rest.pt", Path.unlink, "rest.pt cannot be read (No such file or directory)"),
    ("manifest.json", Path.unlink, "has no manifest"),
    ("manifest.json", lambda p: p.write_text("{}"), "its manifest is damaged"),
    ("manifest.json", lambda p: p.write_text(p.read_text().replace('"step": 2', '"step": 3')), "its manifest is damaged"),
    ("manifest.json", lambda p: p.write_text(p.read_text().replace('"format": 1', '"format": 9')), "has format 9, this program reads 1"),
]


@pytest.mark.parametrize(("name", "harm", "reason"), DAMAGE, ids=[f"{d[0]}-{i}" for i, d in enumerate(DAMAGE)])
def test_damaged_shards_are_skipped(name: str, harm: Any, reason: str, tmp_path: Path) -> None:
    for step in (1, 2):
        sharded.save(tmp_path, step, state(step), alone())
    harm(tmp_path / "step-000000002.sharded" / name)
    found, damaged = sharded.load_newest(tmp_path, alone())
    assert found is not None
    assert found["step"] == 1
    assert [d.path.name for d in damaged] == ["step-000000002.sharded"]
    assert damaged[0].reason.startswith(reason)


def test_nothing_but_damage_is_an_error(tmp_path: Path) -> None:
    assert sharded.load_newest(tmp_path, alone()) == (None, [])
    sharded.save(tmp_path, 1, state(1), alone())
    flip(tmp_path / "step-000000001.sharded/__0_0.distcp")
    with pytest.raises(SpecError, match="no checkpoint can be used") as caught:
        sharded.load_newest(tmp_path, alone())
    assert caught.value.exit_code == 3


def test_half_written_shards_are_removed(tmp_path: Path) -> None:
    draft = tmp_path / ".step-000000001.sharded.partial"
    draft.mkdir()
    (draft / "__0_0.distcp").touch()
    sharded.discard_drafts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_table_in_the_docs_is_the_model() -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "benchmarks/scale.py", "--table"], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout in (root / "docs/scale.md").read_text()
    assert "| 8 | 256 | 62.8 ms |" in done.stdout  # 6 x 4,089,184,256 MACs x 256 images / 1e14 FLOP/s


@pytest.mark.needs("cuda")
def test_synchronised_batch_norm_sees_the_whole_batch(tmp_path: Path) -> None:
    """Two ranks on one GPU (gloo carries CUDA tensors too) leave the gradients and statistics of one with the whole batch."""
    program = tmp_path / "sync.py"
    program.write_text(SYNC)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)],
        capture_output=True, text=True, timeout=200, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "same" in done.stdout


SYNC = """
import os, torch
from torch import distributed
import resnet_dsl as rd
from resnet_dsl.verbs.modules import build
from resnet_dsl.training.ranks.parallel import Layout, block_paths, parallelize
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.ranks.world import World, alone

def main():
    rank = int(os.environ["RANK"])
    graph = rd.compile(rd.load("resnet20-digits"))
    plan = Plan("cuda:0", "fp32", False, 1)
    images = torch.randn(16, *graph.input, generator=torch.Generator().manual_seed(0)).cuda()
    found = []
    for world, layout in ((alone(), Layout()), (World(rank, 2, 0), Layout(sync_batchnorm=True))):
        mine = images[world.rank :: world.size]
        network = parallelize(plan.place(build(graph, seed=0)), block_paths(graph), mine.shape, plan, world, layout)
        network.model.train()
        network.forward(mine).square().mean().backward()
        found.append([*(p.grad for p in network.model.parameters()), *network.model.buffers()])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)
    if rank == 0:
        print("same")

torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
distributed.init_process_group("gloo")
main()
distributed.barrier()
distributed.destroy_process_group()
"""
