"""`resnet-dsl report`: the page of the stored runs without torch, of a run trained here with it, and in headless Chromium."""

from __future__ import annotations

import io
import re
import shutil
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny
from PIL import Image

from resnet_dsl.cli.app import main
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.pictures.drawing.png import picture
from resnet_dsl.pictures.page.predictions import predictions as section
from resnet_dsl.pictures.page.run import METRICS, Shown, page
from resnet_dsl.records.assessment import Assessment, Sample, Sampled, by_class
from resnet_dsl.records.run import Run
from resnet_dsl.training.data.dataset import InMemory
from resnet_dsl.training.data.digits import load as load_digits
from resnet_dsl.using import samples
from resnet_dsl.using.assess import assess, assess_images, run_images
from resnet_dsl.using.samples import MISTAKES, RIGHT, Guesses, predictions

STORED = Path(__file__).parent / "data" / "runs"
TINY = tiny(
    "epochs: 3, batch: 64, lr: 0.2, augment: {flip: false}, precision: fp32",
    stages="[{depth: 1, width: 8}, {depth: 1, width: 16, stride: 2}]",
)


class Page(HTMLParser):
    """What a page says: headings, tables by their caption as rows of text, pictures, and the words of everything else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.images: list[tuple[bytes, str]] = []
        self.charts: list[str] = []
        self._rows: list[list[str]] = []
        self._words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._words = []
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag == "img":
            found = dict(attrs)
            head, _, data = (found["src"] or "").partition(",")
            assert head == "data:image/png;base64"
            self.images.append((b64decode(data), found["alt"] or ""))

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        words = "".join(self._words).strip()
        if tag in ("h1", "h2", "h3"):
            self.headings.append(words)
        elif tag == "caption":
            self.tables[words] = self._rows
        elif tag in ("td", "th"):
            self._rows[-1].append(words)
        elif tag == "title" and " over epoch: " in words:
            self.charts.append(words)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(STORED, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "first"), "--quiet"]) == 0
    return folder / "first"


def stored(*names: str) -> list[Shown]:
    runs = [Run.open(STORED / name) for name in names]
    return [Shown(r.overview, r.spec_text, r.graph, {m: r.curves(m) for m in METRICS}) for r in runs]


def written(*args: str) -> str:
    assert main(["report", *args, "-o", "report.html"]) == 0
    return Path("report.html").read_text()


def test_stored_runs_on_one_page(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = written("runs", "--no-predictions")
    found = Page(text)
    assert found.headings == [
        "3 runs", "Results", "Curves", "Top-1 accuracy", "Loss", "Learning rate", "Images per second", "plain and residual",
    ]  # fmt: skip
    assert found.tables["Results, one row per run"] == [
        ["#", "run", "network", "data", "params", "state", "steps", "of", "best", "last", "test", "time"],
        ["1", "runs/plain-digits-001", "plain", "digits", "10,818", "interrupted", "33", "44", "60.00%", "60.00%", "", "0:08"],
        ["2", "runs/plain-digits-002", "plain", "digits", "10,818", "finished", "44", "44", "55.00%", "55.00%", "55.00%", "0:10"],
        ["3", "runs/residual-digits-001", "residual", "digits", "10,818", "finished", "44", "44", "90.00%", "90.00%", "90.00%", "0:10"],
    ]
    assert found.tables["What sets the runs apart, by their number"][1:] == [
        ["lr", "0.1", "1"], ["", "0.2", "2, 3"], ["seed", "0", "1, 3"], ["", "1", "2"],
        ["spec, line 6", "shortcut: none", "1, 2"], ["", "shortcut: A", "3"],
    ]  # fmt: skip
    assert found.tables["Top-1 accuracy by epoch"] == [
        ["epoch", "1 test", "1 train", "2 test", "2 train", "3 test", "3 train"],
        ["1", "10.00%", "10.00%", "10.00%", "10.00%", "40.00%", "25.00%"],
        ["2", "35.00%", "30.00%", "10.00%", "12.00%", "70.00%", "60.00%"],
        ["3", "60.00%", "50.00%", "30.00%", "25.00%", "86.00%", "80.00%"],
        ["4", "", "", "55.00%", "50.00%", "90.00%", "88.00%"],
    ]
    assert {row[1] for row in found.tables["Images per second by epoch"][1:]} == {"900.0", ""}
    assert found.tables["The recipe, every key"][0] == [
        "key",
        "1 runs/plain-digits-001",
        "2 runs/plain-digits-002",
        "3 runs/residual-digits-001",
    ]
    assert ["lr", "0.1", "0.2", "0.2"] in found.tables["The recipe, every key"]
    names = "plain-digits-001, plain-digits-002, residual-digits-001"
    assert found.charts[2:] == [f"Learning rate over epoch: {names}", f"Images per second over epoch: {names}"]
    err = capsys.readouterr().err
    assert "warning: runs/broken-digits-001 is left out: metrics.jsonl: line 1 is damaged: `step` is missing" in err
    assert "warning: runs/half-digits-001 is left out: is not a run folder: it has no recipe.yaml" in err
    assert "notes" not in err
    assert err.endswith("wrote report.html\n")
    assert not list(home.glob(".*"))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert text == written("runs", "--no-predictions", "--quiet")


def test_networks_stand_once_each(home: Path) -> None:
    assert Page(written("runs/plain-digits-001", "runs/plain-digits-002", "--no-predictions")).headings[-1] == "plain"
    one = Page(written("runs/residual-digits-001", "--no-predictions"))
    assert one.headings[:2] == ["residual-digits-001: residual", "Results"]
    assert one.charts[0] == "Top-1 accuracy over epoch: residual-digits-001 (test), residual-digits-001 (train)"
    more = stored("plain-digits-001", "residual-digits-001", "plain-digits-002")
    third = Shown(more[2].summary, more[2].spec, compile(load("resnet20-digits")), more[2].curves)
    text = page([*more[:2], third])
    assert Page(text).headings[-3:] == ["plain", "residual", "resnet20-digits"]
    assert re.findall(r'data-viewer="(\S+)"', text) == ["network-1", "network-2", "network-3"]


def test_folders_of_one_name_are_told_apart_by_their_paths(home: Path) -> None:
    shutil.copytree("runs/plain-digits-001", "other/plain-digits-001")
    found = Page(written("runs/plain-digits-001", "other/plain-digits-001", "--no-predictions"))
    assert found.charts[2] == "Learning rate over epoch: runs/plain-digits-001, other/plain-digits-001"


def test_what_is_not_known_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "runs/plain-digits-001/metrics.jsonl").unlink()
    text = written("runs/plain-digits-001")
    assert text.count("The log holds nothing of it.") == 4
    assert "No predictions: runs/plain-digits-001: the run has no weights yet; train it first" in text
    assert "warning: runs/plain-digits-001: no predictions: the run has no weights yet" in capsys.readouterr().err


def test_nothing_of_a_users_is_markup(home: Path) -> None:
    evil = "<img src=x onerror=alert(1)> {{script}} &"
    (home / "runs/plain-digits-001").rename(home / evil)
    found = Page(written(evil, "--no-predictions"))
    assert found.images == []
    assert found.headings[0] == f"{evil}: plain"
    assert found.tables["Results of the run"][1][1] == evil


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nowhere", "-o", "a.html"], 3, "no folder of runs"),
        (["runs/notes", "-o", "a.html"], 3, "no runs there"),
        (["runs/half-digits-001", "-o", "a.html"], 3, "no runs there"),
        (["runs", "-o", "a.svg"], 2, "a report is a page, not a.svg"),
        (["runs", "-o", "no/such/a.html", "--no-predictions"], 3, "cannot be written"),
        (["runs", "-o", "a.html", "--no-predictions", "--data-dir", "."], 2, "without predictions no data is read"),
        (["-o", "a.html"], 2, "missing argument"),
        (["runs"], 2, "missing option"),
    ],
)
def test_refused(args: list[str], code: int, message: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *args]) == code
    assert message in capsys.readouterr().err.lower()
    assert not Path("a.html").exists()


def test_a_finished_run_with_a_damaged_spec_is_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "runs/plain-digits-002/spec.yaml").write_text("stages: 3\n")
    assert "runs/plain-digits-002" not in written("runs", "--no-predictions")
    assert "warning: runs/plain-digits-002 is left out: " in capsys.readouterr().err
    assert main(["report", "runs/plain-digits-002", "-o", "none.html", "--no-predictions"]) == 3
    assert "no runs there" in capsys.readouterr().err


# --- with torch ----------------------------------------------------------------------------------------------


def test_samples_are_the_most_confident_mistakes(trained: Path) -> None:
    """Against the answers of the network on the whole test set at once, in plain torch."""
    found = predictions(trained)
    test = load_digits(SOURCES["digits"]).test
    outputs: list[torch.Tensor] = []
    run, data, images = run_images(trained, data=None, data_dir=None)
    plain = assess_images(run, data, images, "test", "cpu", None, watch=lambda o, _: outputs.append(o))
    shares, guesses = torch.cat(outputs).softmax(1).max(1)
    wrong = [i for i in shares.argsort(descending=True).tolist() if guesses[i] != test.labels[i]]
    chosen = list(found.samples)
    mistakes = [s for s in chosen if s.guess != s.true]
    assert chosen[: len(mistakes)] == mistakes
    assert len(mistakes) == min(MISTAKES, len(wrong)) > 2
    assert [s.index for s in mistakes] == wrong[: len(mistakes)]
    assert len(chosen) - len(mistakes) == RIGHT
    for s in chosen:
        i = s.index
        assert (s.guess, s.true) == (str(int(guesses[i])), str(int(test.labels[i])))
        assert s.probability == pytest.approx(float(shares[i]))
        assert s.pixels == bytes(test.pixels[i].flatten().tolist())
    assert found.scores == plain
    assert plain == assess(run, device="cpu")


def test_the_page_of_a_run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = written(str(trained))
    found, plain = Page(text), predictions(trained)
    by_class = f"balanced accuracy {plain.scores.balanced_accuracy:.2%}, macro F1 {plain.scores.macro_f1:.2%}"
    scores = f"top-1 {plain.scores.top1:.2%}, top-5 {plain.scores.top5:.2%}, {by_class}, loss {plain.scores.loss:.4f}"
    assert f"360 test images of digits: {scores}" in text
    (matrix,) = [rows for caption, rows in found.tables.items() if "confusion matrix" in caption]
    assert matrix[0] == ["true", *map(str, range(10))]
    assert tuple(tuple(0 if cell == "." else int(cell) for cell in row[1:]) for row in matrix[1:]) == plain.scores.confusion
    classes = found.tables["Predictions: classes"]
    assert [int(row[1]) for row in classes[1:]] == [sum(row) for row in plain.scores.confusion]
    assert len(found.images) == len(plain.samples)
    pixels = load_digits(SOURCES["digits"]).test.pixels
    for (png, alt), sample in zip(found.images, plain.samples, strict=True):
        assert alt == f"image {sample.index}"
        with Image.open(io.BytesIO(png)) as opened:
            assert opened.mode == "L"
            assert np.array_equal(np.asarray(opened), pixels[sample.index, 0].numpy())


def test_data_that_is_gone_leaves_the_rest(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "moved")
    record = Path("moved/run.json")
    record.write_text(record.read_text().replace('"digits"', '"cifar10"'))
    (tmp_path / "empty").mkdir()
    text = written("moved", "--data-dir", "empty")
    assert 'class="note">No predictions: ' in text
    assert Page(text).headings[-2:] == ["Predictions", "tiny"]
    assert Page(text).images == []


def test_guesses_choose() -> None:
    guesses = Guesses()
    right = torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    guesses(right, torch.tensor([0, 1]))
    guesses(torch.tensor([[1.0, 0.0], [9.0, 0.0], [float("nan")] * 2, [3.0, 0.0]]), torch.tensor([1, 1, 1, 1]))
    chosen = guesses.chosen().tolist()
    assert chosen[:3] == [3, 5, 2]
    assert chosen[-2:] == [0, 1]
    all_right = Guesses()
    all_right(torch.tensor([[1.0, 0.0]]).repeat(100, 1), torch.zeros(100, dtype=torch.int64))
    assert all_right.chosen().tolist() == [round(i * 99 / (RIGHT - 1)) for i in range(RIGHT)]


class Stream(InMemory):
    """Images that come in order, and cannot be picked: as shards do."""

    def take(self, index: torch.Tensor) -> InMemory:
        raise refuse("data-split", "shards are read as they come", "", at="shards")


def test_samples_of_what_cannot_be_picked(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picked = predictions(trained)

    def streamed(*args: Any, **options: Any) -> Any:
        run, data, images = run_images(*args, **options)
        return run, data, Stream(images.pixels, images.labels)  # type: ignore[attr-defined]

    monkeypatch.setattr(samples, "run_images", streamed)
    assert predictions(trained) == picked


def test_large_pictures_are_shrunk(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "SIDE", 4)
    pixels = load_digits(SOURCES["digits"]).test.pixels
    for s in predictions(trained).samples:
        assert (s.height, s.width, s.channels) == (4, 4, 1)
        means = pixels[s.index, 0].float().view(4, 2, 4, 2).mean((1, 3))
        assert list(s.pixels) == means.round().byte().flatten().tolist()


def test_many_classes_show_their_confusions() -> None:
    names = [f"class {i}" for i in range(30)]
    confusion = [[40 * (i == j) + 7 * (j == i + 1) for j in range(30)] for i in range(30)]
    scores = Assessment(
        "net", "mine", "test", None, 0.85, 1.0, 1403, "cpu", "fp32", by_class(confusion, names), tuple(map(tuple, confusion))
    )
    found = Sampled(scores, (Sample(3, "class 1", "class 2", 0.5, b"ab", 1, 1, 2),))
    text = section("predictions", "Predictions", found).body
    page = Page(text)
    assert len(page.tables["Predictions: the most frequent confusions"]) == 21
    assert page.tables["Predictions: the most frequent confusions"][1] == ["class 0", "class 1", "7", "14.89%"]
    assert len(page.tables["Predictions: classes"]) == 31
    assert "loss" not in text
    assert "<li><p><b>class 2</b> 50.00%<small>is class 1</small></p></li>" in text


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pixels_as_png(channels: int, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    with Image.open(io.BytesIO(picture(pixels.tobytes(), 7, 5, channels))) as opened:
        opened.load()
        assert (opened.size, opened.mode) == ((7, 5), mode)
        assert np.array_equal(np.asarray(opened).reshape(pixels.shape), pixels)
    with pytest.raises(ValueError, match="are not a picture of 5x7"):
        picture(pixels.tobytes()[1:], 7, 5, channels)


# --- in a browser --------------------------------------------------------------------------------------------


@pytest.mark.needs("chromium")
def test_tables_sort_and_pictures_are_seen(visit: Any, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = visit(written(str(STORED / "plain-digits-001"), str(STORED / "residual-digits-001"), str(trained)))
    results = shown.get_by_role("group", name="Results, one row per run")
    numbers = lambda: results.locator("tbody th").all_inner_texts()  # noqa: E731
    assert numbers() == ["1", "2", "3"]
    head = results.get_by_role("button", name="steps")
    head.focus()
    shown.keyboard.press("Enter")
    assert numbers() == ["3", "2", "1"]  # 69, 44, 33 steps
    results.get_by_role("button", name="network").click()
    assert numbers() == ["1", "2", "3"]
    images = shown.locator(".samples img")
    assert images.count() > RIGHT
    assert images.evaluate_all("all => all.every(i => i.complete && i.naturalWidth === 8)")
    assert shown.locator("svg[role=img]").count() == 4
    shades = shown.locator("table.matrix td").evaluate_all("all => new Set(all.map(c => getComputedStyle(c).backgroundColor)).size")
    assert shades > 3
    table = shown.get_by_role("group", name="Loss by epoch")
    assert not table.is_visible()
    shown.get_by_text("Loss as a table").click()
    assert table.is_visible()
    table.get_by_role("button", name="epoch").click()
    assert table.locator("tbody th").all_inner_texts() == ["4", "3", "2", "1"]
    assert shown.locator("[data-viewer]").count() == 3
    assert shown.locator("[data-viewer] [role=treeitem]").count() > 10


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 400), ("print", 1280)])
def test_it_is_accessible(visit: Any, theme: str, width: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from axe_playwright_python.sync_playwright import Axe

    monkeypatch.chdir(tmp_path)
    shown = visit(written(str(trained), str(STORED / "residual-digits-001"), "--theme", theme), width)
    shown.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = Axe().run(shown).response["violations"]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found] == []
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
