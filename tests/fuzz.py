"""Damaged files through the command line: `make fuzz`, or `python tests/fuzz.py --seconds 600 --keep FOLDER`.

Every shipped spec, recipe and study, the run folders of the tests, and small files of weights are damaged
(bytes flipped, cut, spliced, lines swapped between files) and given to the commands that need no torch.
A case runs in a process of its own. It fails where the exit code is not documented, where a traceback or
"this is a bug" is printed, where it takes more than 2 s or 300 MB, or where it writes outside its folder.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import io
import json
import os
import pkgutil
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = (0, 1, 2, 3)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SECONDS, BYTES = 2.0, 300_000_000
SPEC = (["check", "{}"], ["lint", "{}"], ["fmt", "{}"], ["inspect", "{}"], ["inspect", "{}", "--format", "json"], ["draw", "{}", "-o", "o.dot"],
        ["emit", "{}", "-o", "o.py"], ["diff", "{}", "resnet20"], ["compare", "{}", "resnet20"])  # fmt: skip
COMMANDS = {
    "spec": SPEC,
    "recipe": (["train", "resnet20-digits", "--recipe", "{}"], ["fmt", "{}"]),
    "study": (["study", "{}", "--quick"], ["fmt", "{}"]),
    "run": (["report", "{}", "-o", "o.html"], ["runs", "."], ["inspect", "{}"], ["check", "{}"], ["draw", "{}", "-o", "o.dot"]),
    "weights": (["weights", "resnet20", "{}"], ["import", "{}"]),
}
WORDS = [b"1e999", b"-1", b"0", b"null", b"[]", b"{}", b"~", b"NaN", b"'", b"\x00", b"\xff\xfe", b"999999999999999999999", b"&a", b"*a",
         b"!!python/object:os.system ", b": ", b"- ", b"{", b"[[", b"\t", b"\xf0\x9f\x98\x80", b"index", b"2**63", b"1/0", b"<<: "]  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """One file to damage; a run's file stands in a folder with its other files."""

    kind: str
    name: str
    data: bytes
    folder: Path | None = None


def seeds() -> list[Seed]:
    package = ROOT / "resnet_dsl"
    found = [
        Seed("recipe" if "recipes" in p.parts else "spec", p.name, p.read_bytes()) for p in sorted((package / "specs").rglob("*.yaml"))
    ]
    found += [Seed("spec", p.name, p.read_bytes()) for p in sorted((ROOT / "tests/data/legal").glob("*.yaml"))]
    found += [Seed("study", p.name, p.read_bytes()) for p in sorted((package / "studies").glob("*.yaml"))]
    for run in sorted((ROOT / "tests/data/runs").iterdir()):
        if run.is_dir():
            found += [Seed("run", p.name, p.read_bytes(), run) for p in sorted(run.iterdir()) if p.is_file()]
    return found + weights()


