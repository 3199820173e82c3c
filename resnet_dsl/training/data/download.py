"""Fetching a data set, on request only: checked by SHA-256, and in place only once it is whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from resnet_dsl.datasets.catalog import DataSource, Download
from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.training.data.reading import MAX_BYTES, blame
from resnet_dsl.version import __version__

_CHUNK = 1 << 20
_TIMEOUT = 60


def fetch(source: DataSource, folder: Path, say: Callable[[str], None]) -> None:
    """Download what is missing of a data set into `folder`. Raises SpecError (exit 3); a file is complete or absent."""
    with blame(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for item in source.downloads:
        target = folder / item.name
        if target.is_file() and _sha256(target) == item.sha256:
            continue
        say(f"downloading {item.url}")
        _fetch_one(item, target)


def _sha256(path: Path) -> str:
    with blame(path), path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _fetch_one(item: Download, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with blame(target), partial.open("wb") as out:
            found = _stream(item, out.write)
            out.flush()
            os.fsync(out.fileno())
        if found != item.sha256:
            raise refuse(
                "download-damaged",
                f"{item.url}: expected SHA-256 {item.sha256}, got {found}; nothing was kept",
                f"try again later; where it stays so, get the file elsewhere and use {Argument('data_dir')}",
                at=target,
                exit_code=3,
            )
        with blame(target):
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _stream(item: Download, write: Callable[[bytes], object]) -> str:
    """Hand the body to `write` piece by piece; its SHA-256."""
    digest = hashlib.sha256()
    total = 0
    request = urllib.request.Request(item.url, headers={"User-Agent": f"resnet-dsl/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            while chunk := response.read(_CHUNK):
                total += len(chunk)
                if total > MAX_BYTES:
                    raise _failed(item, f"over {MAX_BYTES:,} bytes")
                digest.update(chunk)
                write(chunk)
    except urllib.error.HTTPError as e:
        with e:
            raise _failed(item, str(e)) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as e:
        raise _failed(item, str(getattr(e, "reason", None) or e)) from None
    return digest.hexdigest()


def _failed(item: Download, reason: str) -> SpecError:
    help = f"check the network, or get the files elsewhere and use {Argument('data_dir')}"
    return refuse("download-failed", f"{item.url}: {reason}", help, at=item.name, exit_code=3)
