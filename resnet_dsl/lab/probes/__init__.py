"""The probes, one module each: `measure(probed, ...) -> Finding`, a pure function of its arguments. `lab.table` lists them."""

from resnet_dsl.extras import require_torch

require_torch()
