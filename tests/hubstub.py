"""A small Hugging Face Hub on loopback: the endpoints that uploads and downloads need, with files kept in memory.

Creating, describing, listing, `preupload`, `commit`, Git LFS for the heavy files, and `resolve`, as `huggingface_hub` 2.4 asks for them.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

TOKEN = "hf_stub"
_HEAVY = (".parquet", ".tar", ".safetensors", ".pt")


class Hub(ThreadingHTTPServer):
    """Repositories by `{datasets|models}/NAME/REPO`, each `{"private": …, "files": {path: bytes}}`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.repos: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.commits = 0
        self.refused_uploads = 0
        """How many heavy files to refuse before one is taken."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Request(BaseHTTPRequestHandler):
    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, Hub)
        return self.server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self) -> None:
        self._resolve(False)

    def _resolve(self, whole: bool) -> bool:
        """Answer for a file of a model, or say that it is none."""
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
        if found is None:
            return False
        files = self.hub.repos.get(f"models/{found[1]}", {"files": {}})["files"]
        content = files.get(found[2])
        self.send_response(200 if content is not None else 404)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound" if files else "RepoNotFound")
        self.send_header("X-Repo-Commit", f"{self.hub.commits:040x}")
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if whole:
            self.wfile.write(content or b"")
        return True

    def do_GET(self) -> None:
        self._body()
        if self._resolve(True):
            return
        path = self.path.partition("?")[0]
        found = re.fullmatch(r"/api/((?:datasets|models)/[^/]+/[^/]+)(/revision/main|/tree/[^/]+|)", path)
        repo = self.hub.repos.get(found[1]) if found else None
        if found is None or repo is None:
            self._answer({"error": "Repository not found"}, 404)
            return
        if found[2].startswith("/tree/"):
            listed = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in repo["files"].items()
            ]
            self._answer(listed)
            return
        siblings = [{"rfilename": name} for name in repo["files"]]
        named = {"id": found[1].partition("/")[2], "sha": "0" * 40}
        self._answer(named | {"private": repo["private"], "siblings": siblings, "tags": [], "downloads": 0})

    def do_PUT(self) -> None:
        content = self._body()
        if self.hub.refused_uploads:
            self.hub.refused_uploads -= 1
            self._answer({"error": "storage says no"}, 403)
            return
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.objects[oid] = content
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/(.+)/preupload/main", self.path):
            self._preupload(found[1], json.loads(body))
        elif found := re.fullmatch(r"/api/(.+)/commit/main", self.path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        else:
            self._answer({"error": f"the stub has no {self.path}"}, 404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('type', 'model')}s/{asked['organization']}/{asked['name']}"
        status = 409 if name in self.hub.repos else 200
        private = (
            asked.get("private") or asked.get("visibility") == "private"
        )  # huggingface-hub 1.3, and later
        self.hub.repos.setdefault(name, {"private": private, "files": {}})
        self._answer({"url": f"{self.hub.url}/{name}", "error": "exists"}, status)

    def _preupload(self, repo: str, asked: dict[str, Any]) -> None:
        files = self.hub.repos[repo]["files"]
        answers = []
        for file in asked["files"]:
            heavy = file["path"].endswith(_HEAVY)
            answer = {
                "path": file["path"],
                "uploadMode": "lfs" if heavy else "regular",
                "shouldIgnore": False,
            }
            content = files.get(file["path"])
            if content is not None:
                git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                answer["oid"] = hashlib.sha256(content).hexdigest() if heavy else git
            answers.append(answer)
        self._answer({"files": answers})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for wanted in asked["objects"]:
            href = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
            objects.append(wanted if wanted["oid"] in self.hub.objects else wanted | {"actions": href})
        self._answer({"transfer": "basic", "objects": objects})

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.hub.repos[repo]["files"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.repos[repo]["files"][value["path"]] = self.hub.objects[value["oid"]]
        self.hub.commits += 1
        oid = f"{self.hub.commits:040x}"
        self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}"})


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers while the block runs."""
    hub = Hub()
    thread = Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def environment(url: str, home: Path, token: str = TOKEN) -> dict[str, str]:
    """What a process needs to take a stub for the hub; `huggingface_hub` reads it once."""
    return os.environ | {
        "HF_ENDPOINT": url,
        "HF_TOKEN": token,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",  # the stub speaks Git LFS, not Xet
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
