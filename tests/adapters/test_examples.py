"""The adapters' docstrings: their examples run; and a host is imported by its own adapter alone."""

from __future__ import annotations

import doctest
import importlib
import inspect
import subprocess
import sys
from dataclasses import fields

import pytest

import samples
import sasaug

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


@pytest.mark.filterwarnings("default", "error:::sasaug")
@pytest.mark.parametrize("adapter", HOSTS)
def test_signatures_list_the_settings(adapter):
    samples.host(HOSTS[adapter])
    module = importlib.import_module(f"sasaug.adapters.{adapter}")
    for name in set(module.__all__) - {"SampleId"}:
        made = getattr(module, name)
        parameters = inspect.signature(made).parameters
        assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values()), name
        needed = {"keys": "image", "mask_key": "label"}
        given = {key: value for key, value in needed.items() if key in parameters}
        defaults = {key: p.default for key, p in parameters.items() if key not in given}
        assert made(**given, **defaults).settings == made(**given).settings
        taken = parameters.keys() | ({"p"} if "prob" in parameters else set())
        settings = {field.name for field in fields(sasaug.SAS)}
        for setting in settings - taken:
            message = rf"settings must be of \[.*\], got '{setting}'"
            if setting == "frames":  # kornia's containers ask the class
                message = r"frames must be left to the class, \w+3D for volumes and videos, \w+ for"
            with pytest.raises(TypeError, match=message):
                made(**given, **{setting: None})


def test_no_host_is_imported_before_it_is_asked_for():
    code = "import sys, sasaug.adapters._sample; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    modules = {name.split(".")[0] for name in loaded.split()}
    assert "sasaug" in modules and not modules & {"nnunetv2", "torch", *HOSTS.values()}
