"""One job: the commands of `python -m sasaug`. Needs the ``cli`` extra.

Every command imports what it works with when it runs, so that `--help` is fast.
"""

from __future__ import annotations

import typer

from .augment import augment
from .demo import demo
from .preview import preview

__all__ = ["app"]

HELP = """Segment Anything Small: augmentation of ultrasound images and their masks.

Start with `demo`, which needs no data. Choose strengths and scales with `preview`. Write augmented
copies of your images with `augment`.

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
for command in (demo, preview, augment):
    app.command()(command)
