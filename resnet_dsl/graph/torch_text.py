"""How an operation is written in PyTorch: the constructor of its module, or an expression, and what torch lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from resnet_dsl.graph.graph import Shape, Value
from resnet_dsl.graph.shapes import Attrs, pair


def side(pair: tuple[int, int]) -> str:
    return repr(pair[0]) if pair[0] == pair[1] else repr(pair)


def _given(a: Attrs, defaults: Mapping[str, Value]) -> str:
    """The keyword arguments that are not the default, `name=value, ...` with a leading comma."""
    return "".join(f", {k}={side(v) if isinstance(v, tuple) else repr(v)}" for k, d in defaults.items() if (v := a[k]) != d)  # type: ignore[arg-type]


def conv(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    rest = _given(a, {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True})
    return f"nn.Conv2d({x[0][0]}, {out[0]}, {side(pair(a, 'kernel'))}{rest})"


def linear(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"nn.Linear({x[0][0]}, {out[0]}{_given(a, {'bias': True})})"


def batch_norm(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"nn.BatchNorm{2 if len(out) == 3 else 1}d({out[0]}{_given(a, {'eps': 1e-5, 'momentum': 0.1})})"


def layer_norm(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"{'LayerNorm2d' if len(out) == 3 else 'nn.LayerNorm'}({out[0]}, eps={a['eps']!r})"


def pool(cls: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    def text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
        stride = f", stride={side(pair(a, 'stride'))}" if a["stride"] != a["kernel"] else ""
        padding = _given(a, {"padding": (0, 0)})
        return f"nn.{cls}({side(pair(a, 'kernel'))}{stride}{padding}{', ceil_mode=True' if a['ceil'] else ''})"

    return text


def affine(cls: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    def text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
        size = f"({out[0]}, 1, 1)" if len(out) == 3 else f"({out[0]},)"
        return f"{cls}({size if a['per'] == 'channel' else '()'}, init={a['init']!r}{'' if a.get('learn', True) else ', learn=False'})"

    return text


def pad_channels(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"PadChannels({out[0] - x[0][0]})"


def plain(text: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    return lambda a, x, out: text


def with_arguments(cls: str, *names: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    def text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
        return f"{cls}({', '.join(side(v) if isinstance(v, tuple) else repr(v) for v in (a[n] for n in names))})"  # type: ignore[arg-type]

    return text


def infix(sign: str) -> Callable[[Attrs, Sequence[Shape], Sequence[str]], str]:
    return lambda a, shapes, names: f" {sign} ".join(names)


def concat_expression(a: Attrs, shapes: Sequence[Shape], names: Sequence[str]) -> str:
    return f"torch.cat([{', '.join(names)}], 1)"


def highway_expression(a: Attrs, shapes: Sequence[Shape], names: Sequence[str]) -> str:
    return f"highway({names[0]}, {names[1]}, torch.sigmoid({names[2]}){'[:, :, None, None]' if len(shapes[2]) < len(shapes[0]) else ''})"


HELPERS: Mapping[str, str] = {
    "LayerNorm2d": '''
class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels at each pixel (ConvNeXt)."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
''',
    "GroupSoftmax": '''
class GroupSoftmax(nn.Module):
    """Softmax across `groups` equal parts of the channels."""

    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def forward(self, x):
        return x.unflatten(1, (self.groups, -1)).softmax(1).flatten(1, 2)

    def extra_repr(self):
        return f"groups={self.groups}"
''',
    "DropPath": '''
class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): zero the whole path of a sample with probability `rate`."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty(x.shape[:1] + (1,) * (x.ndim - 1)).bernoulli_(keep).div_(keep)

    def extra_repr(self):
        return f"rate={self.rate}"
''',
    "Scale": '''
class Scale(nn.Module):
    """Multiply by a scalar or by one value a channel, learnt or constant (SkipInit, LayerScale)."""

    def __init__(self, shape, init, learn=True):
        super().__init__()
        self.init = init
        self.weight = nn.Parameter(torch.full(shape, float(init))) if learn else float(init)

    def reset_parameters(self):
        if isinstance(self.weight, nn.Parameter):
            nn.init.constant_(self.weight, self.init)

    def forward(self, x):
        return x * self.weight
''',
    "Bias": '''
class Bias(nn.Module):
    """Add a learnt scalar or one value a channel (Fixup)."""

    def __init__(self, shape, init):
        super().__init__()
        self.init = init
        self.bias = nn.Parameter(torch.full(shape, float(init)))

    def reset_parameters(self):
        nn.init.constant_(self.bias, self.init)

    def forward(self, x):
        return x + self.bias
''',
    "Subsample": '''
class Subsample(nn.Module):
    """Every stride-th pixel, from pixel 0 (He et al. 2015, shortcut A)."""

    def __init__(self, stride):
        super().__init__()
        self.stride = (stride, stride) if isinstance(stride, int) else stride

    def forward(self, x):
        return x[:, :, :: self.stride[0], :: self.stride[1]]

    def extra_repr(self):
        return f"stride={self.stride}"
''',
    "PadChannels": '''
class PadChannels(nn.Module):
    """Append zero channels (He et al. 2015, shortcut A)."""

    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def forward(self, x):
        return F.pad(x, (0, 0) * (x.ndim - 2) + (0, self.extra)) if self.extra else x

    def extra_repr(self):
        return f"extra={self.extra}"
''',
    "Slice": '''
class Slice(nn.Module):
    """Channels start..stop-1."""

    def __init__(self, start, stop):
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x):
        return x[:, self.start : self.stop]

    def extra_repr(self):
        return f"{self.start}:{self.stop}"
''',
    "highway": '''
def highway(f, s, t):
    """Srivastava et al. 2015: T * F + (1 - T) * s."""
    return t * f + (1 - t) * s
''',
}
