"""One job: the commands of `python -m sasaug`. Needs the ``cli`` extra.

Every command imports its libraries when it runs, so that `--help` is fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .. import STREAM_VERSION, __version__
from .augment import augment
from .demo import demo
from .preview import preview

__all__ = ["app"]

HELP = """Segment Anything Small: augmentation of ultrasound images and their masks.

Start with `demo`, which needs no data. `preview` shows every noise at several strengths and sizes,
so that you can choose. `augment` writes augmented copies of your images.

\b
Examples:
  python -m sasaug demo
  python -m sasaug preview --images images --masks masks
  python -m sasaug augment --images images --masks masks --out augmented --report
  python -m sasaug augment --help
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sasaug {__version__} (stream version {STREAM_VERSION})")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass


for command in (demo, preview, augment):
    app.command()(command)
