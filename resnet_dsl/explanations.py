"""What the codes in `error[CODE]` mean, for `resnet-dsl explain CODE`.

An example is the part of a spec that matters; a test puts each into a whole spec and checks that it is refused with its
code, and that its mended form is not. Codes without an example are about files, data and runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code in one line, why it is refused and what to do, and an example with its mended form."""

    title: str
    why: str
    wrong: str = ""
    right: str = ""


_E = Explanation

_READING = {
    "yaml-syntax": _E("this is not YAML",
        "The file cannot be read at all, so nothing else about it is checked. Most often a bracket or a quote is not closed, or a "
        "line is not indented as its neighbours are.",
        "stages: [{depth: 1, width: 16}", "stages: [{depth: 1, width: 16}]"),
    "yaml-feature": _E("YAML that a spec does not use",
        "A spec is plain data: no anchors, aliases, merge keys, tags or directives, and one document a file. What repeats is said "
        "with `params`, `repeat`, a block of your own or `extends`.",
        "stages: [&s {depth: 1, width: 16}, *s]", "stages: [{depth: 1, width: 16}, {depth: 1, width: 16}]"),
    "duplicate-key": _E("the same key twice",
        "Most YAML readers keep the last of the two without a word. Here the author has to say which one is meant.",
        "classes: 10\nclasses: 100", "classes: 100"),
    "key-not-text": _E("a key that is not text",
        "Keys are words. A list, a mapping or something else cannot stand before a colon.",
        "params: {[a, b]: 1}", "params: {a: 1, b: 1}"),
    "comma-in-flow": _E("a comma that ends the value too early",
        "Inside {} and [] a comma ends a plain value, so an expression with a comma has to be in quotes there.",
        "stages: [{depth: 1, width: max(8, 16)}]", 'stages: [{depth: 1, width: "max(8, 16)"}]'),
    "null": _E("an empty value",
        "Every null is refused, written out or left empty: it would be a guess what is meant. `- norm:` is written `- norm`.",
        "act: ~", "act: relu"),
    "not-a-mapping": _E("a document that is no mapping",
        "A spec is a mapping from keys to values: `classes: 10`, one key a line."),
    "empty": _E("an empty document", "There is nothing in the file but blanks and comments. `resnet-dsl new` writes a spec to start from."),
    "character": _E("a character that may not stand there",
        "Control characters, invisible characters and line separators are refused, since nobody sees them; the message shows them as "
        "U+XXXX. The text must be UTF-8."),
    "nesting": _E("nested too deeply",
        "At most 32 levels of mappings and lists; the root is the first. Definitions under `blocks` and `sequences` make a spec flat."),
    "too-large": _E("a file over 1 MiB", "A spec is a short text. A file of this size is something else, weights perhaps."),
    "too-many-nodes": _E("too many values",
        "A document has at most 50,000 keys and values. Write what repeats once, with `repeat` or with expressions over `index`."),
    "file-not-found": _E("no such file or shipped spec",
        "What ends in .yaml or .yml or holds a slash is a path; anything else is first a shipped spec's name. `resnet-dsl list` shows "
        "the names."),
    "file-unreadable": _E("a file that may not be read",
        "The file is there, but the system refuses it: permissions, or the disk. Exit code 3."),
    "not-a-file": _E("no regular file",
        "Directories, devices and pipes are not read as specs. For a pipe write - and send the spec to standard input."),
}  # fmt: skip

