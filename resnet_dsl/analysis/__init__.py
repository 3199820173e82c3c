"""What a graph costs, how graphs differ, and what deserves a second look. Nothing here needs torch, and nothing draws."""
