"""A mistake in a command line, and the one line to type in its place. Imported when there is one."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, quote, refuse, render, suggest
from resnet_dsl.pictures.draw import ENDINGS
from resnet_dsl.verbs.language import number_meant

OTHERS: Mapping[str, tuple[str, ...]] = {
    "--device cuda": ("gpu", "cuda", "gpus", "use-gpu", "ngpu"),
    "--device cpu": ("cpu", "no-cuda", "no-gpu"),
    "--weights FILE": ("pretrained", "checkpoint", "ckpt", "load", "load-from", "init-from"),
    "--resume": ("continue", "restart"),
    "--precision fp16": ("fp16", "half", "float16"),
    "--precision bf16": ("half", "fp16", "amp", "mixed-precision", "bf16", "autocast", "float16"),
    "--batch N": ("batch-size", "bs", "batchsize", "b"),
    "--lr X": ("learning-rate", "learningrate", "rate"),
    "--epochs N": ("n-epochs", "num-epochs", "max-epochs", "epoch"),
    "--steps N": ("max-steps", "iterations", "iters", "num-steps"),
    "--workers N": ("num-workers", "j", "nworkers"),
    "--out": ("output", "output-dir", "save", "save-dir", "save-to", "log-dir", "logdir", "dest", "file"),
    "--data": ("dataset", "data-path", "data-root", "root", "images", "imagefolder"),
    "--format": ("json", "csv", "markdown", "latex", "table", "output-format"),
    "--top N": ("topk", "top-k", "k"),
    "--seed N": ("random-seed", "manual-seed"),
    "--quiet": ("silent", "no-progress"),
    "--set input=3x64x64": ("input-size", "img-size", "image-size", "resolution", "imsize"),
    "--set classes=N": ("num-classes", "nclasses", "n-classes"),
    "--version": ("v", "ver"),
    "--by block": ("per-layer", "layers", "per-block", "verbose", "detail", "details"),
}
"""An option here, and the words for it elsewhere."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "inspect": ("show", "summary", "summarize", "count", "flops", "params", "info", "macs", "stats", "describe", "cost"),
    "draw": ("plot", "render", "visualize", "viz", "picture", "graph"),
    "evaluate": ("eval", "test", "validate", "score"),
    "emit": ("compile", "build", "generate", "codegen", "source"),
    "export": ("convert", "onnx", "save"),
    "predict": ("infer", "classify", "inference", "run"),
    "new": ("init", "create", "add"),
    "list": ("ls", "models", "zoo"),
    "bench": ("benchmark", "profile", "time", "speed"),
    "fmt": ("format", "prettify"),
    "train --resume": ("resume", "continue"),
    "train": ("fit-model", "finetune", "fine-tune", "learn"),
    "--help": ("help", "usage", "man"),
    "--version": ("version",),
}
"""A command here, and the words for it elsewhere."""

WRITTEN = (*ENDINGS, ".py", ".onnx", ".pt2", ".safetensors", ".csv", ".md")
"""Endings of files that a command writes; a word that ends so is a file's name."""


def usage(e: Any, args: Sequence[str]) -> str:
    """What is said of an error of the command line's parser: what is wrong, and the one thing to type where that can be known."""
    context = getattr(e, "ctx", None)
    command = context.command_path if context is not None else "resnet-dsl"
    options = dict(_options(context))
    message, help = _said(e, list(args), options, context)
    return render(refuse("usage", message, help or f"`{command} --help` shows the options", at=command).diagnostics, COMMAND_LINE)


def no_command(word: str, known: Sequence[str], what: str, command: str) -> SpecError:
    """The error for the first word of a command line that is no command."""
    problem = f"there is no {what} {quote(word)}"
    if word.endswith((".yaml", ".yml")) or os.path.exists(word) or _shipped(word):
        does = "say what to do with it" if what == "command" else f"say which {what}"
        first = "inspect" if what == "command" else known[0]
        return refuse("usage", problem, f"{does}: {command} {first} {word}", at=command)
    other = next((name for name, words in COMMANDS.items() if what == "command" and word.lower() in words), None)
    near = suggest(word, known)
    if other is not None or near is not None:
        return refuse("usage", problem, f"did you mean '{other or near}'?", at=command)
    return refuse("usage", problem, f"a {what} is one of: {', '.join(known)}", at=command)


def _said(e: Any, args: list[str], options: Mapping[str, Any], context: Any) -> tuple[str, str | None]:
    message = e.format_message().replace("Value error, ", "").rstrip(".")
    message = message[:1].lower() + message[1:]
    name, param = str(getattr(e, "option_name", "")), getattr(e, "param", None)
    match type(e).__name__:
        case "NoSuchOption":
            return _no_option(name, args, options)
        case "BadOptionUsage":
            known = next((o for o in OTHERS if o.split()[0] == name and " " in o), None)
            return f"{name} needs a value", f"write {known}" if known else f"write its value after {name}"
        case "MissingParameter":
            return message, _missing(param, args, context)
        case "BadParameter" if param is not None:
            return _bad_value(param, message, args)
    if message.startswith("got unexpected extra argument"):
        extra = message.rpartition(" (")[2].rstrip(")").split()
        return f"{quote(extra[0])} is one argument too many" if extra else message, _extra(extra, args, options)
    return message, None


def _options(context: Any) -> Iterator[tuple[str, Any]]:
    if context is not None:
        for param in context.command.get_params(context):
            for name in (*param.opts, *param.secondary_opts):
                if name.startswith("--"):
                    yield name, param


