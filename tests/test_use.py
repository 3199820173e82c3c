"""A trained run put to use: `evaluate` and `predict`, against the emitted model in plain torch."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from resnet_dsl.cli.app import main
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import COMMAND_LINE, speak
from resnet_dsl.records.assessment import by_class, classes_table, confusion_table
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.digits import load as load_digits
from resnet_dsl.verbs.modules import build

TINY = """
input: {channels: 1, height: 8, width: 8}
classes: 10
stem: cifar
block: basic
shortcut: A
stages: [{depth: 1, width: 8}, {depth: 1, width: 16, stride: 2}]
train: {epochs: 4, batch: 64, lr: 0.2, augment: {flip: false}, validation: 200, precision: fp32}
"""
WIDE = TINY.replace("channels: 1", "channels: 3").replace("height: 8", "height: 6")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "80")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    torch.set_num_threads(1)
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def logits(home: Path) -> torch.Tensor:
    """What the run's own model.py says of the test images."""
    return answers(home, load_digits(SOURCES["digits"]).test.pixels)


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


# --- evaluate ----------------------------------------------------------------------------------------------


def test_evaluate_finds_what_plain_torch_finds(home: Path, logits: torch.Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "evaluate", str(home / "run"))
    labels = load_digits(SOURCES["digits"]).test.labels
    guesses = logits.argmax(1)
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)
    assert found["top1"] == int((guesses == labels).sum()) / 360
    assert found["top5"] == pytest.approx((logits.topk(5).indices == labels[:, None]).any(1).float().mean().item())
    confusion = [[int(((labels == i) & (guesses == j)).sum()) for j in range(10)] for i in range(10)]
    assert found["confusion"] == confusion
    for i, c in enumerate(found["classes"]):
        assert (c["class"], c["images"]) == (str(i), int((labels == i).sum()))
        hits, taken = int(((labels == i) & (guesses == i)).sum()), int((guesses == i).sum())
        assert c["recall"] == hits / c["images"]
        assert c["precision"] == (hits / taken if taken else None)
        wrong = {str(j): n for j, n in enumerate(confusion[i]) if j != i}
        assert c["confused"] == max(wrong.values())
        assert c["confused_with"] is None if not c["confused"] else wrong[c["confused_with"]] == c["confused"]


@pytest.mark.parametrize(("part", "images"), [("test", 360), ("validation", 200), ("train", 1237)])
def test_evaluate_the_parts_of_a_run(part: str, images: int, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "evaluate", str(home / "run"), "--part", part)
    assert (found["part"], found["images"], sum(map(sum, found["confusion"]))) == (part, images, images)
    results = json.loads((home / "run/results.json").read_text())
    if part in results:
        assert {k: found[k] for k in results[part]} == results[part]


