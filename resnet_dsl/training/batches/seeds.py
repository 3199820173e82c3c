"""Every random number of a run is a function of the seed and of what it is for, never of what was drawn before."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *parts: str | int) -> int:
    """A seed for one purpose: 63 bits of SHA-256 over the run's seed and the purpose, equal on every platform."""
    digest = hashlib.sha256("/".join(map(str, (seed, *parts))).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, *parts: str | int) -> torch.Generator:
    """A CPU generator for one purpose; what it draws is moved to the device, so devices agree."""
    return torch.Generator().manual_seed(derive(seed, *parts))
