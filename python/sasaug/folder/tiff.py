"""One job: say which library reads the pages of a TIFF file rightly, from its tags.

OpenCV reads most. Some it reads wrongly without an error, and some it does not know.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from .job import Unusable

__all__ = ["Page", "check_pages", "is_tiff", "pages_of"]

BITS, SAMPLES, PLANES, EXTRA = 258, 277, 284, 338  # tags of TIFF 6.0
ASSOCIATED, UNASSOCIATED = 1, 2  # values of EXTRA: alpha, multiplied into the colours or not
SEPARATE = 2  # value of PLANES: each channel is stored by itself
BIG = 43  # the version of files with 64-bit offsets
MANY = 1024  # channels are fewer
NUMBERS = {1: "B", 3: "H", 4: "I"}  # types of tags that are read: BYTE, SHORT, LONG
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
    """Return the pages of a file.

    Raises
    ------
    struct.error
        The file is cut: a page lies behind its end.
    """
    order = "<" if content[:2] == b"II" else ">"
    is_big = BIG in content[2:4]
    offset, count, entry = ("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s")
    found: list[Page] = []
    seen: set[int] = set()
    (place,) = struct.unpack_from(order + offset, content, 8 if is_big else 4)
    while place and place not in seen:
        seen.add(place)
        (length,) = struct.unpack_from(order + count, content, place)
        place += struct.calcsize(order + count)
        size = struct.calcsize(order + entry)
        tags: dict[int, tuple[int, ...]] = {}
        for at in range(place, place + size * length, size):
            tag, kind, number, value = struct.unpack_from(order + entry, content, at)
            if tag in (BITS, SAMPLES, PLANES, EXTRA) and kind in NUMBERS and number <= MANY:
                form = f"{order}{number}{NUMBERS[kind]}"
                if struct.calcsize(form) > len(value):  # the values lie elsewhere
                    tags[tag] = struct.unpack_from(
                        form, content, *struct.unpack(order + offset, value)
                    )
                else:
                    tags[tag] = struct.unpack_from(form, value)
        (place,) = struct.unpack_from(order + offset, content, place + size * length)
        found.append(_page(tags))
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


def _page(tags: Mapping[int, tuple[int, ...]]) -> Page:
    channels, extra = tags.get(SAMPLES, (1,))[0], tags.get(EXTRA, ())
    return Page(
        channels,
        max(tags.get(BITS, (1,))),
        channels > 1 and tags.get(PLANES) == (SEPARATE,),
        bool(extra) and extra[-1] in (ASSOCIATED, UNASSOCIATED),
    )