_FORM = {
    "unknown-key": _E("an unknown key",
        "Unknown keys are errors, so that a slip of the pen never leaves a setting at its default without a word.",
        "clases: 10\nclasses: 10", "classes: 10"),
    "missing-key": _E("a missing key",
        "There is no sensible default for it. The place shown is the start of the mapping that lacks it.",
        "stages: [{depth: 3}]", "stages: [{depth: 3, width: 16}]"),
    "wrong-type": _E("a value of another kind",
        "Numbers, words, lists and mappings are not turned into one another: `True` and `yes` are words, `true` is a condition.",
        "stages: {depth: 1, width: 16}", "stages: [{depth: 1, width: 16}]"),
    "step-form": _E("a step that is not written as one",
        "A step is a bare name or a name with a mapping of its arguments, one name a dash. Arguments stand inside the braces, or "
        "indented under the name.",
        "stem: [{conv: {out: 16, kernel: 3}, norm: {kind: batch}}]",
        "stem: [{conv: {out: 16, kernel: 3}}, {norm: {kind: batch}}]"),
    "unknown-step": _E("an unknown step",
        "Steps are the rows of `resnet-dsl list ops`, the shipped sequences and the ones under `sequences`.",
        "stem: [conv2d: {out: 16, kernel: 3}]", "stem: [conv: {out: 16, kernel: 3}]"),
    "unknown-name": _E("an unknown name",
        "Blocks, shortcut policies, norms and the like are called by name; nothing is imported by a name. `resnet-dsl list blocks`, "
        "`list shortcuts`, ... show what there is.",
        "block: bottelneck", "block: bottleneck"),
    "unknown-argument": _E("an unknown argument",
        "The name is known, but it takes no argument of this name. `resnet-dsl list blocks` and `list ops` show what each takes.",
        "block: {bottleneck: {group: 2}}", "block: {bottleneck: {groups: 2}}"),
    "missing-argument": _E("a missing argument",
        "The step has no default for it, and nothing that it follows from.",
        "stem: [conv: {out: 16}]", "stem: [conv: {out: 16, kernel: 3}]"),
    "unused-argument": _E("an argument that is never used",
        "A definition that takes an argument or computes a `let` and uses it nowhere is mistaken somewhere: most often a name is "
        "misspelt in its body.",
        "sequences:\n  entry: {args: {size: 3}, steps: [conv: {out: 16, kernel: 3}]}\nstem: entry",
        "sequences:\n  entry: {args: {size: 3}, steps: [conv: {out: 16, kernel: size}]}\nstem: entry"),
    "name-taken": _E("a name that is in use",
        "Two modules of one scope, two stages, or a definition and a built-in would have the same name, and checkpoints could not "
        "tell them apart.",
        "stages: [{depth: 1, width: 16, name: a}, {depth: 1, width: 16, name: a}]",
        "stages: [{depth: 1, width: 16, name: a}, {depth: 1, width: 16, name: b}]"),
    "bad-name": _E("a name that cannot be one",
        "Names become names of Python modules and of variables in expressions: letters, digits and _, no word of the language, none "
        "that PyTorch's modules use.",
        "params: {if: 3}", "params: {cond: 3}"),
    "extends": _E("a parent that cannot be one",
        "`extends` is a shipped spec's name, or the relative path of a .yaml file inside the folder of the spec. It never leads out "
        "of that folder.",
        "extends: ../base.yaml", "extends: resnet20"),
    "cycle": _E("a definition that leads back to itself",
        "The language has no recursion, so that every spec ends: no sequence contains itself, no spec extends itself, no name is "
        "computed from itself.",
        "sequences: {a: [b], b: [a]}\nstem: a", "sequences: {a: [b], b: [norm]}\nstem: a"),
    "patch": _E("a patch that does too much",
        "With `extends`, `stages` as a mapping changes the parent's stages by name. It may not add, drop or rename one; for that, "
        "write the stages as a list.",
        "extends: resnet20\nstages: {layer3: {name: last}}", "extends: resnet20\nstages: {layer3: {depth: 5}}"),
    "recipe": _E("a recipe that does not hold together",
        "A key of the training recipe has a value out of range, or two keys exclude each other.",
        "train: {epochs: 3, steps: 100}", "train: {epochs: 3}"),
    "train": _E("a recipe that cannot be reached",
        "`train` is a shipped recipe's name, a recipe written in place, or the relative path of a .yaml file inside the spec's folder.",
        "train: ../recipe.yaml", "train: quick"),
}  # fmt: skip

_EXPRESSIONS = {
    "expression-syntax": _E("an expression that cannot be read",
        "Where a number or a condition is due, text is an expression: + - * / // %, comparisons, and or not, `a if c else b`, min max "
        "ceil floor round divisible.",
        "stages: [{depth: 1, width: 16 +}]", "stages: [{depth: 1, width: 16 + 16}]"),
    "expression-kind": _E("a number where a condition is due, or the other way round",
        "A condition is never a number and a number never a condition: write `se > 0`, not `se`.",
        "stem: [conv: {out: 16, kernel: 3, bias: 1}]", "stem: [conv: {out: 16, kernel: 3, bias: true}]"),
    "number-form": _E("a number written in another system",
        "Numbers are decimal and written in one way: no 0x10, no 0o20, no 1_000, no leading zeros.",
        "classes: 010", "classes: 10"),
    "unknown-variable": _E("an unknown name in an expression",
        "An expression sees the spec's `params`, `classes`, and the names of the place where it stands: `in`, `width`, `stride`, "
        "`index`, ... in a block. A parameter is `k`, not `params.k`.",
        "params: {k: 2}\nstages: [{depth: 1, width: 16 * kk}]", "params: {k: 2}\nstages: [{depth: 1, width: 16 * k}]"),
    "division-by-zero": _E("a division by zero", "The expression divides by something that is zero here.",
        "stages: [{depth: 1, width: 16 // 0}]", "stages: [{depth: 1, width: 16 // 2}]"),
    "not-whole": _E("a fraction where a whole number is due",
        "Sizes and counts are never rounded for you: `5/2` is an error, `5//2` and `round(5/2)` are not.",
        "stages: [{depth: 1, width: 5/2}]", "stages: [{depth: 1, width: 5//2}]"),
    "out-of-range": _E("a number outside its range", "The message says what the range is.",
        "stages: [{depth: 0, width: 16}]", "stages: [{depth: 1, width: 16}]"),
    "limit": _E("more than the language allows",
        "Every size is bounded, so that a spec is always answered in seconds: 100,000 blocks, 1,000 stages, widths and sides of "
        "65,536, 1e11 parameters, and so on.",
        "stages: [{depth: 200000, width: 16}]", "stages: [{depth: 100, width: 16}]"),
}  # fmt: skip

