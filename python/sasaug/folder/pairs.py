"""One job: find images in folders, and the masks that belong to each.

A file is an image with masks, a mask of one image, or named: in the problems if a case is left out
because of it, in the notes otherwise. Which of two readings of a name is right is never guessed.
"""

from __future__ import annotations

import glob
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from .cases import Case
from .listing import Listing, first_names, hint, listed

__all__ = ["Found", "cases_of", "check_patterns", "find", "same_stem"]

KEY, STEM = "{key}", "{stem}"
NEAR = 3  # names shown where no mask matches


@dataclass
class Found:
    """What the folders hold."""

    cases: list[Case] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # each names a file that is left out
    notes: list[tuple[str, str]] = field(default_factory=list)  # (what was decided, file)
    reason: str = ""  # why there are no cases, and how there might be


@dataclass(frozen=True)
class _Image:
    """An image as its pattern reads the name."""

    path: str
    folder: str  # before the part that the pattern describes
    key: str

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem


def find(
    images: Path,
    masks: Path,
    pattern: str,
    each_mask: bool,
    image_pattern: str | None = None,
    out: Path | None = None,
) -> Found:
    """Find images below a folder, and their masks below another.

    Parameters
    ----------
    images, masks : Path
        Folders, searched recursively; they may be the same. Hidden files are left out. Linked
        folders are followed; each real folder is read once.
    pattern : str
        File name of the masks of an image, with or without suffix. "{stem}" stands for the
        image's name without suffix, "{key}" for the part of it that `image_pattern` calls so;
        * and ? are wild. May begin with folders, such as "masks/{key}".
    each_mask : bool
        Several masks of one image make a case each; without it, one case together.
    image_pattern : str, optional
        File name of an image, with or without suffix; "{key}" stands for any text, * and ? are
        wild. May begin with folders. Image and mask must agree in all folders before those of
        the patterns. Default: every file is an image, and its key is its stem.
    out : Path, optional
        A folder that is not searched.

    Returns
    -------
    Found
        Cases in the order of their names. A mask that fits several images belongs to the one
        with the longest key.

    Raises
    ------
    ValueError
        The patterns cannot tell masks from images.
    OSError
        A folder cannot be listed.
    """
    same = images.resolve() == masks.resolve()
    check_patterns(pattern, image_pattern, same)
    apart = [] if out is None else [out]
    of_masks = listed(masks, [*apart, *([] if same else [images])])
    of_images = of_masks if same else listed(images, [*apart, masks])
    found = Found()
    for listing in (of_images,) if same else (of_images, of_masks):
        found.problems += listing.problems
        found.notes += listing.notes
    candidates = [_read(path, image_pattern) for path in of_images.paths]
    matched = {image: _masks_of(image, pattern, of_masks, same) for image in candidates if image}
    used = {mask for several in matched.values() for mask in several}
    if same:
        _refuse_chains(matched, found)
        matched = {image: several for image, several in matched.items() if image.path not in used}
    _refuse_images_of_one_name(matched, found)
    _settle_claims(matched, pattern, found)
    _refuse_twins(matched, found)
    bare = [image for image, several in matched.items() if not several]
    for place, image in enumerate(bare):
        near = _near(image, of_masks) if place < NEAR else ""
        found.problems.append(f"{image.path}: no mask matches {pattern!r}{near}")
    for image, several in matched.items():
        found.cases.extend(cases_of(image.path, several, each_mask))
    _note_the_rest(candidates, used, of_images, of_masks, same, image_pattern, found)
    _leave_out_collisions(found)
    if not found.cases:
        found.reason = _reason(found, images, of_images, image_pattern) + hint(
            [image.path for image in bare], of_masks, masks, same
        )
    return found


def cases_of(image: str, masks: Sequence[str], each_mask: bool) -> list[Case]:
    """Return the cases that an image and its masks make: one, or one for each mask."""
    if not masks:
        return []
    if not each_mask:
        return [Case(_without_suffix(image), image, tuple(masks), _normal(image))]
    return [
        Case(_without_suffix(mask), image, (mask,), f"{_normal(image)}|{_normal(mask)}")
        for mask in masks
    ]


