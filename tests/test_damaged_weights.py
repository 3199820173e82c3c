"""Weights whose metadata was damaged or never was ours: each command refuses the file by its name, before anything is built."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny

from resnet_dsl.cli.app import main
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.verbs.modules import build
from resnet_dsl.verbs.trained import open as open_network

TINY = tiny("batch: 64, precision: fp32", stages="[{depth: 1, width: 8}, {depth: 1, width: 16, stride: 2}]")
DEEP = "[" * 10_000 + "]" * 10_000
GONE = object()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of weights as we write it."""
    spec = tmp_path_factory.mktemp("whole") / "tiny.yaml"
    spec.write_text(TINY)
    how = Normalisation(torch.full((1, 1, 1), 78.0), torch.full((1, 1, 1), 96.0), torch.ones(1, 1))
    told = weights.about(spec=TINY, classes=tuple("0123456789"), normalisation=how, data="digits")
    return weights.encode(build(spec, seed=0).state_dict(), told)


def changed(content: bytes, **changes: object) -> bytes:
    """The file with other texts in its metadata, in place of what is there."""
    size = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + size])
    told = {k: v for k, v in {**header["__metadata__"], **changes}.items() if v is not GONE}
    text = json.dumps({**header, "__metadata__": told}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def normalisation(**over: object) -> str:
    return json.dumps({"mean": [[[78.0]]], "std": [[[96.0]]], **over})


DAMAGES: dict[str, tuple[dict[str, object], str]] = {
    "classes null": ({"classes": "null"}, "`classes` is null"),
    "classes no JSON": ({"classes": "cat, dog"}, "`classes` is no JSON"),
    "classes deep": ({"classes": DEEP}, "`classes` is no JSON"),
    "classes of another kind": ({"classes": '{"a": 1}'}, "`classes` must be a list, not an object"),
    "classes numbers": ({"classes": "[0, 1]"}, "`classes.0` must be a text, not 0"),
    "classes too few": ({"classes": '["a", "b"]'}, "`classes` has 2 names, and the network 10 classes"),
    "normalisation null": ({"normalisation": "null"}, "`normalisation` is null"),
    "normalisation deep": ({"normalisation": DEEP}, "`normalisation` is no JSON"),
    "normalisation of another kind": ({"normalisation": "[]"}, "`normalisation` must be an object, not a list"),
    "no std": ({"normalisation": '{"mean": [[[1.0]]]}'}, "`normalisation.std` is missing"),
    "mean a number": ({"normalisation": normalisation(mean=3.0)}, "`normalisation.mean` must be a list, not 3.0"),
    "mean ragged": (
        {"normalisation": normalisation(mean=[[[1.0, 2.0], [1.0]]])},
        "`normalisation.mean` is not an array: its rows have different lengths",
    ),
    "mean nan": ({"normalisation": normalisation(mean=[[[float("nan")]]])}, "`normalisation.mean.0.0.0` must be a finite number, not nan"),
    "mean of colours": (
        {"normalisation": normalisation(mean=[[[1.0]]] * 3, std=[[[1.0]]] * 3)},
        "`normalisation.mean` is 3x1x1, and the network reads 1x8x8",
    ),
    "mean of larger images": (
        {"normalisation": normalisation(mean=[[[1.0] * 9] * 9])},
        "`normalisation.mean` is 1x9x9, and the network reads 1x8x8",
    ),
    "std of more channels": ({"normalisation": normalisation(std=[[[1.0]]] * 2)}, "`normalisation` has parts of different numbers of channels"),
    "std zero": ({"normalisation": normalisation(std=[[[0.0]]])}, "`normalisation.std` holds a deviation that is not above 0"),
    "axes of more channels": ({"normalisation": normalisation(axes=[[1.0, 2.0]])}, "`normalisation` has parts of different numbers of channels"),
    "no sum": ({"sha256": GONE}, "`sha256` is missing"),
}  # fmt: skip

OF_ANOTHER = {"classes too few", "mean of colours", "mean of larger images"}
"""What a sound file of another network may hold."""

COMMANDS = (
    "evaluate d.safetensors",
    "evaluate tiny.yaml --weights d.safetensors",
    "predict d.safetensors photo.png",
    "export d.safetensors -o out.safetensors",
    "transfer d.safetensors tiny.yaml -o out.safetensors",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "photo.png").touch()
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_metadata(name: str, whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    damage, problem = DAMAGES[name]
    Path("d.safetensors").write_bytes(changed(whole, **damage))
    for command in COMMANDS:
        assert main(command.split()) == 3, command
        said = f"d.safetensors: error[weights-damaged]: is damaged: {problem}\n  help: copy the file again, or write it again\n"
        if name in OF_ANOTHER:
            help = "use the spec and the input that the weights were made with"
            said = f"d.safetensors: error[weights-fit]: does not fit the network: its {problem}\n  help: {help}\n"
        assert capsys.readouterr().err == said, command
    assert not Path("out.safetensors").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["classes too few", "mean of colours"])
def test_the_names_of_the_classes_are_checked_without_torch(name: str, whole: bytes) -> None:
    damage, problem = DAMAGES[name]
    Path("d.safetensors").write_bytes(changed(whole, **damage))
    with pytest.raises(Exception, match=problem.replace("(", r"\(")):
        open_network("d.safetensors").classes  # noqa: B018


HEADS: dict[str, tuple[bytes, str, int]] = {
    "null": (b'{"__metadata__": null}', "its metadata is not a mapping from words to text", 3),
    "deep": (b'{"__metadata__": ' + DEEP.encode() + b"}", "its header is no JSON with each name once", 3),
    "numbers": (b'{"__metadata__": {"format": 1}}', "its metadata is not a mapping from words to text", 3),
    "empty": (b"{}", "holds no tensors", 3),
    "another program's": (b'{"__metadata__": {"format": "pt"}}', "holds no tensors", 3),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", HEADS)
def test_import_of_a_damaged_head(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, problem, code = HEADS[name]
    Path("d.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert main(["import", "d.safetensors"]) == code
    assert problem in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "command",
    [
        "weights tiny.yaml w.pth", "evaluate tiny.yaml --weights w.pth", "predict tiny.yaml photo.png --weights w.pth", "import w.pth",
        "export tiny.yaml --weights w.pth -o out.safetensors",
    ],
)  # fmt: skip
def test_weights_that_are_no_regular_file(kind: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody writes into the pipe, and the device has no end: the command ends all the same."""
    if kind == "pipe":
        os.mkfifo("w.pth")
    elif kind == "device":
        Path("w.pth").symlink_to("/dev/zero")
    else:
        Path("w.pth").mkdir()
    problem = "cannot be read: it is a device, pipe or socket, not a regular file"
    help = "check the path"
    if kind == "folder" and command.startswith("import"):
        problem = "cannot be read: it is a directory, not a regular file"
    elif kind == "folder":
        # A folder is taken for a run's.
        problem, help = "is a folder, and has no model.safetensors", "give a file of weights, or the folder of a run that has written some"
    assert main(command.split()) == 3
    assert capsys.readouterr().err == f"w.pth: error[weights-missing]: {problem}\n  help: {help}\n"


@pytest.mark.usefixtures("folder")
def test_a_picture_that_is_a_pipe(whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.safetensors").write_bytes(whole)
    os.mkfifo("pipe.png")
    assert main(["predict", "net.safetensors", "pipe.png"]) == 1
    assert "is a device, pipe or socket, not a regular file" in capsys.readouterr().err
