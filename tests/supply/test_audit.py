"""The audit believes no service that knows nothing, and says where it could not ask one."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import audit
import pytest

KNOWN = {  # what the service below knows: the canary, and one more
    ("jinja2", "3.1.5"): {"id": "PYSEC-1", "fixed": "3.1.6"},
    ("pillow", "12.3.0"): {"id": "PYSEC-2", "fixed": "13.0.0"},
}
Audit = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Audit:
    """Exit code and output of an audit of these pins."""

    def audited(pins: str, *options: str) -> tuple[int, str]:
        lock = tmp_path / "some.lock"
        lock.write_text("".join(f"{pin} --hash=sha256:{64 * '0'}\n" for pin in pins.split()))
        monkeypatch.setattr(sys, "argv", ["audit.py", "--lock", str(lock), *options])
        return audit.main(), capsys.readouterr().out

    return audited


@pytest.fixture
def service() -> Iterator[Callable[[dict], list[str]]]:
    """An advisory service as osv.dev is one, which knows what it is told to know."""
    servers = []

    def serve(known: dict[tuple[str, str], dict[str, str]]) -> list[str]:
        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                package = asked["package"]
                found = known.get((package["name"], asked["version"]))
                events = [{"introduced": "0"}, {"fixed": found and found["fixed"]}]
                ranges = [{"type": "ECOSYSTEM", "events": events}]
                vulnerable = {"affected": [{"package": package, "ranges": ranges}]}
                body = {"vulns": [{"id": found["id"], **vulnerable}]} if found else {}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                """Be silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return ["-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query"]

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_no_known_vulnerability(run: Audit, service: Callable[[dict], list[str]]) -> None:
    code, out = run("pillow==13.0.0 six==1.17.0", "--strict", *service(KNOWN))
    assert (code, out) == (0, "some.lock: 2 packages audited, no known vulnerability\n")


def test_a_vulnerable_pin(run: Audit, service: Callable[[dict], list[str]]) -> None:
    code, out = run("pillow==12.3.0 six==1.17.0", *service(KNOWN))
    assert code == 1
    assert "pillow 12.3.0: PYSEC-2, mended in 13.0.0" in out
    assert "NOT AUDITED" not in out


def test_a_service_that_knows_nothing_is_not_believed(
    run: Audit, service: Callable[[dict], list[str]]
) -> None:
    code, out = run("pillow==13.0.0", "--strict", *service({}))
    assert code == 2
    assert "NOT AUDITED" in out


NOBODY = ["-s", "osv", "--osv-url", "http://127.0.0.1:9/v1/query"]


def test_the_kept_list_takes_the_place_of_a_service_that_is_not_there(run: Audit) -> None:
    day, kept = audit.advisories()
    code, out = run("pillow==12.9.0 torch==2.12.0 six==1.17.0", *NOBODY)
    assert code == 1
    assert f"knows 0 of 3 packages; compared with {len(kept)} advisories kept on {day}" in out
    assert "pillow 12.9.0: CVE-2026-96639" in out
    assert "torch" not in out  # accepted, with its reason

    assert run("pillow==13.0.0", *NOBODY)[0] == 0
    assert run("pillow==13.0.0", "--strict", *NOBODY)[0] == 2
