"""wrk, a Debian package, as a generator of load: a script that asks, and what it found."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from pathlib import Path

import msgspec

HEAD = """
number = 0
local threads = 0
function setup(thread) threads = threads + 1; thread:set("number", threads) end
function init(args)
  math.randomseed(number)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"duration_us":%d,"p50_us":%f,"p90_us":%f,"p99_us":%f,"refused":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Asked(msgspec.Struct):
    """What wrk found."""

    requests: int
    duration_us: int
    p50_us: float
    p90_us: float
    p99_us: float
    refused: int
    cpu_s: float = 0.0  # of wrk itself


def ask(port: int, path: str, request: str, connections: int, seconds: float) -> Asked:
    """Ask from so many connections, each as soon as its last was answered.

    Args:
        port: of this machine.
        path: what is asked for.
        request: Lua that defines `request()`; what stands before it may use `number`, of the thread.
        connections: how many.
        seconds: for how long.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "ask.lua"
        script.write_text(HEAD + request)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script), f"http://127.0.0.1:{port}{path}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = msgspec.json.decode(next(line for line in done.stdout.splitlines() if line.startswith("{")), type=Asked)
    told.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return told
