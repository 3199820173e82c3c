"""A fault on purpose, for tests of what is promised: `RESNET_DSL_FAULT=kill@step=37,phase=after_rename` kills this process there.

Off unless the environment says otherwise. This is the only place that reads it.
"""

from __future__ import annotations

import os
import re
import signal

from resnet_dsl.diagnostics import refuse

VARIABLE = "RESNET_DSL_FAULT"
PHASES = ("step", "before_save", "mid_write", "after_tmp_write", "after_rename", "after_prune")
"""`step`: before a step, the default. The others belong to the checkpoint of a step, in this order."""

_FORM = re.compile(rf"kill@step=(\d+)(?:,phase=({'|'.join(PHASES)}))?\Z")


def reach(phase: str, step: int) -> None:
    """Die without a word (SIGKILL), if that is wanted at this phase of this step. Raises SpecError (exit 2) for what is no fault."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    found = _FORM.match(wanted)
    if found is None:
        raise refuse(
            "usage",
            f"{VARIABLE} is {wanted!r}, which is not a fault",
            f"unset it: it is for tests; its phases are {', '.join(PHASES)}",
            at=VARIABLE,
        )
    if (int(found[1]), found[2] or "step") == (step, phase):
        os.kill(os.getpid(), signal.SIGKILL)
