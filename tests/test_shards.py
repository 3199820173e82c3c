"""Pictures in shards: what is read of them, what their index must say, and what they cannot do."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from streams import feed, opened_shards, write_shard, write_shards

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.data.dataset import split


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.usefixtures("no_child_left")
def test_shards(workers: int, tmp_path: Path) -> None:
    data = opened_shards(write_shards(tmp_path), workers)
    assert (len(data.train), len(data.test), data.classes, data.shape, data.exact) == (10, 5, ("cat", "dog"), (3, 24, 24), False)
    ((pixels, labels),) = data.test.chunks(10)
    assert labels.tolist() == [0, 1, 1, 0, 1]
    assert pixels.shape == (5, 3, 24, 24)
    assert sum(len(labels) for _, labels in data.train.chunks(3)) == 10
    batches = feed(data, {"batch": 4, "augment": {"crop": 24, "shorter_side": [26, 30], "mixup": 0.2}, "accumulate": 2})
    assert batches.per_epoch == 2
    with closing(batches):
        seen = [batches(step, part) for step in range(4) for part in (0, 1)]
    assert all(b.images.shape == (2, 3, 24, 24) for b in seen)
    assert len({float(b.images.sum()) for b in seen}) == 8


@pytest.mark.needs("webdataset")
def test_a_pattern_of_shards(tmp_path: Path) -> None:
    write_shards(tmp_path)
    data = opened_shards(tmp_path / "part-{0..2}.tar")
    assert (len(data.train), len(data.test), data.classes) == (10, 5, ("0", "1"))


def index_of(**over: Any) -> str:
    entry = [{"url": "part-0.tar", "nsamples": 5}]
    return json.dumps({"classes": ["cat", "dog"], "train": entry, "val": entry, **over})


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "is no JSON"),
        ("[" * 10_000 + "]" * 10_000, "is no JSON"),
        ("null", "is damaged: it must be an object, not null"),
        ("[]", "is damaged: it must be an object, not a list"),
        (index_of(classes=["cat"]), "is damaged: `classes` has 1 entries, and needs 2"),
        (index_of(classes=["cat", "cat"]), "is damaged: it names a class twice"),
        (index_of(classes=["cat", 3]), "is damaged: `classes.1` must be a text, not 3"),
        (index_of(train=[]), "is damaged: `train` has 0 entries, and needs 1"),
        (index_of(train={}), "is damaged: `train` must be a list, not an object"),
        (index_of(val=None), "is damaged: it has neither `val` nor `test`"),
        (index_of(train=[{"url": "part-0.tar"}]), "is damaged: `train.0.nsamples` is missing"),
        (index_of(train=[{"url": "part-0.tar", "nsamples": 0}]), "is damaged: `train.0.nsamples` must be at least 1, not 0"),
        (index_of(train=[{"url": 1, "nsamples": 1}]), "is damaged: `train.0.url` must be a text, not 1"),
        (index_of(train=[{"url": "pipe:touch x", "nsamples": 5}]), "no such shard"),
        (index_of(train=[{"url": "gone.tar", "nsamples": 5}]), "no such shard"),
    ],
)
def test_a_wrong_index(index: str, message: str, tmp_path: Path) -> None:
    (write_shards(tmp_path) / "index.json").write_text(index)
    with pytest.raises(SpecError, match=message) as e:
        opened_shards(tmp_path)
    assert e.value.exit_code == 3


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("picture", r"part-1\.tar/0001\.jpg"),
        ("label", r"part-1\.tar/0001\.jpg: .*is not a label: b'cat'"),
        ("no label", r"part-1\.tar/0001\.jpg: .*has no \.cls"),
        ("tar", r"part-1\.tar: .*is not a complete tar archive"),
        ("range", "label 7 is out of range: labels are 0 to 1"),
        ("count", "holds 2 pictures, the index says 5"),
    ],
)
def test_damaged_shards(damage: str, message: str, tmp_path: Path) -> None:
    write_shards(tmp_path, damage)
    path = tmp_path / "part-1.tar"
    if damage == "tar":
        path.write_bytes(b"x" * 2000)
    elif damage in ("range", "count"):
        write_shard(path, [0, 7, 0, 0, 0] if damage == "range" else [0, 1])
    with pytest.raises(SpecError, match=message) as e:
        list(opened_shards(tmp_path, 1).train.chunks(3))
    assert e.value.exit_code == 3


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("images", [0, 2])
def test_an_index_that_promises_too_much_ends_training_too(images: int, tmp_path: Path) -> None:
    """Training goes over the shards without end: an empty one would never give a batch."""
    write_shards(tmp_path)
    for k in (0, 1):
        write_shard(tmp_path / f"part-{k}.tar", [0, 1][:images])

    def steps() -> None:
        with closing(feed(opened_shards(tmp_path), {"batch": 4, "augment": {"crop": 24}})) as batches:
            for step in range(9):
                batches(step, 0)

    with pytest.raises(SpecError, match=f"holds {images} pictures, the index says 5") as e:
        steps()
    assert e.value.exit_code == 3


@pytest.mark.needs("webdataset")
def test_what_shards_cannot_do(tmp_path: Path) -> None:
    data = opened_shards(write_shards(tmp_path))
    with pytest.raises(SpecError, match="no single pictures can be held out"):
        split(data.train, 2, None)
    with pytest.raises(SpecError, match=r"augment.flip': 'true'"):
        feed(data, {"batch": 2, "augment": {"crop": 24, "flip": "alternate"}})
    with pytest.raises(SpecError, match="write one") as e:
        opened_shards(tmp_path / "..")
    assert e.value.exit_code == 3
    with pytest.raises(SpecError, match="of a pattern's shards the last"):
        opened_shards(tmp_path / "part-0.tar")
