"""Runs the Python of one page, as a program: `python` blocks are executed, `pycon` blocks are doctests, in one namespace, in order."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.M | re.S)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run(page: Path) -> int:
    """The number of examples whose output is not the one shown; a `python` block that fails raises."""
    text = page.read_text(encoding="utf-8")
    globs: dict[str, object] = {"__name__": "__page__"}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found[1] == "python":
            exec(compile("\n" * line + found[2], str(page), "exec"), globs)
        else:
            test = doctest.DocTestParser().get_doctest(found[2], globs, page.name, str(page), line)
            runner.run(test, clear_globs=False)
            globs.update(test.globs)
    return runner.summarize().failed


if __name__ == "__main__":
    sys.exit(bool(run(Path(sys.argv[1]))))
