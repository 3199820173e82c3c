"""A trained network put to use: `open`, and what can be done with what it gives. torch is imported when a verb is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.transfer import TransferPlan, plan, plan_growth
from resnet_dsl.datasets.catalog import fitting_name
from resnet_dsl.datasets.naming import named, taken
from resnet_dsl.diagnostics import OVERRIDES, Argument, call, either, quote, quote_path, refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.folding import fold
from resnet_dsl.language import Spec
from resnet_dsl.language.stored import HOLDERS
from resnet_dsl.records.assessment import Assessment, Part
from resnet_dsl.records.exported import Exported, Verified
from resnet_dsl.records.folder import weights_file
from resnet_dsl.records.metadata import WeightsMetadata
from resnet_dsl.records.prediction import Predictions
from resnet_dsl.records.run import Run
from resnet_dsl.records.stated import NOTHING, Stated, WeightsOptions, read_options, require_count, silent
from resnet_dsl.records.target import Target, find, find_trained
from resnet_dsl.table import Answer, Column, Layout, Table, count, shape_text
from resnet_dsl.verbs.checks import OPSETS, fixed, one_of, require_ending, require_safetensors, require_spec, sides_of, whole
from resnet_dsl.verbs.targets import Settings, spec_of

if TYPE_CHECKING:
    from torch import nn

    from resnet_dsl.using.trained import LoadedNetwork

Name = str | os.PathLike[str]
Precision = Literal["auto", "fp32", "bf16"]
Resize = Literal["crop", "stretch", "refuse"]


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """A network that is ready to be used: of a run, of a spec with a file of weights, or of an exported file with its spec.

    `weights` is the file that holds its weights, None for a spec without any and for a run that has none yet; `stated` is what was said of them.
    """

    target: Target
    spec: Spec
    weights: Path | None
    stated: Stated = NOTHING

    @cached_property
    def graph(self) -> Graph:
        """The network, its batch norms folded if the weights are those of the folded one."""
        graph = compile(self.spec)
        return fold(graph) if self._metadata is not None and self._metadata.folded else graph

    @cached_property
    def run(self) -> Run | None:
        """The run that trained it, None where it is no run's."""
        return Run.open(self.target.folder) if self.target.kind == "run" else None

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where the weights do not say them. Raises SpecError (exit 3) where the file is damaged."""
        if self.stated.classes is not None:
            return self.stated.classes
        if self._metadata is not None and self.weights is not None:
            self._metadata.require_fit(self.graph, self.weights)
        names = None if self._metadata is None else self._metadata.classes
        return names or tuple(map(str, range(self.spec.classes)))

    @cached_property
    def _metadata(self) -> WeightsMetadata | None:
        return WeightsMetadata.of_file(self.weights) if self.weights is not None and self.weights.suffix in HOLDERS else None

    def evaluate(
        self,
        *,
        part: Part = "test",
        by: Literal["class"] | None = None,
        confusion: bool = False,
        data: object = None,
        data_dir: Name | None = None,
        crops: Literal[1, 10] = 1,
        scales: str | int | Sequence[int] = (),
        device: str = "auto",
        precision: Precision | None = None,
    ) -> Assessment:
        """Top-1 and top-5 accuracy and the loss on the images of a part of a data set.

        `data` is named as in `train`, or is (X, y) or a Dataset; what has no test part is then evaluated whole, unless the run held a
        share of it out. `data` left out is the run's own data set, or the one that fits the spec; `precision` left out is the run's. `by="class"` and
        `confusion` say what is printed besides the scores. `crops=10`: ten crops of each picture file; `scales`: whole pictures with
        the shorter side scaled to each.
        Raises SpecError: exit 2 for the request, 3 for files, data and device.
        """
        one_of("part", part, ("test", "validation", "train"))
        one_of("by", by, ("class", None))
        one_of("crops", crops, (1, 10))
        one_of("precision", precision, ("auto", "fp32", "bf16", None))
        sides = sides_of(scales)
        if sides and crops != 1:
            both = f"{Argument('crops')} and {Argument('scales')}"
            raise refuse("usage", f"{both} exclude each other", "keep one of the two", at=Argument("scales"))
        find_trained(self.target.name, self.weights if self.target.kind == "spec" else None)
        from resnet_dsl.using.assess import Views, assess

        name = taken(data) or (None if self.target.kind == "run" else fitting_name(self.spec.input, self.spec.classes))
        found = assess(
            self._computing(device, precision), data=name, data_dir=_path(data_dir), device=self._device(device), precision=precision,
            part=part, views=Views(crops, sides),
        )  # fmt: skip
        return replace(found, show_classes=by == "class", show_confusion=confusion)

    def predict(
        self,
        *pictures: Name | Iterable[Name] | Any,
        top: int = 3,
        resize: Resize | None = None,
        data: object = None,
        data_dir: Name | None = None,
        device: str = "auto",
        precision: Precision | None = None,
    ) -> Predictions:
        """The `top` likeliest classes of each picture: files, and folders of them at any depth; or of each row of arrays (N, ...), which may
        be .npy and .npz files.

        `resize` is for pictures of another size: `crop` (scaled, the middle kept), `stretch`, `refuse`; left out: as the run evaluated
        its pictures if it cropped them, else `crop`. `data` names the data set whose class names, mean and deviation are used where the
        weights do not bring their own. Pictures that cannot be read are in `failed`.
        Raises SpecError: exit 2 for the request, 3 for files and device.
        """
        if self.target.kind != "spec" and (data is not None or data_dir):
            raise fixed("predicts", Argument("data" if data is not None else "data_dir"))
        whole("top", top, 1)
        one_of("resize", resize, ("crop", "stretch", "refuse", None))
        one_of("precision", precision, ("auto", "fp32", "bf16", None))
        find_trained(self.target.name, self.weights if self.target.kind == "spec" else None)
        if isinstance(of := taken(data), str):
            named(of)
        if (given := _arrays(pictures)) is not None:
            if resize is not None:
                raise refuse("usage", "arrays are taken as they are", f"leave out {Argument('resize')}", at=Argument("resize"))
            from resnet_dsl.using.predict_arrays import images_in, predict_arrays

            rows = [(name, images_in(value) if isinstance(value, Path) else value) for name, value in given]
            return predict_arrays(
                self._computing(device, precision), rows, data=of, data_dir=_path(data_dir), top=top, device=self._device(device),
                precision=precision,
            )  # fmt: skip
        from resnet_dsl.using.predict import files, predict

        paths, left_out = files([Path(p) for given in pictures for p in ([given] if isinstance(given, str | os.PathLike) else given)])
        if not paths:
            raise refuse("usage", "there are no pictures to predict", "give picture files, or folders of them", at="pictures")
        return predict(
            self._computing(device, precision), paths, left_out=left_out, data=of, data_dir=_path(data_dir), top=top, resize=resize,
            device=self._device(device), precision=precision,
        )  # fmt: skip

    def export(
        self,
        path: Name,
        *,
        fold_bn: bool = False,
        opset: int | None = None,
        any_size: bool = False,
        precision: Literal["fp32", "fp16"] = "fp32",
        seed: int | None = None,
        tell: Callable[[str], object] = silent,
    ) -> Exported:
        """Write the network for other programs, with its spec, class names and normalisation: ONNX, torch.export's program, or safetensors.

        The ending of `path` decides: .onnx, .pt2 or .safetensors. `fold_bn` folds batch norms into the layers before them; `opset` is that of
        an ONNX file, 11 to 26; with `any_size` an .onnx or .pt2 file takes pictures of any height and width; in `fp16` weights and arithmetic
        are float16, and a program still reads and gives float32. `seed` draws the initial weights of a spec that has none. `tell` is called with
        what a user should know before anything slow begins. The file is checked against torch before it is written, and is whole or absent.
        Raises SpecError: exit 2 for the request, 1 where the exporter fails or the file computes something else, 3 for files and packages.
        """
        out = os.fspath(path)
        require_ending(out, self.target.name, opset, any_size=any_size)
        if opset is not None:
            whole("opset", opset, *OPSETS)
        one_of("precision", precision, ("fp32", "fp16"))
        if seed is not None and (self.weights is not None or self.target.kind == "run"):
            problem = f"{either('seed', '--seed')} is for initial weights, and these are given"
            raise refuse("usage", problem, "leave it out", at=Argument("seed"))
        self._require_tensors("an export")
        from resnet_dsl.runtime.export import ExportForm
        from resnet_dsl.using.export import export

        trained = (
            None
            if self.weights is None and self.target.kind == "spec"
            else replace(self, stated=replace(self.stated, tell=silent))._loaded()
        )
        form = ExportForm(opset, any_size, precision)
        return export(self.spec, trained, out, fold_bn=fold_bn, form=form, seed=seed or 0, tell=tell)

    def verify(self, file: Name) -> Verified:
        """Compare an exported file with this network: its outputs on noise, and the spec, class names and normalisation that it holds.

        `file` is an .onnx, .pt2 or .safetensors file, of whichever program; what it does not hold is not compared.
        Raises SpecError: exit 1 where it computes something else, or holds other names; 2 for the request; 3 for files and packages.
        """
        require_ending(os.fspath(file), self.target.name, None, name="verify")
        find_trained(self.target.name, self.weights if self.target.kind == "spec" else None)
        self._require_tensors("a comparison")
        from resnet_dsl.using.verify import verify

        return verify(self._loaded(), Path(file))

    def into(self, other: Spec | Name, *, grow: bool = False, overrides: Settings = (), seed: int = 0) -> Transfer:
        """The plan by which another network begins with these weights, and `save`, which carries it out.

        What fits by name and shape is copied, the rest is new, drawn from `seed`. With `grow` the other is a deeper network of this kind:
        what it adds begins as the identity, so both compute the same. `overrides` are those of the other network.
        Raises SpecError (exit 2).
        """
        spec = spec_of(other, overrides)
        of_a, of_b = self.graph, compile(spec)
        name = spec.name if isinstance(other, Spec) else os.fspath(other)
        return Transfer(self, name, spec, of_b, (plan_growth if grow else plan)(of_a, of_b), grow, seed)

    def module(self) -> nn.Module:
        """The network as a PyTorch module with its weights, on the CPU, in training mode as torch makes modules.

        Raises SpecError: exit 2 where there are no weights, or they are another network's; 3 where the file is missing or damaged.
        """
        self._require_weights()
        self._require_tensors("a module")
        return self._loaded().module()

    def _require_weights(self) -> None:
        if self.weights is None and self.target.kind == "spec":
            name = self.target.name
            help = f"add {Argument('weights', 'FILE')}, or give a run's folder"
            raise refuse("usage", f"{quote_path(name)} is a spec, and has no weights", help, at=name)

    def _device(self, device: str) -> str:
        return "cpu" if self.target.kind == "program" else device

    def _require_tensors(self, to: str) -> None:
        if self.target.kind == "program":
            problem = f"{quote(self.target.name)} is an exported program: it computes, and its weights stay inside"
            raise refuse("usage", problem, f"{to} needs the run, or a .safetensors file", at=self.target.name)

    def _computing(self, device: str, precision: Precision | None) -> LoadedNetwork:
        """The network with its weights, or the program, which computes on the CPU as it was exported."""
        if self.target.kind == "program":
            for name, given, own in (("device", device, ("auto", "cpu")), ("precision", precision, (None, "auto", "fp32"))):
                if given not in own:
                    problem = f"{quote(self.target.name)} is an exported program: it runs on the CPU, as it was exported"
                    raise refuse("usage", problem, f"leave out {Argument(name)}", at=Argument(name))
        return self._loaded()

    def _loaded(self) -> LoadedNetwork:
        if self.target.kind == "program":
            from resnet_dsl.using.deployed import from_file

            return from_file(self.spec, Path(self.target.name))
        from resnet_dsl.using.trained import from_run, from_weights

        if self.target.kind == "run":
            return from_run(self.target.folder)
        assert self.weights is not None
        found = from_weights(self.spec, self.weights, self.stated)
        for text in found.said:
            self.stated.tell(text)
        return found

    def _table(self) -> Table:
        rows = {
            "network": self.graph.name,
            "input": shape_text(self.graph.input),
            "classes": count(self.graph.classes),
            "params": count(Costs(self.graph).network.params),
            "weights": "none" if self.weights is None else str(self.weights),
        }
        return Table(tuple(Column(key, key) for key in rows), [list(rows.values())], upright=True)

    def __repr__(self) -> str:
        graph = self.graph
        held = "no weights" if self.weights is None else f"weights {str(self.weights)[-100:]}"
        shape = f"{shape_text(graph.input)} to {graph.classes:,} classes"
        return f"<Trained {graph.name:.80}: {shape}, {Costs(graph).network.params:,} params, {held}>"

    def __str__(self) -> str:
        return self._table().render("table")

    def _repr_html_(self) -> str:
        return self._table().render("html")


@dataclass(frozen=True, eq=False, repr=False)
class Transfer(Answer):
    """How network `b` begins with the weights of `a`: each tensor of B, and what happens to it. `file` holds B's weights once they are saved.

    `b` is B's name as it was given. What is new in B is drawn from `seed`. `by` says whether a row of the table is a part or a tensor.
    """

    a: Trained
    b: str
    spec: Spec
    graph: Graph
    plan: TransferPlan
    grown: bool
    seed: int
    file: str | None = None
    by: Literal["part", "tensor"] = "part"

    def save(self, path: Name) -> Transfer:
        """Write B's weights to a `.safetensors` file, with its spec. With `grown`, both networks are run and compared bit for bit before.

        Raises SpecError: exit 2 where A has no weights or nothing of A fits, 1 where a grown network computes something else, 3 for files.
        """
        out = os.fspath(path)
        require_safetensors(out)
        self.a._require_weights()
        if "copied" not in self.plan.counts:
            a = self.a.target
            help = f"`{call('diff', a.text, self.b)}` shows what sets them apart"
            raise refuse("weights-fit", f"no tensor of {quote(a.name)} fits {quote(self.b)}", help, at=self.b)
        from resnet_dsl.using.transfer import write

        write(self.plan, self.a._loaded(), self.spec, self.graph, Path(out), self.seed, grown=self.grown)
        return replace(self, file=out)

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One row per run of modules and blocks to which the same happens, or per tensor."""
        return [self.plan.by_part() if self.by == "part" else self.plan.by_tensor()]

    def to_dict(self) -> dict[str, Any]:
        """What `transfer` prints as JSON."""
        return self.plan.to_dict() | {"grown": self.grown, "seed": None if self.file is None else self.seed, "file": self.file}

    def summary(self) -> str:
        """Both networks, and how many tensors of each kind there are."""
        counts = ", ".join(f"{n:,} {what}" for what, n in self.plan.counts.items())
        return f"{self.plan.b:.80} from {self.plan.a:.80}: {counts}{f'; in {self.file[-80:]}' if self.file else ''}"


