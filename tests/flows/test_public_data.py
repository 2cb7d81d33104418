"""Public data sets of public.yaml: from a mirror, from a host that a server on loopback plays, and what is said
where they are missing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.graph.params_file import ParamsError
from flows.graph.recipe_layers import names
from flows.public import catalogue
from flows.public.bring import PublicDataError, Want, bring
from flows.public.catalogue import PublicSet
from tests import clone
from tests.corpora.made import DATA
from tests.flows.toy import ROOT, Project

LINES = [
    json.dumps(
        {"question": f"Ann has {n} coins and finds {n % 7}.", "answer": f"{n}+{n % 7}\n#### {n + n % 7}"}
    )
    + "\n"
    for n in range(80)
]
PLAIN = "".join(LINES[:60]).encode()  # of a publisher's file with twenty rows more


class Host:
    """A publisher: paths with what is answered, each (status, headers, body)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                status, headers, body = host.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    host = Host()
    host.answers["/all.jsonl"] = (200, {}, "".join(LINES).encode())
    yield host
    host.close()


def entry(url: str | None, content: bytes = PLAIN, **file: Any) -> dict[str, Any]:
    """A set with a train file of 60 rows and a dev file of the 20 after them."""
    rows = {"limit": 100_000, **file}
    dev = "".join(LINES[60:]).encode()

    def pinned(content: bytes, rows: dict[str, Any]) -> dict[str, Any]:
        fetched = {"url": "all.jsonl", **rows} if url else {}
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **fetched}

    return {
        "title": "coins",
        "licence": "CC0-1.0",
        "origin": "https://example.org/coins at 0123",
        "url": url,
        "mirror": "some/coins",
        "note": "" if url else "its publisher is gone",
        "files": {
            "train.jsonl": pinned(content, {"rows": ":60", **rows}),
            "dev.jsonl": pinned(dev, {"rows": "60:", **rows}),
        },
    }


def want(root: Path, value: dict[str, Any], mirror: Path | None = None, offline: bool = False) -> Want:
    return Want(root, "coins", PublicSet.model_validate(value), mirror, offline)


def left(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_rows_are_taken_of_what_the_publisher_serves(tmp_path: Path, host: Host):
    said: list[str] = []
    assert bring(want(tmp_path, entry(host.url)), said.append) == f"{host.url}all.jsonl"
    assert (tmp_path / "public/coins/train.jsonl").read_bytes() == PLAIN
    assert left(tmp_path) == ["public/coins/dev.jsonl", "public/coins/train.jsonl"]
    assert said == [f"public/coins from {host.url}all.jsonl (CC0-1.0, 6 kB)"]
    host.asked.clear()
    assert bring(want(tmp_path, entry(host.url))) == "here"
    assert host.asked == []


def test_gzip_a_redirect_and_rows_by_their_digests(tmp_path: Path, host: Host):
    host.answers["/moved/all.jsonl"] = (302, {"Location": "/packed.gz"}, b"")
    host.answers["/packed.gz"] = (200, {}, gzip.compress("".join(LINES).encode()))
    (tmp_path / "kept.txt").write_text(
        " ".join(hashlib.sha256(line.encode()).hexdigest()[:8] for line in LINES[:60])
    )
    value = entry(f"{host.url}moved/")
    value["files"]["train.jsonl"] |= {"rows": None, "lines": "kept.txt"}
    bring(want(tmp_path, value))
    assert (tmp_path / "public/coins/train.jsonl").read_bytes() == PLAIN


def test_a_table_with_commas_becomes_json_with_the_name_of_its_file(tmp_path: Path, host: Host):
    host.answers["/of_one.csv"] = (200, {}, b'id,text\r\n1,"a, b\nc"\r\n2,d\r\n')
    host.answers["/of_two.csv"] = (200, {}, "id,text\n1,é\n".encode())
    rows = [("one", "1", "a, b\nc"), ("one", "2", "d"), ("two", "1", "é")]
    text = "".join(
        json.dumps({"_of": of, "id": n, "text": t}, ensure_ascii=False) + "\n" for of, n, t in rows
    )
    value = entry(host.url)
    file = {
        "url": "of_one.csv",
        "more": ["of_two.csv"],
        "convert": "csv",
        "add": {"_of": "{stem}"},
        "limit": 1000,
    }
    digest = hashlib.sha256(text.encode()).hexdigest()
    value["files"] = {"rows.jsonl": {"bytes": len(text.encode()), "sha256": digest, **file}}
    bring(want(tmp_path, value))
    assert (tmp_path / "public/coins/rows.jsonl").read_text() == text


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, {}, "".join(LINES[1:]).encode()), "gives other bytes than those it is pinned to"),
        ((200, {}, "".join(LINES[:30]).encode()), "gives other bytes"),  # whole for HTTP, and short
        ((200, {"Content-Length": "90000"}, PLAIN), "peer closed connection"),
        ((200, {}, gzip.compress("".join(LINES).encode())[:-20]), "cut short"),
        ((200, {}, b"x" * 100_001), "more than 100000 bytes"),
        ((200, {}, gzip.compress(b"x" * 200_000)), "more than 100000 bytes"),
        ((404, {}, b""), "404 Not Found"),
        ((500, {}, b"".join([PLAIN])), "500"),
        ((302, {"Location": "/all.jsonl"}, b""), "redirects"),
    ],
)
def test_what_is_wrong_never_appears(
    tmp_path: Path, host: Host, answer: tuple[int, dict[str, str], bytes], told: str
):
    host.answers["/all.jsonl"] = answer
    with pytest.raises(PublicDataError, match=told):
        bring(want(tmp_path, entry(host.url)))
    assert left(tmp_path) == []


