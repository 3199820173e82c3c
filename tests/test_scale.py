"""Training over processes: two of them over gloo, started by torchrun as a user does, against one, and against faults."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

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
    """Equal up to rounding: a gradient is the mean of two halves' means, where one process sums all images in another order.

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
