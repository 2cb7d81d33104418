"""A publisher's file over HTTP, and the rows that a set takes of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zlib
from pathlib import Path

import httpx

from flows.public.catalogue import SLICE, PublicFile, PublicSet

TIMEOUT = httpx.Timeout(30.0)
GZIP = b"\x1f\x8b"


class FetchError(RuntimeError):
    """A file could not be fetched, or is not what it is pinned to be. The message names the address."""


def made(root: Path, entry: PublicSet, file: PublicFile) -> bytes:
    """Returns a set's file, made of what its publisher serves; the digest is the caller's to check. Raises
    FetchError.
    """
    texts = [_plain(url, _download(url, file.most), file.most) for url in entry.urls(file)]
    try:
        return b"".join(
            b"".join(_taken(root, file, text, url)) for text, url in zip(texts, entry.urls(file), strict=True)
        )
    except (ValueError, KeyError, csv.Error) as error:
        raise FetchError(
            f"{entry.urls(file)[0]}: its rows are not of the form that was recorded ({error})"
        ) from error


def _download(url: str, most: int) -> bytes:
    """Returns the bytes at an address: all of them, at most `most`."""
    content = bytearray()
    try:
        with (
            httpx.Client(timeout=TIMEOUT, follow_redirects=True, max_redirects=5) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as reply,
        ):
            if reply.status_code != 200:
                raise FetchError(f"{url}: {reply.status_code} {reply.reason_phrase}")
            for block in reply.iter_raw():
                content += block
                if len(content) > most:
                    raise FetchError(f"{url}: more than {most} bytes, the most that it may have")
            length = reply.headers.get("Content-Length")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:  # the last: of a proxy
        raise FetchError(f"{url}: {' '.join(str(error).split()) or type(error).__name__}") from error
    if length is not None and length.isdigit() and len(content) != int(length):
        raise FetchError(f"{url}: cut short, {len(content)} of {length} bytes")
    return bytes(content)


def _plain(url: str, content: bytes, most: int) -> bytes:
    """Returns the content decompressed, where it is gzip's; never more than `most` bytes of it."""
    if not content.startswith(GZIP):
        return content
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(content, most + 1)
    except zlib.error as error:
        raise FetchError(f"{url}: damaged gzip ({error})") from error
    if len(text) > most:
        raise FetchError(f"{url}: more than {most} bytes, the most that it may have")
    if not unpack.eof:
        raise FetchError(f"{url}: its gzip stream is cut short")
    return text


def _taken(root: Path, file: PublicFile, content: bytes, url: str) -> list[bytes]:
    """Returns the lines that the file takes, converted first where it says so."""
    if file.convert == "csv":
        lines = _csv_lines(content, file.add, Path(url).stem)
    else:
        lines = io.BytesIO(content).readlines()  # b"\n" alone ends a line
    if file.convert == "humaneval_ids":
        lines = [
            _line({"task_id": f"HumanEval/{number}", **json.loads(line)}) for number, line in enumerate(lines)
        ]
    if file.rows is not None and (parts := SLICE.fullmatch(file.rows)):
        lines = lines[slice(*(int(part) if part else None for part in parts.groups()))]
    if file.lines is not None:
        wanted = set((root / file.lines).read_text("utf-8").split())
        lines = [line for line in lines if hashlib.sha256(line).hexdigest()[:8] in wanted]
    if file.sort is not None:
        lines = sorted(lines, key=lambda line: str(json.loads(line)[file.sort]))
    return lines


def _csv_lines(content: bytes, add: dict[str, str], stem: str) -> list[bytes]:
    """Returns the rows of a CSV file as lines of JSON, after the columns of `add`, in which {stem} stands for
    what follows the last _ of the file's name.
    """
    before = {key: value.replace("{stem}", stem.rpartition("_")[2]) for key, value in add.items()}
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return [_line({**before, **row}) for row in reader]


def _line(row: dict[str, object]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()
