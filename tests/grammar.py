"""A Hypothesis grammar of small legal specs: what it draws is right by construction, so a refusal is a fault.

Every width is a multiple of 4 and the maps stay larger than one pixel, so that groups divide and kernels fit.
`kept` draws steps that keep a map's shape; blocks, policies, stems and heads are built around them.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Tree = Any
Draw = st.DrawFn

ACTS = ("relu", "relu6", "gelu", "silu", "hardswish", "elu", "tanh", "sigmoid", "hardsigmoid", "identity", {"leaky_relu": {"slope": 0.2}},
        {"softmax": {"groups": 2}})  # fmt: skip
NORMS = ("batch", {"batch": {"eps": 0.001, "momentum": 0.2}}, {"group": {"groups": 2}}, "layer", "instance", "none")
STRIDES = (1, 1, 2, [1, 2], [2, 1], "s", ["s", 1])
WIDTHS = (4, 8, 12, "w", "2 * w", "w + 4")
MERGES = ("add", "add", "mul", "concat", "highway", {"highway": {"gate": "channel", "bias": -1}}, {"highway": {"kernel": 3}})
SHIPPED = {
    "basic": {"se": (0, 2), "drop_path": (0, "0.1 * position / total")},
    "bottleneck": {"expansion": (1, 2), "stride_at": (1, 2), "base_width": (32, 64), "groups": (1, "1 + index % 2"), "se": (0, 4)},
    "preact_basic": {"se": ("2 if index > 0 else 0",)},
    "preact_bottleneck": {"expansion": (1, 3), "drop_path": (0.1,)},
    "dense": {"growth": (4, "4 + 4 * index"), "factor": (1, 2)},
}

# Numbers and conditions that blocks may read, each an expression over what the language gives them.
KERNELS = (1, 3, 5, "3 if index == 0 else 1", "1 + 2 * (position % 2)", "min(3, 1 + 2 * stage)", [1, 3], ["1 + 2 * (index % 2)", 3])
WHENS = ("index > 0", "in == width", "not image or depth > 1", "position + 1 < total", "stride == 1 and stage > 0", "in % 8 == 0", "true")


@st.composite
def kept(draw: Draw, depth: int = 2, block: bool = True, few: int = 3, channels: str = "in") -> list[Tree]:
    """Steps that keep the shape of a map of `channels`; `block` says that the names of a block may stand in expressions."""
    steps = json.dumps([draw(_step(depth, block)) for _ in range(draw(st.integers(0, few)))])
    found: list[Tree] = json.loads(steps.replace('"in"', f'"{channels}"').replace('"in // 4"', f'"{channels} // 4"'))
    return found


@st.composite
def _step(draw: Draw, depth: int, block: bool) -> Tree:
    kinds = ["conv", "norm", "act", "scale", "bias", "dropout", "droppath", "shuffle", "pool", "sequence", "gated"]
    if depth:
        kinds += ["chain", "residual", "branches", "concat", "gate", "repeat"] * 2
    inner = kept(depth - 1, block) if depth else st.just([])
    match draw(st.sampled_from(kinds)):
        case "conv":
            kernel = draw(st.sampled_from(KERNELS if block else (1, 3, [3, 1])))
            more = draw(
                st.sampled_from(({}, {"groups": 2}, {"groups": "in // 4" if not block else 4}, {"bias": True}, {"dilation": [1, 2]}))
            )
            step: Tree = {"conv": {"kernel": kernel, **more}}
        case "norm":
            step = draw(st.sampled_from(("norm", {"norm": {"kind": "group", "groups": 4}}, {"norm": {"kind": "layer"}})))
        case "act":
            step = draw(st.sampled_from(("act", {"act": "sigmoid"}, {"act": {"kind": "leaky_relu", "slope": "1 / 8"}})))
        case "scale":
            step = {"scale": draw(st.sampled_from(({}, {"init": 0.5, "per": "channel"}, {"init": "1 / 3", "learn": False})))}
        case "bias":
            step = {"bias": draw(st.sampled_from(({}, {"init": 0.25, "per": "channel"})))}
        case "dropout" | "droppath" as kind:
            step = {kind: {"rate": draw(st.sampled_from((0.1, 0, "0.5 * index / depth") if block else (0.1, 0)))}}
        case "shuffle":
            step = {"channel_shuffle": {"groups": 2}}
        case "pool":
            step = {draw(st.sampled_from(("avgpool", "maxpool"))): {"kernel": 3, "stride": 1, "padding": 1}}
        case "sequence":
            step = draw(st.sampled_from(({"tail": {"odd": 3}}, "tail", {"conv_norm_act": {"kernel": 3}}, {"se": {"ratio": 2}})))
        case "gated":
            step = {"branches": {"paths": [[], [{"globalpool": {}}, {"conv": {"kernel": 1}}, {"act": "sigmoid"}]], "merge": "mul"}}
        case "chain":
            step = {"chain": draw(inner)}
            if draw(st.booleans()):
                step = {"chain": {"steps": step["chain"]}}
        case "residual":
            step = {"residual": {"body": draw(inner)}}
            step["residual"] |= draw(st.sampled_from(({}, {"shortcut": "C"}, {"shortcut": "mine"}, {"merge": "mul"}, {"shortcut": ["norm"]},
                                                      {"merge": {"highway": {"gate": "channel"}}}, {"merge": "highway"})))  # fmt: skip
            step["residual"] |= {k: draw(inner) for k in ("before", "after") if draw(st.booleans())}
        case "branches":
            paths = [draw(inner) for _ in range(draw(st.integers(1, 3)))]
            step = {"branches": {"paths": paths, "merge": draw(st.sampled_from(("add", "mul")))}}
        case "concat":
            step = {"chain": [{"branches": {"paths": [draw(inner), draw(inner)], "merge": "concat"}}, {"conv": {"out": "in", "kernel": 1}}]}
        case "gate":
            gate = [
                {"globalpool": {"kind": draw(st.sampled_from(("avg", "max")))}},
                {"conv": {"kernel": 1, "bias": True}},
                {"act": "sigmoid"},
            ]
            step = {"residual": {"body": draw(inner), "shortcut": gate, "merge": "mul"}}
        case _:
            times = draw(st.sampled_from((1, 2, "depth" if block else 3)))
            steps = [*draw(inner), {"conv": {"kernel": "1 + 2 * (index % 2)", "groups": 2}}]
            step = {"repeat": {"times": times, "steps": steps}}
    if block and draw(st.integers(0, 5)) == 0:
        ((name, arguments),) = step.items() if isinstance(step, dict) else ((step, {}),)
        if isinstance(arguments, dict):
            step = {name: {**arguments, "when": draw(st.sampled_from(WHENS))}}
    return step


@st.composite
def blocks(draw: Draw) -> Tree:
    """A block of one's own: it reads its arguments, the stride and both dilations, and gives `out` channels."""
    block = {"args": {"factor": draw(st.sampled_from((1, 2, "1 / 2"))), "norm_last": draw(st.booleans())}}
    block["let"] = {"mid": "max(4, divisible(width * factor, 4))"}
    block["body"] = [
        *draw(kept()),
        {
            "conv": {
                "out": "mid",
                "kernel": draw(st.sampled_from(KERNELS)),
                "stride": "stride",
                "dilation": "first_dilation",
                "as": "spatial",
            }
        },
        {"norm": {"when": "norm_last"}},
        *draw(kept(1, channels="mid")),
        {"conv": {"out": "out", "kernel": 3, "dilation": "dilation"}},
        *draw(kept(1, few=1, channels="out")),
    ]
    for key in ("before", "after"):
        if draw(st.booleans()):
            block[key] = draw(kept(1, channels="in" if key == "before" else "out"))
    return block


