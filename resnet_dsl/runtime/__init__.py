"""Emitted source as a torch module, its weights, and what they are exported to."""

from resnet_dsl.extras import require_torch

require_torch()
