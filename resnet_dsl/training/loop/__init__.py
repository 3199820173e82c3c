"""Steps, evaluations, checkpoints: a run from its first step to its last."""
