"""A trained network put to use: evaluated, asked for predictions, timed."""