_NETWORK = {
    "shape": _E("an operation that cannot read what it is given",
        "Every shape is computed. The message says what comes in and what the operation reads; `resnet-dsl inspect --by op` shows the "
        "shapes of a spec that holds together.",
        "head: [linear: {out: classes}]", "head: [globalpool, flatten, linear: {out: classes}]"),
    "merge-shape": _E("two branches that do not fit together",
        "What the body gives and what the shortcut gives must have the same channels and size. The message names both. A body that "
        "changes the size has to use the block's `stride`.",
        "blocks:\n  mine: {body: [conv: {out: out, kernel: 3}]}\nblock: mine\nstages: [{depth: 1, width: 16, stride: 2}]",
        "blocks:\n  mine: {body: [conv: {out: out, kernel: 3, stride: stride}]}\nblock: mine\nstages: [{depth: 1, width: 16, stride: 2}]"),
    "merge-without-shortcut": _E("a merge with nothing to merge",
        "Where the policy says `none` there is no shortcut, and only `add` makes sense of that: the block is then a plain one.",
        "shortcut: none\nmerge: concat", "shortcut: none\nmerge: add"),
    "policy-refuses": _E("a shortcut that does not take this change",
        "The shortcut policy refuses blocks whose shape changes, as `identity` does, or the change that this one makes.",
        "shortcut: identity\nstages: [{depth: 1, width: 16, stride: 2}]", "shortcut: B\nstages: [{depth: 1, width: 16, stride: 2}]"),
    "even-kernel": _E("an even kernel with padding `same`",
        "An even kernel has no middle, so no padding keeps the size. Use an odd one, or write the padding.",
        "stem: [conv: {out: 16, kernel: 4}]", "stem: [conv: {out: 16, kernel: 4, padding: 1}]"),
    "head": _E("a network that does not end in its classes",
        "What the head gives must be a vector with one feature a class.",
        "head: [globalpool, flatten]", "head: [globalpool, flatten, linear: {out: classes}]"),
    "expect": _E("a figure that is not what its author believes",
        "`expect` states what the network should cost. The message shows both figures; mend the network, or the figure. Options that "
        "change the spec switch the test off.",
        "expect: {depth: 20}", "expect: {depth: 4}"),
}  # fmt: skip

_RUNNING = {
    "usage": _E("a mistake in the command line", "`resnet-dsl COMMAND --help` shows what the command takes, and ends with an example."),
    "budget": _E("a budget that no network of the family keeps",
        "`fit` scales widths, depths or both. The message shows what the smallest such network costs; allow that much, let more "
        "change, or start from a smaller spec."),
    "file-exists": _E("a file that is there already", "This command never overwrites. Choose another name, or delete the file."),
    "output": _E("a file that cannot be written",
        "The folder is missing, the disk or its permissions refuse, or something that is no regular file has that name already."),
    "picture-size": _E("a picture that nobody could read",
        "Over 5,000 boxes, or a PNG over 100 million pixels. Fold more (`--by stage`), or write SVG."),
    "drawing-engine": _E("the drawing engine is missing or failed",
        "SVG and PNG are made by the package graphviz-pure, which is installed with resnet-dsl. Files ending in .dot and .mmd need no "
        "engine."),
    "environment": _E("the system refused something", "The disk, permissions or another resource of the machine. Exit code 3."),
    "bug": _E("a bug of ours", "Something failed that no spec and no option should make fail. Please report it. Exit code 70."),
}  # fmt: skip

