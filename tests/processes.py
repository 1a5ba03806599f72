"""One job: the command line in processes of its own: started, ended at random, refused."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from pictures import tree

LIMIT = 120  # seconds that no run needs


def start(*arguments, **options):
    """Start the command line; its output goes nowhere."""
    command = [sys.executable, "-m", "sasaug", *map(str, arguments)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **(quiet | options))


def missing(module, extra, *arguments):
    """Return all that the command line says where a module of an extra is not installed."""
    together = "cli" if extra == "cli" else f"cli,{extra}"
    return (
        f"error: {module} is missing; it comes with the extra {extra}: pip install '.[{extra}]' "
        f"in a checkout of sasaug, 'WHEEL[{extra}]' from its wheel; without installing it: "
        f"pipx run --spec 'WHEEL[{together}]' {shlex.join(['sasaug', *arguments])}\n"
    )


def finish(*arguments):
    """Run the command line to its end, which must be a good one."""
    assert start(*arguments).wait(LIMIT) == 0


def kill_at_random(rng, longest, *commands):
    """Start commands side by side, end each without warning; say how many were still at work."""
    begin = time.monotonic()
    ends = sorted(
        ((begin + rng.uniform(0.2, longest), start(*command)) for command in commands),
        key=lambda end: end[0],
    )
    killed = 0
    for moment, process in ends:
        time.sleep(max(0.0, moment - time.monotonic()))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(LIMIT) == -signal.SIGKILL
    return killed


def finished(out):
    """Return the hashes of all files of an output folder that bear their final names."""
    if not out.exists():
        return {}
    # a run that ends renames its folder, .sasaug, before it deletes it
    return {name: digest for name, digest in tree(out).items() if not name.startswith(".sasaug")}


def descendants(pid):
    """Return the ids of all processes that a process started, and their command lines."""
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal():
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            break
        found |= more
    return {child: _command(child) for child in found - {pid}}


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def end(pid):
    """End a process without warning, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