def open(target: Name, weights: Name | None = None, overrides: Settings = (), **options: Unpack[WeightsOptions]) -> Trained:
    """A network to be used: `open("runs/first")`, `open("net.safetensors")`, `open("resnet18", weights="resnet18.pth")`.

    `target` is a run's folder, a `.safetensors` file that holds its spec, an `.onnx` or `.pt2` file that `export` wrote, which can be evaluated
    and predicts, or a spec; a spec may have `weights`, a `.safetensors` or `.pth` file, and `overrides`. The other keywords (`WeightsOptions`) say how to bring a file's weights into the network, and what it reads
    where the file does not say it: `open("resnet18", weights="resnet18.pth", normalisation="imagenet")`.

    Raises SpecError: exit 2 for a spec that is refused, 3 for a folder that holds no run.
    """
    found = find(target)
    found.refuse_folder()
    if found.kind in ("run", "program"):
        if weights is not None:
            find_trained(target, weights)
        if overrides:
            raise fixed("is opened", OVERRIDES)
    require_spec(found)
    asked = read_options(options)
    file = found.weights if weights is None else weights_file(Path(weights))
    if (name := asked.asked) is not None and (found.kind in ("run", "program") or file is None):
        raise refuse(
            "usage",
            f"{Argument(name)} is for given weights",
            f"leave it out, or give a spec and {Argument('weights', 'FILE')}",
            at=Argument(name),
        )
    spec = found.load(overrides)
    if asked.classes is not None:
        require_count(asked.classes, spec.classes)
    return Trained(found, spec, file, asked)