def test_a_host_that_is_not_there(tmp_path: Path):
    with pytest.raises(PublicDataError, match=r"http://127\.0\.0\.1:9/all\.jsonl"):
        bring(want(tmp_path, entry("http://127.0.0.1:9/")))
    assert left(tmp_path) == []


def test_a_proxy_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(PublicDataError, match="gopher"):
        bring(want(tmp_path, entry("http://127.0.0.1:9/")))


def test_what_a_killed_process_left_goes(tmp_path: Path, host: Host):
    half = tmp_path / "public/.bringing-abc/train.jsonl"
    half.parent.mkdir(parents=True)
    half.write_bytes(PLAIN[:100])
    bring(want(tmp_path, entry(host.url)))
    assert left(tmp_path) == ["public/coins/dev.jsonl", "public/coins/train.jsonl"]


def test_a_mirror_comes_first_and_other_bytes_in_it_are_passed_over(tmp_path: Path, host: Host):
    mirror = tmp_path / "mirror"
    (mirror / "some/coins").mkdir(parents=True)
    (mirror / "some/coins/train.jsonl.gz").write_bytes(gzip.compress(PLAIN))
    (mirror / "some/coins/dev.jsonl").write_bytes(PLAIN)  # the wrong file
    origin = bring(want(tmp_path / "here", entry(host.url), mirror))
    assert origin == f"{mirror}/some/coins, {host.url}all.jsonl"
    assert host.asked == ["/all.jsonl"]
    with pytest.raises(PublicDataError, match=r"dev\.jsonl holds other bytes"):
        bring(want(tmp_path / "there", entry(None), mirror))
    assert left(tmp_path / "there") == []
    # another project's public/ is a mirror
    assert bring(want(tmp_path / "third", entry(None), tmp_path / "here/public"))
    assert left(tmp_path / "third") == ["public/coins/dev.jsonl", "public/coins/train.jsonl"]


