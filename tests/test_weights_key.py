"""One choice among several state_dicts, and one answer to a bad file, in every command that takes weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import tiny

from resnet_dsl.cli.app import main
from resnet_dsl.runtime import weights
from resnet_dsl.verbs.modules import build

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")

TINY = tiny("steps: 1, batch: 64, precision: fp32", stages="[{depth: 1, width: 8}]")
COMMANDS = (
    "weights tiny.yaml w.pth",
    "evaluate tiny.yaml --weights w.pth --data digits",
    "predict tiny.yaml photo.png --weights w.pth --data digits",
    "train tiny.yaml --weights w.pth --data digits --out run",
    "export tiny.yaml --weights w.pth -o out.safetensors",
    "transfer tiny.yaml tiny.yaml --weights w.pth -o out.safetensors",
    "import w.pth -o out.yaml --input 1x8x8",
    "probe signals tiny.yaml --weights w.pth --data noise",
)


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    from PIL import Image

    Image.new("L", (8, 8), 90).save("photo.png")
    return build("tiny.yaml", seed=1).state_dict()


def nothing_made() -> bool:
    return not any(Path(name).exists() for name in ("run", "out.safetensors", "out.yaml"))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_key_is_asked_for_and_used(command: str, plain: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    averaged = {k: v * 0.5 if v.is_floating_point() else v for k, v in plain.items()}
    torch.save({"state_dict": plain, "state_dict_ema": averaged, "optimizer": {"state": {0: plain["conv1.weight"]}}}, "w.pth")
    assert main(command.split()) == 2
    n = len(plain)
    said = f"w.pth: error[weights-several]: holds several state_dicts: state_dict ({n} tensors), state_dict_ema ({n} tensors)\n"
    assert capsys.readouterr().err == f"{said}  help: say which: --key state_dict\n"
    assert nothing_made()
    assert main([*command.split(), "--key", "state_dict_emma"]) == 2
    assert "w.pth has no state_dict at 'state_dict_emma'\n  help: did you mean 'state_dict_ema'?" in capsys.readouterr().err
    assert nothing_made()
    assert main([*command.split(), "--key", "state_dict_ema"]) == 0
    found = Path("run/initial.safetensors") if command.startswith("train") else Path("out.safetensors")
    if found.exists():
        assert torch.equal(weights.load(found).tensors["conv1.weight"], averaged["conv1.weight"])
    elif command.startswith(("train", "export", "transfer")):
        pytest.fail("nothing was written")


BAD: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "nan": (lambda t: t.clone().index_fill_(0, torch.tensor([1]), float("nan")), "error[weights-tensors]: holds nan in 'conv1.weight'"),
    "sparse": (lambda t: t.to_sparse(), "error[weights-tensors]: 'conv1.weight' is sparse"),
    "meta": (lambda t: t.to("meta"), "error[weights-tensors]: 'conv1.weight' has no numbers (it was saved from the meta device)"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("import")])
def test_a_bad_tensor_is_named_by_every_command(
    command: str, name: str, plain: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = BAD[name]
    torch.save({**plain, "conv1.weight": make(plain["conv1.weight"])}, "w.pth")
    assert main(command.split()) == 3
    assert f"w.pth: {said}\n" in capsys.readouterr().err
    assert nothing_made()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2])
def test_what_is_converted_is_said(dtype: torch.dtype, plain: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({k: v.to(dtype) if v.is_floating_point() else v for k, v in plain.items()}, "w.pth")
    assert main(["weights", "tiny.yaml", "w.pth", "--format", "json"]) == 0
    floats = sum(v.is_floating_point() for v in plain.values())
    assert json.loads(capsys.readouterr().out)["converted"] == {str(dtype).removeprefix("torch."): floats}
    held = build("tiny.yaml", weights="w.pth").state_dict()
    assert all(torch.equal(held[k], v.to(dtype).float()) for k, v in plain.items() if v.is_floating_point())


def test_expanded_tensors_are_taken(plain: dict[str, torch.Tensor]) -> None:
    expanded = torch.tensor([[[[0.5]]]]).expand(plain["conv1.weight"].shape)
    torch.save({**plain, "conv1.weight": expanded}, "w.pth")
    assert Path("w.pth").stat().st_size < sum(t.nbytes for t in plain.values()) + 40_000
    model = build("tiny.yaml", weights="w.pth")
    assert torch.equal(model.conv1.weight, expanded)


def test_memory_follows_the_network(plain: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    """A file with a hole of 4 GiB for a tensor that the network has in another shape, and for one that it lacks."""
    header = {k: {"dtype": "F32", "shape": list(v.shape)} for k, v in plain.items() if v.is_floating_point()}
    header["conv1.weight"]["shape"] = [1 << 30]
    at = 0
    for entry in header.values():
        size = 4 * int(torch.tensor(entry["shape"]).prod())
        entry["data_offsets"] = [at, at + size]
        at += size
    text = json.dumps(header).encode()
    with Path("w.safetensors").open("wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        f.truncate(8 + len(text) + at)
    for command in COMMANDS[1:5]:
        assert main(command.replace("w.pth", "w.safetensors").split()) == 2
        assert "conv1.weight is (1073741824,)" in capsys.readouterr().err


def test_what_was_found_how_is_said_where_weights_are_used(plain: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({**{k: v.half() if v.is_floating_point() else v for k, v in plain.items()}, "epoch": 3}, "w.pth")
    told: list[str] = []
    build("tiny.yaml", weights="w.pth", tell=told.append)
    floats = sum(v.is_floating_point() for v in plain.values())
    said = f"{floats} tensors are converted from float16; left out, since they are no tensors: epoch"
    assert told == [f"w.pth: {said}"]
    for command in COMMANDS[1:5]:
        assert main(command.split()) == 0
        assert said in capsys.readouterr().err, command
    assert main(COMMANDS[0].split()) == 0
    assert "Left out, since they are no tensors: epoch." in capsys.readouterr().out
