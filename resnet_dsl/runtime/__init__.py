"""Emitted source as a torch module, its weights, and what they are exported to."""
