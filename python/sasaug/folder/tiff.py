"""One job: say which library reads the pages of a TIFF file rightly, from its tags.

OpenCV reads most. Some it reads wrongly without an error, and some it does not know.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .job import Unusable

__all__ = ["Page", "check_pages", "is_tiff", "pages_of"]

BITS, SAMPLES, PLANES, EXTRA = 258, 277, 284, 338  # tags of TIFF 6.0
ASSOCIATED, UNASSOCIATED = 1, 2  # values of EXTRA: alpha, multiplied into the colours or not
SEPARATE = 2  # value of PLANES: each channel is stored by itself
BIG = 43  # the version of files with 64-bit offsets
MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Page:
    """What a page says of its pixels."""

    channels: int  # transparency included
    bits: int
    is_planar: bool
    has_alpha: bool

    @property
    def needs_pillow(self) -> bool:
        """Whether OpenCV would drop its transparency, or multiply it into the colours."""
        return self.has_alpha and self.bits == 8

    @property
    def fits_pillow(self) -> bool:
        """Whether Pillow keeps its depth."""
        return self.bits <= 8 or (self.bits == 16 and self.channels == 1)


def is_tiff(content: bytes) -> bool:
    return content[:4] in MARKS


def pages_of(content: bytes) -> list[Page]:
    """Return the pages of a file; of a damaged one those before the damage."""
    found: list[Page] = []
    seen: set[int] = set()
    stream = io.BytesIO(content)
    try:
        tags = ImageFileDirectory_v2(content[: 16 if BIG in content[2:4] else 8])
        while tags.next and tags.next not in seen:
            seen.add(tags.next)
            stream.seek(tags.next)
            tags.load(stream)
            found.append(_page(tags))
    except Exception:  # of all kinds, on damaged files
        pass
    return found


def check_pages(path: str, pages: list[Page]) -> None:
    """Raise `Unusable` for pages that no library reads at their full depth."""
    for page in pages:
        colours = page.channels - page.has_alpha
        if colours not in (1, 3) and not (colours == 4 and not page.has_alpha):
            raise Unusable(
                f"{path}: must be grey or RGB, with transparency or without, got "
                f"{page.channels} channels"
            )
        if page.bits > 8 and page.channels > 1 and (page.is_planar or colours == 1):
            raise Unusable(
                f"{path}: {page.bits}-bit channels must be interleaved, as PNG has them, got "
                f"{page.channels} channels "
                + ("each stored by itself" if page.is_planar else "of grey and transparency")
            )


def _page(tags: Any) -> Page:
    channels = int(tags.get(SAMPLES, 1))
    extra = tags.get(EXTRA, ())
    return Page(
        channels,
        max(tags.get(BITS, (1,))),
        channels > 1 and tags.get(PLANES) == SEPARATE,
        bool(extra) and extra[-1] in (ASSOCIATED, UNASSOCIATED),
    )