@st.composite
def policies(draw: Draw) -> Tree:
    """A policy of one's own, under the name `mine`."""
    pool = {"avgpool": {"kernel": "stride", "stride": "stride", "ceil": True, "when": "stride > 1"}}
    project = draw(
        st.sampled_from(([pool, {"conv": {"out": "out", "kernel": 1}}], [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}]))
    )
    same = draw(st.sampled_from(([], ["norm"], [{"conv": {"out": "out", "kernel": "k"}}, "norm"])))
    return {
        "args": {"k": 1, "bias": draw(st.booleans())},
        "change": [*project, {"norm": {"when": "k > 0 or bias"}}, {"bias": {"when": "bias"}}],
        "same": same,
    }


@st.composite
def block_of(draw: Draw) -> Tree:
    """A reference to a block that suits `add` and the other merges."""
    name = draw(st.sampled_from(("own", "own", "own", "basic", "bottleneck", "preact_basic", "preact_bottleneck")))
    if name == "own":
        return draw(st.sampled_from(("own", {"own": {"factor": "2 if index % 2 == 0 else 1"}}, {"own": {"factor": "w / 4"}})))
    chosen = {k: draw(st.sampled_from(v)) for k, v in SHIPPED[name].items() if draw(st.booleans())}
    return {name: chosen} if chosen else name