def same_stem(paths: Sequence[str]) -> list[str]:
    """Return the first paths that differ in nothing but their suffix."""
    stems: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        stems[_without_suffix(path)].append(path)
    return next((several for several in stems.values() if len(several) > 1), [])


def check_patterns(pattern: str, image_pattern: str | None, same: bool) -> None:
    """Refuse patterns that cannot tell masks from images."""
    for name, got in (("pattern", pattern), ("image_pattern", image_pattern or STEM)):
        if "\\" in got or got[:1] == "/" or ".." in got.split("/"):
            raise ValueError(f"{name} must be a name below the folder, with / if any, got {got!r}")
    if re.search(r"[*?\[]", pattern.rpartition("/")[0]):
        raise ValueError(f"pattern must name its folders without wildcards, got {pattern!r}")
    if image_pattern is None and STEM not in pattern and KEY not in pattern:
        raise ValueError(
            f"pattern must hold {{stem}}, such as {{stem}}_mask, got {pattern!r}; for folders that "
            "hold one image each, name it: --image-pattern image --pattern mask"
        )
    if same and pattern.replace(STEM, KEY) == (image_pattern or KEY).replace(STEM, KEY):
        raise ValueError(
            "images and masks are the same folder: pattern must tell them apart, as in "
            f'"{{stem}}_mask*", got {pattern!r}'
        )


def _read(path: str, image_pattern: str | None) -> _Image | None:
    """Read a name by the pattern of images; None if it is not one."""
    if image_pattern is None:
        folder, _, name = path.rpartition("/")
        return _Image(path, folder, PurePosixPath(name).stem)
    parts = path.split("/")
    depth = image_pattern.count("/") + 1
    tail = "/".join(parts[-depth:])
    regex = _regex(image_pattern)
    for text in (_without_suffix(tail), tail):
        fits = re.fullmatch(regex, text)
        if fits and len(parts) >= depth:
            return _Image(path, "/".join(parts[:-depth]), fits.groupdict().get("key", ""))
    return None


def _regex(image_pattern: str) -> str:
    """Return a pattern of images as a regular expression."""
    text = re.escape(image_pattern.replace(STEM, KEY))
    text = text.replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    key = re.escape(KEY)
    return text.replace(key, "(?P<key>[^/]+)", 1).replace(key, "(?P=key)")


def _masks_of(image: _Image, pattern: str, of_masks: Listing, same: bool) -> tuple[str, ...]:
    """Return the paths of all files that may be an image's masks, sorted."""

    def filled(text: str, escape: bool) -> str:
        for name, value in ((STEM, image.stem), (KEY, image.key)):
            text = text.replace(name, glob.escape(value) if escape else value)
        return text

    inner, _, last = pattern.rpartition("/")
    folder = "/".join(part for part in (image.folder, filled(inner, False)) if part)
    names = of_masks.names(folder)
    wanted = filled(last, True)
    # Names are sorted: those that share the literal head of the pattern are neighbours.
    head = filled(re.split(r"[*?[]", last, maxsplit=1)[0], False)
    matched = []
    for index in range(bisect_left(names, head), len(names)):
        name = names[index]
        if not name.startswith(head):
            break
        path = f"{folder}/{name}" if folder else name
        fits = fnmatchcase(name, wanted) or fnmatchcase(PurePosixPath(name).stem, wanted)
        if fits and not (same and path == image.path):
            matched.append(path)
    return tuple(matched)


Matched = dict[_Image, tuple[str, ...]]


def _refuse_chains(matched: Matched, found: Found) -> None:
    """Refuse a mask that has masks itself: it may be an image of a similar name."""
    masks_of = {image.path: several for image, several in matched.items()}
    for image, several in list(matched.items()):
        for mask in several:
            if masks_of.get(mask):
                found.problems.append(
                    f"{image.path}: {mask} may be its mask, or an image with the mask "
                    f"{masks_of[mask][0]}; choose a narrower pattern"
                )
                del matched[image]
                break


