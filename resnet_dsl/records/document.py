"""JSON documents that we write and read back. One model says what a document holds: it writes it, and validates what is read.

A document of a newer version may have keys that this one does not know: they are ignored.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from resnet_dsl.diagnostics import SpecError, quote, refuse
from resnet_dsl.files import open_regular

MAX_BYTES = 64 * 2**20
"""The largest JSON document that is read; the class names of the largest data sets take a thousandth of it."""

Whole = Annotated[int, Field(ge=0, le=10**15)]
"""A count: of steps, images, parameters."""
Number = Annotated[float, Field(ge=-1e100, le=1e100)]
"""A finite number that can be drawn and added up."""


def _text(value: object) -> str:
    # A path of undecodable bytes is a text with surrogates, which pydantic's own `str` refuses.
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "not a text")
    if "\0" in value:
        raise PydanticCustomError("nul", "holds a NUL character")
    return value


Text = Annotated[str, PlainValidator(_text)]
"""A text, or the path of a file."""
Texts = Annotated[tuple[Text, ...], Field(strict=False)]


class StoredDocument(BaseModel):
    """The base of every model: strict about types, numbers are finite, values do not change."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the JSON document holds them: what does not apply is left out."""
        plain: dict[str, Any] = _plain(self.model_dump(exclude_unset=True))
        return plain

    @classmethod
    def parse(cls, text: bytes, at: Path, *, line: int | None = None) -> Self:
        """The document in a text. Raises SpecError (exit 3) that names the file `at` and the first value that is wrong."""
        try:
            found = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError):
            raise damaged(at, "it is no JSON document", line=line) from None
        try:
            return cls.model_validate(found)
        except ValidationError as e:
            raise damaged(at, wrong(e.errors(include_url=False)[0]), line=line) from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The document in a file. Raises SpecError (exit 3)."""
        return cls.parse(read_bytes(path, MAX_BYTES), path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def read_bytes(path: Path, limit: int) -> bytes:
    """What a file of a run or a study holds: a regular one, of at most `limit` bytes. Raises SpecError (exit 3)."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise refuse("run-missing", f"cannot be read: {reason}", "the run folder is not complete", at=path, exit_code=3) from None
    if len(content) > limit:
        raise damaged(path, f"it is larger than {limit // 2**20:,} MiB")
    return content


def read_text(path: Path) -> str:
    """A small text file of a run or a study. Raises SpecError (exit 3)."""
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise damaged(path, "it is not text") from None


def damaged(at: Path, what: str, *, line: int | None = None) -> SpecError:
    """The error for a file that does not hold what we wrote."""
    place = "" if line is None else f"line {line:,} "
    return refuse("run-damaged", f"{place}is damaged: {what}", "the file was edited or damaged", at=at, exit_code=3)


SAID = "said"
"""The type of our own errors, whose message follows the value's name."""

_WANTED = {
    "int": "a whole number", "float": "a number", "finite": "a finite number", "bool": "true or false", "string": "a text",
    "list": "a list", "tuple": "a list", "nul": "without NUL characters", "model": "an object", "dict": "an object",
}  # fmt: skip
_BOUNDS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most"), "greater_than": ("gt", "above")}


def wrong(error: ErrorDetails) -> str:
    """One of pydantic's errors in plain words: `test.top1` must be a number, not a list."""
    kind, context = error["type"], error.get("ctx", {})
    name = ".".join(map(str, error["loc"]))
    subject = f"`{name}` " if name else "it "
    if kind == "missing":
        return f"{subject}is missing"
    if kind == SAID:
        return subject + error["msg"]
    if kind == "too_short":
        return f"{subject}has {context['actual_length']:,} entries, and needs {context['min_length']:,}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        wanted = f"{words} {context[key]:g}"
    elif kind == "literal_error":
        wanted = f"one of {context['expected']}"
    else:
        wanted = _WANTED.get(kind.split("_")[0], "a value of another kind")
    return f"{subject}must be {wanted}, not {_described(error['input'])}"


def _described(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return quote(value)
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case int() if abs(value) >= 10**18:
            return "a number of so many digits"
    return str(value)
