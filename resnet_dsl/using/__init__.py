"""A trained network put to use: evaluation, prediction, export, transfer and timing."""

from resnet_dsl.extras import require_torch

require_torch()
