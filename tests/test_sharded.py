"""Sharded checkpoints: written and read by one process, and skipped or refused where they are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.ranks import sharded
from resnet_dsl.training.ranks.world import alone


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
