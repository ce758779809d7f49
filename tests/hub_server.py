"""A stand-in for Hugging Face's server on this machine: as much of its interface as huggingface_hub asks for datasets.

It keeps commits in memory. Files of some suffixes go through Git LFS, as on the real one; others into the commit.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["TOKEN", "HubServer", "serving"]

TOKEN = "hf_of_the_tests"
LFS = (".h5", ".hdf5")


@dataclasses.dataclass
class Repo:
    """A dataset repository: its commits, each with all its files."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]]
    messages: list[str]

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    def files(self, revision: str) -> dict[str, bytes] | None:
        wanted = self.head if revision == "main" else revision
        return next((files for oid, files in self.commits if oid == wanted), None)


class HubServer(http.server.ThreadingHTTPServer):
    """The server, its repositories, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.lfs = True
        self.tampers: dict[str, bytes] = {}
        """What is sent in the place of a file, though the repository says otherwise."""
        self.race = False
        """Whether somebody else commits in the middle of a push."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo: str, files: dict[str, bytes], message: str = "by hand") -> str:
        """Adds files, as a push of somebody else's would."""
        known = self.repos.setdefault(repo, Repo(False, [(_oid(repo, {}), {})], []))
        new = {**known.commits[-1][1], **files}
        known.commits.append((_oid(repo + str(len(known.commits)), new), new))
        known.messages.append(message)
        return known.head


def _oid(name: str, files: dict[str, bytes]) -> str:
    digest = hashlib.sha1(name.encode())
    for path, data in sorted(files.items()):
        digest.update(path.encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()


@contextmanager
def serving() -> Iterator[HubServer]:
    """Serves until the block ends."""
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing on stderr."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        self._sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._path = [urllib.parse.unquote(part) for part in urllib.parse.urlsplit(self.path).path.split("/")[1:]]
        self.server.asked.append(f"{method} {urllib.parse.unquote(self.path)}")
        match method, self._path:
            case "POST", ["api", "validate-yaml"]:
                self._json({"warnings": [], "errors": []})
            case "POST", ["api", "repos", "create"]:
                self._create()
            case "GET", ["api", "datasets", owner, name]:
                self._info(f"{owner}/{name}", "main")
            case "GET", ["api", "datasets", owner, name, "revision", revision]:
                self._info(f"{owner}/{name}", revision)
            case "POST", ["api", "datasets", owner, name, "preupload", _]:
                self._preupload(f"{owner}/{name}")
            case "POST", ["api", "datasets", owner, name, "commit", _]:
                self._commit(f"{owner}/{name}")
            case "POST", ["datasets", _, _, "info", "lfs", "objects", "batch"]:
                self._batch()
            case "PUT", ["lfs", oid]:
                self._store(oid)
            case (("GET" | "HEAD"), ["datasets", owner, name, "resolve", revision, *file]):
                self._file(f"{owner}/{name}", revision, "/".join(file))
            case _:
                self._fail(404, "", f"no such place: {method} {self.path}")

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repo(self, name: str) -> Repo | None:
        repo = self.server.repos.get(name)
        if repo is None or (repo.private and not self._known):
            self._fail(404, "RepoNotFound", "Repository not found")
            return None
        return repo

    def _may_write(self) -> bool:
        if not self._known:
            self._fail(401, "", "Invalid username or password.")
        return self._known

    def _create(self) -> None:
        if not self._may_write():
            return
        asked = json.loads(self._sent)
        assert asked["type"] == "dataset"
        name = f"{asked['organization'] or 'me'}/{asked['name']}"
        there = name in self.server.repos
        if not there:
            private = asked.get("visibility") == "private" or asked.get("private", False)
            self.server.repos[name] = Repo(private, [(_oid(name, {}), {".gitattributes": b""})], [])
        self._json({"url": f"{self.server.url}/datasets/{name}", "name": name}, 409 if there else 200)

    def _info(self, name: str, revision: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        files = repo.files(revision)
        if files is None:
            self._fail(404, "RevisionNotFound", "Invalid rev id")
            return
        oid = repo.head if revision == "main" else revision
        siblings = [self._sibling(path, data) for path, data in files.items()]
        if self.server.race:
            self.server.race = False
            self.server.commit(name, {"other.txt": b"x"})
        self._json({"id": name, "sha": oid, "private": repo.private, "tags": [], "siblings": siblings})

    def _sibling(self, path: str, data: bytes) -> dict[str, Any]:
        about: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": _blob(data)}
        if self._by_lfs(path):
            about["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 130}
        return about

    def _by_lfs(self, path: str) -> bool:
        return self.server.lfs and path.endswith(LFS)

    def _preupload(self, name: str) -> None:
        if not self._may_write():
            return
        files = self.server.repos[name].commits[-1][1]
        answer = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if self._by_lfs(one["path"]) else "regular",
                "shouldIgnore": False,
                **({"oid": self._oid_of(one["path"], files[one["path"]])} if one["path"] in files else {}),
            }
            for one in json.loads(self._sent)["files"]
        ]
        self._json({"files": answer})

    def _oid_of(self, path: str, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest() if self._by_lfs(path) else _blob(data)

    def _batch(self) -> None:
        if not self._may_write():
            return
        objects = []
        for one in json.loads(self._sent)["objects"]:
            action = {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}
            objects.append(one if one["oid"] in self.server.objects else {**one, "actions": action})
        self._json({"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> None:
        assert hashlib.sha256(self._sent).hexdigest() == oid
        self.server.objects[oid] = self._sent
        self._json({})

    def _commit(self, name: str) -> None:
        if not self._may_write():
            return
        repo, files, message = self.server.repos[name], {}, ""
        for line in self._sent.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit", repo.head) != repo.head:
                    self._fail(412, "", "A commit has happened since. Please refresh and try again.")
                    return
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert item["key"] == "lfsFile" and value["algo"] == "sha256"
                files[value["path"]] = self.server.objects[value["oid"]]
        oid = self.server.commit(name, files, message)
        self._json({"commitUrl": f"{self.server.url}/datasets/{name}/commit/{oid}", "commitOid": oid})

    def _file(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        files = repo.files(revision)
        if files is None or path not in files:
            code = "EntryNotFound" if files is not None else "RevisionNotFound"
            self._fail(404, code, "Entry not found")
            return
        data = self.server.tampers.get(path, files[path])
        headers = {
            "X-Repo-Commit": repo.head if revision == "main" else revision,
            "ETag": f'"{self._oid_of(path, files[path])}"',
        }
        self._send(200, data, headers)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _blob(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
