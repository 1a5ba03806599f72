"""One job: what the reference needs beyond autodoc: signatures, module heads, settings, menu."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import sasaug
from sasaug.settings import _descriptions

PARTS = ("arrays", "calls", "steps", "plan", "torch", "adapters", "other")
#: Pages below another page: the menu unfolds them there.
CHILDREN = {
    "noise": ["strengths"],
    "adapters": ["adapters/*"],
    "frameworks": ["geometry", "clips"],
    "speed": ["speed-measured"],
    "study/README": ["study/tables"],
    "api": [f"api/{name}" for name in PARTS],
    "architecture": ["kernels", "gpu-testing"],
    "contributing": ["style", "release", "security"],
    "versions": ["changelog"],
}


def own_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Show the parameters of a class's own ``__init__``, which a mocked base class would hide."""
    if what != "class" or not name.startswith("sasaug.") or not inspect.isfunction(obj.__init__):
        return None
    if "__signature__" in vars(obj):
        parameters = list(obj.__signature__.parameters.values())
    elif obj.__init__.__module__.startswith("sasaug."):
        parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
    else:  # the host's own, which is mocked
        return "", returns
    plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain)), returns


def plain_head(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Take "One job:", a convention of the source files, off a module's head."""
    if what == "module" and lines and lines[0].startswith("One job: "):
        head = lines[0].removeprefix("One job: ")
        lines[0] = head[:1].upper() + head[1:]


def settings_table() -> str:
    """Return the fields of :class:`sasaug.SAS` as a Markdown table."""
    described = _descriptions()
    rows = ["| setting | default | values | meaning |", "|---|---|---|---|"]
    for field in fields(sasaug.SAS):
        kind, text = described[field.name]
        assert field.default is not MISSING, field.name
        default = f'"{field.default}"' if isinstance(field.default, str) else field.default
        text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
        cells = f"`{field.name}`", f"`{default}`", kind.removesuffix(", optional"), text
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)


def complete_page(app: Any, name: str, source: list[str]) -> None:
    """Fill in the settings table, and give a page with children its part of the menu."""
    source[0] = re.sub(
        "<!-- settings table -->.*<!-- /settings table -->",
        lambda match: settings_table(),
        source[0],
        flags=re.S,
    )
    folder = Path(app.srcdir)
    children = [
        page.relative_to(folder).with_suffix("").as_posix()
        for pattern in CHILDREN.get(name, [])
        for page in sorted(folder.glob(f"{pattern}.*"))
        if page.suffix in (".md", ".rst")
    ]
    if children:
        entries = "\n".join(f"/{child}" for child in children)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def setup(app: Any) -> dict[str, bool]:
    """Join the build."""
    app.connect("autodoc-process-signature", own_signature)
    app.connect("autodoc-process-docstring", plain_head, priority=400)  # before napoleon
    app.connect("source-read", complete_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