def _refuse_images_of_one_name(matched: Matched, found: Found) -> None:
    """Refuse images that differ only in their suffix: their outputs would have one name."""
    named: defaultdict[str, list[_Image]] = defaultdict(list)
    for image, several in matched.items():
        if several:
            named[_without_suffix(image.path)].append(image)
    for name, images in named.items():
        if len(images) > 1:
            both = " and ".join(sorted(image.path for image in images))
            found.problems.append(f"{both}: would both be written as {name}_*.png; rename one")
            for image in images:
                del matched[image]


def _settle_claims(matched: Matched, pattern: str, found: Found) -> None:
    """Give a mask that fits several images to the one with the longest key, or to none."""
    claims: defaultdict[str, list[_Image]] = defaultdict(list)
    for image, several in matched.items():
        for mask in several:
            claims[mask].append(image)
    is_named = KEY in pattern or STEM in pattern
    refused: set[_Image] = set()
    for mask, images in claims.items():
        if len(images) == 1:
            continue
        images.sort(key=lambda image: (-len(image.key), image.path))
        if is_named and len(images[0].key) > len(images[1].key):
            found.notes.append(
                ("mask fits several images and went to the one with the longest name", mask)
            )
            for image in images[1:]:
                matched[image] = tuple(path for path in matched[image] if path != mask)
        else:
            both = " and ".join(sorted(image.path for image in images))
            found.problems.append(f"{both}: both match the mask {mask}; choose a narrower pattern")
            refused.update(images)
    for image in refused:
        del matched[image]


def _refuse_twins(matched: Matched, found: Found) -> None:
    """Refuse two masks of one name: one of them may be something else, such as an overlay."""
    for image, several in list(matched.items()):
        twins = same_stem(several)
        if twins:
            suffix = PurePosixPath(twins[0]).suffix
            found.problems.append(
                f"{image.path}: {' and '.join(twins)} are masks of one name; keep one, or end the "
                f"pattern in its suffix, such as {suffix}"
            )
            del matched[image]


def _reason(found: Found, images: Path, of_images: Listing, image_pattern: str | None) -> str:
    """Say why there are no cases."""
    if found.problems:
        more = f" ({len(found.problems)} in all)" if len(found.problems) > 1 else ""
        return f"{found.problems[0]}{more}"
    names = first_names(images, of_images.paths, [file for _, file in of_images.notes])
    return names if image_pattern is None else f"no image matches {image_pattern!r}; {names}"


def _near(image: _Image, of_masks: Listing) -> str:
    """Name files that may be the image's masks: their names hold its key, in any case."""
    key = _normal(image.key).casefold()
    names = [path for path in of_masks.paths if path != image.path]
    near = [path for path in names if key in _normal(path).casefold()][:NEAR]
    return f"; similar names: {', '.join(near)}" if near and key else ""


def _note_the_rest(
    candidates: Sequence[_Image | None],
    used: set[str],
    of_images: Listing,
    of_masks: Listing,
    same: bool,
    image_pattern: str | None,
    found: Found,
) -> None:
    """Name the files that are neither images nor masks."""
    for path, image in zip(of_images.paths, candidates, strict=True):
        if image is None and not (same and path in used):
            found.notes.append((f"passed over: not an image by {image_pattern!r}", path))
    if not same:
        spare = [path for path in of_masks.paths if path not in used]
        found.notes += [("mask belongs to no image", path) for path in spare]


def _leave_out_collisions(found: Found) -> None:
    """Move cases that would be written to the same files to the problems."""
    named: defaultdict[str, list[Case]] = defaultdict(list)
    for case in found.cases:
        named[case.name].append(case)
    for name, cases in named.items():
        if len(cases) > 1:
            several = " and ".join(sorted({case.image for case in cases}))
            found.problems.append(f"{several}: would both be written as {name}_*.png; rename one")
    found.cases = sorted((c[0] for c in named.values() if len(c) == 1), key=lambda c: c.name)


def _without_suffix(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def _normal(path: str) -> str:
    """Return one spelling of accented letters: file systems differ in theirs."""
    return unicodedata.normalize("NFC", path)
