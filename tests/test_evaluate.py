"""`evaluate`: scores and tables against the emitted model in plain torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from trained_run import answers, make_run, shown

from resnet_dsl.cli.app import main
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import COMMAND_LINE, speak
from resnet_dsl.records.assessment import by_class, classes_table, confusion_table
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
        (["run", "--part", "tests"], 2, "--part cannot be 'tests'\n  help: did you mean test?"),
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
