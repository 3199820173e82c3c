"""What `export` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resnet_dsl.table import Answer, Column, Layout, Table


@dataclass(frozen=True, repr=False)
class Exported(Answer):
    """A network in a file for other programs. `checked` says how the file was compared with torch, `folded` counts folded batch norms.

    `notes` are what a user should know of it, as the command prints them.
    """

    name: str
    file: str
    checked: str
    folded: int = 0
    notes: tuple[str, ...] = ()

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One table of names and values."""
        columns = (Column("name", "network"), Column("file", "file"), Column("checked", "checked", wrap=True), Column("folded", "folded"))
        return [Table(columns, [[self.name, self.file, self.checked, self.folded]], upright=True, notes=self.notes)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "file": self.file, "checked": self.checked, "folded": self.folded, "notes": list(self.notes)}

    def summary(self) -> str:
        """The file, and how it was checked."""
        return f"{self.file[-120:]}: {self.checked:.150}"

    def __str__(self) -> str:
        return f"wrote {self.file}: {self.checked}"
