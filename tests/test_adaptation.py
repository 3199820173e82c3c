"""Weights brought into another network: prefixes, what stands beside it, a new head, other input channels, and what the user says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.records.metadata import WeightsMetadata
from resnet_dsl.records.stated import read_options
from resnet_dsl.runtime.conventions import imagenet
from resnet_dsl.runtime.normalisation import Normalisation

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")

State = dict[str, torch.Tensor]
SMALL = ("params.n=1",)
NET = rd.compile("resnet20", SMALL)


@pytest.fixture
def state() -> State:
    return rd.build(NET, seed=1).state_dict()


def saved(state: State, name: str = "w.pth") -> str:
    torch.save(state, name)
    return name


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def under(prefix: str, state: State) -> State:
    return {prefix + k: v for k, v in state.items()}


# --- names ---------------------------------------------------------------------------------------------------

WRAPPED: dict[str, Callable[[State], State]] = {
    "encoder": lambda s: under("encoder.", s),
    "lightning": lambda s: under("net.", s) | {"criterion.weight": torch.ones(10)},
    "deep": lambda s: under("module.model.backbone.", s),
    "averaged": lambda s: under("module.", s) | {"n_averaged": torch.tensor(3)},
    "average of a compiled one": lambda s: under("module._orig_mod.", s) | {"n_averaged": torch.tensor(3)},
    "compiled inside": lambda s: {k.replace("layer1.", "layer1._orig_mod."): v for k, v in s.items()},
    "blocks compiled": lambda s: {k.replace(".0.conv", ".0._orig_mod.conv").replace(".0.bn", ".0._orig_mod.bn"): v for k, v in s.items()},
    "features in parallel": lambda s: {f"layer1.module{k[6:]}" if k.startswith("layer1") else k: v for k, v in s.items()},
    "checkpointed": lambda s: {k.replace("layer2.0.", "layer2.0._checkpoint_wrapped_module."): v for k, v in s.items()},
    "a queue beside": lambda s: s | {"queue": torch.zeros(8, 4), "queue_ptr": torch.zeros(1)},
    "counters of an average": lambda s: s | {"ema.decay": torch.tensor(0.9), "ema.num_updates": torch.tensor(7)},
    "a count where there is no norm": lambda s: s | {"layer1.0.conv1.num_batches_tracked": torch.tensor(7)},
    "an auxiliary head": lambda s: s | {"aux_classifier.0.weight": torch.zeros(3)},
    "a projection beside": lambda s: under("backbone.", s) | {"projector.0.weight": torch.zeros(4, 64), "projector.0.bias": torch.zeros(4)},
    "the head in a sequence": lambda s: {k.replace("fc.", "fc.1."): v for k, v in s.items()},
    "the head by another name": lambda s: {k.replace("fc.", "last_linear."): v for k, v in s.items()},
    "a head beside the backbone": lambda s: {(k.replace("fc.", "head.") if k.startswith("fc.") else f"backbone.{k}"): v for k, v in s.items()},
    "another, without a head": lambda s: under("teacher.", {k: v for k, v in s.items() if not k.startswith("fc")}) | under("student.", s),
    "another, larger": lambda s: under("teacher.", s) | under("teacher.layer1.9.", {"conv1.weight": torch.zeros(3)}) | under("student.", s),
}  # fmt: skip


@pytest.mark.parametrize("form", WRAPPED)
def test_a_network_is_found_under_any_prefix(form: str, state: State) -> None:
    told: list[str] = []
    found = rd.build(NET, weights=saved(WRAPPED[form](state)), tell=told.append).state_dict()
    assert all(torch.equal(found[k], v) for k, v in state.items())
    beside = len(WRAPPED[form](state)) - len(state)
    assert bool(told) == (beside > 0 or "head" in form)
    if beside:
        assert f"{beside} tensor{'s' if beside > 1 else ''} beside the network" in told[0]


def test_several_networks_are_named_and_one_is_asked_for(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    other = {k: v + 1 for k, v in state.items()}
    file = saved(under("module.encoder_q.", state) | under("module.encoder_k.", other) | {"module.queue": torch.zeros(2)})
    with pytest.raises(SpecError, match=r"weights-prefix.*'module.encoder_q.', 'module.encoder_k.'") as e:
        rd.build(NET, weights=file)
    assert "prefix='module.encoder_q.'" in str(e.value)
    for prefix, wanted in (("module.encoder_q.", state), ("module.encoder_k.", other), ("module.encoder_k", other)):
        found = rd.build(NET, weights=file, prefix=prefix).state_dict()
        assert all(torch.equal(found[k], v) for k, v in wanted.items())
    with pytest.raises(SpecError, match=r"no name in it begins with 'encoder_z\."):
        rd.build(NET, weights=file, prefix="encoder_z.")
    spec = ["resnet20", "--set", "params.n=1"]
    for command in (["weights", *spec, file], ["export", *spec, "--weights", file, "-o", "x.safetensors"]):
        assert main(command) == 2
        assert "help: say which: --prefix module.encoder_q." in capsys.readouterr().err
        assert main([*command, "--prefix", "module.encoder_k."]) == 0
    # Beside a plain network, the plain one is asked for by nothing.
    both = saved(state | under("ema.", other))
    with pytest.raises(SpecError, match="weights-prefix"):
        rd.build(NET, weights=both)
    assert torch.equal(rd.build(NET, weights=both, prefix="").state_dict()["fc.bias"], state["fc.bias"])


def test_more_of_the_network_than_it_has_is_another_network(state: State) -> None:
    """A deeper network has all the names and shapes of this one."""
    deeper = rd.build("resnet20", ("params.n=2",), seed=1).state_dict()
    for wrong in (
        deeper,
        under("net.", deeper),
        state | {"layer4.0.conv1.weight": torch.zeros(3)},
        state | {"conv1.bias": torch.zeros(16)},
    ):
        with pytest.raises(SpecError, match="which the network lacks"):
            rd.build(NET, weights=saved(wrong))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (lambda k: f"x{len(k) % 7}.{k.replace('.', '_')}", "None of its names is known: it has 'x"),
        (lambda k: f"{k}.y", "None of its names is known: it has 'conv1.weight.y', 'bn1.weight.y', ..., the network 'conv1.weight', 'bn1.weight', ..."),
        (lambda k: k if k.startswith("bn1") else f"z.{k}.z", "4 of the network's 37 names are known in it"),
    ],
)  # fmt: skip
def test_names_that_nobody_knows(names: Callable[[str], str], said: str, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved({names(k): v for k, v in state.items()})
    assert main(["weights", "resnet20", "--set", "params.n=1", file]) == 1
    shown = capsys.readouterr().out
    assert said in shown.replace("\n", " ")
    assert "the network's own" not in shown
    assert len(shown.splitlines()) < 12, "no row for each module"


def test_what_a_file_lacks_is_not_listed_as_its_own(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    del state["layer1.0.conv1.weight"]
    assert main(["weights", "resnet20", "--set", "params.n=1", saved(state)]) == 1
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("missing  layer")] == [
        ["missing", "layer1.0.conv1", "16x16x3x3"]
    ]


# --- a new head ----------------------------------------------------------------------------------------------


def test_a_new_head_with_the_rest_of_the_weights(state: State) -> None:
    told: list[str] = []
    file = saved(state)
    found = rd.build("resnet20", (*SMALL, "classes=7"), weights=file, head="new", seed=3, tell=told.append).state_dict()
    fresh = rd.build("resnet20", (*SMALL, "classes=7"), seed=3).state_dict()
    assert told == ["w.pth: the head (fc) is new"]
    assert all(torch.equal(found[k], fresh[k] if k.startswith("fc") else state[k]) for k in found)
    # Of as many classes too, and where the file has none.
    for kept in (state, {k: v for k, v in state.items() if not k.startswith("fc")}):
        again = rd.build(NET, weights=saved(kept), head="new", seed=3)
        assert torch.equal(again.state_dict()["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])
        assert not torch.equal(again.state_dict()["fc.weight"], state["fc.weight"])
    saved(state)
    with pytest.raises(SpecError, match=r"add head='new': the head is drawn anew; or overrides={'classes': '10'}"):
        rd.build("resnet20", (*SMALL, "classes=7"), weights=file)
    with pytest.raises(SpecError, match="head= is for given weights"):
        rd.build(NET, head="new")


def test_the_names_of_the_classes_are_not_those_of_a_new_head(state: State) -> None:
    net = rd.open("resnet20", saved(state), SMALL, classes=list("abcdefghij"))
    net.export("named.safetensors")
    assert rd.open("named.safetensors").classes == tuple("abcdefghij")
    assert (
        rd.open("resnet20", "named.safetensors", SMALL)
        .export("again.safetensors")
        .notes[0]
        .startswith("named.safetensors does not say the norm")
    )
    assert WeightsMetadata.of_file(Path("again.safetensors")).classes == tuple("abcdefghij")
    rd.open("resnet20", "named.safetensors", SMALL, head="new").export("new.safetensors")
    assert WeightsMetadata.of_file(Path("new.safetensors")).classes is None


# --- other input channels ------------------------------------------------------------------------------------


def outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(images)


@pytest.mark.parametrize("spec", ["resnet20", "resnet18", "densenet121", "mobilenetv2"])
def test_grey_pictures_give_what_they_gave_in_all_three_channels(spec: str) -> None:
    settings = ("classes=10", "input.height=32", "input.width=32", *(SMALL if spec == "resnet20" else ()))
    old = rd.build(spec, settings, seed=1)
    told: list[str] = []
    grey = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    new = rd.build(spec, (*settings, "input.channels=1"), weights=saved(old.state_dict()), first_conv="sum", tell=told.append)
    assert told == ["w.pth: conv1: the kernels of 3 channels are summed to 1"]
    wanted = outputs(old, grey.expand(-1, 3, -1, -1))
    assert torch.allclose(outputs(new, grey), wanted, atol=1e-5 * float(wanted.abs().max().clamp_min(1)))


@pytest.mark.parametrize(("held", "wanted"), [(1, 3), (1, 4), (3, 6), (3, 9)])
def test_equal_channels_give_what_they_gave(held: int, wanted: int) -> None:
    old = rd.build("resnet20", (*SMALL, f"input.channels={held}"), seed=1)
    new = rd.build("resnet20", (*SMALL, f"input.channels={wanted}"), weights=saved(old.state_dict()), first_conv="sum")
    grey = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(outputs(new, grey.expand(-1, wanted, -1, -1)), outputs(old, grey.expand(-1, held, -1, -1)), atol=1e-5)


def test_kernels_are_repeated_in_turn_and_scaled(state: State) -> None:
    new = rd.build("resnet20", (*SMALL, "input.channels=4"), weights=saved(state), first_conv="sum").state_dict()["conv1.weight"]
    assert torch.equal(new, state["conv1.weight"][:, [0, 1, 2, 0]] * 0.75)
    with pytest.raises(SpecError, match=r"add first_conv='sum': the kernels of 3 channels are repeated for 4 and scaled by 3/4"):
        rd.build("resnet20", (*SMALL, "input.channels=4"), weights="w.pth")
    four = rd.build("resnet20", (*SMALL, "input.channels=4"), seed=1).state_dict()
    with pytest.raises(SpecError, match=r"conv1.weight is \(16, 4, 3, 3\)"):
        rd.build(NET, weights=saved(four), first_conv="sum")


def test_the_normalisation_of_grey_pictures() -> None:
    """The mean of a grey picture is exactly that of the colours' means, as Pillow makes it grey."""
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    own = Normalisation(torch.tensor(colours.mean((0, 1))).float()[:, None, None], torch.full((3, 1, 1), 50.0))
    grey = own.for_channels(1)
    assert grey is not None
    assert abs(float(grey.mean) - np.asarray(Image.fromarray(colours).convert("L")).mean()) < 0.5
    assert float(grey.std) == pytest.approx(50.0)
    back = grey.for_channels(3)
    assert back is not None and back.mean.shape == (3, 1, 1)
    assert own.for_channels(4) is None
    known = imagenet(1)
    assert known is not None and float(known.mean) == pytest.approx(255 * (0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406))


