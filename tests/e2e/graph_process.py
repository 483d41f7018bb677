"""The Graph simulator as a process of its own, told what to do by its control calls."""

import json
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

_SETTING = re.compile(r'^(\w+) = "([^"]*)"$')


@dataclass
class GraphProcess:
    """A running simulator. `settings` are those by which the gateway finds it, as the command prints them."""

    process: subprocess.Popen[str]
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return self.settings["base_url"]

    def gateway_settings(self, *mailboxes: str, **more: Any) -> dict[str, Any]:
        """For a stack's gateway."""
        graph: dict[str, Any] = {**self.settings, "mailboxes": list(mailboxes), **more}
        return {"source": "graph", **{f"graph.{name}": value for name, value in graph.items()}}

    def control(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """A control call, and its JSON. A file as the body is sent piece by piece."""
        url = f"{self.url}/simulator{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {}
        if isinstance(body, Path):
            headers["Content-Length"] = str(body.stat().st_size)
        data = body.open("rb") if isinstance(body, Path) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, method=method, data=data, headers=headers)
        context = ssl.create_default_context(cafile=self.settings["ca_file"])
        try:
            with urllib.request.urlopen(request, timeout=120, context=context) as answer:
                said = answer.read()
        finally:
            if isinstance(body, Path) and data is not None and not isinstance(data, bytes):
                data.close()
        return json.loads(said) if said else None

    def deliver(self, mailbox: str, mail: Path) -> str:
        """A message comes in. Returns its immutable id."""
        message_id: str = self.control("POST", "/messages", mail, mailbox=mailbox)["id"]
        return message_id

    def set_faults(self, **faults: Any) -> None:
        self.control("PATCH", "/faults", faults)


@contextmanager
def graph_process(folder: Path, *options: str, mailboxes: tuple[str, ...]) -> Iterator[GraphProcess]:
    """The simulator over TLS on a free port, from when it answers until the end of the block."""
    words = [word for mailbox in mailboxes for word in ("--mailbox", mailbox)]
    command = [sys.executable, "-m", "satchel", "simulate", "graph", "--port", "0", "--tls-folder", str(folder)]
    with (folder / "simulator.log").open("w") as log:
        process = subprocess.Popen([*command, *words, *options], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        settings: dict[str, str] = {}
        for line in process.stdout:
            if line.strip() == "[gateway.graph]":
                settings.clear()
            elif (match := _SETTING.match(line.strip())) is not None:
                settings[match[1]] = match[2]
            if line.startswith("Ctrl-C"):
                break
        assert "base_url" in settings, (folder / "simulator.log").read_text()
        yield GraphProcess(process, settings)
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
