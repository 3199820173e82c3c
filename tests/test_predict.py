"""`predict`: pictures against the emitted model in plain torch."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from trained_run import WIDE, answers, make_run, shown

from resnet_dsl.cli.app import main
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.digits import load as load_digits
from resnet_dsl.verbs.modules import build

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def logits(home: Path) -> torch.Tensor:
    """What the run's own model.py says of the test images."""
    return answers(home, load_digits(SOURCES["digits"]).test.pixels)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test digits as PNG, by number; one of them in a folder in a folder."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = load_digits(SOURCES["digits"]).test.pixels
    (folder / "more/deep").mkdir(parents=True)
    for i in range(70):  # more than one batch
        Image.fromarray(pixels[i, 0].numpy()).save(folder / ("more/deep" if i == 69 else "") / f"{i:02d}.PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_predict_finds_what_plain_torch_finds(
    home: Path, pictures: Path, logits: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the run's folder alone, wherever it is."""
    for name in ("model.safetensors", "spec.yaml", "recipe.yaml", "run.json"):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.copy(home / "run" / name, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    found = shown(capsys, "predict", "moved", str(pictures))
    assert [p["file"] for p in found] == [str(pictures / f"{i:02d}.PNG") for i in range(69)] + [str(pictures / "more/deep/69.PNG")]
    values, indices = logits[:70].softmax(1).topk(3)
    assert [[t["class"] for t in p["top"]] for p in found] == [[str(i) for i in row] for row in indices.tolist()]
    assert [[t["probability"] for t in p["top"]] for p in found] == [pytest.approx(row, abs=1e-5) for row in values.tolist()]
    assert all((p["class"], p["probability"]) == (p["top"][0]["class"], p["top"][0]["probability"]) for p in found)
    assert {p["changed"] for p in found} == {None}


def test_predict_forms(home: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, one = str(home / "run"), str(pictures / "00.PNG")
    best = shown(capsys, "predict", run, one, "--top", "99")[0]["top"]
    assert len(best) == 10
    assert sum(t["probability"] for t in best) == pytest.approx(1)
    assert main(["predict", run, one, one, "--top", "2", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "file,class,probability,class2,probability2"
    assert lines[1].split(",")[1::2] == [t["class"] for t in best[:2]]
    assert lines[2] == lines[1]
    assert main(["predict", run, one, "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [one, best[0]["class"], f"{best[0]['probability']:.2%}"]


def test_predict_fits_pictures_and_says_so(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A digit with a black border on two sides, cropped to its middle, is that digit again."""
    pixels = load_digits(SOURCES["digits"]).test.pixels
    digit = pixels[3, 0].numpy()
    wide = np.zeros((8, 12), np.uint8)
    wide[:, 2:10] = digit
    large = Image.fromarray(wide).convert("RGB").resize((120, 80), Image.Resampling.NEAREST)
    large.save(tmp_path / "wide.png")
    Image.fromarray(wide).save(tmp_path / "border.png")
    Image.fromarray(digit).convert("P").save(tmp_path / "palette.png")
    run = str(home / "run")
    files = [str(tmp_path / f"{name}.png") for name in ("wide", "border", "palette")]
    found = shown(capsys, "predict", run, *files)
    assert [p["changed"] for p in found] == ["resized and cropped, made grey", "resized and cropped", "made grey"]
    middle = np.asarray(large.convert("L").resize((12, 8), Image.Resampling.BILINEAR))[:, 2:10].copy()
    for p, image in zip(found, (torch.from_numpy(middle), pixels[3, 0], pixels[3, 0]), strict=True):
        best = answers(home, image[None, None]).softmax(1)[0].max().item()
        assert p["probability"] == pytest.approx(best, abs=1e-4)
    assert main(["predict", run, *files]) == 0
    assert "note: 1 picture was resized and cropped, to fit what the network reads" in capsys.readouterr().err
    squeezed = shown(capsys, "predict", run, files[1], "--resize", "stretch")
    image = np.asarray(Image.fromarray(wide).resize((8, 8), Image.Resampling.BILINEAR))
    expected = answers(home, torch.from_numpy(image.copy())[None, None]).softmax(1)[0]
    assert squeezed[0]["changed"] == "stretched"
    assert squeezed[0]["probability"] == pytest.approx(expected.max().item(), abs=1e-4)
    capsys.readouterr()
    assert main(["predict", run, *files, "--resize", "refuse"]) == 1
    captured = capsys.readouterr()
    assert "wide.png: error[data-size]: is 80x120, the network reads 8x8" in captured.err
    assert "2 of 3 pictures could not be used" in captured.err
    assert files[2] in captured.out


def test_predict_names_damaged_pictures_and_goes_on(home: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (pictures / "00.PNG").read_bytes()
    for size in range(0, len(whole) - 12, 7):
        (tmp_path / f"cut{size:03d}.png").write_bytes(whole[:size])
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    shutil.copy(pictures / "00.PNG", tmp_path / "whole.png")
    (tmp_path / "unreadable.png").symlink_to("nowhere")
    many = len(list(tmp_path.iterdir()))
    found = shown(capsys, "predict", str(home / "run"), str(tmp_path), code=1)
    assert "whole.png" in {Path(p["file"]).name for p in found}
    assert main(["predict", str(home / "run"), str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "text.jpg: error[data-damaged]: is not a readable picture" in err
    assert "Traceback" not in err
    unread = many - 2 - len(found)
    assert err.count("error[data-damaged]") == unread
    assert f"{unread} of {many - 2} pictures could not be used" in err
    assert "2 files in the folders are not read: 1 empty (" in err
    assert "1 linked to nothing (" in err


def test_predict_colours_for_a_network_that_reads_them(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wide.yaml").write_text(WIDE)
    from resnet_dsl.verbs.modules import build

    model = build(str(tmp_path / "wide.yaml"), seed=0).eval()
    torch.save(model.state_dict(), tmp_path / "wide.pth")
    for kind in ("train", "val"):
        for label in "ab":
            (tmp_path / "data" / kind / label).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(np.full((6, 8, 3), 40 * i + 7, np.uint8)).save(tmp_path / "data" / kind / label / f"{i}.png")
    rng = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(rng).save(tmp_path / "colour.png")
    Image.fromarray(rng[:, :, 0]).save(tmp_path / "grey.png")
    spec, weights = str(tmp_path / "wide.yaml"), str(tmp_path / "wide.pth")
    assert main(["predict", spec, str(tmp_path / "colour.png"), "--weights", weights]) == 2
    assert "name the data with --data NAME" in capsys.readouterr().err
    assert (
        main(["predict", spec, str(tmp_path / "colour.png"), "-w", weights, "--data", "imagefolder", "--data-dir", str(tmp_path / "data")])
        == 2
    )
    assert "--set classes=2" in capsys.readouterr().err
    (tmp_path / "two.yaml").write_text(WIDE.replace("classes: 10", "classes: 2"))
    model = build(str(tmp_path / "two.yaml"), seed=0).eval()
    save_file(model.state_dict(), tmp_path / "two.safetensors")
    args = [
        "-w",
        str(tmp_path / "two.safetensors"),
        "--data",
        "imagefolder",
        "--data-dir",
        str(tmp_path / "data"),
        "--device",
        "cpu",
        "--precision",
        "fp32",
    ]
    found = shown(capsys, "predict", str(tmp_path / "two.yaml"), str(tmp_path / "colour.png"), str(tmp_path / "grey.png"), *args)
    assert {p["changed"] for p in found} == {None}
    values = torch.tensor([7.0, 47.0, 87.0])
    for p, image in zip(found, (rng, np.repeat(rng[:, :, :1], 3, 2)), strict=True):
        with torch.inference_mode():
            x = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() - values.mean()) / values.std(correction=0)
            expected = model(x).softmax(1)[0]
        assert p["class"] == "ab"[int(expected.argmax())]
        assert p["probability"] == pytest.approx(expected.max().item(), abs=1e-4)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["run", "-"], 2, "pictures are not read from standard input"),
        (["run", "nowhere.png"], 3, "nowhere.png: error[data-missing]: no such file or folder"),
        (["run", "empty"], 3, "holds no pictures"),
        (["run"], 2, "missing argument 'IMAGE...'"),
        (["nowhere", "tiny.yaml"], 2, "not a run's folder"),
        (["empty", "tiny.yaml"], 3, "is not a run folder"),
        (["run", "empty", "--data", "digits"], 2, "leave out --data"),
        (["run", "empty", "--set", "classes=3"], 2, "leave out --set"),
        (["run", "tiny.yaml", "--top", "0"], 2, "--top"),
        (["tiny.yaml", "tiny.yaml", "--weights", "nowhere.pth"], 3, "nowhere.pth: error[weights-missing]"),
        (["features.yaml", "tiny.yaml", "--weights", "features.safetensors"], 2, "pictures have 1 to 4 channels"),
        (["features.yaml", "tiny.yaml", "--weights", "run/model.safetensors"], 2, "error[weights-fit]: does not fit mlp: lacks fc1.weight"),
        (["tiny.yaml", "tiny.yaml", "--weights", "run/model.safetensors", "--data", "digit"], 2, "is not a data set"),
    ],
)
def test_predict_refuses(
    args: list[str], code: int, message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    (home / "empty").mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent / "data/cli/features.yaml", home)
    how = Normalisation(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    weights.save(home / "features.safetensors", build("features.yaml").state_dict(), weights.about(spec="", normalisation=how))
    assert main(["predict", *args]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_predict_without_pillow(home: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "PIL" else real(name, *a))
    assert main(["predict", str(home / "run"), str(pictures)]) == 3
    assert "pip install 'resnet-dsl[images]'" in capsys.readouterr().err
