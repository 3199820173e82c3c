"""Runs one command line, or a program with `-c`, in a process where no extra can be imported: python tests/blocked.py ..."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from resnet_dsl.extras import EXTRAS

MISSING = frozenset(module for modules in EXTRAS.values() for module in modules)


class Blocker:
    """A finder that is asked first, and says of each of these packages what Python says where it is not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocker())
    if sys.argv[1] == "-c":
        exec(sys.argv[2])
    else:
        from resnet_dsl.cli.app import main

        sys.exit(main(sys.argv[1:]))
