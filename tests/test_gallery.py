"""The gallery shows what the commands make now: its text and every picture that is text; screenshots are looked at by eye."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
STALE = "python docs/gallery.py > docs/gallery.md"


def load_gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


GALLERY = load_gallery()
ENTRIES = [entry for section in GALLERY.SECTIONS.values() for entry in section]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_pictures_are_what_their_commands_make(entry: Any, tmp_path: Path) -> None:
    made = tmp_path / entry.name
    GALLERY.make(entry, made)
    kept = GALLERY.HERE / GALLERY.picture(entry)
    if entry.shot is None:
        assert made.read_bytes() == kept.read_bytes(), STALE
    else:
        assert made.read_text().startswith("<!DOCTYPE html>")
        assert kept.read_bytes().startswith(b"\x89PNG")


def test_the_page_is_written_from_the_table() -> None:
    assert (DOCS / "gallery.md").read_text() == "\n".join(GALLERY.page()) + "\n", STALE
    assert {path.name for path in GALLERY.HERE.iterdir()} == {GALLERY.picture(e) for e in ENTRIES}
    assert sum(path.stat().st_size for path in GALLERY.HERE.iterdir()) < 2_000_000