@st.composite
def stages(draw: Draw) -> list[Tree]:
    """One to three stages, with strides of one axis, dilation, and keys of their own."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        stage: Tree = {
            "depth": draw(st.sampled_from((1, 2, 3, "n"))),
            "width": draw(st.sampled_from(WIDTHS)),
            "stride": draw(st.sampled_from(STRIDES)),
        }
        if draw(st.integers(0, 3)) == 0:
            stage["dilation"] = draw(st.sampled_from((2, [1, 2], [2, 1])))
        if draw(st.integers(0, 3)) == 0:
            stage["shortcut"] = draw(st.sampled_from(("B", "D", {"C": {"norm": False}}, {"mine": {"k": 3}})))
        if draw(st.integers(0, 3)) == 0:
            stage["block"] = draw(block_of())
        if draw(st.integers(0, 5)) == 0:
            stage |= {
                "block": {"dense": {k: draw(st.sampled_from(v)) for k, v in SHIPPED["dense"].items()}},
                "shortcut": "D",
                "merge": "concat",
            }
        for key in ("before", "after"):
            if draw(st.integers(0, 3)) == 0:
                stage[key] = draw(kept(1, block=False, few=2))
        found.append(stage)
    return found


@st.composite
def vectors(draw: Draw) -> Tree:
    """A network of features."""
    width = draw(st.sampled_from((8, "w", 12)))
    spec: Tree = {
        "input": {"features": draw(st.integers(2, 9))},
        "stem": [{"linear": {"out": "first_width"}}, "norm", "act"],
        "block": {"mlp": {"hidden": "2 * width"}},
    }
    spec["stages"] = [
        {"depth": "n", "width": width},
        {"depth": 2, "width": 16, "before": [{"linear": {"out": "width", "bias": False}}, {"dropout": {"rate": 0.1}}]},
    ]
    spec["shortcut"] = draw(st.sampled_from(("identity", "Ws")))
    spec["merge"] = draw(st.sampled_from(("add", "mul", "highway", {"highway": {"bias": -3}})))
    spec["head"] = [*draw(st.sampled_from(([], ["act"], [{"scale": {"per": "channel"}}]))), {"linear": {"out": "classes"}}]
    spec["norm"] = draw(st.sampled_from(("batch", {"group": {"groups": 4}}, "layer", "none")))
    return spec


@st.composite
def maps(draw: Draw) -> Tree:
    """A network of maps."""
    height, width = draw(st.integers(9, 14)), draw(st.integers(9, 14))
    spec: Tree = {"input": {"channels": draw(st.integers(1, 3)), "height": height, "width": width}}
    spec["stem"] = draw(st.sampled_from(("cifar", {"cifar": {"width": 8}}, {"deep": {"mid": 4, "pool": False}},
                                         [{"conv": {"out": "first_width", "kernel": [3, 5], "stride": [1, 2]}}, "norm", "act"])))  # fmt: skip
    if isinstance(spec["stem"], list):
        spec["stem"] = [*spec["stem"], *draw(kept(1, block=False, channels="first_width"))]
    spec |= {"norm": draw(st.sampled_from(NORMS)), "act": draw(st.sampled_from(ACTS)), "block": draw(block_of())}
    spec["shortcut"] = draw(st.sampled_from(("B", "C", "D", "mine", {"mine": {"k": "1 + 2 * (index % 2)"}}, "none")))
    spec["stages"] = draw(stages())
    if spec["shortcut"] != "none" and draw(st.booleans()):
        spec["merge"] = draw(st.sampled_from([m for m in MERGES if m != "concat"]))
    spec["head"] = draw(st.sampled_from(("classifier", "preact_classifier", {"classifier": {"bias": False, "dropout": 0.1}},
                                         ["act", {"globalpool": {"kind": "max"}}, "flatten", {"linear": {"out": "classes"}}])))  # fmt: skip
    if draw(st.integers(0, 4)) == 0:
        spec["stages"][0]["stride"] = 2
        spec["output_stride"] = 2
    spec["blocks"] = {"own": draw(blocks())}
    spec["shortcuts"] = {"mine": draw(policies())}
    spec["sequences"] = {"tail": {"args": {"odd": 1}, "let": {"m": "in // 2"}, "steps": [
        {"conv": {"out": "m", "kernel": "odd"}}, "act", {"conv": {"out": "in", "kernel": 1}}]}}  # fmt: skip
    return spec


@st.composite
def extended(draw: Draw) -> Tree:
    """A shipped spec made small."""
    name = draw(st.sampled_from(("resnet20", "resnet18", "preresnet18", "resnet50", "resnet18d", "se-resnet18", "resnet18-C", "wrn-16-4")))
    side = draw(st.sampled_from((24, 32)))
    spec: Tree = {"extends": name, "input": {"channels": draw(st.integers(1, 3)), "height": side, "width": side + 5}, "classes": 4}
    spec["stages"] = {f"layer{i}": {"depth": draw(st.integers(1, 2)), "width": 8 * i} for i in (1, 2, 3)}
    return spec


@st.composite
def specs(draw: Draw) -> dict[str, Tree]:
    """Files by name; `spec.yaml` is the network, which may extend `parent.yaml`."""
    spec = draw(st.one_of(maps(), maps(), maps(), maps(), vectors(), extended()))
    if "extends" in spec:
        return {"spec.yaml": spec}
    spec = {
        "classes": draw(st.integers(2, 5)),
        "params": {"n": draw(st.integers(1, 2)), "w": draw(st.sampled_from((4, 8))), "s": draw(st.integers(1, 2))},
        **spec,
    }
    spec["init"] = {"weights": draw(st.sampled_from(("he", "he_fan_in", "xavier", "torch", "fixup"))), "zero_last": draw(st.booleans())}
    if draw(st.booleans()):
        return {"spec.yaml": spec}
    moved = draw(st.sets(st.sampled_from(sorted(spec)), min_size=1, max_size=len(spec) - 1))
    return {
        "spec.yaml": {"extends": "parent.yaml", **{k: v for k, v in spec.items() if k not in moved}},
        "parent.yaml": {k: spec[k] for k in sorted(moved)},
    }
