"""The yaml-language-server that editors run, spoken to as an editor does: JSON-RPC over standard input and output.

npm installs it, once, into a cache folder outside of the checkout.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

VERSION = "1.25.0"
SETTINGS = {
    "yaml": {"yamlVersion": "1.2", "validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}},
    "http": {},
    "[yaml]": {"editor.tabSize": 2},
}


def folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "resnet-dsl" / f"yaml-language-server-{VERSION}"


def program() -> Path | None:
    """The server's script, installed where it is not; None where there is no npm, or no network."""
    script = folder() / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if shutil.which("node") is None or (not script.exists() and shutil.which("npm") is None):
        return None
    if not script.exists():
        folder().parent.mkdir(parents=True, exist_ok=True)
        fresh = tempfile.mkdtemp(dir=folder().parent)
        command = ["npm", "install", "--prefix", fresh, "--no-audit", "--no-fund", "--silent", f"yaml-language-server@{VERSION}"]
        done = subprocess.run(command, check=False, timeout=240, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            with contextlib.suppress(OSError):  # another process was faster
                os.rename(fresh, folder())
        shutil.rmtree(fresh, ignore_errors=True)
    return script if script.exists() else None


class Server:
    """One running server, its documents in one folder."""

    def __init__(self, root: Path) -> None:
        script = program()
        assert script is not None
        self.root = root
        self.process = subprocess.Popen(
            ["node", str(script), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.asked = 0
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.ask("initialize", {
            "processId": os.getpid(), "rootUri": root.as_uri(), "workspaceFolders": [{"uri": root.as_uri(), "name": "nets"}],
            "capabilities": {
                "workspace": {"configuration": True},
                "textDocument": {
                    "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
                    "hover": {"contentFormat": ["markdown"]},
                },
            },
        })  # fmt: skip
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": SETTINGS})

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        """The next message; what the server asks or tells on its own is seen to."""
        stream = self.process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has stopped"
        message: dict[str, Any] = json.loads(stream.read(length))
        if message.get("method") == "workspace/configuration":
            asked = message["params"]["items"]
            self._send({"id": message["id"], "result": [SETTINGS.get(item.get("section"), {}) for item in asked]})
        elif "method" in message and "id" in message:
            self._send({"id": message["id"], "result": None})
        elif message.get("method") == "textDocument/publishDiagnostics":
            self.found[message["params"]["uri"]] = message["params"]["diagnostics"]
        return message

    def tell(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def ask(self, method: str, params: Any) -> Any:
        self.asked += 1
        self._send({"id": self.asked, "method": method, "params": params})
        while (answer := self._receive()).get("id") != self.asked or "method" in answer:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, name: str, text: str) -> str:
        """Open a document; gives its address."""
        uri = (self.root / name).as_uri()
        (self.root / name).write_text(text)
        self.tell("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}})
        return uri

    def diagnostics(self, name: str, text: str) -> list[dict[str, Any]]:
        """What is underlined in a document."""
        uri = self.open(name, text)
        while uri not in self.found:
            self._receive()
        return self.found[uri]

    def completion(self, name: str, text: str) -> dict[str, dict[str, Any]]:
        """What is offered where the text has `|`, by label."""
        uri, position = self._cursor(name, text)
        answer = self.ask("textDocument/completion", {"textDocument": {"uri": uri}, "position": position})
        return {item["label"]: item for item in (answer["items"] if isinstance(answer, dict) else answer)}

    def hover(self, name: str, text: str) -> str:
        """What is said of the word where the text has `|`."""
        uri, position = self._cursor(name, text)
        answer = self.ask("textDocument/hover", {"textDocument": {"uri": uri}, "position": position})
        return "" if answer is None else str(answer["contents"]["value"])

    def _cursor(self, name: str, text: str) -> tuple[str, dict[str, int]]:
        before, _, after = text.partition("|")
        uri = self.open(name, before + after)
        return uri, {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