_DATA = {
    "data-missing": _E("a data set that is not here",
        "The message says where it was looked for. `--data-dir` names a folder, $RESNET_DSL_DATA one for good, `--download` fetches "
        "what may be fetched."),
    "data-fit": _E("a network that does not fit the data",
        "Channels, size or classes differ. Nothing is resized silently; the message names the `--set` that mends it."),
    "data-size": _E("pictures of different sizes",
        "All pictures of a folder must have one size and one number of channels; nothing is resized silently. "
        "A recipe with `augment.crop` cuts squares out of pictures of any size."),
    "data-batch": _E("a batch larger than the data", "Not one batch of training images could be filled. Use a smaller `train.batch`."),
    "data-split": _E("no images left to train on",
        "`train.validation` takes as many images as there are, or more; or the images come from shards, which cannot be divided."),
    "batch-split": _E("a batch that cannot be divided",
        "Processes and `train.accumulate` each take an equal part of a batch; mixup and cutmix want an even number in each part."),
    "workers-died": _E("a process that decodes pictures died",
        "The system ended it, mostly for want of memory or of room in /dev/shm. Use fewer with --workers, or a smaller batch; "
        "`train --resume` goes on from the last checkpoint."),
    "data-changed": _E("other data than the run was begun with",
        "A run goes on with the data it was begun with; their checksums differ. Point at the first data, or begin a new run."),
    "data-damaged": _E("a data file that is not what it should be",
        "It is cut short, has another size or form, or its parts do not belong together. Fetch it anew."),
    "data-unreadable": _E("a data file that may not be read", "The file is there, but the system refuses it: permissions, or the disk."),
    "data-unsafe": _E("a pickle that asks for more than data",
        "Pickles can run programs. Ours are read with nothing but arrays allowed, and this one asks for something else. Do not trust "
        "the file."),
    "download-failed": _E("a file that could not be fetched",
        "No network, or the server refuses. Get the file elsewhere and use `--data-dir`."),
    "download-damaged": _E("a fetched file with a wrong checksum", "What came is not the file that we know, so nothing was kept."),
    "extra-missing": _E("an optional package that is not installed", "The message names the extra: `pip install 'resnet-dsl[torch]'`, for one."),
    "memory": _E("not enough memory", "The data does not fit into the memory that is free."),
    "device-missing": _E("a device that is not here",
        "The machine, or this build of torch, does not have it. `resnet-dsl doctor` shows the devices; `--device auto` takes the best."),
    "compile-missing": _E("torch.compile has nothing to compile with",
        "On a CPU it needs a C++ compiler and Python's headers, on a GPU Triton and a C compiler. Without `--compile` a run does without."),
    "compile-failed": _E("torch.compile gave up",
        "The message holds its first complaint. `--no-compile` trains without it, more slowly and with the same recipe."),
}  # fmt: skip