def _arrays(given: Sequence[Any]) -> list[tuple[str, object]] | None:
    """Arrays, or files of them, with what each is called; None where pictures are given. Raises SpecError (exit 2) for a mixture."""
    flat = [p for g in given for p in (g if isinstance(g, list | tuple) and all(isinstance(x, str | os.PathLike) for x in g) else [g])]
    arrays = [not isinstance(p, str | os.PathLike) or os.fspath(p).endswith((".npy", ".npz")) for p in flat]
    if not any(map(_rows, flat)) and not any(isinstance(p, str | os.PathLike) and a for p, a in zip(flat, arrays, strict=True)):
        return None
    if not all(arrays):
        raise refuse("usage", "arrays and pictures are predicted by calls of their own", "give one kind at a time", at="pictures")
    return [
        (os.fspath(p), Path(p)) if isinstance(p, str | os.PathLike) else (f"array {i}" if len(flat) > 1 else "array", p)
        for i, p in enumerate(flat)
    ]


def _rows(given: object) -> bool:
    """Images as an array or a tensor, or as a list of them."""
    return hasattr(given, "shape") or (isinstance(given, list | tuple) and len(given) > 0 and all(hasattr(x, "shape") for x in given))


def _path(given: Name | None) -> Path | None:
    return None if given is None else Path(given)
