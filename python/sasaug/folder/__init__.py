"""The expansion of a folder: find pairs, augment them, keep books. Needs the ``cli`` extra."""

from .expansion import Job, Report, expand, sample_id

__all__ = ["Job", "Report", "expand", "sample_id"]
