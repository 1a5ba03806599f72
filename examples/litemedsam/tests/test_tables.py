"""Means, intervals and paired tests against plain numpy and numbers that are known by hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.stats import wilcoxon

from litemedsam import markdown, tables
from litemedsam.evaluate import Row, write_csv
from litemedsam.tables import Scores, bootstrap_mean, difference, paired_p, scores

CLICKS = (1, 2, 3)


def made_up(
    seed: int, gain: float = 0.0, sets: dict[str, int] | None = None, group: str = "p"
) -> list[Row]:
    """Rows whose odd cases are small and lower by 0.2, patients with three cases each, and a box.

    The same cases and difficulty whatever the seed, which draws a little noise.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number, (name, n) in enumerate((sets or {"one": 20, "two": 13}).items()):
        hard = np.random.default_rng(number).uniform(0.5, 0.7, n)
        for i in range(n):
            for k in (0, *CLICKS):
                value = hard[i] + 0.05 * k + gain - 0.2 * (i % 2) + rng.uniform(0, 0.02)
                prompt, rule = ("click", "deepest") if k else ("box", "")
                owner = f"{group}{i // 3}" if group else ""
                row = (f"c{i:02d}", owner, bool(i % 2), 0.1, prompt, rule, k, 2.0, value, value / 2)
                rows.append(Row(name, *row))
    return rows


def values(*columns: list[float], groups: str | None = None) -> Scores:
    table = np.array(columns, float).T
    names = tuple(f"c{i}" for i in range(len(table)))
    return Scores(names, tuple(groups or names), tuple(range(1, len(columns) + 1)), table)


QUICK = {"resamples": 200}


def test_scores_are_a_table_of_cases_and_clicks():
    rows = made_up(1)
    found = scores(rows[::-1], "two", size="small", metric="nsd", clicks=(3, 1))
    assert found.cases == ("c01", "c03", "c05", "c07", "c09", "c11") and found.clicks == (3, 1)
    assert found.groups == ("p0", "p1", "p1", "p2", "p3", "p3")
    for case, line in zip(found.cases, found.values, strict=True):
        expected = {r.clicks: r.nsd for r in rows if (r.test_set, r.case) == ("two", case)}
        assert line.tolist() == [expected[3], expected[1]]
    assert len(scores(rows, "two").cases) == 13
    assert len(scores(rows, "two", size="large").cases) == 7
    assert scores(rows, "two", prompt="box").clicks == (0,)


def test_interval_is_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(0)
    each = values(*rng.beta(2, 1, (2, 40)))
    mean, low, high = bootstrap_mean([each], seed=5)
    drawn = rng.integers(0, 40, (10_000, 40))
    expected = np.percentile(each.values[drawn].mean(1), [2.5, 97.5], axis=0)
    assert mean == pytest.approx(each.values.mean(0))
    assert low == pytest.approx(expected[0], abs=0.004)
    assert high == pytest.approx(expected[1], abs=0.004)
    again = bootstrap_mean([each], seed=5)
    assert (again.low == low).all() and (bootstrap_mean([each], seed=6).low != low).any()


def test_test_sets_count_the_same_and_are_resampled_apart():
    rng = np.random.default_rng(1)
    large, small = values(rng.uniform(0, 1, 300)), values(rng.uniform(0, 0.2, 10))
    mean, low, high = bootstrap_mean([large, small])
    assert mean == pytest.approx((large.values.mean() + small.values.mean()) / 2)
    parts = [
        each.values[rng.integers(0, len(each.values), (10_000, len(each.values))), 0].mean(1)
        for each in (large, small)
    ]
    expected = np.percentile(sum(parts) / 2, [2.5, 97.5])
    assert (low[0], high[0]) == pytest.approx(expected, abs=0.003)


