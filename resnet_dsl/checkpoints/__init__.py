"""Files of weights as people have them: what a file is, and the names, types, shapes and places of its tensors. No torch, and nothing is run."""
