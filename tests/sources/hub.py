"""A Hugging Face hub on loopback: repositories with branches and commits, served as huggingface_hub asks for
them.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


def git_digest(data: bytes) -> str:
    """The name that git, and the hub, give to a small file's bytes."""
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class Hub:
    """`commit(id, folder)` adds a commit of the folder's files and moves `main` there; data sets have ids
    that begin with `datasets/`. `asked` holds every request's path.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}  # id -> commit -> file -> bytes
        self.branches: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def commit(self, id: str, folder: Path) -> str:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        known = self.commits.setdefault(id, {})
        name = hashlib.sha1(
            repr([len(known), sorted((key, git_digest(data)) for key, data in files.items())]).encode()
        ).hexdigest()
        known[name] = files
        self.branches.setdefault(id, {})["main"] = name
        return name

    def __enter__(self) -> Hub:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def _commit(self, id: str, revision: str) -> str | None:
        name = self.branches.get(id, {}).get(revision, revision)
        return name if name in self.commits.get(id, {}) else None

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        path = unquote(request.path.partition("?")[0])
        self.asked.append(path)
        if found := re.fullmatch(r"/api/(models|datasets)/(.+?)/(revision|tree)/([^/]+)", path):
            what, id, kind, revision = found.groups()
            id = f"datasets/{id}" if what == "datasets" else id
            if commit := self._commit(id, revision):
                files = self.commits[id][commit]
                rows = [
                    {"type": "file", "path": name, "size": len(data), "oid": git_digest(data)}
                    for name, data in files.items()
                ]
                info = {"id": id, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
                return self._send(
                    request, 200, json.dumps(rows if kind == "tree" else info).encode(), {}, body
                )
        if found := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            id, revision, name = found.groups()
            commit = self._commit(id, revision)
            if commit and name in self.commits[id][commit]:
                data = self.commits[id][commit][name]
                return self._send(
                    request, 200, data, {"ETag": f'"{git_digest(data)}"', "X-Repo-Commit": commit}, body
                )
        self._send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], body: bool
    ) -> None:
        request.send_response(status)
        for name, value in {
            "Content-Length": str(len(data)),
            "Content-Type": "application/json",
            **headers,
        }.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(data)
