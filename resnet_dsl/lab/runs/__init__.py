"""The part of a study that computes: starts, preparation and the runs themselves."""

from resnet_dsl.extras import require_torch

require_torch()
