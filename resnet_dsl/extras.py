"""The optional packages, by the extra that brings them, and the one message where one is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from resnet_dsl.diagnostics import Argument, Location, refuse

Extra = Literal["torch", "images", "wds", "tensorboard", "pdf", "graphviz", "ray", "onnx", "onnxruntime", "wandb"]

EXTRAS: Mapping[Extra, Mapping[str, str]] = {
    "torch": {"torch": "torch", "numpy": "numpy", "safetensors": "safetensors"},
    "images": {"PIL": "Pillow"},
    "wds": {"webdataset": "webdataset"},
    "tensorboard": {"tensorboard": "tensorboard"},
    "pdf": {"reportlab": "reportlab"},
    "graphviz": {"graphviz": "graphviz"},
    "ray": {"ray": "ray"},
    "wandb": {"wandb": "wandb"},
    "onnx": {"onnx": "onnx", "onnxscript": "onnxscript"},
    "onnxruntime": {"onnxruntime": "onnxruntime"},
}
"""What each extra of pyproject.toml brings: modules, and the packages that they are in."""


def is_installed(module: str) -> bool:
    """Can this top-level module be imported? It is looked for and not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(extra: Extra, need: str, *, at: Location | Argument | Path | str = "resnet-dsl", instead: str = "") -> None:
    """Refuse what cannot be done without an extra. `need` is the message up to the packages: "reading pictures needs".

    `instead` is what can be done without it. Raises SpecError (exit 3), whose help is the line to type.
    """
    missing = [package for module, package in EXTRAS[extra].items() if not is_installed(module)]
    if missing:
        *first, last = missing
        names = f"{', '.join(first)} and {last}" if first else last
        raise refuse(
            "extra-missing",
            f"{need} {names}, which {'is' if len(missing) == 1 else 'are'} not installed",
            f"pip install 'resnet-dsl[{extra}]'{f'; or {instead}' if instead else ''}",
            at=at,
            exit_code=3,
        )


def require_torch() -> None:
    """Refuse what cannot be done without torch: where it is not installed, and where it cannot be imported.

    Variables of the environment are read while torch is imported, and a wrong one ends that. Raises SpecError (exit 3).
    """
    require("torch", "this needs")
    try:
        importlib.import_module("torch")
    except Exception as e:  # noqa: BLE001 - whatever a library raises at import
        suspects = [name for name in os.environ if name.startswith(_TORCHS)]
        named = [name for name in suspects if os.environ[name] and os.environ[name] in str(e)] or suspects
        reason = " ".join(str(e).split())[:120]
        raise refuse(
            "environment",
            f"torch cannot be imported: {type(e).__name__}{f': {reason}' if reason else ''}",
            f"unset {' '.join(named)}" if named else "install torch again, and see whether `python -c 'import torch'` works",
            at=named[0] if len(named) == 1 else "torch",
            exit_code=3,
        ) from None


_TORCHS = ("TORCH", "PYTORCH", "CUDA", "NVIDIA", "KMP", "LD_", "TRITON", "ATEN", "HIP", "ROCM", "XLA")
"""How the variables begin that torch and what it loads read."""