def test_groups_are_drawn_whole():
    # patients a and b: as wide as two cases, though there are ten; means weigh cases, not patients
    each = values([0.0] * 8 + [1.0] * 2, groups="aaaaaaaabb")
    mean, low, high = bootstrap_mean([each], by_group=True)
    assert (mean[0], low[0], high[0]) == (0.2, 0, 1)
    narrow = bootstrap_mean([each])
    assert narrow.mean[0] == 0.2 and narrow.high[0] == 0.5
    with pytest.raises(ValueError, match="groups are not known"):
        bootstrap_mean([scores(made_up(1, group=""), "one")], by_group=True)


def test_a_single_case_has_a_mean_but_no_interval():
    mean, low, high = bootstrap_mean([values([0.5], [0.7])])
    assert mean.tolist() == [0.5, 0.7] and np.isnan([low, high]).all()


def test_paired_test_is_scipys_and_knows_equal_runs():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0, 1, (2, 12))
    assert paired_p(a - b) == wilcoxon(a, b).pvalue
    # by hand: five differences of one sign; 2 of the 2^5 sign patterns are as extreme
    assert paired_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 32)
    assert paired_p(np.zeros(4)) == 1


def test_summary_has_the_means_and_sizes_of_every_cell():
    rows = made_up(1)
    found = tables.summarise({"a": rows}, **QUICK)
    assert len(found) == 2 * 3 * 2 * (len(CLICKS) + 1)
    cell = {(r.test_set, r.size, r.metric, r.clicks): r for r in found}
    for key, n in ((("one", "small"), 10), (("two", "large"), 7), (("two", "all"), 13)):
        row = cell[(*key, "dice", 2)]
        mine = [
            r.dice
            for r in rows
            if (r.test_set, r.clicks) == (key[0], 2)
            and key[1] in ("all", ("large", "small")[r.small])
        ]
        assert row.n == n == len(mine) and row.mean == pytest.approx(np.mean(mine))
        assert row.low < row.mean < row.high and row.prompt == "click"
    assert cell["one", "all", "dice", 0].prompt == "box"


def test_comparison_is_paired():
    runs = {"with": made_up(1, gain=0.1), "without": made_up(2)}
    found = tables.compare(runs, "with", "without", sizes=("small",), metrics=("dice",), **QUICK)
    assert [(r.test_set, r.clicks, r.n) for r in found] == [
        (name, k, n) for name, n in (("one", 10), ("two", 6)) for k in CLICKS
    ]
    for row in found:
        # the cases differ by up to 0.2, their differences by 0.04 only
        assert 0.08 < row.low < row.difference < row.high < 0.12
        a, b = (
            [
                r.dice
                for r in rows
                if (r.test_set, r.clicks, r.small) == (row.test_set, row.clicks, True)
            ]
            for rows in runs.values()
        )
        assert row.difference == pytest.approx(np.mean(a) - np.mean(b))
        assert row.p == wilcoxon(a, b).pvalue
    close = {"with": made_up(1, gain=0.003), "without": made_up(2)}
    found_close = tables.compare(close, "with", "without", metrics=("dice",), **QUICK)
    for row in found_close:
        a, b = (scores(rows, row.test_set, size=row.size) for rows in close.values())
        k = a.clicks.index(row.clicks)
        assert row.p == wilcoxon(a.values[:, k], b.values[:, k]).pvalue
    assert len({row.p for row in found_close}) > 6
    swapped = tables.compare(runs, "without", "with", sizes=("small",), metrics=("dice",), **QUICK)
    assert swapped[0].difference == pytest.approx(-found[0].difference)


def test_average_is_over_clicks_then_cases_then_test_sets():
    runs = {"with": made_up(1, gain=0.1), "without": made_up(2)}
    found = tables.average(runs, "with", "without", clicks=(1, 2), **QUICK)
    assert [(r.size, r.metric) for r in found] == [
        (size, metric) for size in tables.SIZES for metric in tables.METRICS
    ]
    row = found[0]
    means = {
        run: np.mean(
            [
                np.mean(
                    [r.dice for r in rows if r.test_set == name and r.small and r.clicks in (1, 2)]
                )
                for name in ("one", "two")
            ]
        )
        for run, rows in runs.items()
    }
    assert (row.first_mean, row.second_mean) == pytest.approx((means["with"], means["without"]))
    assert row.difference == pytest.approx(means["with"] - means["without"])
    assert row.low < row.difference < row.high
    assert (row.n, row.test_sets, row.clicks) == (16, 2, "1-2")


