"""The section of what a run makes of its test images: scores, the confusion matrix, its classes, and samples with their pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from math import ceil, sqrt

from resnet_dsl.pictures.drawing.png import picture
from resnet_dsl.pictures.page.shell import Section, text
from resnet_dsl.pictures.page.tables import folded, held, table_html
from resnet_dsl.records.assessment import SHOWN, Matrix, Sample, Sampled, classes_table, confusion_table
from resnet_dsl.table import count, share

_SHADES = 5
_TINY = 64
"""Pictures with a shorter side than that are enlarged as they are, pixel by pixel."""


def predictions(key: str, title: str, found: Sampled | str) -> Section:
    """`found` is what a run makes of its test images; words say why there is nothing."""
    if isinstance(found, str):
        return Section(key, title, f'<p class="note">No predictions: {text(found)}</p>')
    of = found.scores
    # A loss that is not finite is None.
    loss = "" if of.loss is None else f", loss {of.loss:.4f}"
    scores = f"{of.images:,} {of.part} images of {of.data}: top-1 {share(of.top1)}, top-5 {share(of.top5)}, balanced accuracy {share(of.balanced_accuracy)}, macro F1 {share(of.macro_f1)}{loss}"
    wrong, right = ([s for s in found.samples if (s.guess == s.true) is hit] for hit in (False, True))
    body = [f'<p class="about">{text(scores)}</p>', _confusion(of.confusion, of.class_names, title)]
    body.append(folded("Classes as a table", table_html(classes_table(of.classes, "csv"), f"{title}: classes")))
    about = "Under each image the guess and its probability, then what it is." if wrong else "There are none."
    body.append(f'<h3>Mistakes, the most confident first</h3>\n<p class="about">{about}</p>')
    if wrong:
        body.append(_samples(wrong))
    if right:
        body += ["<h3>Some that it gets right</h3>", _samples(right)]
    return Section(key, title, "\n".join(body))


def _confusion(confusion: Matrix, names: Sequence[str], title: str) -> str:
    caption = f"{title}: confusion matrix. Rows are true classes, columns guesses; counts of images, shaded by their share of the row."
    if len(names) > SHOWN:
        return table_html(confusion_table(confusion, names, "table"), f"{title}: the most frequent confusions")
    head = "".join(f'<th scope="col" class="number">{text(n)}</th>' for n in names)
    rows = "\n".join(
        f'<tr><th scope="row">{text(name)}</th>{"".join(_count(n, sum(row), i == j) for j, n in enumerate(row))}</tr>'
        for i, (name, row) in enumerate(zip(names, confusion, strict=True))
    )
    table = f'<table class="matrix"><caption>{text(caption)}</caption>\n<thead><tr><th scope="col">true</th>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>'
    return held(table, f"{title}: confusion matrix")


def _count(n: int, whole: int, hit: bool) -> str:
    if not n:
        return '<td class="number">.</td>'
    # The root sets the few apart from none.
    shade = ceil(_SHADES * sqrt(n / whole))
    return f'<td class="number {"right" if hit else "wrong"} s{shade}">{count(n)}</td>'


def _samples(samples: Sequence[Sample]) -> str:
    return '<ul class="samples">\n' + "\n".join(map(_sample, samples)) + "\n</ul>"


def _sample(s: Sample) -> str:
    true = "" if s.guess == s.true else f"<small>is {text(s.true)}</small>"
    return f"<li>{_image(s)}<p><b>{text(s.guess)}</b> {share(s.probability)}{true}</p></li>"


def _image(s: Sample) -> str:
    """The picture as part of the page; empty for an image that is neither grey nor RGB."""
    if s.channels not in (1, 3):
        return ""
    data = b64encode(picture(s.pixels, s.width, s.height, s.channels)).decode()
    tiny = ' class="tiny"' if min(s.width, s.height) < _TINY else ""
    return f'<img{tiny} src="data:image/png;base64,{data}" width="{s.width}" height="{s.height}" alt="image {s.index:,}">'
