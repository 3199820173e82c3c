"""Writes docs/gallery.md to standard output and its pictures into docs/gallery/: `python docs/gallery.py > docs/gallery.md`.

Screenshots of pages need Chromium and the package playwright; without them those on disk are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.cli.app import main

HERE = Path(__file__).parent / "gallery"
DATA = Path(__file__).parent.parent / "tests" / "data"


@dataclass(frozen=True)
class Shot:
    """A screenshot of a page: the size of the window, and what is clicked before."""

    width: int
    height: int
    clicks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A picture or page: the command that makes it, and what it shows."""

    name: str
    about: str
    command: str
    shot: Shot | None = None


SECTIONS: dict[str, tuple[Entry, ...]] = {
    "A network in one line: overview": (
        Entry("overview.svg", "One card per stage, with the shapes on the arrows and each stage's share of the whole.", "draw resnet50 --style overview"),
    ),
    "The default: folded": (
        Entry("folded.svg", "A stage is a frame. Its first block stands apart; the equal blocks after it are drawn once, with their number. Shortcuts that compute something are dotted.", "draw resnet18"),
        Entry("folded-1202.svg", "A very deep network: 1,202 layers.", "draw resnet1202 --direction LR"),
        Entry("folded-dense.svg", "A DenseNet: blocks only grow, so figures are ranges.", "draw densenet121.yaml"),
    ),
    "Figure 3 of the paper": (
        Entry("paper.svg", "One box per layer, shortcuts as arcs, networks side by side: VGG-19, the plain net and the residual one.", "draw vgg19 plain34 resnet34 --style paper"),
        Entry("paper-deep.svg", "In a network of more than 300 operations, blocks that are alike are drawn once; `--all` draws each.", "draw resnet152 --style paper"),
    ),
    "Every operation": (
        Entry("full.svg", "`--style full`, here for a small network with a squeeze-and-excite block.", "draw resnet20-digits --style full --set params.n=1 --set 'block={basic: {se: 4}}'"),
        Entry("block.svg", "`--by block` opens each distinct block.", "draw resnet50 --by block --theme print"),
    ),
    "Colours": (
        Entry("dark.svg", "`--theme dark`.", "draw resnet34 --style overview --theme dark"),
        Entry("print.svg", "`--theme print`, without colour.", "draw resnet34 --style overview --theme print"),
    ),
    "What changed": (
        Entry("diff.svg", "`diff A B -o FILE`: where both networks are the same, they are drawn at the same height. Sign, outline and colour mark the same changes.", "diff resnet34 resnet50 --set-b stages.layer3.depth=8"),
        Entry("diff-stride.svg", "The stride as in the paper and as in torchvision.", "diff resnet50-v1 resnet50"),
    ),
    "The page": (
        Entry("page.html", "`-o FILE.html` is one file for a browser: it opens and closes blocks, zooms, searches, sorts, and shows the spec lines and the code of the part that you click.", "draw resnet50", Shot(1280, 800, ("layer1.0", "layer1.0.conv2"))),
        Entry("page-diff.html", "Two networks, with the differences highlighted.", "diff resnet34 resnet34 --set-b shortcut=C --set-b stages.layer3.depth=8", Shot(1920, 1080)),
        Entry("page-narrow.html", "On a phone, with the dark theme.", "draw resnet18 --theme dark", Shot(400, 800)),
    ),
    "Paths": (
        Entry("paths.svg", "`paths ... -o FILE`: how many of a network's paths have each length. The plain network has one; the others have short ones too.", "paths plain56 resnet56 resnet50 densenet121"),
    ),
    "Costs": (
        Entry("costs.svg", "`compare ... -o FILE`: parameters against multiply-accumulates, and both by stage.", "compare resnet18 resnet34 resnet50 resnet101 resnet152 vgg16"),
    ),
    "Runs": (
        Entry("curves.svg", "`runs A B -o FILE`: the curves of several runs.", "runs residual-digits-001 plain-digits-001"),
        Entry("report.html", "`report RUN... -o FILE.html`: results, curves, networks; where the data is available, also the confusion matrix and the mistakes.", "report residual-digits-001 plain-digits-001 --no-predictions", Shot(1280, 800)),
    ),
    "For documents": (
        Entry("resnet18.tex", "TikZ, for LaTeX; the extra `pdf` makes `.pdf`.", "draw resnet18 --style overview"),
        Entry("resnet18.mmd", "Mermaid, which GitHub renders itself.", "draw resnet18 --style overview"),
    ),
    "For other programs": (
        Entry("resnet18.json", "Every operation with its shape and costs, as a networkx graph in node-link JSON; `.graphml` and `.gexf` hold the same for yEd, Cytoscape and Gephi.", "draw resnet18"),
    ),
}  # fmt: skip


