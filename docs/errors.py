"""Prints errors.md, the table of `resnet-dsl explain` as a page: python docs/errors.py > docs/errors.md"""

import re

from resnet_dsl.analysis.lint import RULES
from resnet_dsl.explanations import CODES


def page() -> str:
    """The page's text."""
    parts = ["# Errors\n\n`resnet-dsl explain CODE` prints one of these.\nThis page is written by `docs/errors.py`.\n"]
    for code, e in {**CODES, **RULES}.items():
        if code == next(iter(RULES)):
            parts.append("# Rules of lint\n\nWhat `resnet-dsl lint` finds is legal.\nA comment `# lint: allow CODE` silences a rule.\n")
        parts.append(f"## {code}\n{e.title[0].upper()}{e.title[1:]}.\n\n{_lines(e.why)}\n")
        if e.wrong:
            parts.append(f"Wrong:\n```text\n{e.wrong.strip()}\n```\n\nRight:\n```text\n{e.right.strip()}\n```\n")
    return "\n".join(parts)


def _lines(text: str) -> str:
    """One line per sentence, so that a change shows as the sentence that changed."""
    return re.sub(r"(?<!\.)\. (?=[A-Z`])", ".\n", " ".join(text.split()))


if __name__ == "__main__":
    print(page(), end="")
