"""The address that `ui` prints for MLflow: the table of runs, where there is an experiment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

import pytest

from flows.ui import runs_page


class Tracking(BaseHTTPRequestHandler):
    """Knows one experiment, as MLflow's server does; another is a 404."""

    def do_GET(self) -> None:
        [name] = parse_qs(urlparse(self.path).query)["experiment_name"]
        self.send_response(200 if name == "my runs & more" else 404)
        self.end_headers()
        self.wfile.write(b'{"experiment": {"experiment_id": "7"}}' if name == "my runs & more" else b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Tracking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_it_is_the_table_of_runs_or_the_first_page(url: str) -> None:
    assert runs_page(url, "my runs & more") == f"{url}/#/experiments/7?workflowType=machine_learning"
    assert runs_page(url, "none yet") == url
