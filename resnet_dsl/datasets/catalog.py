"""The data sets that are known by name, as plain facts: no data is read here, and neither torch nor numpy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.table import shape_text


@dataclass(frozen=True, slots=True)
class Download:
    """One file to fetch: where from, its SHA-256, and its size in bytes as far as known for the message."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set. `folders` are tried first under each root that is searched; each of `layouts` is a set of files of one folder that suffices,
    `archives` are names, without their endings, of tar archives that hold one.

    `shape` is (channels, height, width), `count` the number of classes; None and 0 where the files decide. `classes` are
    their names, where the files do not hold them. A file may also lie there with `.gz` added.
    """

    name: str
    summary: str
    shape: tuple[int, int, int] | None = None
    count: int = 0
    classes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    layouts: tuple[tuple[str, ...], ...] = ()
    archives: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    package: str = ""


IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Training images and labels, test images and labels."""

_ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_TORONTO = "https://www.cs.toronto.edu/~kriz/"

_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))

_ALL = (
    DataSource(
        "digits",
        "1,797 handwritten digits, 8x8, grey, 10 classes; in the package",
        (1, 8, 8),
        10,
        tuple("0123456789"),
    ),
    DataSource(
        "fashion-mnist",
        "70,000 pictures of clothes, 28x28, grey, 10 classes; IDX files",
        (1, 28, 28),
        10,
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ("fashion-mnist", "FashionMNIST/raw", "."),
        (IDX_FILES,),
        (),
        (
            Download(_ZALANDO + "train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            Download(_ZALANDO + "train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            Download(_ZALANDO + "t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            Download(_ZALANDO + "t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        "dataset-fashion-mnist",
    ),
    DataSource(
        "mnist",
        "70,000 handwritten digits, 28x28, grey, 10 classes; IDX files",
        (1, 28, 28),
        10,
        tuple("0123456789"),
        ("mnist", "MNIST/raw", "MNIST", "."),
        (IDX_FILES,),
        (),
        (
            Download(_MNIST + "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            Download(_MNIST + "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            Download(_MNIST + "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            Download(_MNIST + "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    DataSource(
        "cifar10",
        "60,000 small photographs, 32x32, colour, 10 classes; the python or the binary archive, packed or unpacked",
        (3, 32, 32),
        10,
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        ("cifar10", "cifar-10", "CIFAR10", "."),
        (tuple(f"{n}.bin" for n in (*_BATCHES, "test_batch")), (*_BATCHES, "test_batch")),
        ("cifar-10-binary", "cifar-10-python", "cifar-10-batches-bin", "cifar-10-batches-py"),
        (Download(_TORONTO + "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
    ),
    DataSource(
        "cifar100",
        "60,000 small photographs, 32x32, colour, 100 classes; the python or the binary archive, packed or unpacked",
        (3, 32, 32),
        100,
        (),
        ("cifar100", "cifar-100", "CIFAR100", "."),
        (("train.bin", "test.bin", "fine_label_names.txt"), ("train", "test", "meta")),
        ("cifar-100-binary", "cifar-100-python"),
        (Download(_TORONTO + "cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),),
    ),
    DataSource(
        "imagefolder",
        "your own pictures: DIR/train/<class>/ and DIR/val (or test)/<class>/, or DIR/<class>/ alone, of one size or with a recipe that crops them "
        "(with --data-dir DIR)",
    ),
    DataSource(
        "webdataset",
        "your own pictures in tar shards: --data-dir DIR with an index.json, or --data-dir 'shards-{0000..0007}.tar'; needs the extra wds",
    ),
)

SOURCES: Mapping[str, DataSource] = {s.name: s for s in _ALL}
"""Every data set by name."""


def fitting(input: tuple[int, ...], classes: int) -> DataSource | None:
    """The first data set that a network reads as it is; None where there is none."""
    return next((s for s in _ALL if s.shape == input and s.count == classes), None)


def fitting_name(input: tuple[int, ...], classes: int) -> str:
    """The name of the first data set that a network reads as it is. Raises SpecError (exit 2) where there is none."""
    found = fitting(input, classes)
    if found is None:
        raise refuse(
            "usage",
            f"no known data set has images of {shape_text(input)} and {classes:,} classes",
            f"name one: {', '.join(SOURCES)}",
            at=Argument("data"),
        )
    return found.name
