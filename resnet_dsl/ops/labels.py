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


def conv(site: Site) -> str:
    groups = f", g{site['groups']}" if site["groups"] != 1 else ""
    return f"{_by(site.pair('kernel'))} conv, {site.out[0]}{groups}{_slash(site)}"


def pool(what: str) -> Callable[[Site], str]:
    return lambda site: f"{_by(site.pair('kernel'))} {what}{_slash(site)}"


def fixed(text: str) -> Callable[[Site], str]:
    return lambda site: text


def fields(template: str) -> Callable[[Site], str]:
    """A label made of attributes: the template's words in braces are attribute names."""

    def text(value: Value) -> object:
        # A rate that comes out of a schedule has more digits than a picture has room for.
        return f"{value:.3g}" if isinstance(value, float) else torch_text.side(value) if isinstance(value, tuple) else value  # type: ignore[arg-type]

    return lambda site: template.format_map({k: text(v) for k, v in site.attrs.items()})
