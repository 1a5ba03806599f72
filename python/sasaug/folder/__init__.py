"""The expansion of a data set: find pairs, augment them, keep books. Needs the ``cli`` extra."""

from .expansion import expand
from .job import Job, Report, sample_id

__all__ = ["Job", "Report", "expand", "sample_id"]
