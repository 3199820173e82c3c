"""`resnet-dsl schema`."""

from __future__ import annotations

import json

from resnet_dsl.cli.options import OutOption
from resnet_dsl.cli.output import write
from resnet_dsl.language.schema import json_schema


def command(out: OutOption = "-") -> None:
    """Print the JSON Schema of specs, which editors use to complete keys and to mark mistakes.

    A spec names it in its first line, as `new` writes it: # yaml-language-server: $schema=resnet-dsl.schema.json
    """
    write(out, json.dumps(json_schema(), indent=2) + "\n")
