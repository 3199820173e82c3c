"""Data sets by name, and where they lie. No data is read here, and nothing needs torch."""
