"""Claims about who does the work: threads, or a local Ray of two workers."""

from __future__ import annotations

import pickle
import random
import re
import subprocess
import sys
import time

import pytest

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")

from importlib.util import find_spec

from pictures import disc, load_clip, picture, tree, write, write_clip
from processes import LIMIT, descendants, end, finished, missing, start
from sasaug import SAS
from sasaug.folder import Job, engines, expand

# Looked for, not imported: it is the command line that is tested, in a process of its own.
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds workers through /proc")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images and masks, and what threads make of them."""
    root = tmp_path_factory.mktemp("ray")
    for index in range(40):
        write(root / f"images/x{index}.png", picture(index, (300, 300, 3)))
        write(root / f"masks/x{index}.png", disc((300, 300), 60, 255, (150, 150)))
    (root / "images/broken.png").write_bytes(b"no picture")
    write(root / "masks/broken.png", disc())
    assert start(*command(root, root / "whole")).wait(LIMIT) == 1
    return root, tree(root / "whole")


def command(root, out, *more):
    options = ["--images", root / "images", "--masks", root / "masks", "--out", out]
    return ["augment", *options, "--copies", 8, "--jobs", 2, "--preview", "--report", *more]


def on_ray(root, out, *more):
    return command(root, out, "--engine", "ray", *more)


def wait_for_outputs(process, out, count):
    """Wait until a run has written some outputs."""
    limit = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < limit:
        if len(list((out / "images").glob("*"))) >= count:
            return
        time.sleep(0.01)


@needs_ray
@needs_proc
def test_ray_makes_the_same_tree_though_a_worker_dies(data, tmp_path):
    root, whole = data
    process = start(*on_ray(root, tmp_path / "out"))
    wait_for_outputs(process, tmp_path / "out", 40)
    # Agents and actors belong to the node: Ray takes their end for that of the machine.
    names = descendants(process.pid).items()
    workers = [pid for pid, name in names if re.match(r"ray::(?!\w*(Agent|Actor))", name)]
    assert sum(map(end, workers[:1])) == 1
    assert process.wait(LIMIT) == 1  # one image is broken
    assert tree(tmp_path / "out") == whole


@needs_ray
@needs_proc
def test_killed_ray_run_is_resumed_to_the_same_tree(data, tmp_path):
    """Its driver is killed at a random moment; then a shard of threads, then Ray again."""
    root, whole = data
    out, rng = tmp_path / "out", random.Random(4)
    process = start(*on_ray(root, out))
    wait_for_outputs(process, out, rng.randrange(1, 200))
    left = descendants(process.pid)
    process.kill()
    assert process.wait(LIMIT) == -9
    for pid in left:  # what Ray has not ended by itself
        end(pid)
    assert not (out / "manifest.csv").exists()
    assert finished(out).items() <= whole.items()
    start(*command(root, out, "--shard", "1/3")).wait(LIMIT)
    assert start(*on_ray(root, out)).wait(LIMIT) == 1
    assert tree(out) == whole


@needs_ray
def test_ray_makes_the_same_tree_of_clips(tmp_path):
    """Every third file is an image, a clip of one frame."""
    for index in range(6):
        mask = disc((60, 50), 12, 255, (30, 20 + index))
        if index % 3:
            write_clip(tmp_path / f"images/x{index}.tif", picture(index, (4, 60, 50)))
            write_clip(tmp_path / f"masks/x{index}.tif", [mask] * 4)
        else:
            write(tmp_path / f"images/x{index}.tif", picture(index, (60, 50)))
            write(tmp_path / f"masks/x{index}.tif", mask)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert start(*command(tmp_path, whole, "--frames")).wait(LIMIT) == 0
    assert start(*on_ray(tmp_path, out, "--frames")).wait(LIMIT) == 0
    assert tree(out) == tree(whole)
    assert load_clip(out / "images/x1_007.tif").shape == (4, 60, 50)
    assert load_clip(out / "images/x3_007.tif").shape == (1, 60, 50)


def test_full_disk_of_a_worker_comes_back_by_name_and_a_bug_as_it_is():
    """What a Ray worker does with errors, in this process."""

    def work(task):
        raise task

    def outcome_of(error):
        done = engines._task_of(work)({"place": 3, "task": pickle.dumps(error)})
        return done["place"], pickle.loads(done["outcome"])

    place, error = outcome_of(OSError(28, "No space left on device", "out/x.png"))
    assert (place, str(error)) == (3, "[Errno 28] No space left on device: 'out/x.png'")
    with pytest.raises(KeyError, match="bug"):
        outcome_of(KeyError("bug"))


@pytest.mark.parametrize("engine", ["", "Ray", "dask"])
def test_unknown_engine_is_named(tmp_path, engine):
    job = Job(tmp_path, tmp_path, tmp_path / "out", SAS())
    with pytest.raises(ValueError, match=f"engine must be one of threads, ray, got '{engine}'"):
        expand(job, engine=engine)


def test_missing_ray_has_status_2_and_one_sentence(data, tmp_path):
    root, _ = data
    arguments = [str(argument) for argument in on_ray(root, tmp_path / "out")]
    code = (
        f"import sys; sys.modules['ray'] = None; import runpy; sys.argv += {arguments!r}; "
        "runpy.run_module('sasaug', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == missing("ray", "ray", *arguments)
    assert not (tmp_path / "out").exists()
