"""The adapters' docstrings: their examples run; and a host is imported by its own adapter alone."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

import samples

HOSTS = {
    "albumentations": "albumentations",
    "batchgenerators": "batchgeneratorsv2",
    "jax": "jax",
    "kornia": "kornia",
    "monai": "monai",
    "torchvision": "torchvision",
}


@pytest.mark.filterwarnings("default", "error:::sasaug")
@pytest.mark.parametrize("adapter", HOSTS)
def test_docstring_examples(adapter):
    samples.host(HOSTS[adapter])
    results = doctest.testmod(importlib.import_module(f"sasaug.adapters.{adapter}"))
    assert results.attempted and not results.failed


def test_no_host_is_imported_before_it_is_asked_for():
    code = "import sys, sasaug.adapters._sample; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    modules = {name.split(".")[0] for name in loaded.split()}
    assert "sasaug" in modules and not modules & {"torch", *HOSTS.values()}
