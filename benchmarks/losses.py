"""One job: why a contender is quicker than sasaug, where one is."""

from __future__ import annotations

from summary import Row

#: (part of the table's name, part of the case, part of the contender, why); the first that fits
REASONS: list[tuple[str, str, str, str]] = [
    (
        "one noise, every pixel", "", "",
        "It draws and does no more: no pixel is read, changed, clipped, rounded or stored, and "
        "its numbers depend on what was drawn before.",
    ),
    (
        "what a call costs", "one image of", "OpenCV",
        "On so few pixels the call's checks and its plan cost more than the pixels.",
    ),
]  # fmt: skip


def reason(row: Row) -> str:
    """The recorded reason, or that there is none yet."""
    for table, case, contender, why in REASONS:
        if table in row.table and case in row.case and contender in row.contender:
            return why
    return "Why is not known."
