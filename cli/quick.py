"""Values that plainly fit their option skip typer's converters.

typer converts every value by a pydantic adapter, and importing pydantic takes longer than most commands. A word for a text, a
number in its range, a choice that is one: these are taken as they are. All else goes to typer, whose answer, most often a refusal, stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_NUMBER = re.compile(r"-?[0-9]{1,15}")
_UNSURE = object()


def quicken(command: Any) -> Any:
    """The command, with each of its parameters tried here before typer converts it."""
    own = command.get_params
    seen: list[Any] = []

    def params(ctx: Any) -> list[Any]:
        found: list[Any] = own(ctx)
        for param in found:
            # `--help` is made again by typer, not listed by the command.
            if not any(param is s for s in seen):
                seen.append(param)
                param.process_value = partial(_process, param, param.process_value)
        return found

    command.get_params = params
    return command


def _process(param: Any, slow: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    if value is None and ctx.resilient_parsing:
        # Completion in the shell: what is missing may be what is typed next.
        return None
    found = plain(param, value)
    if found is _UNSURE:
        return slow(ctx, value)
    return found if param.callback is None else param.callback(ctx, param, found)


def plain(param: Any, value: Any) -> Any:
    """What typer would make of a value that plainly fits; for any other a mark that is no value."""
    if value is None or (value in ((), []) and param.required):
        absent = () if param.multiple or param.nargs == -1 else None
        return _UNSURE if param.required else absent
    annotation = param.type_descriptor.annotation
    if get_origin(annotation) is list:
        if not isinstance(value, list | tuple):
            return _UNSURE
        items = [_one(get_args(annotation)[0], param.type_descriptor.parameter_info, item) for item in value]
        return _UNSURE if any(item is _UNSURE for item in items) else items
    return _one(annotation, param.type_descriptor.parameter_info, value)


def _one(annotation: Any, info: Any, value: Any) -> Any:
    if annotation is str and isinstance(value, str):
        return value
    if annotation is int and (type(value) is int or (isinstance(value, str) and _NUMBER.fullmatch(value))):
        number = int(value)
        return number if (info.min is None or number >= info.min) and (info.max is None or number <= info.max) else _UNSURE
    if annotation is float and type(value) is float and info.min is None and info.max is None:
        return value
    if get_origin(annotation) is Literal and isinstance(value, str) and value in get_args(annotation):
        return value
    if (
        annotation is Path
        and isinstance(value, str)
        and not (info.exists or info.resolve_path or info.path_type)
        and info.file_okay
        and info.dir_okay
    ):
        # typer refuses a file that is there and cannot be read.
        return Path(value) if "\0" not in value and (not os.path.exists(value) or os.access(value, os.R_OK)) else _UNSURE
    return _UNSURE


def unsure(found: object) -> bool:
    """Is a value that `plain` gave the mark of those that typer has to convert?"""
    return found is _UNSURE
