"""`resnet-dsl schema`."""

from __future__ import annotations

from resnet_dsl.cli.options import OutOption
from resnet_dsl.cli.output import write
from resnet_dsl.verbs.language import schema


def command(out: OutOption = "-") -> None:
    """Print the JSON Schema of specs, which editors use to complete keys and to mark mistakes.

    A spec's first line names its file; `new` writes both.
    """
    write(out, schema(), ".json")
