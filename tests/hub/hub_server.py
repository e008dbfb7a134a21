"""A model hub on 127.0.0.1 that speaks what `huggingface_hub` asks, kept in memory.

Repositories have commits, files by name, a private flag and an owner. Files that end in
``.safetensors`` go through git LFS, as on a real hub; all others are sent in the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LICENCES = ("apache-2.0", "mit", "cc-by-nc-4.0", "other")
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"


@dataclass
class Repository:
    """Commits from the first to the last, each all files by name."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        content = repr((len(self.commits), sorted(files), *files.values())).encode()
        number = hashlib.sha1(content).hexdigest()
        self.commits[number] = files
        return number

    @property
    def head(self) -> str:
        return list(self.commits)[-1]


@dataclass
class Hub:
    """What the server holds, whom it knows, and what it was asked."""

    users: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, name: str, files: dict[str, bytes], **flags: bool) -> str:
        """Put ``files`` into a repository, which is made if need be; returns the commit."""
        return self.repositories.setdefault(name, Repository(**flags)).commit(files)

    def files(self, name: str) -> dict[str, bytes]:
        """What the main branch of a repository holds."""
        repository = self.repositories[name]
        return repository.commits[repository.head]


class RefusedError(Exception):
    """An HTTP error, as the hub words it."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    """One request; the routes are at the end of this file."""

    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.asked.append(f"{self.command} {path}")
        self.body = self.read_body()
        self.query = parse_qs(urlsplit(self.path).query)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            if token and token not in hub.users:
                raise RefusedError(401, message="Invalid credentials in Authorization header")
            self.user = hub.users.get(token, "")
            for method, pattern, answer in ROUTES:
                match = re.fullmatch(pattern, path)
                if method == self.command and match:
                    answer(self, **match.groupdict())
                    return
            raise RefusedError(404)
        except RefusedError as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            self.reply(
                json.dumps({"error": refused.message}).encode(),
                status=refused.status,
                headers={key: value for key, value in headers.items() if value},
            )

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one  # noqa: N815

    def reply(
        self, data: bytes, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")  # so that a closed server is closed
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def say(self, value: Any) -> None:
        self.reply(json.dumps(value).encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def repository(self, name: str, *, write: bool = False) -> Repository:
        """A repository that the user may read or write."""
        found = self.server.hub.repositories.get(name)
        owner = name.partition("/")[0] == self.user
        if found is None or (found.private and not owner):
            raise RefusedError(404 if self.user else 401, "RepoNotFound", "Repository not found")
        if found.gated and not owner:
            raise RefusedError(403, "GatedRepo", "Access to model is restricted")
        if write and not owner:
            raise RefusedError(403, message="You have no write access")
        return found

    def commit_of(self, found: Repository, revision: str) -> str:
        number = found.head if revision == "main" and found.commits else revision
        if number not in found.commits and revision != "main":
            raise RefusedError(404, "RevisionNotFound", "Invalid rev id")
        return number


def create(self: Handler) -> None:
    asked = json.loads(self.body)
    owner = asked.get("organization") or self.user
    name = f"{owner}/{asked['name']}"
    if not self.user:
        raise RefusedError(401, message="Invalid username or password.")
    if owner != self.user:
        raise RefusedError(403, message="You don't have the rights to create a model there")
    url = {"url": f"{self.server.hub.url}/{name}", "name": name}
    if name in self.server.hub.repositories:
        self.reply(json.dumps({**url, "error": "You already created this"}).encode(), status=409)
        return
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    self.server.hub.add(name, {".gitattributes": b""}, private=private)
    self.say(url)


def validate_card(self: Handler) -> None:
    text = json.loads(self.body)["content"]
    values = yaml.safe_load(text.split("---\n")[1])
    if values.get("license") not in LICENCES:
        errors = [{"message": f'"license" must be one of {", ".join(LICENCES)}'}]
        self.reply(json.dumps({"errors": errors, "warnings": []}).encode(), status=400)
        return
    self.say({"errors": [], "warnings": []})


def preupload(self: Handler, name: str, revision: str) -> None:
    self.repository(name, write=True)
    files = json.loads(self.body)["files"]
    modes = [
        {
            "path": each["path"],
            "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
            "shouldIgnore": False,
        }
        for each in files
    ]
    self.say({"files": modes})


def lfs_batch(self: Handler, name: str) -> None:
    self.repository(name, write=True)
    asked = json.loads(self.body)["objects"]
    upload = [
        {**each, "actions": {"upload": {"href": f"{self.server.hub.url}/lfs/{each['oid']}"}}}
        for each in asked
    ]
    self.say({"transfer": "basic", "objects": upload})


def lfs_put(self: Handler, oid: str) -> None:
    assert hashlib.sha256(self.body).hexdigest() == oid
    self.server.hub.objects[oid] = self.body
    self.say({})


def commit(self: Handler, name: str, revision: str) -> None:
    found = self.repository(name, write=True)
    files = dict(found.commits[found.head])
    for line in self.body.splitlines():
        row = json.loads(line)
        value = row["value"]
        if row["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif row["key"] == "lfsFile":
            files[value["path"]] = self.server.hub.objects[value["oid"]]
        elif row["key"] == "deletedFile":
            del files[value["path"]]
    number = found.commit(files)
    self.say({"commitUrl": f"{self.server.hub.url}/{name}/commit/{number}", "commitOid": number})


def info(self: Handler, name: str, revision: str = "main") -> None:
    found = self.repository(name)
    number = self.commit_of(found, revision)
    files = found.commits[number]
    rows = [
        {"rfilename": path, **({"size": len(data)} if "blobs" in self.query else {})}
        for path, data in files.items()
    ]
    card = files.get("README.md", b"").decode(errors="replace").split("---\n")
    data = yaml.safe_load(card[1]) if len(card) > 2 else None
    known = {"id": name, "sha": number, "private": found.private, "siblings": rows, "tags": []}
    self.say({**known, **({"cardData": data} if data else {})})


def tree(self: Handler, name: str, revision: str) -> None:
    found = self.repository(name)
    files = found.commits[self.commit_of(found, revision)]
    rows = [
        {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for path, data in files.items()
    ]
    self.say(rows)


def resolve(self: Handler, name: str, revision: str, path: str) -> None:
    found = self.repository(name)
    number = self.commit_of(found, revision)
    if path not in found.commits[number]:
        raise RefusedError(404, "EntryNotFound", "Entry not found")
    data = found.commits[number][path]
    etag = hashlib.sha256(data).hexdigest()
    self.reply(data, headers={"ETag": f'"{etag}"', "X-Repo-Commit": number})


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", r"/api/repos/create", create),
    ("POST", r"/api/validate-yaml", validate_card),
    ("POST", rf"/api/models/{NAME}/preupload/(?P<revision>.+)", preupload),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", lfs_put),
    ("POST", rf"/api/models/{NAME}/commit/(?P<revision>.+)", commit),
    ("GET", rf"/api/models/{NAME}", info),
    ("GET", rf"/api/models/{NAME}/revision/(?P<revision>.+)", info),
    ("GET", rf"/api/models/{NAME}/tree/(?P<revision>[^/]+)", tree),
    ("HEAD", rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    ("GET", rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
]


class Server(ThreadingHTTPServer):
    """Serves a `Hub` in threads of its own until it is closed."""

    daemon_threads = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        hub.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        """Stop serving; nobody listens on the port any more."""
        self.shutdown()
        self.server_close()
        self.thread.join()
