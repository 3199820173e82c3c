"""Networks scaled to a budget: exact, within it, as near as their family comes, and written as specs that hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.expect import check_expect
from resnet_dsl.analysis.fit import Axis, Budget, OverBudget, fit, within
from resnet_dsl.analysis.variants import variant
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load

CASES: list[tuple[str, Budget, tuple[Axis, ...]]] = [
    ("resnet50", {"params": 5_000_000}, ("width",)),
    ("resnet50", {"macs": 300_000_000}, ("width",)),
    ("resnet18", {"params": 25_557_032, "macs": 4_089_184_256}, ("width",)),
    ("resnet20", {"params": 1_000_000}, ("depth",)),
    ("resnet50", {"params": 12_000_000}, ("depth",)),
    ("resnet50", {"params": 5_000_000}, ("width", "depth")),
    ("resnet34", {"params": 60_000_000}, ("depth", "width")),
]


@pytest.mark.parametrize(("name", "budget", "over"), CASES, ids=lambda x: "-".join(x) if isinstance(x, tuple | dict) else x)
def test_within_and_near(name: str, budget: Budget, over: tuple[Axis, ...]) -> None:
    spec = load(name)
    found = fit(spec, budget, over)
    graph = compile(variant(spec, widths=dict(enumerate(found.widths)), depths=found.depths))
    assert Costs(graph).network == found.cost
    assert within(found.cost, budget)
    used = max(getattr(found.cost, what) / limit for what, limit in budget.items())
    assert used > (0.9 if over == ("depth",) else 0.97)
    assert fit(spec, budget, over) == found


@pytest.mark.parametrize("limit", [400_000, 3_000_000])
def test_no_width_in_between_is_nearer(limit: int) -> None:
    """Against a search that tries every scale."""
    spec = load("resnet18")
    best = 0
    for scale in range(1, 1024):
        widths = {i: max(1, (2 * w * scale + 512) // 1024) for i, w in enumerate((64, 128, 256, 512))}
        if widths[3] * widths[3] * 27 > limit:
            break
        cost = Costs(compile(variant(spec, widths=widths))).network
        best = max(best, cost.params if cost.params <= limit else 0)
    assert fit(spec, {"params": limit}).cost.params == best


def test_what_fits_is_left_as_it_is() -> None:
    found = fit(load("resnet50"), {"params": 25_557_032})
    assert (found.widths, found.depths) == ((64, 128, 256, 512), (3, 4, 6, 3))


def test_widths_keep_what_groups_and_people_ask_for() -> None:
    grouped = fit(load("resnet50", ["block={bottleneck: {groups: 32, base_width: 4}}"]), {"params": 10_000_000})
    compile(variant(load("resnet50", ["block={bottleneck: {groups: 32, base_width: 4}}"]), widths=dict(enumerate(grouped.widths))))
    assert all(w % 8 == 0 for w in fit(load("resnet50"), {"params": 10_000_000}, ("width",), 8).widths)


def test_a_budget_that_nothing_keeps_shows_the_least() -> None:
    with pytest.raises(OverBudget) as e:
        fit(load("resnet50"), {"params": 1_000_000}, ("depth",))
    assert (e.value.least.depths, e.value.least.cost.params) == ((1, 1, 1, 1), 10_064_936)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str, int]:
    code = main(["fit", *args])
    out, err = capsys.readouterr()
    return out, err, code


def test_the_written_spec_is_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "mine.yaml").write_text("extends: resnet20\nparams: {n: 5}\n")
    for spec, budget, out in (
        ("resnet50", ("--params", "5M", "--over", "width,depth"), "a.yaml"),
        ("inner/mine.yaml", ("--macs", "30M", "--set", "shortcut=C", "--set", "params.n=4"), "b.yaml"),
        ("b.yaml", ("--like", "resnet20", "--over", "depth"), "c.yaml"),
    ):
        assert run(capsys, spec, *budget, "-o", out)[2] == 0
        made = load(out)
        check_expect(made, compile(made))
        assert made.expect
    assert "extends: inner/mine.yaml" in (tmp_path / "b.yaml").read_text()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ("resnet50", 2, "a budget is missing"),
        ("resnet50 --params 5X", 2, "--params: error[usage]"),
        ("resnet50 --params 0", 2, "--params: error[usage]"),
        ("resnet50 --params 5M --like resnet18", 2, "--like: error[usage]"),
        ("resnet50 --params 5M --over widht", 2, "did you mean 'width'?"),
        ("resnet50 --params 5M --over depth", 2, "the smallest has 10,064,936 params"),
        ("resnet50 --params 5M --set stages.layer1.depth=1", 2, "cannot be said in a spec that extends another"),
        ("/tmp/nothing.yaml --params 5M", 2, "--out: error[extends]"),
        ("resnet5 --params 5M", 2, "error[file-not-found]"),
    ],
)
def test_mistakes(args: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err, found = run(capsys, *args.split())
    assert (out, found) == ("", code)
    assert said in err
    assert "help:" in err


def test_a_spec_is_not_overwritten_by_what_extends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: resnet20\n")
    assert "--out: error[extends]" in run(capsys, "mine.yaml", "--params", "100k", "-o", "./mine.yaml")[1]
    assert (tmp_path / "mine.yaml").read_text() == "extends: resnet20\n"


def test_a_spec_that_does_not_compile_is_refused() -> None:
    with pytest.raises(SpecError):
        fit(load("resnet50", ["shortcut=identity"]), {"params": 10})
