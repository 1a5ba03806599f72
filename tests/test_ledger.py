"""Claims about what is remembered of an output folder; the rest is in test_folder.py."""

from __future__ import annotations

import threading

import pytest

from sasaug.folder import ledger, workspace


def test_files_appear_whole(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([value]) * 200_000 for value in range(2)]
    workspace.write_atomically(path, contents[0])
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(path.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for turn in range(200):
        workspace.write_atomically(path, contents[turn % 2])
    stop.set()
    watcher.join()
    assert seen <= set(contents)


def test_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        workspace.write_atomically(tmp_path / "taken", b"content")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_version_alone_is_no_other_setting(tmp_path):
    settings = {"version": "1", "seed": 0, "settings": {"p": 0.5}}
    ledger.Ledger(tmp_path, settings)
    ledger.Ledger(tmp_path, settings | {"version": "2"})
    with pytest.raises(ValueError, match=r"\(p was 0\.5, is 1\.0\)"):
        ledger.Ledger(tmp_path, settings | {"settings": {"p": 1.0}})
