"""Studies: networks compared by many runs, with a rule that was fixed before them."""
