"""A trained network put to use: evaluated, asked for predictions, timed."""

from resnet_dsl.extras import require

require("torch", "this needs")