def write() -> None:
    """Make every picture, then the page that shows them."""
    HERE.mkdir(exist_ok=True)
    entries = [e for section in SECTIONS.values() for e in section]
    with tempfile.TemporaryDirectory() as folder:
        for entry in entries:
            made = Path(folder) / entry.name
            make(entry, made)
            if entry.shot is None:
                shutil.copy(made, HERE / entry.name)
            else:
                photograph(made, HERE / picture(entry), entry.shot)
    kept = {picture(e) for e in entries}
    for path in HERE.iterdir():
        if path.name not in kept:
            path.unlink()
    print("\n".join(page()))


def make(entry: Entry, path: Path) -> None:
    """Run the command of an entry; `diff` says by 1 that networks differ."""
    words = [str(DATA / "legal" / word) if word.endswith(".yaml") else word for word in shlex.split(entry.command)]
    # Runs are shown by the paths that they are given by.
    with contextlib.chdir(DATA / "runs"), contextlib.redirect_stdout(io.StringIO()):
        code = main([*words, "-o", str(path.resolve()), "--quiet"])
    if code != (words[0] == "diff"):
        raise SystemExit(f"{entry.command}: exit code {code}")


def picture(entry: Entry) -> str:
    """The name of the file that the gallery shows."""
    return str(Path(entry.name).with_suffix(".png")) if entry.shot else entry.name


def photograph(page: Path, target: Path, shot: Shot) -> None:
    """What a page looks like, as a small PNG."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print(f"{target.name} is kept as it is: no Chromium and playwright", file=sys.stderr)
        return
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": shot.width, "height": shot.height})
        view.goto(page.as_uri())
        for path in shot.clicks:
            view.locator(f'[data-path="{path}"] > rect').click()
        view.mouse.move(2, 2)
        view.screenshot(path=target)
        browser.close()
    from PIL import Image

    with Image.open(target) as image:
        image.convert("RGB").quantize(64).save(target, optimize=True)


def page() -> Iterator[str]:
    """The lines of gallery.md. Each text picture has its digest, so that a stale gallery is seen without a browser."""
    yield "# Gallery"
    yield ""
    yield "Written by `python docs/gallery.py > docs/gallery.md`."
    yield "Every picture is the output of the command under it."
    for title, entries in SECTIONS.items():
        yield f"\n## {title}"
        for entry in entries:
            shown = picture(entry)
            yield "\n" + re.sub(r"(?<!\.)\. (?=[A-Z])", ".\n", entry.about) + "\n"
            if shown.endswith((".svg", ".png")):
                yield f"![{entry.about.split(':')[0].replace('`', '')}](gallery/{shown})\n"
            elif shown.endswith(".mmd"):
                yield f"```mermaid\n{(HERE / shown).read_text().rstrip()}\n```\n"
            else:
                yield f"[{shown}](gallery/{shown})\n"
            yield f"`resnet-dsl {entry.command} -o {entry.name}`"
            if entry.shot is None:
                yield f"<!-- sha256 {digest(shown)} -->"


def digest(name: str) -> str:
    """The first half of a file's SHA-256."""
    return hashlib.sha256((HERE / name).read_bytes()).hexdigest()[:32]


if __name__ == "__main__":
    write()
