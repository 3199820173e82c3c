"""From a recipe to a trained network: data, the loop, the run folder."""

from resnet_dsl.extras import require_torch

require_torch()
