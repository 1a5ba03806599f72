"""Expand a data set: pair images with masks, augment them, record what was done.

Needs the ``cli`` extra.
"""

from .expansion import expand
from .job import Job, Report, sample_id
from .workspace import Superseded

__all__ = ["Job", "Report", "Superseded", "expand", "sample_id"]