def _no_option(name: str, args: Sequence[str], options: Mapping[str, Any]) -> tuple[str, str | None]:
    # `-set` is read as the letters -s, -e, -t.
    given = next((a.split("=")[0] for a in args if a.startswith(name)), name) if len(name) == 2 else name
    problem = f"there is no option {given}"
    if f"-{given}" in options:
        return problem, f"write -{given}, with two dashes"
    word, value = given.lstrip("-").lower().replace("_", "-"), _after(given, args)
    for option, words in OTHERS.items():
        if word in words and (has := option.split()[0]) in options and _takes(options[has], option.split()[1:]):
            return (
                problem,
                f"write {f'--format {word}' if has == '--format' and word in ('json', 'csv', 'markdown', 'latex') else _filled(option, value)}",
            )
    from resnet_dsl.verbs.language import settable

    if "--set" in options and (key := settable(word)) is not None:
        return problem, f"a key of the spec is set by --set: write --set {key}={value or 'VALUE'}"
    near = next(iter(difflib.get_close_matches(f"--{word}", [o for o in options if o != "--help"], 1, 0.75)), None)
    return problem, None if near is None else f"did you mean {near}?"


def _takes(param: Any, values: Sequence[str]) -> bool:
    """Is a value one that the option can have? Placeholders are."""
    known = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    known = next((a for a in get_args(known) if get_origin(a) is Literal), known)
    return get_origin(known) is not Literal or all(v in get_args(known) for v in values)


def _filled(option: str, value: str | None) -> str:
    """An option with the value that was given in place of its placeholder."""
    head, _, placeholder = option.rpartition(" ")
    if value and placeholder in ("N", "X", "FILE"):
        return f"{head} {value}"
    if value and option.endswith("=N"):
        return option[:-1] + value
    return option if head or not value else f"{option} {value}"


def _after(name: str, args: Sequence[str]) -> str | None:
    """The value that follows an option."""
    for i, a in enumerate(args):
        if a.startswith(f"{name}="):
            return a.partition("=")[2]
        if a == name and i + 1 < len(args) and not args[i + 1].startswith("-"):
            return args[i + 1]
    return None


def _example(param: Any) -> str:
    return "VALUE" if param is None or param.metavar is None else str(param.metavar).split("|")[0]


def _missing(param: Any, args: Sequence[str], context: Any) -> str | None:
    name = max(param.opts, key=len) if param is not None and param.opts else ""
    if name == "--out":
        file = next((a for a in reversed(args) if a.lower().endswith(WRITTEN) and not os.path.exists(a)), None)
        return f"write -o {file or _example(param)}"
    lines = str(context.command.epilog or "").splitlines() if context is not None else []
    example = next((line.strip() for line in lines if line.startswith("  ")), None)
    return None if example is None else f"for example: {example}"


def _bad_value(param: Any, message: str, args: Sequence[str]) -> tuple[str, str | None]:
    name = max(param.opts, key=len)
    described = getattr(param, "type_descriptor", None)
    annotation = None if described is None else described.annotation
    annotation = (
        next((a for a in get_args(annotation) if a is not type(None)), annotation) if get_origin(annotation) is not Literal else annotation
    )
    value = next((v for o in sorted(param.opts, key=len, reverse=True) if (v := _after(o, args)) is not None), None)
    value = value if value is not None or not (said := re.search(r": '(.*?)' is not one of", message)) else said[1]
    shown = name if name.startswith("-") else str(param.metavar or name)
    if get_origin(annotation) is Literal and value is not None:
        known = [str(k) for k in get_args(annotation)]
        near = suggest(value, known)
        return f"{shown} cannot be {quote(value)}", f"did you mean {near}?" if near else f"write one of: {', '.join(known)}"
    if annotation in (int, float) and value is not None and (number := _number(value, annotation)) is not True:
        kind = "a whole number" if annotation is int else "a number"
        return f"{shown} takes {kind}, not {quote(value)}", f"write {shown} {number or _example(param)}"
    if bound := re.search(r"should be (greater|less) than (or equal to )?(-?[\d.]+)", message):
        words = {("greater", True): "at least", ("less", True): "at most", ("greater", False): "above", ("less", False): "below"}
        help = f"write {shown} {bound[3]}" if bound[2] else None
        return f"{shown} must be {words[bound[1], bool(bound[2])]} {bound[3]}{f', not {value}' if value else ''}", help
    return re.sub(r"^invalid value for .+?: ", f"{shown}: ", message), None


def _number(value: str, kind: type) -> str | bool | None:
    """The number that was meant, in digits; True for one that is read as it is, None where none can be guessed."""
    try:
        kind(value)
    except ValueError:
        pass
    else:
        return True
    meant = number_meant(value) or value.replace("_", "")
    try:
        found = float(meant)
    except ValueError:
        return None
    return f"{found:g}" if kind is float or found == int(found) else str(round(found))


def _extra(extra: Sequence[str], args: Sequence[str], options: Mapping[str, Any]) -> str | None:
    if not extra:
        return None
    first, at = extra[0], next((i for i, a in enumerate(args) if a == extra[0]), 0)
    if "--out" in options and first.lower().endswith(WRITTEN):
        return f"write -o {first}"
    if "--weights" in options and first.lower().endswith((".pth", ".pt", ".bin", ".ckpt", ".safetensors")):
        return f"write --weights {first}"
    before = args[at - 1] if at else ""
    if before.endswith(",") and at >= 2 and args[at - 2].startswith("--"):
        return f"write the list without spaces: {args[at - 2]} {before}{','.join(a.strip(',') for a in extra)}"
    if "--set" in options and re.fullmatch(r"[a-z][\w.]*=.*", first):
        return f"write --set {first}"
    return f"leave out {quote(first)}"


def _shipped(word: str) -> bool:
    from resnet_dsl.language.files import shipped_name

    return shipped_name(word) is not None
