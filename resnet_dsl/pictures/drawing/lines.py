"""Lines over a number, as an SVG: axes with round ticks, a legend, and each line numbered where it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.text import text_width

# Paul Tol's `bright` scheme, dark enough for thin lines on white; colours come round again, the numbers do not.
HUES = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#888888")
FAMILIES = "Helvetica,Arial,'Liberation Sans',Arimo,sans-serif"
_SIZE = 11.0
_WIDTH, _HEIGHT = 720.0, 400.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 28.0, 16.0, 44.0
_ROW = 17.0
_DASHES = "5 3"
_TICKS = 6
_DECADES = 8


@dataclass(frozen=True, slots=True)
class Inks:
    """Colours of what is no line: the ground, words, axes and what is written at them, the grid."""

    ground: str
    ink: str
    soft: str
    grid: str


LIGHT = Inks("#ffffff", "#111111", "#555555", "#dddddd")
DARK = Inks("#16181d", "#f2f4f8", "#b4bac4", "#363b45")


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, its points (x, y), all finite, x rising; the number of its colour, which lines of one thing share."""

    name: str
    points: Sequence[tuple[float, float]]
    number: int
    dashed: bool = False


def chart(
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    y_text: Callable[[float], str] = lambda v: f"{v:g}",
    log: bool = False,
    inks: Inks = LIGHT,
) -> str:
    """The picture as text; the same lines give the same bytes. `log`: equal factors of y, all positive, are equally far apart.

    Raises ValueError where there is no point at all.
    """
    points = [p for s in series for p in s.points]
    if not points:
        raise ValueError("a chart needs a point")
    xs, ys = ticks([p[0] for p in points]), (_powers if log else ticks)([p[1] for p in points])
    level = math.log10 if log else float
    rows = -(-len(series) // _per_row(series))
    height = _HEIGHT + rows * _ROW + 8

    def place(p: tuple[float, float]) -> tuple[float, float]:
        across, up = (p[0] - xs[0]) / (xs[-1] - xs[0]), (level(p[1]) - level(ys[0])) / (level(ys[-1]) - level(ys[0]))
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    body = [
        *_axes([(place((v, ys[0])), f"{v:g}") for v in xs], [(place((xs[0], v)), y_text(v)) for v in ys], x, y, inks),
        *(_line(s, [place(p) for p in s.points]) for s in series if s.points),
        *_ends([(s, place(s.points[-1])) for s in series if s.points]),
        *_legend(series, inks),
    ]
    title = escape(clean(f"{y} over {x}: {', '.join(s.name for s in series)}"), quote=False)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{coordinate(_WIDTH)}" height="{coordinate(height)}" viewBox="0 0 {coordinate(_WIDTH)} {coordinate(height)}" '
        f'font-family="{FAMILIES}" font-size="{coordinate(_SIZE)}" role="img">\n<title>{title}</title>\n'
        f'<rect width="{coordinate(_WIDTH)}" height="{coordinate(height)}" fill="{inks.ground}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def notice(text: str, inks: Inks = LIGHT) -> str:
    """A picture of one sentence, where there is nothing to draw."""
    width, height = coordinate(_WIDTH), coordinate(_TOP + 40)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FAMILIES}" font-size="{coordinate(_SIZE)}" role="img">\n<title>{escape(clean(text), quote=False)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="{inks.ground}"/>\n{text_at(16, _TOP + 16, text, "start", inks.ink)}\n</svg>\n'
    )


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers, equally far apart, that span the values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    rough = (high - low) / (_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _powers(values: Sequence[float]) -> list[float]:
    """Powers of ten that span the values, or where these are close together 1, 2 and 5 times a power."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    if high - low > 2:
        step = -(-(high - low) // _DECADES)
        return [float(f"1e{i}") for i in range(low, high + step, step)]
    marks = [float(f"{m}e{i}") for i in range(low, high + 1) for m in (1, 2, 5)]
    first = max(i for i, v in enumerate(marks) if v <= min(values))
    last = next(i for i, v in enumerate(marks) if v >= max(values) and i > first)
    return marks[first : last + 1]


def _axes(
    bottom: list[tuple[tuple[float, float], str]], left: list[tuple[tuple[float, float], str]], x: str, y: str, inks: Inks
) -> Iterator[str]:
    for (_, down), text in left:
        yield f'<path d="M{coordinate(_LEFT)} {coordinate(down)}H{coordinate(_WIDTH - _RIGHT)}" stroke="{inks.grid}"/>'
        yield text_at(_LEFT - 6, down + 4, text, "end", inks.soft)
    for (across, down), text in bottom:
        yield f'<path d="M{coordinate(across)} {coordinate(down)}v4" stroke="{inks.soft}"/>'
        yield text_at(across, down + 17, text, "middle", inks.soft)
    yield f'<path d="M{coordinate(_LEFT)} {coordinate(_HEIGHT - _BOTTOM)}H{coordinate(_WIDTH - _RIGHT)}" stroke="{inks.soft}"/>'
    yield text_at((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x, "middle", inks.ink)
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    yield (
        f'<text x="14" y="{coordinate(middle)}" text-anchor="middle" fill="{inks.ink}" transform="rotate(-90 14 {coordinate(middle)})">{escape(clean(y))}</text>'
    )


def _line(s: Series, places: Sequence[tuple[float, float]]) -> str:
    hue, dashes = _hue(s), f' stroke-dasharray="{_DASHES}"' if s.dashed else ""
    if len(places) == 1:
        ((across, down),) = places
        return f'<circle cx="{coordinate(across)}" cy="{coordinate(down)}" r="2.5" fill="{hue}"/>'
    path = "M" + "L".join(f"{coordinate(across)} {coordinate(down)}" for across, down in places)
    return f'<path d="{path}" fill="none" stroke="{hue}" stroke-width="1.6" stroke-linejoin="round"{dashes}/>'


def _ends(ends: list[tuple[Series, tuple[float, float]]]) -> Iterator[str]:
    """The number of each line beside its last point, moved down where two would cover each other."""
    taken: dict[int, list[float]] = {}
    for s, (across, down) in sorted(ends, key=lambda e: (e[1][1], e[0].number)):
        if s.dashed:
            continue
        column = taken.setdefault(round(across / 12), [])
        if column and down - column[-1] < _SIZE - 1:
            down = column[-1] + _SIZE - 1
        column.append(down)
        yield text_at(across + 5, down + 4, str(s.number + 1), "start", _hue(s))


def _legend(series: Sequence[Series], inks: Inks) -> Iterator[str]:
    per_row = _per_row(series)
    for i, s in enumerate(series):
        across, down = 16 + (i % per_row) * (_WIDTH - 32) / per_row, _HEIGHT + (i // per_row) * _ROW + 8
        yield _line(s, [(across, down), (across + 24, down)])
        yield text_at(across + 30, down + 4, _entry(s), "start", inks.ink)


def _entry(s: Series) -> str:
    return f"{s.number + 1}  {s.name}"


def _per_row(series: Sequence[Series]) -> int:
    """Entries of the legend side by side: as many as the longest allows, in pairs where lines come in pairs."""
    widest = max(text_width(_entry(s), _SIZE) for s in series) + 48
    fits = max(1, int((_WIDTH - 32) // widest))
    paired = len(series) > 1 and len({s.number for s in series}) * 2 == len(series)
    return fits - fits % 2 if paired and fits > 1 else fits


def _hue(s: Series) -> str:
    return HUES[s.number % len(HUES)]


def text_at(x: float, y: float, text: str, anchor: str, ink: str) -> str:
    """A line of text; `anchor` is start, middle or end."""
    return f'<text x="{coordinate(x)}" y="{coordinate(y)}" text-anchor="{anchor}" fill="{ink}">{escape(clean(text), quote=False)}</text>'


def coordinate(value: float) -> str:
    """A length as SVG has it, to a tenth of a point."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
