"""A small run, and what its own model.py answers in plain torch."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny
from safetensors.torch import load_file

from resnet_dsl.cli.app import main

TINY = tiny(
    "epochs: 4, batch: 64, lr: 0.2, augment: {flip: false}, validation: 200, precision: fp32",
    stages="[{depth: 1, width: 8}, {depth: 1, width: 16, stride: 2}]",
)
WIDE = TINY.replace("channels: 1", "channels: 3").replace("height: 8", "height: 6")


def make_run(folder: Path) -> Path:
    """A folder with `tiny.yaml` and the run that was made from it."""
    torch.set_num_threads(1)
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


def answers(home: Path, pixels: torch.Tensor) -> torch.Tensor:
    spec = importlib.util.spec_from_file_location("model", home / "run/model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Tiny()
    model.load_state_dict(load_file(home / "run/model.safetensors"))
    content = (home / "run/model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    how = json.loads(header["__metadata__"]["normalisation"])
    with torch.inference_mode():
        return model.eval()((pixels.float() - torch.tensor(how["mean"])) / torch.tensor(how["std"]))


def shown(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*args, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)
