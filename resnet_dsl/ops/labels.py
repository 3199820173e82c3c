"""What a picture or a table says of an operation: the cells of the op table's column `label`."""

from __future__ import annotations

from collections.abc import Callable

from resnet_dsl.ops import torch_text
from resnet_dsl.ops.site import Site, Value


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"


def _slash(site: Site) -> str:
    stride = site.pair("stride")
    return "" if stride == (1, 1) else f", /{stride[0]}" if stride[0] == stride[1] else f", /{_by(stride)}"


def _side(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else _by(sides)


def _padding(site: Site) -> str:
    """Padding that does not keep the map's size where nothing else changes it; an even kernel, and windows side by side, need none."""
    kernel, padding = site.pair("kernel"), site.pair("padding")
    dilation = site.pair("dilation") if "dilation" in site else (1, 1)
    kept = tuple(d * (k - 1) // 2 if k % 2 else 0 for k, d in zip(kernel, dilation, strict=True))
    beside = kernel == site.pair("stride") and padding == (0, 0)
    return "" if padding == kept or beside else f", pad {_side(padding)}"


def conv(site: Site) -> str:
    groups = f", g{site['groups']}" if site["groups"] != 1 else ""
    dilation = f", d{_side(site.pair('dilation'))}" if site.pair("dilation") != (1, 1) else ""
    bias = ", bias" if site["bias"] else ""
    return f"{_by(site.pair('kernel'))} conv, {site.out[0]}{groups}{_slash(site)}{dilation}{_padding(site)}{bias}"


def linear(site: Site) -> str:
    return f"fc {site.out[0]}{'' if site['bias'] else ', no bias'}"


def pool(what: str) -> Callable[[Site], str]:
    return lambda site: f"{_by(site.pair('kernel'))} {what}{_slash(site)}{_padding(site)}{', ceil' if site['ceil'] else ''}"


def but(text: str, **defaults: tuple[str, Value]) -> Callable[[Site], str]:
    """A label that tells only what is not as usual: each attribute with its words, `{}` for the value, and its default."""

    def label(site: Site) -> str:
        return text + "".join(
            f", {words.format(_value(site[name]))}" for name, (words, usual) in defaults.items() if name in site and site[name] != usual
        )

    return label


def _value(value: Value) -> object:
    # A rate that comes out of a schedule has more digits than a picture has room for.
    return f"{value:.3g}" if isinstance(value, float) else torch_text.side(value) if isinstance(value, tuple) else value  # type: ignore[arg-type]


def fixed(text: str) -> Callable[[Site], str]:
    return lambda site: text


def fields(template: str) -> Callable[[Site], str]:
    """A label made of attributes: the template's words in braces are attribute names."""
    return lambda site: template.format_map({k: _value(v) for k, v in site.attrs.items()})


def scale(site: Site) -> str:
    start = f", from {_value(site['init'])}" if site["init"] != 1 else ""
    return f"scale per {site['per']}{start}" if site.get("learn", True) else f"times {_value(site['init'])} per {site['per']}"


def bias(site: Site) -> str:
    start = f", from {_value(site['init'])}" if site["init"] != 0 else ""
    return f"bias per {site['per']}{start}"
