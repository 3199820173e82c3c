"""Graph to text: the PyTorch source of a network, its initial values, the names of its tensors. Nothing here needs torch."""