# --- what the user says of them ------------------------------------------------------------------------------


@pytest.fixture
def pictures() -> str:
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 256, (300, 400, 3)).astype(np.uint8)).save("photo.png")
    return "photo.png"


def by_hand(model: nn.Module, path: str, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Resized, cropped and normalised as torchvision's presets say."""
    picture = Image.open(path).convert("RGB")
    w, h = picture.size
    size = (side, round(side * h / w)) if w < h else (round(side * w / h), side)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224))).astype(np.float32) / 255
    image = torch.from_numpy((pixels - np.array(mean, np.float32)) / np.array(std, np.float32)).permute(2, 0, 1)[None]
    return outputs(model, image.contiguous()).softmax(1)[0]


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_weights_that_are_known_to_be_of_imagenet(pictures: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = rd.build("resnet18", seed=0)
    file = saved(model.state_dict())
    wanted = by_hand(model, pictures, 256, *IMAGENET)
    assert main(["predict", "resnet18", pictures, "--weights", file, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    guess = rd.predict("resnet18", pictures, weights=file)[0].top[0]
    assert str(guess.name) in out
    assert (int(guess.name), guess.probability) == (int(wanted.argmax()), pytest.approx(float(wanted.max()), abs=2e-3))
    assert (
        "w.pth: ResNet in torchvision and timm with 1,000 classes: ImageNet's mean and deviation are taken, pictures are scaled to 256"
        in err
    )
    # Asked for, nothing needs to be said; and nothing is known of ten classes.
    assert main(["predict", "resnet18", pictures, "--weights", file, "--normalisation", "imagenet"]) == 0
    assert capsys.readouterr().err == ""
    ten = saved(rd.build("resnet18", ("classes=10",), seed=0).state_dict(), "ten.pth")
    assert main(["predict", "resnet18", pictures, "--set", "classes=10", "--weights", ten]) == 2
    assert "--normalisation imagenet" in capsys.readouterr().err


@pytest.mark.parametrize("resize", [None, 300, 224])
def test_what_is_asked_for_is_in_the_exported_file(resize: int | None, pictures: str) -> None:
    model = rd.build("resnet18", ("classes=10",), seed=0)
    Path("names.txt").write_text("\n".join("abcdefghij") + "\n")
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    options = {"mean": "0.5,0.4,0.3", "std": std, "classes": "names.txt", **({} if resize is None else {"resize": resize})}
    rd.export("resnet18", "x.safetensors", weights=saved(model.state_dict()), overrides=("classes=10",), **options)
    held = WeightsMetadata.of_file(Path("x.safetensors"))
    assert held is not None
    assert (held.classes, held.resize) == (tuple("abcdefghij"), resize)
    assert torch.allclose(torch.tensor(held.normalisation.mean).flatten(), torch.tensor(mean) * 255)
    wanted = by_hand(model, pictures, resize or 224, mean, std)
    for found in (
        rd.predict("x.safetensors", pictures),
        rd.predict("resnet18", pictures, weights="w.pth", overrides=("classes=10",), **options),
    ):
        guess = next(iter(found)).top[0]
        assert guess.probability == pytest.approx(float(wanted.max()), abs=3e-3)
        assert guess.name == "abcdefghij"[int(wanted.argmax())]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": "0.5"}, "std= is missing"), ({"mean": "0.5,0.5", "std": "1,1,1"}, "2 means and 3 deviations"),
        ({"mean": "0.5,0.5,0.5", "std": "58,57,57"}, "shares from 0 to 1, and the deviations pixels"), ({"mean": "a", "std": "1"}, "not a list of numbers"),
        ({"mean": "nan,0,0", "std": "1,1,1"}, "not a list of numbers"), ({"mean": "0", "std": "0"}, "a deviation is above 0"),
        ({"normalisation": "imagenet", "mean": "0", "std": "1"}, "exclude each other"), ({"normalisation": "cifar"}, "cannot be 'cifar'"),
        ({"classes": "nowhere.txt"}, "no such file"), ({"classes": ["a", "a"]}, "two classes are called 'a'"), ({"classes": []}, "no names"),
        ({"resize": 0}, "cannot be 0"), ({"resize": "crop"}, "cannot be 'crop'"), ({"head": "old"}, "cannot be 'old'"), ({"first_conv": "mean"}, "cannot be 'mean'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message) as e:
        read_options(options)
    assert e.value.exit_code == 2
    with pytest.raises(TypeError, match="did you mean 'prefix'"):
        read_options({"prefx": "a"})


def test_units_of_mean_and_deviation() -> None:
    shares, pixels = read_options({"mean": "0.5", "std": "0.25"}), read_options({"mean": "127.5", "std": "63.75"})
    assert (shares.mean, shares.std) == (pixels.mean, pixels.std) == ((127.5,), (63.75,))
    assert read_options({"mean": "0,0,0", "std": "1,1,1"}).std == (255.0, 255.0, 255.0)
    assert read_options({"mean": "103.53,116.28,123.675", "std": "1,1,1"}).std == (1.0, 1.0, 1.0)


def test_training_keeps_what_pixels_meant(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    """Given, known of ImageNet, or measured; and resumed with the same."""
    spec = ["resnet20-digits", "--set", "params.n=1", "--data", "digits", "--steps", "2", "--quiet"]
    assert main(["train", *spec, "--mean", "0.5", "--std", "0.25", "--out", "run"]) == 0
    held = WeightsMetadata.of_file(Path("run/model.safetensors"))
    assert (held.normalisation.mean, held.normalisation.std) == ((((127.5,),),), (((63.75,),),))
    assert main(["train", "--resume", "run", "--steps", "3", "--quiet"]) == 0
    assert WeightsMetadata.of_file(Path("run/model.safetensors")).normalisation == held.normalisation
    assert json.loads(Path("run/run.json").read_text())["mean"] == "0.5"
    colours = saved(state)
    begun = [
        "train",
        *spec[:-1],
        "--weights",
        colours,
        "--first-conv",
        "sum",
        "--head",
        "new",
        "--normalisation",
        "imagenet",
        "--out",
        "grey",
    ]
    capsys.readouterr()
    assert main(begun) == 0
    said = capsys.readouterr().err
    assert "conv1: the kernels of 3 channels are summed to 1; the head (fc) is new; mean and deviation are as asked for" in said
    own = WeightsMetadata.of_file(Path("grey/model.safetensors")).normalisation
    assert own.mean[0][0][0] == pytest.approx(float(imagenet(1).mean))
    assert main(["train", *spec, "--prefix", "x.", "--out", "none"]) == 2
    assert "--prefix is for given weights" in capsys.readouterr().err
    assert not Path("none").exists()


# --- the spec of a backbone ----------------------------------------------------------------------------------


def test_the_spec_of_a_backbone_and_of_a_head_in_a_sequence(state: State) -> None:
    whole = {k: tuple(v.shape) for k, v in rd.build("resnet50", ("classes=10",)).state_dict().items()}
    backbone = {k: v for k, v in whole.items() if not k.startswith("fc")}
    with pytest.raises(SpecError, match="it has no head") as e:
        rd.recover(backbone)
    assert "classes=10" in str(e.value)
    assert rd.recover(backbone, classes=7).text == "extends: resnet50\nclasses: 7\n"
    with pytest.raises(SpecError, match="it has a head, a layer of 'fc'"):
        rd.recover(whole, classes=7)
    basic = {k: tuple(v.shape) for k, v in rd.build("resnet20", ("shortcut=B", "params.n=2")).state_dict().items()}
    expected = rd.recover(basic, name="net").text
    for change in (
        lambda k: k.replace("fc.", "fc.1."), lambda k: k.replace("fc.", "classifier.3."), lambda k: f"net.{k.replace('fc.', 'head.0.')}",
    ):  # fmt: skip
        assert rd.recover({change(k): v for k, v in basic.items()}, name="net").text == expected
    assert rd.recover({k: v for k, v in basic.items() if not k.startswith("fc")}, name="net", classes=10).text == expected


def test_the_spec_of_one_network_among_others(state: State) -> None:
    shapes = {k: tuple(v.shape) for k, v in rd.build("resnet20").state_dict().items()}
    beside = under("net.", shapes) | {"criterion.weight": (10,)}
    assert rd.recover(beside).text == "extends: resnet20\n"
    assert ("names", "under 'net.'") in [(r.what, r.written) for r in rd.recover(beside).remarks]
    two = under("module.encoder_q.", shapes) | under("module.encoder_k.", shapes) | {"module.queue": (8, 4)}
    with pytest.raises(SpecError, match=r"a network under each of 'module.encoder_q.', 'module.encoder_k.'"):
        rd.recover(two)
    assert rd.recover(two, prefix="module.encoder_k.").text == "extends: resnet20\n"
    with pytest.raises(SpecError, match="no name in it begins with 'encoder_z'"):
        rd.recover(two, prefix="encoder_z")
