"""A client of the Language Server Protocol: JSON-RPC 2.0 with headers, over pipes."""

import json
import subprocess
import sys


class LanguageClient:
    """Starts the command and speaks to it; each message has a Content-Length header."""

    def __init__(self, folder, *flags, capabilities=None):
        command = [sys.executable, "-m", "minicaffe", "language_server", *flags]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.folder, self._n_requests, self._versions = folder, 0, {}
        self.notifications = []
        self.abilities = self.ask(
            "initialize",
            {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities or {}},
        )["capabilities"]
        self.tell("initialized", {})

    def tell(self, method, params):
        """Send a notification."""
        self._send({"method": method, "params": params})

    def ask(self, method, params):
        """Send a request and return its result; notifications before it are kept."""
        self._n_requests += 1
        self._send({"id": self._n_requests, "method": method, "params": params})
        while (message := self._receive()).get("id") != self._n_requests:
            self.notifications.append(message)
        assert "error" not in message, message
        return message["result"]

    def open(self, name, text):
        """Open a file that need not exist; return its address."""
        uri = (self.folder / name).as_uri()
        document = {"uri": uri, "languageId": "prototxt", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        self._versions[uri] = 1
        return uri

    def change(self, uri, *changes):
        """Send changes: each has a text, and a range unless the text is the whole file."""
        self._versions[uri] += 1
        document = {"uri": uri, "version": self._versions[uri]}
        params = {"textDocument": document, "contentChanges": list(changes)}
        self.tell("textDocument/didChange", params)

    def at(self, method, uri, line, character):
        """Ask about a position."""
        position = {"line": line, "character": character}
        return self.ask(
            f"textDocument/{method}", {"textDocument": {"uri": uri}, "position": position}
        )

    def diagnostics(self, uri):
        """Return the problems of the present version of a file, when they come."""
        while True:
            for message in self.notifications:
                params = message["params"]
                if (params.get("uri"), params.get("version")) == (uri, self._versions[uri]):
                    return params["diagnostics"]
            self.notifications.append(self._receive())

    def stop(self):
        """End the server as the protocol says, and return its exit code and its messages."""
        self.ask("shutdown", None)
        self.tell("exit", None)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors.decode()

    def leave(self):
        """End without a word, as an editor that was killed."""
        self.process.stdin.close()
        self.process.stdin = None

    def _send(self, message):
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self.process.stdin.flush()

    def _receive(self):
        length = 0
        while header := self.process.stdout.readline().strip():
            if header.lower().startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        assert length, self.process.stderr.read().decode()
        return json.loads(self.process.stdout.read(length))
