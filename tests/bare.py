"""One job: run a module where nothing but the packages of some extras can be imported."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import Any

#: Runs a module as ``python -m`` does, where the packages named first cannot be imported.
WITHOUT = """
import runpy, sys
hidden = set(sys.argv.pop(1).split(","))
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def run(extras: set[str], *command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a module, with its arguments, as after ``pip install '.[extras]'`` and nothing else."""
    from packaging.utils import canonicalize_name

    there = needs(extras)
    hidden = [
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if there.isdisjoint(map(canonicalize_name, distributions))
        and module not in sys.stdlib_module_names
    ]
    assert "torch" in hidden and "numpy" not in hidden
    start = [sys.executable, "-c", WITHOUT, ",".join(hidden)]
    return subprocess.run([*start, *map(str, command)], capture_output=True, text=True, **options)


def needs(extras: set[str]) -> set[str]:
    """Return the distributions that ``pip install '.[extras]'`` would install."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    left = [("sasaug", frozenset(extras))]
    while left:
        name, wanted = left.pop()
        found.add(name)
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or platform
        for line in lines:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ["", *wanted]):
                needed = canonicalize_name(requirement.name)
                if needed not in found:
                    left.append((needed, frozenset(requirement.extras)))
    return found
