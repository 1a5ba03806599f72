"""Shared by the adapters' tests: hosts that would ask the network, and one that half-loads."""

from __future__ import annotations

import os

import samples

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # its import asks for its newest version otherwise
samples.name_missing_operators()
