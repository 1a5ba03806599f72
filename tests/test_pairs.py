"""Claims about finding images with their masks."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")


from pictures import disc, picture, write
from sasaug.folder import Job, expand, pairs

EVERY = sasaug.SAS(p=1.0, apply_to="all")


# Which mask belongs to which image


def found_in(root, files, pattern="{stem}_mask*", same=True, each_mask=False, image_pattern=None):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    masks = root if same else root / "masks"
    images = root if same else root / "images"
    return pairs.find(images, masks, pattern, each_mask, image_pattern)


def test_images_and_masks_may_share_a_folder_as_in_busi(tmp_path):
    names = [
        "benign (1)",
        "benign (1)_mask",
        "benign (1)_mask_1",
        "benign (10)",
        "benign (10)_mask",
    ]
    found = found_in(tmp_path, [f"b/{name}.png" for name in names])
    assert [(case.name, case.masks) for case in found.cases] == [
        ("b/benign (1)", ("b/benign (1)_mask.png", "b/benign (1)_mask_1.png")),
        ("b/benign (10)", ("b/benign (10)_mask.png",)),
    ]
    assert found.problems == []


def test_each_mask_is_a_case_of_its_own(tmp_path):
    files = ["x.png", "x_mask.png", "x_mask_1.png"]
    found = found_in(tmp_path, files, each_mask=True)
    assert [(case.name, case.masks) for case in found.cases] == [
        ("x_mask", ("x_mask.png",)),
        ("x_mask_1", ("x_mask_1.png",)),
    ]
    assert len({case.key for case in found.cases}) == 2


def test_same_folder_needs_a_telling_pattern(tmp_path):
    with pytest.raises(ValueError, match="pattern must tell them apart"):
        found_in(tmp_path, ["x.png"], "{stem}")


def test_masks_below_the_images_are_no_images(tmp_path):
    for name in ("x.png", "masks/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = pairs.find(tmp_path, tmp_path / "masks", "{stem}", False)
    assert [(case.image, case.masks) for case in found.cases] == [("x.png", ("x.png",))]
    assert found.problems == []


def test_missing_and_spare_masks_are_named(tmp_path):
    files = ["images/a.png", "images/b.png", "masks/b.bmp", "masks/c.tif", "masks/sub/a.png"]
    found = found_in(tmp_path, files, "{stem}", same=False)
    assert [case.image for case in found.cases] == ["b.png"]
    assert found.problems == ["a.png: no mask matches '{stem}'; similar names: sub/a.png"]
    assert found.notes == [("mask belongs to no image", name) for name in ("c.tif", "sub/a.png")]


def test_names_that_differ_in_their_letters_alone_are_named(tmp_path):
    files = ["images/Scan1.png", "images/M\u00fcller.png", "images/b.png", "masks/b.png"]
    more = ["masks/scan1.png", "masks/Mu\u0308ller.png"]
    found = found_in(tmp_path, files + more, "{stem}", same=False)
    assert [case.image for case in found.cases] == ["b.png"]
    assert found.problems == [
        "M\u00fcller.png: no mask matches '{stem}'; similar names: Mu\u0308ller.png",
        "Scan1.png: no mask matches '{stem}'; similar names: scan1.png",
    ]


def test_colliding_outputs_are_both_named(tmp_path):
    files = ["images/a.png", "images/a.jpg", "images/b.png", "masks/a.png", "masks/b.png"]
    found = found_in(tmp_path, files, "{stem}", same=False)
    assert [case.image for case in found.cases] == ["b.png"]
    assert found.problems == ["a.jpg and a.png: would both be written as a_*.png; rename one"]


def test_other_and_hidden_files_are_left_out(tmp_path):
    files = ["x.PNG", "x_mask.TIFF", "notes.txt", ".x.png", ".git/y.png", "Thumbs.db"]
    found = found_in(tmp_path, files)
    assert [(case.image, case.masks) for case in found.cases] == [("x.PNG", ("x_mask.TIFF",))]
    assert found.problems == []


def test_pattern_may_name_the_suffix(tmp_path):
    files = ["images/a.jpg", "masks/a_binary.PNG", "masks/a.PNG"]
    for pattern in ("{stem}_binary", "{stem}_binary.PNG", "{stem}_b*", "*{stem}_b?nary"):
        found = found_in(tmp_path, files, pattern, same=False)
        assert [case.masks for case in found.cases] == [("a_binary.PNG",)]


@given(
    stems=st.sets(st.text("ab[]*?!(1) .é", min_size=1, max_size=5), min_size=1, max_size=8),
    pattern=st.sampled_from(["{stem}_mask*", "m_{stem}", "*-{stem}_mask", "{stem}_mask.png"]),
)
@settings(max_examples=60, deadline=None)
def test_mask_is_found_whatever_the_name(tmp_path_factory, stems, pattern):
    stems = {stem for stem in stems if stem.strip(" .") == stem}
    root = tmp_path_factory.mktemp("names")
    for stem in stems:
        for sub, name in (("images", stem), ("masks", pattern.replace("{stem}", stem))):
            name = name.replace("*", "") if sub == "masks" and "*" not in stem else name
            (root / sub).mkdir(exist_ok=True)
            (root / sub / (name.removesuffix(".png") + ".png")).write_bytes(b"")
    if not stems:
        return
    found = pairs.find(root / "images", root / "masks", pattern, False)
    assert {case.name for case in found.cases} == stems
    assert found.problems == []


def test_spelling_of_accents_does_not_change_the_sample():
    composed, decomposed = "M\u00fcller.png", "Mu\u0308ller.png"
    for each_mask in (False, True):
        cases = [pairs.cases_of(name, (name,), each_mask)[0] for name in (composed, decomposed)]
        assert cases[0].key == cases[1].key


def test_name_that_is_no_text_is_named(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"\xff.png"), "wb"):
        pass
    found = found_in(tmp_path, ["x.png", "x_mask.png"])
    assert len(found.cases) == 1
    assert found.problems == ["'\\udcff.png': its name is not valid UTF-8"]


# Names that may be read in two ways


def test_mask_that_fits_several_images_goes_to_the_longest_name(tmp_path):
    stems = ["patient_1", "patient_1_2", "patient_10"]
    files = [f"images/{stem}.png" for stem in stems] + [f"masks/{stem}_mask.png" for stem in stems]
    for pattern in ("{stem}_*", "{stem}*", "{stem}_*.png"):
        found = found_in(tmp_path, files, pattern, same=False)
        assert {case.image: case.masks for case in found.cases} == {
            f"{stem}.png": (f"{stem}_mask.png",) for stem in stems
        }
        assert found.problems == []
        note = "mask fits several images and went to the one with the longest name"
        assert (note, "patient_1_2_mask.png") in found.notes


def test_mask_that_no_name_tells_apart_is_refused(tmp_path):
    files = [
        "d/images/a.png",
        "d/images/bb.png",
        "d/masks/1.png",
        "e/images/c.png",
        "e/masks/2.png",
    ]
    found = found_in(tmp_path, files, "masks/*", image_pattern="images/{key}")
    assert [case.image for case in found.cases] == ["e/images/c.png"]
    assert found.problems == [
        "d/images/a.png and d/images/bb.png: both match the mask d/masks/1.png; choose a narrower "
        "pattern"
    ]


@pytest.mark.parametrize("pattern", ["{stem}", "{stem}*", "{stem}.*"])
def test_two_files_of_one_name_are_refused(tmp_path, pattern):
    files = ["images/a.png", "images/b.png", "masks/a.png", "masks/a.bmp", "masks/b.png"]
    found = found_in(tmp_path, files, pattern, same=False)
    assert [case.image for case in found.cases] == ["b.png"]
    assert found.problems == [
        "a.png: a.bmp and a.png are masks of one name; keep one, or end the pattern in its suffix, "
        "such as .bmp"
    ]
    found = found_in(tmp_path, files, "{stem}.png", same=False)
    assert {case.masks for case in found.cases} == {("a.png",), ("b.png",)}
    assert found.notes == [("mask belongs to no image", "a.bmp")]


def test_image_that_looks_like_the_mask_of_another_is_refused(tmp_path):
    """In one folder patient_1_2 may be a mask of patient_1, or a patient."""
    stems = ["patient_1", "patient_1_mask", "patient_1_2", "patient_1_2_mask", "patient_3"]
    files = [f"{name}.png" for name in [*stems, "patient_3_mask"]]
    found = found_in(tmp_path, files, "{stem}_*")
    assert [case.image for case in found.cases] == ["patient_3.png"]
    assert found.problems == [
        "patient_1.png: patient_1_2.png may be its mask, or an image with the mask "
        "patient_1_2_mask.png; choose a narrower pattern"
    ]
    assert len(found_in(tmp_path, files, "{stem}_mask").cases) == 3


# Layouts

LAYOUTS = {
    "prefixes": (["images/img_{k}.png", "masks/mask_{k}.png"], "img_{key}", "mask_{key}", False),
    "a folder for each case": (["case_{k}/image.png", "case_{k}/mask.png"], "image", "mask", True),
    "nnU-Net": (["images/c{k}_0000.png", "masks/c{k}.png"], "{key}_0000", "{key}", False),
    "parallel folders in each case": (
        ["case_{k}/images/x.png", "case_{k}/masks/x.png"], "images/{key}", "masks/{key}", True,
    ),
    "the case's name on both levels": (
        ["{k}/images/{k}.png", "{k}/masks/1.png", "{k}/masks/2.png"],
        "{key}/images/{key}", "{key}/masks/*", True,
    ),
    "parallel trees": (["images/a/{k}.png", "masks/a/{k}.png"], None, "{stem}", False),
    "splits": (
        ["{k}/images/x.png", "{k}/labels/x_seg.png"], "images/{key}", "labels/{key}_seg", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_read(tmp_path, layout):
    names, image_pattern, pattern, same = LAYOUTS[layout]
    files = [name.replace("{k}", str(k)) for k in range(12) for name in names]
    found = found_in(tmp_path, files, pattern, same, image_pattern=image_pattern)
    assert found.problems == [] and found.notes == []
    strip = 0 if same else 1
    expected = {}
    for k in range(12):
        image, *masks = (name.replace("{k}", str(k)) for name in names)
        expected[image.split("/", strip)[-1]] = tuple(mask.split("/", strip)[-1] for mask in masks)
    assert {case.image: case.masks for case in found.cases} == expected
    assert len({case.name for case in found.cases}) == 12


def test_image_pattern_is_a_filter_that_names_what_it_leaves(tmp_path):
    files = ["images/c1_0000.png", "images/c1_0001.png", "masks/c1.png"]
    found = found_in(tmp_path, files, "{key}", same=False, image_pattern="{key}_0000")
    assert [(case.image, case.name) for case in found.cases] == [("c1_0000.png", "c1_0000")]
    assert found.notes == [("passed over: not an image by '{key}_0000'", "c1_0001.png")]


@pytest.mark.parametrize(
    ("image_pattern", "path", "key"),
    [
        ("img_{key}", "img_0.png", "0"),
        ("img_{key}.png", "img_0.png", "0"),
        ("img_{key}.png", "img_0.jpg", None),
        ("{key}_*", "a_b_c.png", "a_b"),
        ("a.b[{key}]", "a.b[1].png", "1"),
        ("?{key}", "xyz.png", "yz"),
        ("{key}-{key}", "ab-ab.png", "ab"),
        ("{key}-{key}", "ab-ac.png", None),
        ("images/{key}", "d/images/a.png", "a"),
        ("images/{key}", "a.png", None),
        ("{stem}", "a.png", "a"),
    ],
)
def test_key_of_an_image(image_pattern, path, key):
    image = pairs._read(path, image_pattern)
    assert (image.key if image else None) == key


@pytest.mark.parametrize(
    ("files", "pattern", "advice"),
    [
        (["images/b{k}.png", "masks/b{k}_mask.png"], "{stem}", '--pattern "{stem}_mask"'),
        (["images/b{k}.png", "masks/m-b{k}.png"], "{stem}_mask", '--pattern "m-{stem}"'),
        (
            ["images/img_{k}.png", "masks/mask_{k}.png"],
            "{stem}",
            '--image-pattern "img_{key}" --pattern "mask_{key}"',
        ),
        (
            ["images/c{k}_0000.png", "masks/c{k}.png"],
            "{stem}",
            '--image-pattern "c{key}_0000" --pattern "c{key}"',
        ),
    ],
)
def test_advice_where_nothing_matched_works_when_taken(tmp_path, files, pattern, advice):
    files = [name.replace("{k}", str(k)) for k in range(3) for name in files]
    found = found_in(tmp_path, files, pattern, same=False)
    assert found.cases == []
    assert found.reason.startswith(found.problems[0] + " (3 in all)")
    masks = ", ".join(sorted(name[6:] for name in files if name[:6] == "masks/"))
    assert found.reason.endswith(
        f"; the first names in {tmp_path / 'masks'} are {masks}; did you mean {advice}?"
    )
    options = dict(re.findall(r'--([a-z-]+) "([^"]+)"', advice))
    better = found_in(
        tmp_path, files, options["pattern"], same=False, image_pattern=options.get("image-pattern")
    )
    assert len(better.cases) == 3 and better.problems == []


def test_names_without_anything_in_common_are_shown_without_advice(tmp_path):
    found = found_in(tmp_path, ["images/a.png", "masks/u.png", "masks/v.bmp"], "{stem}", same=False)
    where = tmp_path / "masks"
    assert found.reason == (
        f"a.png: no mask matches '{{stem}}'; the first names in {where} are u.png, v.bmp"
    )
    found = found_in(tmp_path / "b", ["images/a.png", "masks/a.txt"], "{stem}", same=False)
    formats = "PNG, JPEG, TIFF, BMP, WebP or GIF"
    where = tmp_path / "b/masks"
    none = f"a.png: no mask matches '{{stem}}'; {where} holds no {formats} file"
    assert found.reason == f"{none}, but {where / 'a.txt'}"
    (where / "a.txt").unlink()
    assert found_in(tmp_path / "b", [], "{stem}", same=False).reason == none
    found = found_in(tmp_path / "c", ["images/a.png", "masks/a.png"], "{key}", False, False, "img*")
    names = f"the first names in {tmp_path / 'c/images'} are a.png"
    assert found.reason == f"no image matches 'img*'; {names}"


# Files that are passed over


def test_every_file_that_is_passed_over_is_named_with_the_reason(tmp_path):
    names = ["x.png", "notes.txt", "x.dcm", "x.jp2", ".x.png", ".git/y.png", "noext"]
    found = found_in(
        tmp_path, [f"images/{n}" for n in names] + ["masks/x.png"], "{stem}", same=False
    )
    suffix = "passed over: not a PNG, JPEG, TIFF, BMP, WebP or GIF file by its suffix"
    assert found.notes == [
        (reason, str(tmp_path / "images" / name))
        for name, reason in (
            (".git", "passed over: hidden"),
            (".x.png", "passed over: hidden"),
            ("noext", suffix),
            ("notes.txt", suffix),
            ("x.dcm", suffix),
            ("x.jp2", suffix),
        )
    ]


def test_folder_of_other_formats_is_described(tmp_path):
    files = ["images/a.dcm", "images/b.nii.gz", "masks/a.png"]
    found = found_in(tmp_path, files, "{stem}", same=False)
    formats = "PNG, JPEG, TIFF, BMP, WebP or GIF"
    images = tmp_path / "images"
    names = f"{images / 'a.dcm'}, {images / 'b.nii.gz'}"
    assert found.reason == f"{images} holds no {formats} file, but {names}"


@pytest.mark.parametrize("name", [b"\xff.txt", b".\xff", b"\xff/x.png", b"\xff.png"])
def test_names_that_are_no_text_can_be_printed(tmp_path, name):
    found_in(tmp_path, ["images/a.png", "masks/a.png"], "{stem}", same=False)
    path = os.path.join(os.fsencode(tmp_path / "images"), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb"):
        pass
    found = pairs.find(tmp_path / "images", tmp_path / "masks", "{stem}", False)
    assert [case.image for case in found.cases] == ["a.png"]
    named = found.problems + [file for _, file in found.notes]
    assert len(named) == 1 and named[0].encode() and "\\udcff" in named[0]


def test_links_that_lead_nowhere_are_left_to_reading(tmp_path):
    found_in(tmp_path, ["images/a.png", "masks/a.png", "masks/b.png"], "{stem}", same=False)
    (tmp_path / "images/b.png").symlink_to("b.png")
    (tmp_path / "images/c.png").symlink_to("nowhere.png")
    found = pairs.find(tmp_path / "images", tmp_path / "masks", "{stem}", False)
    assert [case.image for case in found.cases] == ["a.png", "b.png"]
    assert found.problems == ["c.png: no mask matches '{stem}'"]


def test_linked_folders_and_files_are_read(tmp_path):
    found_in(tmp_path, ["far/p1/a.png", "far/p2/b.png", "far/c.png", "images/d.png", "masks/d.png"])
    (tmp_path / "images/p1").symlink_to(tmp_path / "far/p1")
    (tmp_path / "images/c.png").symlink_to(tmp_path / "far/c.png")
    (tmp_path / "masks/p1").symlink_to(tmp_path / "far/p1")
    found = pairs.find(tmp_path / "images", tmp_path / "masks", "{stem}", False)
    assert [case.image for case in found.cases] == ["d.png", "p1/a.png"]
    assert found.problems == ["c.png: no mask matches '{stem}'"]


def test_each_real_folder_is_read_once(tmp_path):
    found_in(tmp_path, ["in/a/x.png", "in/a/x_mask.png", "far/p/y.png", "far/p/y_mask.png"])
    root = tmp_path / "in"
    for name, target in {
        "again": root / "a",
        "loop": root,
        "a/up": tmp_path,
        "far1": tmp_path / "far/p",
        "far2": tmp_path / "far",
    }.items():
        (root / name).symlink_to(target)
    found = pairs.find(root, root, "{stem}_mask", False)
    assert [case.image for case in found.cases] == ["a/x.png", "far1/y.png"]
    note = "passed over: link to a folder that is read anyway"
    links = [str(root / name) for name in ("a/up", "again", "far2/p", "loop")]
    assert found.notes == [(note, name) for name in links]


def test_outputs_behind_a_link_are_not_taken_for_images(tmp_path):
    for name in ("x", "y"):
        write(tmp_path / f"far/images/{name}.png", picture(0))
        write(tmp_path / f"far/masks/{name}.png", disc())
    (tmp_path / "all").symlink_to(tmp_path / "far")
    root, out = tmp_path / "all", tmp_path / "far/out"
    with pytest.raises(ValueError, match="out must lie apart from images"):
        expand(Job(root, root, out, EVERY, pattern="{stem}_mask*"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/far").symlink_to(tmp_path / "far")
    root = tmp_path / "root"
    job = Job(root, root, out, EVERY, 1, pattern="masks/{key}", image_pattern="images/{key}")
    assert expand(job).cases == expand(job).cases == 2
