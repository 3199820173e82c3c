"""What the codes in `error[CODE]` mean, for `resnet-dsl explain CODE`.

An example is the part of a spec that matters; a test puts each into a whole spec and checks that it is refused with its
code, and that its corrected form is not. Codes without an example are about files, data and runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill, indent

from resnet_dsl.table import Answer, Column, Layout, Table


@dataclass(frozen=True, slots=True, repr=False)
class Explanation(Answer):
    """A code in one line, why it is refused and what to do, and an example with its corrected form."""

    title: str
    why: str
    wrong: str = ""
    right: str = ""
    help: str = ""
    code: str = ""

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One row."""
        document = self.to_dict()
        return [Table(tuple(Column(key, key) for key in document), [list(document.values())], upright=format != "csv")]

    def to_dict(self) -> dict[str, str]:
        """Its fields."""
        return {"code": self.code, "title": self.title, "why": self._why, "help": self.help, "wrong": self.wrong, "right": self.right}

    def summary(self) -> str:
        """The code and its title."""
        return f"{self.code}: {self.title}"

    @property
    def _why(self) -> str:
        return " ".join(self.why.split())

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The text that `explain` prints, in lines of at most 80 columns."""
        if format != "table":
            return Answer.render(self, format, bold=bold, width=width, quiet=quiet)
        parts = [self.summary(), fill(self._why, 80)]
        if self.help:
            parts += [fill(f"What to do: {self.help}.", 80)]
        if self.wrong:
            parts += [f"Wrong:\n\n{indent(self.wrong.strip(), '    ')}", f"Right:\n\n{indent(self.right.strip(), '    ')}"]
        return "\n\n".join(parts) + "\n"


_E = Explanation

_READING = {
    "yaml-syntax": _E("this is not YAML",
        "The file cannot be read at all, so nothing else in it is checked. Most often a bracket or a quote is not closed, or a "
        "line is not indented like its neighbours.",
        "stages: [{depth: 1, width: 16}", "stages: [{depth: 1, width: 16}]"),
    "yaml-feature": _E("YAML that a spec does not use",
        "A spec is plain data: no anchors, aliases, merge keys, tags or directives, and one document per file. Write what repeats "
        "with `params`, `repeat`, a block of your own or `extends`.",
        "stages: [&s {depth: 1, width: 16}, *s]", "stages: [{depth: 1, width: 16}, {depth: 1, width: 16}]"),
    "duplicate-key": _E("the same key twice",
        "Most YAML readers keep the last of the two and say nothing. Here you must say which one you mean.",
        "classes: 10\nclasses: 100", "classes: 100"),
    "key-not-text": _E("a key that is not text",
        "Keys are words. A list, a mapping or another value cannot stand before a colon.",
        "params: {[a, b]: 1}", "params: {a: 1, b: 1}"),
    "comma-in-flow": _E("a comma that ends the value too early",
        "Inside {} and [] a comma ends a plain value, so put an expression with a comma in quotes there.",
        "stages: [{depth: 1, width: max(8, 16)}]", 'stages: [{depth: 1, width: "max(8, 16)"}]'),
    "null": _E("an empty value",
        "Every null is refused, written out or left empty, because its meaning would be a guess. Write `- norm` in place of `- norm:`.",
        "act: ~", "act: relu"),
    "not-a-mapping": _E("a document that is not a mapping",
        "A spec is a mapping from keys to values: `classes: 10`, one key per line."),
    "not-a-spec": _E("a document of another kind",
        "Studies, recipes, and the records that runs and studies write are YAML or JSON too, but no specs. The message names the command that "
        "reads them."),
    "empty": _E("an empty document", "The file holds only blanks and comments. `resnet-dsl new` writes a spec to start from."),
    "character": _E("a character that is not allowed",
        "Control characters, invisible characters and line separators are refused, because nobody sees them. The message shows them as "
        "U+XXXX. The text must be UTF-8."),
    "nesting": _E("nested too deeply",
        "At most 32 levels of mappings and lists; the root is the first. Definitions under `blocks` and `sequences` make a spec flatter."),
    "too-large": _E("a file over 1 MiB", "A spec is a short text. A file of this size is something else, perhaps weights."),
    "too-many-nodes": _E("too many values",
        "A document has at most 50,000 keys and values. Write repeated parts once, with `repeat` or with expressions over `index`."),
    "file-not-found": _E("no such file or shipped spec",
        "A name that ends in .yaml or .yml, or has a slash, is a path. Anything else is first looked up among the shipped specs; "
        "`resnet-dsl list` shows their names."),
    "file-unreadable": _E("a file that may not be read",
        "The file exists, but the system does not allow reading it: permissions, or the disk. Exit code 3."),
    "not-a-file": _E("not a regular file",
        "Directories, devices and pipes are not read as specs. To use a pipe, write - and send the spec to standard input."),
}  # fmt: skip

_FORM = {
    "unknown-key": _E("an unknown key",
        "Unknown keys are errors, so that a misspelt key never silently leaves a setting at its default.",
        "clases: 10\nclasses: 10", "classes: 10"),
    "missing-key": _E("a missing key",
        "There is no sensible default for it. The place shown is the start of the mapping where it is missing.",
        "stages: [{depth: 3}]", "stages: [{depth: 3, width: 16}]"),
    "wrong-type": _E("a value of another kind",
        "Numbers, words, lists and mappings are not converted into one another: `True` and `yes` are words, `true` is a condition.",
        "stages: {depth: 1, width: 16}", "stages: [{depth: 1, width: 16}]"),
    "step-form": _E("a step that is not written as one",
        "A step is a bare name, or a name with a mapping of its arguments; each dash has one name. Arguments stand inside the braces, or "
        "indented under the name.",
        "stem: [{conv: {out: 16, kernel: 3}, norm: {kind: batch}}]",
        "stem: [{conv: {out: 16, kernel: 3}}, {norm: {kind: batch}}]"),
    "unknown-step": _E("an unknown step",
        "Steps are the rows of `resnet-dsl list ops`, the shipped sequences, and your own under `sequences`.",
        "stem: [conv2d: {out: 16, kernel: 3}]", "stem: [conv: {out: 16, kernel: 3}]"),
    "unknown-name": _E("an unknown name",
        "Blocks, shortcut policies, norms and the like are given by name; a name never imports code. `resnet-dsl list blocks`, "
        "`list shortcuts`, ... show the names.",
        "block: bottelneck", "block: bottleneck"),
    "unknown-argument": _E("an unknown argument",
        "The name is known, but it takes no argument of this name. `resnet-dsl list blocks` and `list ops` show what each takes.",
        "block: {bottleneck: {group: 2}}", "block: {bottleneck: {groups: 2}}"),
    "missing-argument": _E("a missing argument",
        "The argument has no default, and it does not follow from anything else.",
        "stem: [conv: {out: 16}]", "stem: [conv: {out: 16, kernel: 3}]"),
    "unused-argument": _E("an argument that is never used",
        "A definition takes an argument or computes a `let` and never uses it, which is a mistake: most often a name is "
        "misspelt in its body.",
        "sequences:\n  entry: {args: {size: 3}, steps: [conv: {out: 16, kernel: 3}]}\nstem: entry",
        "sequences:\n  entry: {args: {size: 3}, steps: [conv: {out: 16, kernel: size}]}\nstem: entry"),
    "name-taken": _E("a name that is in use",
        "Two modules of one scope, two stages, or a definition and a built-in would have the same name, and checkpoints could not "
        "tell them apart.",
        "stages: [{depth: 1, width: 16, name: a}, {depth: 1, width: 16, name: a}]",
        "stages: [{depth: 1, width: 16, name: a}, {depth: 1, width: 16, name: b}]"),
    "bad-name": _E("a name that is not allowed",
        "Names become names of Python modules and of variables in expressions: letters, digits and _, no word of the language, and no name "
        "that PyTorch's modules use.",
        "params: {if: 3}", "params: {cond: 3}"),
    "extends": _E("a parent that is not allowed",
        "`extends` is a shipped spec's name, or the relative path of a .yaml file inside the folder of the spec. It never leaves "
        "that folder.",
        "extends: ../base.yaml", "extends: resnet20"),
    "cycle": _E("a definition that refers to itself",
        "The language has no recursion, so that expansion always ends: no sequence contains itself, no spec extends itself, no name is "
        "computed from itself.",
        "sequences: {a: [b], b: [a]}\nstem: a", "sequences: {a: [b], b: [norm]}\nstem: a"),
    "patch": _E("a patch that does too much",
        "With `extends`, `stages` as a mapping changes the parent's stages by name. It may not add, remove or rename a stage; to do "
        "that, write the stages as a list.",
        "extends: resnet20\nstages: {layer3: {name: last}}", "extends: resnet20\nstages: {layer3: {depth: 5}}"),
    "recipe": _E("a recipe that is not valid",
        "A key of the training recipe has a value out of range, or two keys exclude each other.",
        "train: {epochs: 3, steps: 100}", "train: {epochs: 3}"),
    "train": _E("a recipe that cannot be used here",
        "`train` is a shipped recipe's name, a recipe written in place, or the relative path of a .yaml file inside the spec's folder.",
        "train: ../recipe.yaml", "train: quick"),
}  # fmt: skip

_EXPRESSIONS = {
    "expression-syntax": _E("an expression that cannot be read",
        "Where a number or a condition is expected, text is an expression: + - * / // %, comparisons, and or not, `a if c else b`, min max "
        "ceil floor round divisible.",
        "stages: [{depth: 1, width: 16 +}]", "stages: [{depth: 1, width: 16 + 16}]"),
    "expression-kind": _E("a number where a condition is expected, or the other way round",
        "A condition is never a number, and a number is never a condition: write `se > 0`, not `se`.",
        "stem: [conv: {out: 16, kernel: 3, bias: 1}]", "stem: [conv: {out: 16, kernel: 3, bias: true}]"),
    "number-form": _E("a number written in another system",
        "Numbers are decimal, and there is one way to write them: no 0x10, no 0o20, no 1_000, no leading zeros.",
        "classes: 010", "classes: 10"),
    "unknown-variable": _E("an unknown name in an expression",
        "An expression can use the spec's `params`, `classes`, and the names of the place where it stands: `in`, `width`, `stride`, "
        "`index`, ... in a block. A parameter is `k`, not `params.k`.",
        "params: {k: 2}\nstages: [{depth: 1, width: 16 * kk}]", "params: {k: 2}\nstages: [{depth: 1, width: 16 * k}]"),
    "division-by-zero": _E("a division by zero", "The expression divides by something that is zero here.",
        "stages: [{depth: 1, width: 16 // 0}]", "stages: [{depth: 1, width: 16 // 2}]"),
    "not-whole": _E("a fraction where a whole number is expected",
        "Sizes and counts are never rounded for you: `5/2` is an error, `5//2` and `round(5/2)` are not.",
        "stages: [{depth: 1, width: 5/2}]", "stages: [{depth: 1, width: 5//2}]"),
    "out-of-range": _E("a number outside its range", "The message gives the range.",
        "stages: [{depth: 0, width: 16}]", "stages: [{depth: 1, width: 16}]"),
    "limit": _E("more than the language allows",
        "Every size has a limit, so that a spec is always answered in seconds: 100,000 blocks, 1,000 stages, widths and sides of "
        "65,536, 1e11 parameters, and so on.",
        "stages: [{depth: 200000, width: 16}]", "stages: [{depth: 100, width: 16}]"),
}  # fmt: skip

_NETWORK = {
    "shape": _E("an operation that cannot read its input",
        "Every shape is computed. The message says what comes in and what the operation reads. `resnet-dsl inspect --by op` shows the "
        "shapes of a valid spec.",
        "head: [linear: {out: classes}]", "head: [globalpool, flatten, linear: {out: classes}]"),
    "merge-shape": _E("two branches of different shape",
        "The outputs of the body and of the shortcut must have the same channels and size. The message names both. A body that "
        "changes the size must use the block's `stride`.",
        "blocks:\n  mine: {body: [conv: {out: out, kernel: 3}]}\nblock: mine\nstages: [{depth: 1, width: 16, stride: 2}]",
        "blocks:\n  mine: {body: [conv: {out: out, kernel: 3, stride: stride}]}\nblock: mine\nstages: [{depth: 1, width: 16, stride: 2}]"),
    "merge-without-shortcut": _E("a merge with nothing to merge",
        "Where the policy says `none` there is no shortcut, and only `add` has a meaning then: the block is a plain one.",
        "shortcut: none\nmerge: concat", "shortcut: none\nmerge: add"),
    "policy-refuses": _E("a shortcut policy that refuses this change",
        "The shortcut policy refuses blocks whose shape changes, as `identity` does, or it refuses the change that this block makes.",
        "shortcut: identity\nstages: [{depth: 1, width: 16, stride: 2}]", "shortcut: B\nstages: [{depth: 1, width: 16, stride: 2}]"),
    "dilation": _E("a stage's dilation that its block has no use for",
        "A stage's `dilation` reaches the block as `dilation` and `first_dilation`. A block whose convolutions take neither would ignore it.",
        "blocks: {own: {body: [conv: {out: width, kernel: 3}, norm]}}\nblock: own\nstages: [{depth: 1, width: 16, dilation: 2}]",
        "blocks: {own: {body: [conv: {out: width, kernel: 3, dilation: dilation}, norm]}}\nblock: own\nstages: [{depth: 1, width: 16, dilation: 2}]"),
    "output-stride": _E("an output stride that the stages' strides cannot give",
        "`output_stride` turns strides of stages into dilation where they would divide the input by more. It must be what the strides of stem and "
        "stages multiply to at some stage, and no less than the stem's.",
        "output_stride: 3\nstages: [{depth: 1, width: 16}, {depth: 1, width: 32, stride: 2}]",
        "output_stride: 2\nstages: [{depth: 1, width: 16}, {depth: 1, width: 32, stride: 2}, {depth: 1, width: 64, stride: 2}]"),
    "even-kernel": _E("an even kernel with padding `same`",
        "An even kernel has no middle, so no padding keeps the size. Use an odd kernel, or write the padding.",
        "stem: [conv: {out: 16, kernel: 4}]", "stem: [conv: {out: 16, kernel: 4, padding: 1}]"),
    "head": _E("a network that does not end in its classes",
        "The output of the head must be a vector with one feature per class.",
        "head: [globalpool, flatten]", "head: [globalpool, flatten, linear: {out: classes}]"),
    "expect": _E("a figure that is not the expected one",
        "`expect` states figures, bounds and shapes of the network. The message shows both figures; correct the network or the figure. "
        "Options that change the spec turn this check off, and `check --exercise` tells no figure.",
        "expect: {depth: 20}", "expect: {depth: 4}"),
}  # fmt: skip

_RUNNING = {
    "usage": _E("a mistake in the command line", "`resnet-dsl COMMAND --help` shows the arguments and options of the command, and ends with an example."),
    "budget": _E("a budget that is too small for every network of the family",
        "`fit` scales widths, depths or both. The message shows the cost of the smallest such network: allow that much, let more "
        "change, or start from a smaller spec."),
    "file-exists": _E("a file that already exists", "This command never overwrites a file. Choose another name, or delete the file."),
    "output": _E("a file that cannot be written",
        "The folder is missing, the disk or its permissions do not allow it, or something that is not a regular file already has that name."),
    "picture-size": _E("a picture that is too large to read",
        "It has more than 5,000 boxes, or is a PNG of more than 100 million pixels. Fold more (`--by stage`), or write SVG."),
    "drawing-engine": _E("the drawing engine is missing or failed",
        "The package graphviz-pure makes SVG and PNG; it is installed with resnet-dsl. Files that end in .dot and .mmd need no "
        "engine."),
    "environment": _E("the system refused something", "The cause is the disk, permissions or another resource of the machine. Exit code 3."),
    "bug": _E("a bug in resnet-dsl", "No spec and no option should cause this failure. Please report it. Exit code 70."),
}  # fmt: skip

_DATA = {
    "data-missing": _E("a data set that was not found",
        "The message says where we looked for it. `--data-dir` names a folder for one command, $RESNET_DSL_DATA for all commands. `--download` "
        "fetches data sets that may be downloaded."),
    "data-fit": _E("a network that does not fit the data",
        "Channels, size or classes differ. Nothing is resized silently; the message names the `--set` that fixes it."),
    "data-layout": _E("an array whose axes can be read in two ways",
        "What the network reads decides how axes are read. Where that leaves two readings, say which: a key `layout` beside the array, NCHW or NHWC."),
    "data-values": _E("a number in the data that no network can use", "It is nan, infinite, or a whole number beyond what float32 holds exactly."),
    "data-keys": _E("arrays whose names are not understood",
        "Images and labels are called x and y, images and labels, data and target, each also with train and test: x_train, test_labels. "
        "Two names for the same are refused as well."),
    "data-kind": _E("something that is not read as data",
        "Data is arrays, a map-style Dataset of (image, label), or a path: a folder, .npz, x.npy,y.npy. `resnet-dsl list data` shows all."),
    "data-code": _E("code that gives the data, and does not",
        "It raises, or a file names it: code runs only where somebody typed its name, --data MODULE:NAME."),
    "data-item": _E("an item of a Dataset that cannot be used", "The Dataset raises where an item is read, or gives something else than (image, label)."),
    "data-size": _E("pictures of different sizes",
        "All pictures of a folder must have one size and one number of channels; nothing is resized silently. "
        "A recipe with `augment.crop` cuts squares out of pictures of any size."),
    "data-batch": _E("a batch larger than the data", "There are fewer training images than one batch holds. Use a smaller `train.batch`."),
    "data-split": _E("no images left to train on",
        "`train.validation` holds out all training images or more than there are; or the images come from shards, which cannot be divided."),
    "batch-split": _E("a batch that cannot be divided",
        "Processes and `train.accumulate` each take an equal part of a batch; mixup and cutmix need an even number in each part."),
    "norm-one-value": _E("a norm that takes its mean over one value",
        "A batch norm of a map of 1x1 sees one value a channel for each image, so it needs two images at a time: in a batch, in each of its parts "
        "(`train.accumulate`), and in each process. An instance norm of such a map, or a group norm with one channel a group, always gives "
        "its bias, and torch refuses it."),
    "workers-died": _E("a process that decodes pictures died",
        "The system ended it, most often because memory or space in /dev/shm ran out. Use fewer processes with --workers, or a smaller batch. "
        "`train --resume` continues from the last checkpoint."),
    "data-changed": _E("other data than at the start of the run",
        "A run must continue with the data that it began with, and the checksums differ. Use the first data, or begin a new run."),
    "data-damaged": _E("a data file that is not what it should be",
        "It is cut short, has another size or format, or its parts do not belong together. Fetch it again."),
    "data-unreadable": _E("a data file that may not be read", "The file exists, but the system does not allow reading it: permissions, or the disk."),
    "data-unsafe": _E("a pickle that asks for more than data",
        "A pickle can run programs. Here pickles may hold only arrays, and this one asks for something else. Do not trust "
        "the file."),
    "download-failed": _E("a file that could not be fetched",
        "There is no network, or the server refuses. Get the file elsewhere and use `--data-dir`."),
    "download-damaged": _E("a fetched file with a wrong checksum", "The fetched file is not the one that we know, so it was not kept."),
    "extra-missing": _E("an optional package that is not installed", "The message names the extra, for example `pip install 'resnet-dsl[torch]'`."),
    "memory": _E("not enough memory", "The data does not fit into the free memory."),
    "device-missing": _E("a device that is not available",
        "The machine, or this build of torch, does not have it. `resnet-dsl doctor` shows the devices; `--device auto` takes the best one."),
    "compile-missing": _E("torch.compile finds no compiler",
        "On a CPU it needs a C++ compiler and Python's headers, on a GPU Triton and a C compiler. Without `--compile` a run trains uncompiled."),
    "compile-failed": _E("torch.compile failed",
        "The message holds its first error. `--no-compile` trains without it, more slowly and with the same recipe."),
}  # fmt: skip

_RUNS = {
    "not-finite": _E("a loss that is not a number",
        "Training diverged and stopped at once; earlier checkpoints are kept. Most often the learning rate is too high, or the "
        "network has no norm."),
    "assertion": _E("an assertion that does not hold",
        "`probe --assert` compares the probe's figures; the message shows the values of those that the expression names. If a figure is not "
        "finite, every assertion about it fails."),
    "disk": _E("a disk that a run cannot write to",
        "Free some space, or choose another `--out`. Earlier files are unchanged."),
    "run-exists": _E("a run's folder that is not empty", "Runs are never overwritten. Choose another `--out`, or continue with `--resume`."),
    "run-missing": _E("no run there", "The folder does not exist, or does not hold a run. Runs are under runs/ unless `--out` named another place."),
    "run-locked": _E("a run that another process is using", "Two processes may not write one run. Wait for the other process, or stop it."),
    "ranks-environment": _E("processes that are not fully described",
        "The environment says that there are several processes, but not which one this is or where the others are. `torchrun` sets all of this."),
    "ranks-connect": _E("processes that cannot connect to each other",
        "Each must reach the address of the first, and the network between them must leave the ports open."),
    "ranks-differ": _E("processes that do not do the same",
        "Before the first step all processes compare the SHA-256 of spec, recipe and data. Give every machine the same command, files and data."),
    "ranks-layout": _E("a way to distribute a network that is not available here", "torch synchronises batch norm over processes only on CUDA."),
    "rank-lost": _E("a process that was lost",
        "One of several died, or did not answer in time (`RESNET_DSL_TIMEOUT` seconds, 600 by default). Its own message, if there is one, "
        "says why. Continue with `--resume`, or let `torchrun --max-restarts` do so."),
    "cluster-connect": _E("a Ray cluster that cannot be reached",
        "`--address` names a cluster that is already running. Without it `study --engine ray` starts one on this machine for the time of the study."),
    "cluster-worker": _E("a machine of the cluster that cannot take part",
        "A run is its folder, so every machine must see the study's folder under the same path, and have the same resnet-dsl and torch. "
        "Finished runs are kept: fix the machine and give the same command again."),
    "run-damaged": _E("a run's folder that was changed", "A file in it is not as it was written. Start the run again."),
    "run-differs": _E("another run than the one to resume",
        "`--resume` with a SPEC resumes a run only if it began with that spec and recipe."),
    "run-shorter": _E("a run that already has the length asked for",
        "`--resume` with `--epochs` or `--steps` makes a run longer. Ask for more than it has, or leave out the length."),
    "memory": _E("a step that does not fit in memory",
        "Weights, gradients, the optimizer's state and the maps that the backward pass needs take more memory than is free. Accumulate the "
        "batch in parts, or make it smaller."),
    "checkpoint-damaged": _E("no checkpoint that can be used", "Each one is cut short or altered. Delete them to start the run again."),
    "checkpoint-fit": _E("a checkpoint of another spec, recipe or data", "A run can be resumed only with the same three: its checkpoints hold their checksums."),
    "weights-missing": _E("no weights there", "The file does not exist, or the run has not written weights yet."),
    "folded": _E("a network that cannot be trained",
        "Its batch norms are folded into the layers before them (`export --fold-bn`), so nothing normalises while the weights change."),
    "export-fit": _E("a network that the file's format cannot hold", "The message says what does not fit, and what does."),
    "export-failed": _E("torch's exporter failed", "The message holds its first error. Nothing was written."),
    "export-differs": _E("an exported file that computes other outputs",
        "The file was run before it was written, and its outputs were not torch's. Nothing was written."),
    "spec-missing": _E("weights without a spec",
        "A .safetensors file can stand for a network only if its metadata holds the spec, as `train` and `export` write it. "
        "`resnet-dsl import` reads a spec from the names and shapes of other files."),
    "weights-unknown": _E("weights whose network is not recognised",
        "`import` reads stages of blocks (scopes called 0, 1, ...) with the names of docs/language.md, which are torchvision's for its ResNets: "
        "shipped blocks and policies with any depths, widths, groups and ratios, chains of conv and norm as blocks of their own, "
        "and every shipped spec, whatever its classes and channels."),
    "weights-shapes": _E("JSON without names and shapes",
        "`import` reads JSON that is one object from the names of tensors to their shapes, each a list of whole numbers."),
    "weights-damaged": _E("weights that cannot be read",
        "The file is not whole, or was changed after it was written. Copy it again, or let the run write it again."),
    "not-weights": _E("a file that holds no weights",
        "Weights are read from safetensors files, from torch.save's files (a state_dict, alone or among other things, or a whole module), from "
        "pickles of numpy arrays and from .npz. Nothing in a file is run: what is no tensor is passed over. The message says what the file is instead."),
    "weights-several": _E("a file with more than one state_dict",
        "Training scripts keep averaged weights beside the plain ones, or two networks in one file. The message lists the keys; say which one is meant."),
    "weights-tensors": _E("tensors that a network cannot hold",
        "A weight must be dense and real, and each of its numbers finite. Sparse, quantized, complex and meta tensors are refused by name, and so "
        "is a tensor with nan or an infinity in it."),
    "weights-fit": _E("weights of another network",
        "Names or shapes of the tensors are not those of the spec, or the library that they come from computes something else with them. "
        "`resnet-dsl weights SPEC FILE` shows every tensor."),
    "weights-prefix": _E("weights that may be read in several ways",
        "The file holds a network under each of several prefixes, as the two encoders of a contrastive training, or none under the prefix "
        "that was asked for. `--prefix` says which is meant."),
    "study": _E("a study file that is not valid",
        "A key has a value that is not allowed, or two keys exclude each other. A shipped study is a good example to start from: "
        "`resnet-dsl list studies`, and docs/studies.md."),
    "study-incomplete": _E("a study with missing runs",
        "Some runs failed; the message holds the first reason. Finished runs are kept, and the same command makes the rest."),
    "probe-nothing": _E("nothing for this probe to measure",
        "A probe asks about a part that the network does not have: gates, added shortcuts, padded channels, blocks that can be left out."),
    "target-shape": _E("a network that fits no target",
        "The targets of `probe target` are functions from d numbers to d numbers, so the network must read d features and give d."),
    "target-noise": _E("a network whose output depends on more than one point",
        "Dropout, drop path and batch norm make the output for a point depend on chance or on the other points of the batch, "
        "so no function can be fitted exactly."),
    "target-init": _E("a branch that cannot be scaled at its end",
        "The schemes `scaled` and `zero-last` multiply the last layer of each residual branch. It must be a linear layer, a convolution, a norm or a scale."),
    "grow": _E("a network that cannot begin as another one",
        "`transfer --grow` puts a trained network into a deeper one whose further blocks begin as the identity. Everything else must be as "
        "in the first network, and each further block must be able to give back exactly what it reads. The message names the first step "
        "where this is not so. Without `--grow` the tensors that fit by name and shape are copied."),
    "grow-differs": _E("a grown network with other outputs",
        "Both networks are run on random images before anything is written, and their outputs must be equal bit for bit. They differ where the "
        "weights hold numbers that are not finite, or where a machine rounds when it computes a convolution whose kernel is a single 1."),
}  # fmt: skip

CODES: Mapping[str, Explanation] = {**_READING, **_FORM, **_EXPRESSIONS, **_NETWORK, **_RUNNING, **_DATA, **_RUNS}
"""Every code, grouped by what it is about."""
