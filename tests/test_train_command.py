"""What `train` refuses before it makes a folder, and its manners: signals and a log that nobody reads."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from resnet_dsl.cli.app import main
from resnet_dsl.datasets import search
from resnet_dsl.training.loop.progress import Lines, Snapshot
from resnet_dsl.training.loop.stop import StopWish

REFUSED = [
    (["resnet20-digits", "--data", "fashion-mnist", "--data-dir", "fm"], 3, "not found on this machine"),
    (["resnet20", "--data", "digits"], 2, "--set input='{channels: 1, height: 8, width: 8}'"),
    (["resnet20-digits", "--data", "digit"], 2, "did you mean 'digits'"),
    (["resnet20-digits", "--recipe", "quik"], 2, "did you mean 'quick'"),
    (["resnet20-digits", "--epochs", "0"], 2, "must be at least 1"),
    (["resnet20-digits", "--epochs", "1", "--steps", "2"], 2, "exclude each other"),
    (["resnet20-digits", "--batch", "2000"], 2, "--batch 1437"),
    (["resnet20-digits", "--recipe", "he2015-cifar"], 2, "5,000 images for validation leave none"),
    (["resnet20-digits", "--device", "tpu"], 2, "tpu is not a device"),
    (["resnet20-digits", "--device", "cuda:99"], 3, "cuda"),
    (["resnet20-digits", "--out", "file"], 3, "cannot make the run's folder"),
    (["resnet50"], 2, "name one: digits"),
    ([], 2, "which network?"),
    (["--resume"], 2, "which network?"),
    (["--resume", "nowhere"], 3, "no such run folder"),
    (["--resume", "empty"], 3, "it has no spec.yaml"),
    (["--resume", "empty", "--epochs", "3"], 3, "it has no spec.yaml"),
    (["--resume", "empty", "--epochs", "3", "--steps", "4"], 2, "exclude each other"),
    (["--resume", "empty", "--lr", "0.3"], 2, "settings that it began with"),
    (["--resume", "empty", "--limit-batches", "3"], 2, "settings that it began with"),
    (["--resume", "empty", "--dry-run"], 2, "exclude each other"),
    (["resnet20-digits", "--find-lr", "--dry-run"], 2, "exclude each other"),
    (["resnet20-digits", "--max-time", "soon"], 2, "write 90s, 10m or 1h30m"),
    (["resnet20-digits", "--max-time", "0s"], 2, "write 90s, 10m or 1h30m"),
    (["resnet20-digits", "--dry-run", "--out", "empty/.."], 2, "never overwritten"),
    (["plain20-digits", "--set", "train.drop_path=0.1"], 2, "layer1 has no shortcut"),
    (["resnet20-digits", "--set", "block=single", "--set", "train.drop_path=0.1"], 2, "'single' has no argument drop_path"),
    (["resnet20-digits", "--set", "block.basic.drop_path=0.2", "--set", "train.drop_path=0.1"], 2, "has its own already"),
    (["tiny.yaml", "--resume"], 2, "which run?"),
]


@pytest.mark.parametrize(("args", "code", "message"), REFUSED, ids=[" ".join(r[0]) or "nothing" for r in REFUSED])
def test_refused(
    args: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "_SYSTEM", tmp_path / "system")
    Path("empty").mkdir()
    Path("file").touch()
    assert main(["train", *args]) == code
    captured = capsys.readouterr()
    assert message in captured.err.replace("\n", " ")
    assert captured.out == ""
    assert sorted(os.listdir()) == ["empty", "file"]


def test_signals_are_a_wish_once_and_left_alone_where_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    own = signal.getsignal(signal.SIGTERM)
    try:
        with StopWish() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
            # The second one ends the process at once.
            assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == own
    finally:
        signal.signal(signal.SIGHUP, before)


def test_training_goes_on_when_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    lines = Lines(stream)
    lines.say("x")
    lines.show(Snapshot(1, 1, 1, 1, 0.1, 1.0, 0.5, 10, 0, None, "test"))
    with pytest.raises(BrokenPipeError):
        stream.close()
