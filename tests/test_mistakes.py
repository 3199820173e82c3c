"""Command lines that people type, and the one line that they should have typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_dsl.cli.app import main

SAID = {
    # other words for an option
    "train ok.yaml --gpu": "write --device cuda",
    "train ok.yaml --no-cuda": "write --device cpu",
    "train ok.yaml --pretrained": "write --weights FILE",
    "train ok.yaml --checkpoint net.pth": "write --weights net.pth",
    "predict ok.yaml x.png --half": "write --precision bf16",
    "train ok.yaml --amp": "write --precision bf16",
    "train ok.yaml --batch-size 32": "write --batch 32",
    "train ok.yaml --batch_size=32": "write --batch 32",
    "train ok.yaml --learning-rate 0.1": "write --lr 0.1",
    "train ok.yaml --num-workers 2": "write --workers 2",
    "train ok.yaml --output here": "write --out here",
    "inspect resnet50 --json": "write --format json",
    "inspect resnet50 --verbose": "write --by block",
    "train resnet20 --num-classes 5": "write --set classes=5",
    # keys of the spec
    "check ok.yaml --shortcut C": "a key of the spec is set by --set: write --set shortcut=C",
    "train ok.yaml --optimizer adamw": "a key of the spec is set by --set: write --set train.optimizer=adamw",
    "inspect resnet18 classes=3": "write --set classes=3",
    # slips
    "inspect resnet50 -set classes=3": "write --set, with two dashes",
    "inspect resnet50 --formt json": "did you mean --format?",
    "draw ok.yaml out.svg": "write -o out.svg",
    "emit resnet18 out.py": "write -o out.py",
    "export resnet18 out.onnx": "write -o out.onnx",
    "compare ok.yaml --vary shortcut=A, B, C": "write --vary shortcut=A,B,C",
    # values
    "train ok.yaml --epochs three": "write --epochs 3",
    "train ok.yaml --epochs 1e1": "write --epochs 10",
    "train ok.yaml --epochs": "write --epochs N",
    "train ok.yaml --seed abc": "write --seed N",
    "train ok.yaml --lr 0,1": "write --lr 0.1",
    "train ok.yaml --lr=": "write --lr X",
    "bench resnet20 --batch 1,024": "write --batch 1024",
    "bench resnet20 --batch 32px": "write --batch 32",
    "inspect resnet50 --format yml": "write one of: table, json, csv, markdown, latex",
    "check resnet50 --format jsno": "did you mean json?",
    "list spec": "did you mean specs?",
    "export resnet18 -o x.onnx --opset 9": "write --opset 11",
    # commands
    "ok.yaml": "say what to do with it: resnet-dsl inspect ok.yaml",
    "resnet50": "say what to do with it: resnet-dsl inspect resnet50",
    "probe ok.yaml": "say which probe: resnet-dsl probe signals ok.yaml",
    "inspekt resnet50": "did you mean 'inspect'?",
    "summary resnet50": "did you mean 'inspect'?",
    "eval resnet50": "did you mean 'evaluate'?",
    "resume runs/x": "did you mean 'train --resume'?",
    "help": "did you mean '--help'?",
    "version": "did you mean '--version'?",
    "-v": "write --version",
    # what lacks
    "inspect": "for example: resnet-dsl inspect resnet50",
    "study": "for example: resnet-dsl study degradation --quick",
    "draw resnet18": "write -o FILE",
    # nothing is near in meaning: no guess
    "draw resnet18 -o x.svg --sparkle": "`resnet-dsl draw --help` shows the options",
    "train ok.yaml --dropout 0.1": "`resnet-dsl train --help` shows the options",
}


@pytest.mark.parametrize("line", SAID)
def test_the_line_to_type(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ok.yaml").write_text("extends: resnet20-digits\n", encoding="utf-8")
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("error[usage]") == 1
    assert said.endswith(f"\n  help: {SAID[line]}\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ok.yaml"]


FILES = {
    "check ok": "did you mean 'ok.yaml'?",
    "check ok.yml": "did you mean 'ok.yaml'?",
    "check okk.yaml": "did you mean 'ok.yaml'?",
    "inspect resnet50.yaml": "a shipped spec is named without a path and an ending: resnet50",
    "inspect specs/resnet50": "a shipped spec is named without a path and an ending: resnet50",
    "compare resnet18,resnet34": "write them apart: resnet18 resnet34",
    "inspect elsewhere/net.yaml": "check the path; `resnet-dsl list specs` shows the shipped specs",
    "check ok.yaml --set lr=0.1": "write --set train.lr=0.1",
    "check lr.yaml": "write train: {lr: 0.2}",
}


@pytest.mark.parametrize("line", FILES)
def test_the_file_that_was_meant(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ok.yaml").write_text("extends: resnet20-digits\n", encoding="utf-8")
    Path("lr.yaml").write_text("extends: resnet20-digits\nlr: 0.2\n", encoding="utf-8")
    assert main(line.split()) == 2
    assert capsys.readouterr().err.endswith(f"\n  help: {FILES[line]}\n")


@pytest.mark.needs("torch")
def test_news_speak_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a run says of its data, in words that can be typed: no mark of ours, nothing of Python's."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name, many in (("a", 40), ("b", 4)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(many):
            Image.new("L", (8, 8), i).save(tmp_path / "pictures" / name / f"{i}.png")
    words = "train resnet20-digits --set params.n=1 --set classes=2 --data pictures --steps 1 --batch 8 --out run"
    assert main(words.split()) == 0
    said = capsys.readouterr().err
    assert "--set train.class_weights=balanced trains for that" in said
    assert "overrides=" not in said and not any("\ufdd0" <= c <= "\ufdef" for c in said)