def test_a_file_that_was_edited_is_refused_and_a_missing_one_comes_again(tmp_path: Path, host: Host):
    bring(want(tmp_path, entry(host.url)))
    train = tmp_path / "public/coins/train.jsonl"
    train.write_bytes(PLAIN.replace(b"Ann", b"Bob"))
    with pytest.raises(PublicDataError, match=r"public/coins/train\.jsonl is not the published file"):
        bring(want(tmp_path, entry(host.url)))
    train.unlink()
    bring(want(tmp_path, entry(host.url)))
    assert train.read_bytes() == PLAIN


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": "http://example.org/a/"}, "https URL that holds the commit"),
        ({"url": "https://example.org/main/"}, "https URL that holds the commit"),
        ({"sha": "1"}, "Extra inputs"),
        ({"files": {}}, "at least 1"),
        ({"files": {"../up": {"bytes": 1, "sha256": "0" * 64}}}, "plain file name"),
        ({"files": {"a": {"bytes": 1, "sha256": "0" * 63}}}, "pattern"),
        ({"files": {"a": {"bytes": 1, "sha256": "0" * 64, "url": "http://example.org/x"}}}, "https URL"),
    ],
)
def test_an_entry_that_is_not_pinned_is_refused(tmp_path: Path, change: dict[str, Any], told: str):
    (tmp_path / "public.yaml").write_text(yaml.safe_dump({"coins": {**entry(None), **change}}))
    with pytest.raises(ParamsError, match=told):
        catalogue.read(tmp_path)


def test_every_set_that_a_recipe_names_is_listed():
    sets, named = catalogue.read(ROOT), set[str]()
    for name in names(ROOT):
        text = (ROOT / f"recipes/{name}.yaml").read_text()
        assert "../" not in text.replace("../schemas", ""), f"{name} reads what nobody has who clones this"
        named |= {word.split("/")[1] for word in text.replace(",", " ").split() if word.startswith("public/")}
    assert named == set(sets)


@pytest.mark.parametrize("name", list(catalogue.read(ROOT)))
def test_the_real_mirror_holds_every_set(tmp_path: Path, name: str):
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set WHETSTONE_DATA")
    value = catalogue.read(ROOT)[name]
    bring(Want(tmp_path, name, value, DATA, offline=True))
    assert {catalogue.state(tmp_path, name, *file) for file in value.files.items()} == {"here"}


def test_a_stranger_is_told_and_helped(tmp_path: Path, host: Host):
    """The whole way with the recipe gsm8k_small, whose set is a small one here."""
    project = clone.make(tmp_path / "project")
    project.env["NO_PROXY"] = "127.0.0.1"
    assert project.call("use", "gsm8k_small").returncode == 0
    value = entry(host.url)
    (project.folder / "public.yaml").write_text(yaml.safe_dump({"gsm8k": value}))

    told = next(
        text for text in project.reasons("corpus@gsm8k") if text.startswith("public/gsm8k is not here")
    )
    for word in (
        "coins",
        "CC0-1.0",
        "kB",
        "https://example.org/coins",
        "whetstone fetch gsm8k",
        "WHETSTONE_DATA",
    ):
        assert word in told
    refused = project.call("run", "corpus@gsm8k")
    assert refused.returncode == 1
    assert "public/gsm8k is not here" in refused.stderr
    findings = json.loads(project.call("doctor", "--json").stdout)
    assert any(
        "CC0-1.0" in json.dumps(row) and "whetstone fetch gsm8k" in json.dumps(row) for row in findings
    )
    assert host.asked == []

    # from a mirror, plain or packed
    mirror = tmp_path / "mirror/some/coins"
    mirror.mkdir(parents=True)
    (mirror / "train.jsonl.gz").write_bytes(gzip.compress(PLAIN))
    (mirror / "dev.jsonl").write_text("".join(LINES[60:]))
    assert run(project, WHETSTONE_DATA=str(tmp_path / "mirror")) == "run"
    assert host.asked == []
    records = {path.name: path.read_bytes() for path in (project.folder / "data/gsm8k/records").iterdir()}
    assert "heldout.jsonl" in records

    # fetched: the same bytes, so that nothing is stale
    for path in (project.folder / "public/gsm8k").iterdir():
        path.unlink()
    (project.folder / "public/gsm8k").rmdir()
    fetched = project.call("fetch", "gsm8k", "--json")
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert set(json.loads(fetched.stdout)["sets"][0]["files"].values()) == {"here"}
    assert host.asked
    assert project.plan("corpus@gsm8k") == {}
    assert project.git("status", "--porcelain", "public") == ""

    unknown = project.call("fetch", "gsm9k")
    assert unknown.returncode == 2
    assert "nearest: gsm8k" in unknown.stderr


def run(project: Project, **extra: str) -> str:
    return str(project.run("corpus@gsm8k", **extra)["stages"]["corpus@gsm8k"]["ended"])
