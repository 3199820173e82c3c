"""Checkpoints and whole-or-absent files under every damage: nothing damaged is ever trained on."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.files import write_atomic
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.loop import checkpoint

CPU = torch.device("cpu")


def state(step: int) -> dict[str, object]:
    return {"step": step, "model": {"w": torch.arange(200, dtype=torch.float32) * step}}


def test_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    for step in (1, 20, 300):
        checkpoint.save(tmp_path, step, state(step))
    # By step, whatever the clock says.
    os.utime(tmp_path / "step-000000020.ckpt", (2**31, 2**31))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000020.ckpt", "step-000000300.ckpt"]
    found, damaged = checkpoint.load_newest(tmp_path, CPU)
    assert found is not None
    assert found["step"] == 300
    assert torch.equal(found["model"]["w"], state(300)["model"]["w"])
    assert damaged == []
    assert checkpoint.load_newest(tmp_path / "none", CPU) == (None, [])


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1))
    newest = checkpoint.save(tmp_path, 2, state(2))
    whole = newest.read_bytes()
    draw = random.Random(4)
    damages = [whole[:n] for n in range(0, len(whole), len(whole) // 64)]
    damages += [whole[:-n] + bytes(n) for n in (1, 64, 512)]
    for _ in range(200):
        at = draw.randrange(len(whole) * 8)
        damages.append(whole[: at // 8] + bytes([whole[at // 8] ^ 1 << at % 8]) + whole[at // 8 + 1 :])
    for content in damages:
        newest.write_bytes(content)
        found, damaged = checkpoint.load_newest(tmp_path, CPU)
        assert found is not None
        # A flipped bit in the header's own step is harmless: it is not read.
        assert found["step"] == 1 or torch.equal(found["model"]["w"], state(2)["model"]["w"])
        assert [d.path for d in damaged] == ([newest] if found["step"] == 1 else [])


def test_a_newer_format_a_folder_and_a_pickle_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(canary),)

    path = checkpoint.save(tmp_path, 3, state(3))
    checkpoint.save(tmp_path, 5, {"x": 1})
    path.write_bytes(path.read_bytes().replace(b'"format": 2', b'"format": 9', 1))
    (tmp_path / "step-000000004.ckpt").mkdir()
    evil = tmp_path / "step-000000006.ckpt"
    body = pickle.dumps(Evil(), protocol=2)
    evil.write_bytes(f'{{"format": 2, "bytes": {len(body)}, "sha256": "{sha256(body).hexdigest()}"}}\n'.encode() + body)
    found, damaged = checkpoint.load_newest(tmp_path, CPU)
    assert found == {"x": 1}
    assert [d.path for d in damaged] == [evil]
    assert not canary.exists()
    (tmp_path / "step-000000005.ckpt").unlink()
    with pytest.raises(SpecError) as refused:
        checkpoint.load_newest(tmp_path, CPU)
    assert refused.value.exit_code == 3
    assert not canary.exists()
    assert all(t in str(refused.value) for t in ("has format 9", "cannot be read"))


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_write_that_fails_leaves_what_was_there(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
    with pytest.raises(SpecError, match="1,000 bytes: No space left") as refused:
        write_atomic(path, bytes(1000))
    assert refused.value.exit_code == 3
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from resnet_dsl.files import write_atomic;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); write_atomic(Path(sys.argv[1]), bytes(1000))"
    )
    (tmp_path / "file").write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", program, tmp_path / "file"], capture_output=True, text=True)
    assert "cannot write 1,000 bytes: File too large" in run.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"old"}


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(SpecError, match="not a regular file"):
            write_atomic(tmp_path / name, b"new")
    assert (tmp_path / "real").read_bytes() == b"old"


def saved_weights(path: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    normalisation = Normalisation(torch.tensor([[[1.5]]]), torch.tensor([[[2.0]]]))
    told = weights.about(spec="name: x\n", classes=("a", "b"), normalisation=normalisation, data="digits")
    weights.save(path, model.state_dict(), told)
    return model


def test_weights_come_back_with_what_is_needed_to_use_them(tmp_path: Path) -> None:
    model = saved_weights(tmp_path / "w.safetensors")
    found = weights.load(tmp_path / "w.safetensors")
    assert (found.spec, found.classes, found.data) == ("name: x\n", ("a", "b"), "digits")
    assert found.normalisation is not None
    assert found.normalisation.to_dict() == {"mean": [[[1.5]]], "std": [[[2.0]]]}
    assert all(torch.equal(v, found.tensors[k]) for k, v in model.state_dict().items())
    weights.put(model, found.tensors, tmp_path)
    for change, message in (
        ({"0.bias": None}, "lacks 0.bias"),
        ({"more": torch.zeros(1)}, "has more, which the network lacks"),
        ({"0.bias": torch.zeros(7)}, r"0.bias is \(7,\), in the network \(2,\)"),
    ):
        tensors = {k: v for k, v in {**found.tensors, **change}.items() if v is not None}
        with pytest.raises(SpecError, match=message) as refused:
            weights.put(model, tensors, tmp_path)
        assert refused.value.exit_code == 2


def test_damaged_weights_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved_weights(path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for content in (
        b"",
        whole[:7],
        whole[:header],
        whole[:-1],
        whole[:-1] + bytes([whole[-1] ^ 1]),
        whole[:header] + bytes([whole[header] ^ 4]) + whole[header + 1 :],
        b"{}" * 50,
    ):
        path.write_bytes(content)
        with pytest.raises(SpecError) as refused:
            # The sum is compared before any tensor is given.
            dict(weights.load(path).tensors)
        assert refused.value.exit_code == 3
        assert [d.code for d in refused.value.diagnostics] == ["weights-damaged" if content else "not-weights"]
