"""Graph to torch: `emit` needs no torch, the rest does."""
