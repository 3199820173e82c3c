"""Graph to something that a person reads: costs, tables, comparisons, pictures. Nothing here needs torch."""