_RUNS = {
    "not-finite": _E("a loss that is not a number",
        "Training diverged; it stops at once, and checkpoints from before are kept. Most often the learning rate is too high, or the "
        "network has no norm."),
    "assertion": _E("an assertion that does not hold",
        "`probe --assert` compares the probe's figures; the message shows the values of those that the expression speaks of. A figure that is "
        "not finite makes every assertion about it fail."),
    "disk": _E("a disk that cannot take what a run writes",
        "Free some space, or choose another `--out`. What was written before is untouched."),
    "run-exists": _E("a run's folder that is not empty", "Runs are never overwritten. Choose another `--out`, or go on with `--resume`."),
    "run-missing": _E("no run there", "The folder does not exist, or is not a run's. Runs lie under runs/ unless `--out` said otherwise."),
    "run-locked": _E("a run that another process works on", "Two processes may not write one run. Wait for the other, or stop it."),
    "ranks-environment": _E("processes that are not fully described",
        "The environment says that there are several, but not which this one is or where the others are. `torchrun` sets all of it."),
    "ranks-connect": _E("processes that do not find each other",
        "Each must reach the address of the first, and the network between them must let the ports through."),
    "ranks-differ": _E("processes that do not do the same",
        "Before the first step all compare the SHA-256 of spec, recipe and data. Give every machine the same command, files and data."),
    "ranks-layout": _E("a way to spread a network that cannot be had here", "torch synchronises batch norm over processes on CUDA alone."),
    "rank-lost": _E("a process that has gone",
        "One of several died, or did not answer in time (`RESNET_DSL_TIMEOUT` seconds, 600 by default). Its own message, if it left one, "
        "says why; go on with `--resume`, or let `torchrun --max-restarts` do so."),
    "cluster-connect": _E("a Ray cluster that cannot be reached",
        "`--address` names a cluster that runs already. Without it `study --engine ray` starts one on this machine, for as long as it needs it."),
    "cluster-worker": _E("a machine of the cluster that cannot take part",
        "A run is its folder, so every machine sees the study's folder under the same path, and has the same resnet-dsl and torch. "
        "What was finished is kept: mend it and give the same command again."),
    "run-damaged": _E("a run's folder that was changed", "A file in it is not what was written. Begin the run anew."),
    "run-differs": _E("another run than the one to go on with",
        "`--resume` with a SPEC goes on only where the run was begun with that spec and recipe."),
    "run-shorter": _E("a run that is as long as asked for already",
        "`--resume` with `--epochs` or `--steps` makes a run longer. Ask for more than it has, or leave the length out."),
    "memory": _E("a step that does not fit in memory",
        "Weights, gradients, the optimizer's state and the maps that the backward pass needs take more than is free. Accumulate the batch "
        "in parts, or make it smaller."),
    "checkpoint-damaged": _E("no checkpoint that can be used", "Each one is cut short or altered. Delete them to begin the run anew."),
    "checkpoint-fit": _E("a checkpoint of another spec, recipe or data", "A run goes on only as what it was: its checkpoints remember the sums of all three."),
    "weights-missing": _E("no weights there", "The file does not exist, or the run has not written any yet."),
    "folded": _E("a network that is not for training",
        "Its batch norms are folded into the layers before them (`export --fold-bn`), so nothing normalises while the weights change."),
    "export-fit": _E("a network that the file's format does not take", "The message says what does not fit, and what does."),
    "export-failed": _E("torch's exporter gave up", "The message holds its first complaint. Nothing was written."),
    "export-differs": _E("an exported file that computes something else",
        "The file was run before it was written, and its outputs were not torch's. Nothing was written."),
    "spec-missing": _E("weights without a spec",
        "A .safetensors file stands for a network where its metadata holds the spec, as `train` and `export` write it. "
        "`resnet-dsl import` reads a spec from the names and shapes of other files."),
    "weights-unknown": _E("weights whose network is not recognised",
        "`import` reads stages of blocks (scopes called 0, 1, ...) with the names of docs/language.md, which are torchvision's for its ResNets: "
        "shipped blocks and policies with any depths, widths, groups and ratios, chains of conv and norm as blocks of their own, "
        "and every shipped spec, whatever its classes and channels."),
    "weights-shapes": _E("JSON that holds no names and shapes",
        "`import` reads JSON that is one object from the names of tensors to their shapes, each a list of whole numbers."),
    "weights-damaged": _E("weights that cannot be read",
        "The file is no complete safetensors file of ours. Copy it again, or let the run write it anew."),
    "weights-fit": _E("weights of another network",
        "Names or shapes of the tensors are not those of the spec, or the library that they are from computes something else with them. "
        "`resnet-dsl weights SPEC FILE` shows every tensor."),
    "study": _E("a study file that is not valid",
        "A key holds what it cannot, or two keys do not go together. A shipped study is a good example to start from: "
        "`resnet-dsl list studies`, and docs/studies.md."),
    "study-incomplete": _E("a study that lacks runs",
        "Some runs could not be carried out; the message holds the first reason. What is finished is kept: the same command makes the rest."),
    "probe-nothing": _E("nothing that this probe measures",
        "A probe asks about a part that the network does not have: gates, added shortcuts, padded channels, blocks that can be left out."),
    "target-shape": _E("a network that fits no target",
        "The targets of `probe target` are functions from d numbers to d numbers, so the network must read d features and give as many."),
    "target-noise": _E("a network that is no function of one point",
        "Dropout, drop path and batch norm make what a network gives for a point depend on chance or on the other points of the batch, "
        "and then no function is fitted exactly."),
    "target-init": _E("a branch that cannot be scaled at its end",
        "The schemes `scaled` and `zero-last` multiply the last layer of each residual branch. It must be a linear layer, a convolution, a norm or a scale."),
    "grow": _E("a network that cannot begin as another",
        "`transfer --grow` puts a trained network into a deeper one whose further blocks begin as the identity. Everything else must be as it "
        "is in the first network, and each further block must have a way to give back exactly what it reads; the message names the first step "
        "where that is not so. Without `--grow` what fits by name and shape is copied."),
    "grow-differs": _E("a grown network that does not compute the same",
        "Both networks are run on random images before anything is written, and their outputs must be equal bit for bit. They are not where the "
        "weights hold numbers that are not finite, or where a machine computes convolutions in a way that rounds a kernel of one 1."),
}  # fmt: skip

CODES: Mapping[str, Explanation] = {**_READING, **_FORM, **_EXPRESSIONS, **_NETWORK, **_RUNNING, **_DATA, **_RUNS}
"""Every code, grouped by what it is about."""