def weights() -> list[Seed]:
    """Small files of weights, made without torch: what they hold after the damage is what matters."""
    header = {
        "conv1.weight": {"dtype": "F32", "shape": [2, 3, 3, 3], "data_offsets": [0, 216]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [216, 224]},
    }
    text = json.dumps(header).encode()
    npy = (
        b"\x93NUMPY\x01\x00"
        + (118).to_bytes(2, "little")
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".ljust(117)
        + b"\n"
        + bytes(16)
    )
    pickle = (b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
              b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtRs.")  # fmt: skip
    onnx = (
        b"\x08\x08\x12\x04test:\x2c\x0a\x12\x0a\x01x\x12\x01y\x1a\x01n\x22\x07Flatten\x12\x01g\x2a\x13\x08\x02\x08\x02\x10\x01\x42\x01wJ\x08"
        + bytes(8)
    )
    return [
        Seed("weights", "w.safetensors", len(text).to_bytes(8, "little") + text + bytes(224)),
        Seed("weights", "w.npz", _zip({"w.npy": npy})),
        Seed("weights", "w.pth", _zip({"a/data.pkl": pickle, "a/data/0": bytes(16), "a/version": b"3\n", "a/byteorder": b"little"})),
        Seed("weights", "w.pt2", _zip({"a/archive_format": b"pt2", "a/models/model.json": b'{"graph_module":{}}', "a/version": b"0"})),
        Seed("weights", "w.onnx", onnx),
    ]


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in files.items():
            z.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def damaged(data: bytes, other: bytes, r: Random) -> bytes:
    """`data` with one to four pieces of damage; `other` gives what is spliced in."""
    for _ in range(r.choice((1, 1, 2, 4))):
        at = r.randrange(len(data) + 1)
        until = min(len(data), at + r.choice((0, 1, 4, 16, 64)))
        lines, others = data.split(b"\n"), other.split(b"\n")
        match r.randrange(8):
            case 0 if data:
                i = r.randrange(len(data))
                data = data[:i] + bytes([data[i] ^ 1 << r.randrange(8)]) + data[i + 1 :]
            case 1:
                data = data[:at]
            case 2:
                start = r.randrange(len(other) + 1)
                data = data[:at] + other[start : start + r.choice((4, 30, 300))] + data[until:]
            case 3:
                lines[r.randrange(len(lines))] = r.choice(others)
                data = b"\n".join(lines)
            case 4:
                i, j = r.randrange(len(lines)), r.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                data = b"\n".join(lines)
            case 5:
                i = r.randrange(len(lines))
                key, colon, _ = lines[i].partition(b":")
                lines[i] = key + colon + b" " + (r.choice(WORDS) if r.random() < 0.5 else r.choice(others).partition(b":")[2])
                data = b"\n".join(lines)
            case 6:
                data = data[:at] + r.choice(WORDS) + data[until:]
            case _:
                data = data[:at] + data[at:until] * r.choice((2, 50)) + data[until:]
    return data


def laid(seed: Seed, data: bytes, folder: Path) -> str:
    """Write the damaged file, and the rest of its run; what the command line names."""
    if seed.folder is None:
        (folder / seed.name).write_bytes(data)
        return seed.name
    shutil.copytree(seed.folder, folder / seed.folder.name)
    (folder / seed.folder.name / seed.name).write_bytes(data)
    return seed.folder.name


def attempt(args: list[str], folder: Path) -> tuple[str, str]:
    """What is wrong with one command line (nothing: ""), and what it printed. It runs in a process of its own."""
    said = folder.with_suffix(".said")
    began, base = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pid = os.fork()
    if pid == 0:
        _child(args, folder, said)
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done or time.monotonic() - began > 10 * SECONDS:
            break
        time.sleep(0.002)
    if not done:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return "time", "stopped"
    text = said.read_text(errors="replace") if said.exists() else ""
    said.unlink(missing_ok=True)
    code = os.waitstatus_to_exitcode(status)
    if "OUTSIDE " in text:
        return "outside", text
    if code not in DOCUMENTED or "Traceback (most" in text or "this is a bug" in text:
        return f"code {code}", text
    if usage.ru_utime + usage.ru_stime > SECONDS:
        return "time", f"{usage.ru_utime + usage.ru_stime:.1f} s of the processor\n{text}"
    if usage.ru_maxrss * 1024 - base > BYTES:
        return "memory", f"{usage.ru_maxrss * 1024 - base} bytes\n{text}"
    return "", f"exit {code}\n{text}"


def _child(args: list[str], folder: Path, said: Path) -> None:
    from resnet_dsl.cli.app import main

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace")
    code = 99
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    inside = (os.path.realpath(folder) + os.sep, "/dev/null")

    def watch(event: str, told: tuple[object, ...]) -> None:
        if event in ("os.system", "subprocess.Popen", "socket.connect"):
            out.write(f"OUTSIDE {event} {told!r}\n")
        elif event == "open" and isinstance(told[0], str) and isinstance(told[2], int) and told[2] & WRITING:
            out.write("" if os.path.realpath(told[0]).startswith(inside) else f"OUTSIDE {told[0]}\n")

    sys.addaudithook(watch)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main(args)
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever gets out of the command line is what is looked for
        out.write(traceback.format_exc())
    out.flush()
    text = bytes(out.buffer.getbuffer())
    said_fd = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.write(said_fd, text[:20_000] + text[-20_000:] if len(text) > 40_000 else text)
    os._exit(code)


def tried(seed: Seed, data: bytes, command: list[str]) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        folder = Path(name) / "case"
        folder.mkdir()
        target = laid(seed, data, folder)
        return attempt([target if part == "{}" else part for part in command], folder)


def smaller(seed: Seed, data: bytes, command: list[str], wrong: str, until: float) -> bytes:
    """`data` without what the failure does not need."""
    size = max(1, len(data) // 2)
    while size and time.monotonic() < until:
        at = 0
        while at < len(data) and time.monotonic() < until:
            less = data[:at] + data[at + size :]
            if tried(seed, less, command)[0] == wrong:
                data = less
            else:
                at += size
        size //= 2
    return data


def cases(r: Random) -> Iterator[tuple[Seed, bytes, list[str]]]:
    by_kind: dict[str, list[Seed]] = collections.defaultdict(list)
    for seed in seeds():
        by_kind[seed.kind].append(seed)
    kinds = ["spec", "spec", "spec", "study", "recipe", "run", "run", "weights", "weights"]
    while True:
        kind = r.choice(kinds)
        seed = r.choice(by_kind[kind])
        other = r.choice(by_kind[kind if r.random() < 0.8 else r.choice(kinds)])
        yield seed, damaged(seed.data, other.data, r), r.choice(COMMANDS[kind])


def warm() -> None:
    """Import what the commands import, so that a case costs a fork. Torch is left out: a command that asks for it says so."""
    sys.modules["torch"] = None  # type: ignore[assignment]
    import resnet_dsl
    from resnet_dsl.diagnostics import SpecError

    for module in pkgutil.walk_packages(resnet_dsl.__path__, "resnet_dsl.", onerror=lambda _: None):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError, SpecError):
                importlib.import_module(module.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "600")))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args()
    warm()
    until = time.monotonic() + asked.seconds
    codes: collections.Counter[str] = collections.Counter()
    seen: set[str] = set()
    for seed, data, command in cases(Random(asked.seed)):
        if time.monotonic() > until:
            break
        wrong, text = tried(seed, data, command)
        codes[f"{seed.kind}: {wrong or text.splitlines()[0]}"] += 1
        told = f"{wrong} {seed.kind} {' '.join(text.splitlines()[-5:])[:160] if wrong not in ('time', 'memory') else command[0]}"
        if wrong and told not in seen:
            seen.add(told)
            data = smaller(seed, data, command, wrong, min(until, time.monotonic() + 8))
            place = asked.keep / f"{asked.seed}-{len(seen):03d}"
            place.mkdir(parents=True, exist_ok=True)
            laid(seed, data, place) if not (seed.folder and (place / seed.folder.name).exists()) else None
            (place / "said.txt").write_text(f"{' '.join(command)}\n{wrong}\n{text}")
            print(f"{place}: {' '.join(command)} ({seed.name}): {wrong}: {' '.join(text.split())[:400]}", flush=True)
    for name, count in sorted(codes.items()):
        print(f"{count:8} {name}")
    print(f"{sum(codes.values())} cases, {len(seen)} kinds of fault")
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
