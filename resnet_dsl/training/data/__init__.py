"""Data sets: where they lie, how each format is read, and what a network needs to fit them."""