def test_a_test_set_without_small_structures_does_not_count():
    sets = {"one": 20, "all large": 1}
    runs = {"a": made_up(1, sets=sets), "b": made_up(2, sets=sets)}
    found = tables.average(runs, "a", "b", sizes=("small", "all"), metrics=("dice",), **QUICK)
    assert [(row.test_sets, row.n) for row in found] == [(1, 10), (2, 21)]
    assert np.isfinite(found[0].low) and np.isnan(found[1].low)
    assert "[n too small]" in markdown.average_table(found)


def test_runs_that_do_not_match_are_refused():
    a, b = made_up(1), made_up(2)
    fewer = [row for row in b if row.case != "c05"]
    fewer_clicks = [row for row in b if row.clicks != 3]
    for rows, words in (
        (fewer, r"a and b on one: .* 1 only in the first \['c05'\], 0 only in the second"),
        (fewer_clicks, "same clicks"),
        ([row for row in b if row.test_set == "one"], "same test sets"),
    ):
        with pytest.raises(ValueError, match=words):
            tables.compare({"a": a, "b": rows}, "a", "b", **QUICK)
        with pytest.raises(ValueError, match=words):
            tables.check_same_cases({"a": a, "b": rows})
    with pytest.raises(KeyError, match="no run 'c' among"):
        tables.compare({"a": a, "b": b}, "a", "c")
    with pytest.raises(ValueError, match="same cases"):
        difference(values([1, 2]), values([1, 2, 3]))


def test_questions_that_the_rows_cannot_answer_are_refused():
    rows = made_up(1)
    for words, options in (
        ("not evaluated with prompt 'scribble'", {"prompt": "scribble"}),
        (r"asked for \(9,\) clicks", {"clicks": (9,)}),
        ("size must be", {"size": "tiny"}),
        ("metric of", {"metric": "iou"}),
    ):
        with pytest.raises(ValueError, match=words):
            scores(rows, "one", **options)
    for broken in ([*rows, rows[1]], rows[:-1]):
        with pytest.raises(ValueError, match="one row for each"):
            [scores(broken, name) for name in ("one", "two")]


def test_tables_are_written_as_csv_and_markdown(tmp_path):
    runs = {"with": made_up(1, gain=0.1), "without": made_up(2)}
    found = tables.summarise(runs, sizes=("small",), metrics=("dice",), **QUICK)
    write_csv(found, tmp_path / "summary.csv")
    with open(tmp_path / "summary.csv", newline="") as file:
        held = list(csv.DictReader(file))
    assert [float(row["mean"]) for row in held] == pytest.approx([r.mean for r in found], abs=1e-6)
    assert {row["n"] for row in held} == {"10", "6"}

    lines = markdown.summary_table(found, clicks=(1, 3), note="Stand-in weights.").splitlines()
    assert lines[0] == "| Test set | Structures | n | Metric | Run | box | 1 click | 3 clicks |"
    cell = next(r for r in found if (r.run, r.test_set, r.clicks) == ("without", "two", 3))
    assert [line.split(" | ")[0:5:4] for line in lines[2:6]] == [
        [f"| {name}", run] for name in ("one", "two") for run in runs
    ]
    assert lines[5].startswith("| two | small | 6 | Dice | without | ")
    assert lines[5].endswith(f"| {cell.mean:.3f} [{cell.low:.3f}, {cell.high:.3f}] |")
    assert lines[-1] == "Stand-in weights."


def test_runs_are_read_by_name(tmp_path):
    write_csv(made_up(1), tmp_path / "a" / "one_click.csv")
    assert len(tables.load_runs({"A": tmp_path / "a"})["A"]) == len(made_up(1))
    with pytest.raises(FileNotFoundError, match="evaluate this run first"):
        tables.load_runs({"A": tmp_path / "a", "B": tmp_path / "b"})
