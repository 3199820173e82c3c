"""`resnet-dsl bench`: it runs, and refuses what cannot be planned."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from resnet_dsl.cli.app import main

pytestmark = pytest.mark.usefixtures("one_thread")


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    from resnet_dsl.using.bench import compare

    small = ["bench", "resnet20-digits", "--set", "params.n=1", "--batch", "8", "--seconds", "0", "--device", "cpu"]
    assert main([*small, "--format", "json", "--plan", "precision=bf16,compile=no"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["batch"], found["plan"]["precision"], found["plan"]["compile"]) == ("resnet20-digits", 8, "bf16", "no")
    for what in ("training", "inference"):
        assert found[what]["pairs"] == 3
        assert found[what]["low"] <= found[what]["ratio"] <= found[what]["high"]
        assert found[what]["images_per_s"] > 0
    assert main(small) == 0
    assert "plan: cpu, 1 thread, " in capsys.readouterr().out
    assert main([*small, "--fold-bn"]) == 0
    assert capsys.readouterr().out.endswith("\nInference under the plan is with batch norms folded.\n")
    # Work that takes 1 and 3 seconds by a clock of its own.
    now = 0.0

    def work(seconds: float) -> Callable[[], None]:
        def step() -> None:
            nonlocal now
            now += seconds

        return step

    timing = compare([work(1), work(3)], 6, 20, torch.device("cpu"), lambda: now)
    assert (timing.images_per_s, timing.plain_images_per_s, timing.ratio, timing.low, timing.high) == (6, 2, 3, 3, 3)
    assert timing.pairs == 5


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--plan", "precision=bf17"], 2, "precision cannot be 'bf17'"),
        (["--plan", "precision=bf16", "--precision", "fp32"], 2, "says otherwise"),
        (["--device", "cuda:99"], 3, "no cuda"),
        (["--device", "gpu"], 2, "gpu is not a device"),
    ],
)
def test_bench_refuses(options: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if options[-1] == "cuda:99" and torch.cuda.is_available():
        message = "there is no cuda:99"
    assert main(["bench", "resnet20-digits", *options]) == code
    assert message in capsys.readouterr().err
