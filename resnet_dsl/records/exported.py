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


@dataclass(frozen=True, repr=False)
class Verified(Answer):
    """An exported file that computes what a network computes. `by` is what ran it, `difference` the largest difference of outputs.

    It is relative to the largest output of the network in float32; 0 means equal to the bit. `sizes` are the pictures that were compared.
    """

    name: str
    file: str
    by: str
    difference: float
    sizes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One table of names and values."""
        columns = tuple(Column(key, key.replace("_", " ")) for key in ("network", "file", "run_by", "inputs", "difference"))
        row = [self.name, self.file, self.by, ", ".join(self.sizes), f"{self.difference:.1e}" if self.difference else "0"]
        return [Table(columns, [row], upright=True, notes=self.notes)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name, "file": self.file, "by": self.by, "difference": self.difference, "sizes": list(self.sizes),
            "notes": list(self.notes),
        }  # fmt: skip

    def summary(self) -> str:
        """The file, and how far its outputs are from the network's."""
        return f"{self.file[-120:]} {self._said}"

    @property
    def _said(self) -> str:
        off = f"to {self.difference:.0e} of the largest" if self.difference else "to the last bit"
        return f"computes what {self.name} computes, {off} ({self.by}, {', '.join(self.sizes)})"

    def __str__(self) -> str:
        return f"{self.file} {self._said}"
