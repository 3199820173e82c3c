"""What lies in a folder of pictures and is not read: how many files, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet_dsl.diagnostics import inline
from resnet_dsl.records.document import StoredDocument, Text, Texts, Whole

_EXAMPLES = 3
_REASONS = 20
"""Reasons that are told apart; endings can be as many as files."""


class LeftOut(StoredDocument):
    """Files that are not read for one reason, which continues "3 files ...", such as "hidden": how many, and the first few."""

    reason: Text
    files: Whole
    examples: Texts = ()


@dataclass
class Tally:
    """Counts files that are not read, by their reasons."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, file: Path | str, files: int = 1) -> None:
        """One more file, or a folder of several."""
        if reason not in self.counts and len(self.counts) >= _REASONS:
            reason = "for other reasons"
        self.counts[reason] = self.counts.get(reason, 0) + files
        if len(shown := self.examples.setdefault(reason, [])) < _EXAMPLES:
            # A name of undecodable bytes can be stored as no text.
            shown.append(os.fsencode(file).decode("utf-8", "backslashreplace"))

    def found(self) -> tuple[LeftOut, ...]:
        """All of it, the most files first."""
        order = sorted(self.counts, key=lambda reason: (-self.counts[reason], reason))
        return tuple(LeftOut(reason=r, files=self.counts[r], examples=tuple(self.examples[r])) for r in order)


def left_out_line(found: Sequence[LeftOut], where: str) -> str | None:
    """One line for a person, None where all was read."""
    if not found:
        return None
    total = sum(x.files for x in found)
    parts = [f"{x.files:,} {x.reason} ({inline(x.examples[0])}{', ...' if x.files > 1 else ''})" for x in found[:4]]
    more = f", {sum(x.files for x in found[4:]):,} more" if len(found) > 4 else ""
    return f"note: {total:,} file{'' if total == 1 else 's'} in {where} {'is' if total == 1 else 'are'} not read: {', '.join(parts)}{more}"
