"""How an operation is written in PyTorch: the constructor of its module, or an expression, and the modules that torch does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from resnet_dsl.ops.site import Site, Value


def side(pair: tuple[int, int]) -> str:
    return repr(pair[0]) if pair[0] == pair[1] else repr(pair)


def _given(site: Site, defaults: Mapping[str, Value]) -> str:
    """The keyword arguments that are not the default, `name=value, ...` with a leading comma."""
    return "".join(f", {k}={side(v) if isinstance(v, tuple) else repr(v)}" for k, d in defaults.items() if (v := site[k]) != d)  # type: ignore[arg-type]


def conv(site: Site) -> str:
    rest = _given(site, {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True})
    return f"nn.Conv2d({site.first[0]}, {site.out[0]}, {side(site.pair('kernel'))}{rest})"


def linear(site: Site) -> str:
    return f"nn.Linear({site.first[0]}, {site.out[0]}{_given(site, {'bias': True})})"


def batch_norm(site: Site) -> str:
    return f"nn.BatchNorm{2 if len(site.out) == 3 else 1}d({site.out[0]}{_given(site, {'eps': 1e-5, 'momentum': 0.1})})"


def layer_norm(site: Site) -> str:
    return f"{'LayerNorm2d' if len(site.out) == 3 else 'nn.LayerNorm'}({site.out[0]}, eps={site['eps']!r})"


def group_norm(site: Site) -> str:
    return f"nn.GroupNorm({site['groups']!r}, {site.out[0]}, eps={site['eps']!r})"


def instance_norm(site: Site) -> str:
    return f"nn.InstanceNorm2d({site.out[0]}, eps={site['eps']!r}, affine=True)"


def softmax(site: Site) -> str:
    return f"GroupSoftmax({site['groups']})" if site["groups"] != 1 else "nn.Softmax(1)"


def globalpool(site: Site) -> str:
    return f"nn.Adaptive{'Avg' if site['kind'] == 'avg' else 'Max'}Pool2d((1, 1))"


def pool(cls: str) -> Callable[[Site], str]:
    def text(site: Site) -> str:
        stride = f", stride={side(site.pair('stride'))}" if site["stride"] != site["kernel"] else ""
        padding = _given(site, {"padding": (0, 0)})
        return f"nn.{cls}({side(site.pair('kernel'))}{stride}{padding}{', ceil_mode=True' if site['ceil'] else ''})"

    return text


def affine(cls: str) -> Callable[[Site], str]:
    def text(site: Site) -> str:
        size = f"({site.out[0]}, 1, 1)" if len(site.out) == 3 else f"({site.out[0]},)"
        return f"{cls}({size if site['per'] == 'channel' else '()'}, init={site['init']!r}{'' if site.get('learn', True) else ', learn=False'})"

    return text


def pad_channels(site: Site) -> str:
    return f"PadChannels({site.out[0] - site.first[0]})"


def plain(text: str) -> Callable[[Site], str]:
    return lambda site: text


def with_arguments(cls: str, *names: str) -> Callable[[Site], str]:
    def text(site: Site) -> str:
        return f"{cls}({', '.join(side(v) if isinstance(v, tuple) else repr(v) for v in (site[n] for n in names))})"  # type: ignore[arg-type]

    return text


def infix(sign: str) -> Callable[[Site, Sequence[str]], str]:
    return lambda site, names: f" {sign} ".join(names)


def concat_expression(site: Site, names: Sequence[str]) -> str:
    return f"torch.cat([{', '.join(names)}], 1)"


def highway_expression(site: Site, names: Sequence[str]) -> str:
    return (
        f"highway({names[0]}, {names[1]}, torch.sigmoid({names[2]}){'[:, :, None, None]' if len(site.inputs[2]) < len(site.first) else ''})"
    )


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