def test_evaluate_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(home / "run")
    found = shown(capsys, "evaluate", run)
    assert main(["evaluate", run, "--confusion", "--by", "class"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert [line.split()[0] for line in out.splitlines() if line and line[0].isdigit()] == [*map(str, range(10))] * 2
    assert main(["evaluate", run, "--confusion", "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "true,0,1,2,3,4,5,6,7,8,9",
        *(f"{i}," + ",".join(map(str, row)) for i, row in enumerate(found["confusion"])),
    ]
    assert main(["evaluate", run, "--by", "class", "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "class,images,recall,precision,f1,confused_with,confused"
    assert float(rows[1].split(",")[2]) == found["classes"][0]["recall"]
    assert main(["evaluate", run, "--by", "class", "--format", "markdown"]) == 0
    assert "| class | images | recall | precision | F1 | most taken for | times |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["run", "--confusion", "--by", "class", "--format", "csv"], 2, "CSV is one table"),
        (["run", "--part", "tests"], 2, "'tests' is not one of"),
        (["tiny.yaml", "--weights", "run/model.safetensors", "--part", "validation"], 2, "only a run knows which images it held out"),
        (["run", "--data", "digits", "--set", "classes=3"], 2, "evaluated as it was trained"),
        (["tiny.yaml", "--weights", "nowhere.pth"], 3, "cannot be read"),
        (["nowhere"], 2, "not a run's folder"),
        (["run", "--crops", "10"], 2, "held in memory"),
        (["run", "--scales", "8"], 2, "held in memory"),
        (["run", "--scales", "8,x"], 2, "not a list of sides"),
        (["run", "--scales", ""], 2, "not a list of sides"),
        (["run", "--scales", "8", "--crops", "10"], 2, "exclude each other"),
    ],
)
def test_evaluate_refuses(
    args: list[str], code: int, message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    assert main(["evaluate", *args]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_evaluate_needs_held_out_images(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("validation: 200", "validation: 0"))
    assert main(["evaluate", str(run), "--part", "validation"]) == 2
    assert "held out no images" in capsys.readouterr().err


PHOTOS = """
input: {channels: 3, height: 14, width: 14}
classes: 2
stem: cifar
block: basic
shortcut: A
stages: [{depth: 1, width: 8}]
"""


def test_evaluate_ten_crops_and_scales(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos.yaml").write_text(PHOTOS)
    from resnet_dsl.verbs.modules import build

    save_file(build(str(tmp_path / "photos.yaml"), seed=1).state_dict(), tmp_path / "photos.safetensors")
    draw = np.random.default_rng(0)
    for kind in ("flat", "noise"):
        for part in ("train", "val"):
            for label in "ab":
                (tmp_path / kind / part / label).mkdir(parents=True)
                for i in range(3):
                    picture = (
                        np.broadcast_to(draw.integers(0, 256, 3), (20, 26, 3)) if kind == "flat" else draw.integers(0, 256, (20, 26, 3))
                    )
                    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / kind / part / label / f"{i}.png")

    def found(kind: str, *more: str) -> Any:
        base = ["evaluate", str(tmp_path / "photos.yaml"), "-w", str(tmp_path / "photos.safetensors"), "--data", "imagefolder"]
        return shown(capsys, *base, "--data-dir", str(tmp_path / kind), "--set", "train.augment.crop=14", "--precision", "fp32", *more)

    # All crops of a picture of one colour are the same; of noise they are not.
    one, ten = found("flat"), found("flat", "--crops", "10")
    assert ten["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert (ten["confusion"], ten["crops"]) == (one["confusion"], 10)
    one, ten, scales = found("noise"), found("noise", "--crops", "10"), found("noise", "--scales", "16,20")
    assert len({one["loss"], ten["loss"], scales["loss"]}) == 3
    assert scales["scales"] == [16, 20]
    assert [sum(map(sum, x["confusion"])) for x in (one, ten, scales)] == [6, 6, 6]
    # The whole picture at its own size and its mirror image, by hand.
    model = build(str(tmp_path / "photos.yaml"), seed=1).eval()
    whole = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "noise/val").rglob("*.png"))]
    train = np.stack([np.asarray(Image.open(p)) for p in sorted((tmp_path / "noise/train").rglob("*.png"))])
    assert train.shape == (6, 20, 26, 3)
    native = found("noise", "--scales", "20")
    import resnet_dsl.training.data.load as loading
    from resnet_dsl.training.batches.measure import measure

    how = measure(loading.open_dataset("imagefolder", (3, 14, 14), tmp_path / "noise", crop=14).train, "channel")
    x = (torch.from_numpy(np.stack(whole)).permute(0, 3, 1, 2).float() - how.mean) / how.std
    with torch.inference_mode():
        p = (model(x).softmax(1) + model(x.flip(3)).softmax(1)) / 2
    assert native["loss"] == pytest.approx(-p[range(6), [0, 0, 0, 1, 1, 1]].log().mean().item(), rel=1e-4)


NAMES = [f"class {i}" for i in range(30)]


def test_the_classes_of_a_matrix() -> None:
    confusion = [[8, 2, 0, 0], [3, 0, 3, 0], [0, 0, 5, 0], [0, 0, 0, 0]]
    found = by_class(confusion, "abcd")
    assert [(c.images, c.recall, c.precision, c.f1, c.confused_with, c.confused) for c in found] == [
        (10, 0.8, 8 / 11, pytest.approx(2 * 0.8 * (8 / 11) / (0.8 + 8 / 11)), "b", 2),
        (6, 0.0, 0.0, 0.0, "a", 3),
        (5, 1.0, 5 / 8, pytest.approx(2 * 0.625 / 1.625), None, 0),
        (0, None, None, None, None, 0),
    ]
    assert by_class([[3]], ["only"])[0].recall == 1.0


def test_tables_of_many_classes_show_the_worst_and_say_so() -> None:
    # Class i is taken for the next one i times of 100.
    confusion = [[100 - i if j == i else i if j == (i + 1) % 30 else 0 for j in range(30)] for i in range(30)]
    table = confusion_table(confusion, NAMES, "table")
    assert list(table.rows[0]) == ["class 29", "class 0", 29, 0.29]
    assert len(table.rows) == 20
    assert tuple(speak(n, COMMAND_LINE) for n in table.notes) == (
        "The most frequent confusions, 20 of 29; --format csv holds the whole matrix of 30 classes.",
    )
    assert len(confusion_table(confusion, NAMES, "csv").rows) == 30
    classes = by_class(confusion, NAMES)
    worst = classes_table(classes, "table")
    assert len(worst.rows) == 20
    assert tuple(speak(n, COMMAND_LINE) for n in worst.notes) == ("The 20 of 30 classes with the lowest F1; --format csv holds all.",)
    assert worst.rows[0][0] == "class 29"
    assert len(classes_table(classes, "csv").rows) == 30


def test_long_names_are_numbered_and_wide_matrices_listed() -> None:
    clothes = SOURCES["fashion-mnist"].classes
    matrix = [[900 if i == j else 11 for j in range(10)] for i in range(10)]
    table = confusion_table(matrix, clothes, "table")
    assert [c.title for c in table.columns] == ["true", *map(str, range(10))]
    assert [row[0] for row in table.rows] == [f"{i} {name}" for i, name in enumerate(clothes)]
    assert table.width <= 80
    wide = [[1000 if i == j else 1234 for j in range(15)] for i in range(15)]
    assert confusion_table(wide, NAMES[:15], "table").columns[1].key == "predicted"
    assert len(confusion_table(wide, NAMES[:15], "markdown").columns) == 16


# --- predict -----------------------------------------------------------------------------------------------


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
    assert "deep.png: error[data-damaged]: has pixels of the kind I;16" in err
    assert "Traceback" not in err
    unread = many - 1 - len(found)  # the link that leads nowhere is no file
    assert err.count("error[data-damaged]") == unread
    assert f"{unread} of {many - 1} pictures could not be used" in err


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
        (["features.yaml", "tiny.yaml", "--weights", "features.safetensors"], 2, "pictures have 1 or 3 channels"),
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
