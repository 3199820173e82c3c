"""Prints zoo.md, the shipped networks: python docs/zoo.py > docs/zoo.md"""

import re
from pathlib import Path

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.files import aliases, shipped_specs

PAPERS = {
    "he2015": "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015 (arXiv 1512.03385), and the VGG nets that it is compared with",
    "he2016": "He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, 2016 (arXiv 1603.05027)",
    "wide": "Zagoruyko, Komodakis: Wide Residual Networks, 2016 (arXiv 1605.07146)",
    "resnext": "Xie, Girshick, Dollar, Tu, He: Aggregated Residual Transformations, 2017 (arXiv 1611.05431)",
    "senet": "Hu, Shen, Sun: Squeeze-and-Excitation Networks, 2018 (arXiv 1709.01507)",
    "resnet-d": "He et al.: Bag of Tricks for Image Classification, 2019 (arXiv 1812.01187), and timm's variants",
    "regnet": "Radosavovic et al.: Designing Network Design Spaces, 2020 (arXiv 2003.13678)",
    "densenet": "Huang, Liu, van der Maaten, Weinberger: Densely Connected Convolutional Networks, 2017 (arXiv 1608.06993)",
    "highway": "Srivastava, Greff, Schmidhuber: Highway Networks, 2015 (arXiv 1505.00387), Training Very Deep Networks (arXiv 1507.06228)",
    "stochastic-depth": "Huang et al.: Deep Networks with Stochastic Depth, 2016 (arXiv 1603.09382)",
    "norm-free": "Zhang, Dauphin, Ma: Fixup, 2019 (arXiv 1901.09321); De, Smith: SkipInit, 2020 (arXiv 2002.10444)",
    "group-norm": "Wu, He: Group Normalization, 2018 (arXiv 1803.08494)",
    "res2net": "Gao et al.: Res2Net, 2019 (arXiv 1904.01169)",
    "mobilenet": "Sandler et al.: MobileNetV2, 2018 (arXiv 1801.04381)",
    "efficientnet": "Tan, Le: EfficientNet, 2019 (arXiv 1905.11946)",
    "darknet": "Redmon, Farhadi: YOLOv3, 2018 (arXiv 1804.02767)",
    "squeezenet": "Iandola et al.: SqueezeNet, 2016 (arXiv 1602.07360)",
    "mlp": "the residual MLP of many courses, and stacks for `probe target`",
    "small": "ours, for the recipe `fast`",
}


def page() -> str:
    """The page's text."""
    specs = shipped_specs()
    parts = [
        "# The zoo",
        f"{len(specs)} networks.\n"
        "Each name can be used where a command takes a SPEC: `resnet-dsl inspect resnet50`.\n"
        "MACs are multiply-accumulates of convolutions and linear layers for one input.\n"
        'What stands under "also called" can be used as well: other libraries\' names of the same network, layer by layer.\n'
        "A tag of timm's weights may follow a name: `resnet50.tv_in1k`.\n"
        "This page is written by `docs/zoo.py`.",
    ]
    for group, paper in PAPERS.items():
        rows = [
            f"## {group}",
            f"{paper[0].upper()}{paper[1:]}.",
            "| name | what it is | also called | lines | params | MACs | depth |\n|---|---|---|---:|---:|---:|---:|",
        ]
        for name, path in sorted(specs.items(), key=_natural):
            if path.parent.name == group:
                spec = load(name)
                cost = Costs(compile(spec)).network
                lines = len(path.read_text(encoding="utf-8").splitlines())
                also = ", ".join(f"`{alias}`" for alias, own in aliases().items() if own == name)
                link = f"[`{name}`](../specs/{group}/{name}.yaml)"
                rows[-1] += f"\n| {link} | {spec.description} | {also} | {lines} | {cost.params:,} | {cost.macs:,} | {cost.depth:,} |"
        parts += rows
    return "\n\n".join(parts) + "\n"


def _natural(item: tuple[str, Path]) -> list[tuple[int, str]]:
    """resnet20 before resnet110."""
    return [(int(p), "") if p.isdigit() else (0, p) for p in re.split(r"([0-9]+)", item[0])]


if __name__ == "__main__":
    print(page(), end="")
