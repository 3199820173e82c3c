"""THE op table: one row per operation, and nothing about an operation anywhere else.

A complete row is a complete operation: its name and arguments in the language, its shape rule, what it costs, how it is written in
PyTorch and what a picture says. With the row it can be written in a spec, checked, counted, drawn, compared and emitted.
"""

from __future__ import annotations

from resnet_dsl.ops.kinds import KINDS
from resnet_dsl.ops.op import Op
from resnet_dsl.ops.steps import STEPS

OPS: dict[str, Op] = {**STEPS, **KINDS}
