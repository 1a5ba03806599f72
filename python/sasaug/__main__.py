"""One job: start the command line, or name the extra that is missing."""

from __future__ import annotations

import shlex
import sys

#: The extra that installs a module.
EXTRAS = {
    **dict.fromkeys(("PIL", "cv2", "rich", "typer"), "cli"),
    **dict.fromkeys(("pandas", "pyarrow", "ray"), "ray"),
    **dict.fromkeys(("braceexpand", "webdataset"), "webdataset"),
}


def main() -> None:
    """Run the command line."""
    as_module = sys.argv[0].endswith("__main__.py")
    try:
        from .cli import app

        app(prog_name="python -m sasaug" if as_module else None)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRAS:
            raise
        extra = EXTRAS[name]
        both = ",".join(dict.fromkeys(("cli", extra)))  # pipx begins with nothing installed
        print(
            f"error: {name} is missing; it comes with the extra {extra}: pip install '.[{extra}]' "
            f"in a checkout of sasaug, 'WHEEL[{extra}]' from its wheel; without installing it: "
            f"pipx run --spec 'WHEEL[{both}]' {shlex.join(['sasaug', *sys.argv[1:]])}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
