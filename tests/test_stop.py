"""The second signal: in a process where a person works it is an exception."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys

import pytest

from resnet_dsl.training.loop.stop import StopWish


def test_a_second_interrupt_does_not_end_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    before = signal.getsignal(signal.SIGINT)
    with StopWish() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_interrupt_ends_a_script() -> None:
    program = (
        "import os, signal; from resnet_dsl.training.loop.stop import StopWish\nwith StopWish():\n"
        + "    os.kill(os.getpid(), signal.SIGINT)\n" * 2
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
