"""One job: every table and figure that evaluated runs allow, in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from litemedsam import figures, tables
from litemedsam.evaluate import write_csv
from litemedsam.markdown import average_table, summary_table


def report(
    folders: Mapping[str, Path],
    out: Path,
    *,
    note: str = "",
    resamples: int = tables.RESAMPLES,
    formats: tuple[str, ...] = ("png",),
) -> str:
    """Write tables (CSV, Markdown) and figures; the first run is compared with each other one.

    Parameters
    ----------
    folders : evaluated runs by the name they shall have; all on the same cases
    out : folder for ``results.md``, ``summary.csv``, ``comparison.csv`` and the figures
    note : a line under every table and figure, such as what the base weights were

    Returns
    -------
    What ``results.md`` says.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    runs = tables.load_runs(folders)
    options = {"resamples": resamples}
    summaries = tables.summarise(runs, **options)
    write_csv(summaries, out / "summary.csv")
    parts = ["# Results", summary_table(summaries, note=note)]
    first, *others = runs
    compared = []
    for other in others:
        averages = tables.average(runs, first, other, **options)
        compared += tables.compare(runs, first, other, **options)
        parts += [f"## {first} against {other}, over test sets and clicks",
                  average_table(averages, note)]  # fmt: skip
    if compared:
        write_csv(compared, out / "comparison.csv")
    text = "\n".join(parts)
    (out / "results.md").write_text(text)

    drawn = {
        "clicks": figures.clicks_figure(runs, note=note, **options),
        "clicks-by-test-set": figures.clicks_figure(
            runs, columns="test_set", sizes=("all",), note=note, **options
        ),
    }
    if any(row.size == "small" for row in summaries):
        drawn["clicks-small-by-test-set"] = figures.clicks_figure(
            runs, columns="test_set", sizes=("small",), note=note, **options
        )
    if len(runs) <= 2:
        most = max(row.clicks for row in summaries)
        shown = sorted({1, min(2, most), min(4, most), most})
        drawn["violins"] = figures.violins_figure(runs, clicks=shown, note=note)
    if all(tables.sets_in(rows, "box") for rows in runs.values()):
        drawn["prompts"] = figures.prompts_figure(runs, note=note, **options)
    for name, figure in drawn.items():
        figures.save(figure, out / name, formats)
    return text
