"""The text of `--help`: usage, what a command does, its arguments, options and commands, and examples."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from resnet_dsl.cli.line import Parameter

WIDEST = 100
_NARROWEST = 50
_FIRST_COLUMN = 30

Rows = Sequence[tuple[str, str]]


def help_text(
    name: str, about: str, known: Sequence[Parameter], sections: Mapping[str, Rows], examples: Sequence[str], *, group: bool = False
) -> str:
    """The help of a command, or of a group with its commands by section, for the terminal's width."""
    width = max(min(shutil.get_terminal_size().columns, WIDEST) - 2, _NARROWEST)
    parts = [_usage(name, known, width, group)]
    if about:
        parts.append(_text(inspect.cleandoc(about), width))
    listed = {"Arguments": [_argument(p) for p in known if not p.options], "Options": [_option(p) for p in known if p.options], **sections}
    parts += [f"{heading}:\n{_columns(rows, width)}" for heading, rows in listed.items() if rows]
    if examples:
        word = "Example" if len(examples) == 1 else "Examples"
        parts.append("".join(f"  {line}\n" for line in (f"{word}:", *(f"  {e}" for e in examples))))
    return "\n".join(parts)


def _usage(name: str, known: Sequence[Parameter], width: int, group: bool) -> str:
    pieces = ["[OPTIONS]", *(_place(p) for p in known if not p.options), *(["COMMAND [ARGS]..."] if group else [])]
    start = f"Usage: {name} "
    if width >= len(start) + 20:
        return _filled(" ".join(pieces), width, start, " " * len(start)) + "\n"
    indent = " " * (len("Usage: ") + 4)
    return f"{start}\n{_filled(' '.join(pieces), width, indent, indent)}\n"


def _place(p: Parameter) -> str:
    name = p.declared.metavar or p.name
    return (f"{{{name}}}" if p.required else f"[{name}]") + ("..." if p.many else "")


def _argument(p: Parameter) -> tuple[str, str]:
    name = p.declared.metavar or f"{p.name}{'...' if p.many else ''}"
    return f"{name} <{_type(p)}>", _described(p)


def _option(p: Parameter) -> tuple[str, str]:
    sides = [", ".join(sorted(side, key=lambda name: len(name) - len(name.lstrip("-")))) for side in (p.options, p.negations) if side]
    if not p.is_switch:
        sides[0] += f" {p.declared.metavar or f'<{_type(p)}>'}"
    return " / ".join(sides), _described(p)


def _type(p: Parameter) -> str:
    one = "|".join(p.kind) if isinstance(p.kind, tuple) else p.kind.__name__
    if p.many:
        return f"list[{one}]"
    return one.lower() + (" range" if _range(p) else "")


def _described(p: Parameter) -> str:
    more = [text for text in (_default(p), _range(p), "required" if p.required else "") if text]
    return "  ".join(text for text in (inspect.cleandoc(p.declared.help), f"[{'; '.join(more)}]" if more else "") if text)


def _default(p: Parameter) -> str:
    if p.default is None or not p.declared.show_default:
        return ""
    if p.is_switch:
        side = (p.options if p.default else p.negations) if p.negations else ()
        shown = side[0].lstrip("-") if side else str(p.default) if p.default else ""
    else:
        shown = ", ".join(map(str, p.default)) if isinstance(p.default, list | tuple) else str(p.default)
    return f"default: {shown}" if shown else ""


def _range(p: Parameter) -> str:
    low, high = p.declared.min, p.declared.max
    if low is not None and high is not None:
        return f"{low}<=x<={high}"
    return f"x>={low}" if low is not None else f"x<={high}" if high is not None else ""


def _columns(rows: Rows, width: int) -> str:
    """Two columns. A first cell that is too long for its column has the line for itself."""
    first = min(max(len(name) for name, _ in rows), _FIRST_COLUMN) + 2
    lines = []
    for name, text in rows:
        wrapped = _text(text, max(width - first - 2, 10), indent="").splitlines() if text else []
        if len(name) > first - 2:
            lines.append(f"  {name}")
            lines += [f"  {'':{first}}{line}" for line in wrapped]
        else:
            lines += [f"  {name if i == 0 else '':{first}}{line}" for i, line in enumerate(wrapped)] or [f"  {name}"]
    return "".join(f"{line}\n" for line in lines)


def _text(text: str, width: int, indent: str = "  ") -> str:
    """Paragraphs, each filled anew."""
    return "\n\n".join(_filled(p, width, indent, indent) for p in _paragraphs(text)) + "\n"


def _paragraphs(text: str) -> Iterator[str]:
    for lines in re.split(r"\n{2,}", text.expandtabs()):
        if lines:
            yield " ".join(lines.splitlines())


def _filled(text: str, width: int, start: str, indent: str) -> str:
    return _Wrapper(width, initial_indent=start, subsequent_indent=indent, replace_whitespace=False).fill(text)


class _Wrapper(textwrap.TextWrapper):
    """A word that is longer than a line is cut where the line ends."""

    def _handle_long_word(self, reversed_chunks: list[str], cur_line: list[str], cur_len: int, width: int) -> None:
        space = max(width - cur_len, 1)
        cur_line.append(reversed_chunks[-1][:space])
        reversed_chunks[-1] = reversed_chunks[-1][space:]
