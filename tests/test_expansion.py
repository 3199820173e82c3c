"""Patterns of shards against the package that webdataset uses, and those that stand for too many."""

from __future__ import annotations

import pytest

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.data.expansion import expanded

PATTERNS = [
    "a.tar", "x-{0..3}.tar", "x-{000..012}.tar", "{a,b}-{1..2}", "{a..e}", "{e..a}", "{3..0}", "{00..10..5}", "{-2..1}", "a{b,c{d,e}}f", "{{a,b},c}",
    "{a}", "{}", "x{,y}", "{01..3}", "{1..03}", "{1..10}", "{a,{1..3}}", "{x{a,b}}", "{{1..2}}",
]  # fmt: skip


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_as_braceexpand(pattern: str) -> None:
    import braceexpand

    assert expanded(pattern) == list(braceexpand.braceexpand(pattern))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{000000000..999999999}.tar", "more than 10,000 shards"),
        ("{0..9}{0..9}{0..9}{0..9}{0..9}", "more than 10,000 shards"),
        ("{{0..9999},{0..9999}}", "more than 10,000 shards"),
        ("{" + ",".join(["{0..99}"] * 200) + "}", "more than 10,000 shards"),
        ("{a,b}" * 500, "more than 10,000 shards"),
        ("{" * 3000 + "}" * 3000, "more than 20 deep"),
        ("{0..3", "do not pair"),
        ("0..3}", "do not pair"),
        ("}{", "do not pair"),
        ("{1..99999999999999999999}", ""),
    ],
)
def test_patterns_that_are_refused(pattern: str, message: str) -> None:
    if not message:
        assert expanded(pattern) == [pattern]
        return
    with pytest.raises(SpecError) as e:
        expanded(pattern)
    assert message in str(e.value)
    assert e.value.exit_code == 2
