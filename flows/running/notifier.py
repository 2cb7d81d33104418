"""Tells a command and an address how a run ended, also when the runner was killed:
`python -S -E notifier.py`. It imports nothing of the project.

Its standard input is a pipe that the runner holds. The first line says whom to tell, each further one is the
run's record so far. One whose outcome is not "running" is the last; end of file before that means that the
runner has died. Each failure is a line of standard output. The address and the command are printed nowhere:
either may hold a secret.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

KILLED = "killed"
RUNNING = "running"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected becomes a GET without its record, and is no success."""

    def redirect_request(self, *_):
        return None


def post(url, body, timeout):
    """Returns what went wrong, "" when the record was taken."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    place = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    headers = {"Content-Type": "application/json", "User-Agent": "whetstone"}
    if parts.username is not None:
        login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    target = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    handlers: list[urllib.request.BaseHandler] = [NoRedirect()]
    if host == "localhost" or host.startswith("127.") or host == "::1":
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(target, body, headers, method="POST")
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout):
            return ""
    except urllib.error.HTTPError as error:
        return f"{place} answered {error.code}"
    except urllib.error.URLError as error:
        return f"{place}: {error.reason}"
    except OSError as error:
        return f"{place}: {error or type(error).__name__}"
    except Exception as error:  # noqa: BLE001  http.client's own, whose texts hold the address
        return f"{place}: {type(error).__name__}"


def call(command, body, timeout, record, log):
    """Returns what went wrong, "" when the command ended with 0."""
    env = {**os.environ, "WHETSTONE_RUN": str(record["name"]), "WHETSTONE_OUTCOME": str(record["outcome"])}
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab") as stream:
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env=env,
            start_new_session=True,
        )
        try:
            child.communicate(body, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"the command did not end within {timeout:g} s; its output: {log}"
    return f"the command ended with code {child.returncode}; its output: {log}" if child.returncode else ""


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the runner says how it ended
    whom = json.loads(sys.stdin.readline())
    record = None
    for line in sys.stdin:
        if not line.endswith("\n"):
            break  # the runner died while it wrote
        record = json.loads(line)
        if record["outcome"] != RUNNING:
            break
    if record is None:
        return
    if record["outcome"] == RUNNING:
        record["outcome"] = KILLED
    body = json.dumps(record).encode()
    failures = []
    for way, tell in (
        ("command", lambda: call(whom["command"], body, whom["timeout_s"], record, whom["log"])),
        ("url", lambda: post(whom["url"], body, whom["timeout_s"])),
    ):
        if whom.get(way):
            try:
                failures.append(tell())
            except (OSError, ValueError) as error:
                failures.append(f"the {way} could not be used: {type(error).__name__}")
    for failure in filter(None, failures):
        print(failure, flush=True)


if __name__ == "__main__":
    main()
