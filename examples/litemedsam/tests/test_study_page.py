"""A study's effects, tables and page follow from its scores."""

from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from litemedsam.study import effects, figures, page, tables
from litemedsam.study.plan import Plan, read_plan
from litemedsam.study.run import CaseScore
from litemedsam.study.tables import Entry
from tiny_study import TINY, write_plan

STUDY = Path(__file__).resolve().parents[3] / "docs" / "study"


# ---- effects -------------------------------------------------------------------------------


def entry(
    plan: Plan, arm: str, seed: int, scores: dict[str, tuple], start: str = "s", regime: str = "C"
) -> Entry:
    run = replace(plan.runs()[0], arm=arm, seed=seed, regime=regime)
    found = [CaseScore("test", case, True, dice) for case, dice in scores.items()]
    return Entry.of(run, start, "m", 1.0, found)


@pytest.fixture()
def plan(tmp_path) -> Plan:
    return read_plan(write_plan(tmp_path, TINY.replace("seeds = [0]", "seeds = [0, 1, 2, 3]")))


def test_an_effect_is_the_mean_over_clicks_cases_and_seeds(plan):
    entries = []
    for seed in (0, 1):
        entries += [
            entry(plan, "none", seed, {"a": (0.1, 0.3), "b": (0.5, 0.7)}),
            entry(plan, "sas", seed, {"b": (0.6, 0.8 + 0.2 * seed), "a": (0.2, 0.4)}),
        ]
    mean, first = effects.effects(plan, entries)
    assert (mean.size, mean.measure, mean.cases, mean.seeds) == ("small", "mean", 2, (0, 1))
    assert mean.reference == pytest.approx(0.4) and mean.value == pytest.approx(0.525)
    assert mean.by_seed == pytest.approx((0.1, 0.15)) and mean.difference == pytest.approx(0.125)
    assert mean.low <= mean.difference <= mean.high
    assert first.measure == "first" and first.difference == pytest.approx(0.1)
    assert first.low == pytest.approx(0.1) == first.high


def test_runs_from_other_weights_are_no_pair(plan):
    scores = {"a": (0.1, 0.3)}
    entries = [entry(plan, "none", 0, scores), entry(plan, "sas", 0, scores, start="other")]
    assert effects.effects(plan, entries) == []
    entries.append(entry(plan, "none", 0, scores, start="other"))
    assert len(effects.effects(plan, entries)) == 2


def test_one_seed_has_no_interval(plan):
    scores = {"a": (0.1, 0.3), "b": (0.2, 0.2)}
    entries = [entry(plan, "none", 0, scores), entry(plan, "sas", 0, scores)]
    found = effects.effects(plan, entries)
    assert all(effect.low is None and effect.high is None for effect in found)
    row = page.effect_table(found).splitlines()[2]
    assert row == (
        "| tiny | C | 0.001 | 2 | sas | small | 1 x 2 | 0.200 | 0.200 | **+0.000** (one seed) "
        "| +0.000 | **+0.000** (one seed) |"
    )


def means(found: list) -> list:
    return [e for e in found if e.measure == "mean"]


def test_the_page_sums_up_the_primary_outcome(plan):
    entries = []
    for seed in (0, 1):
        entries += [
            entry(plan, "none", seed, {"a": (0.1,), "b": (0.5,)}),
            entry(plan, "sas", seed, {"a": (0.2,), "b": (0.6,)}),
        ]
    entries += [  # a cell with fewer seeds
        entry(plan, "none", 0, {"a": (0.9,), "b": (0.9,)}, regime="A"),
        entry(plan, "sas", 0, {"a": (0.2,), "b": (0.2,)}, regime="A"),
    ]
    assert page.summary(plan, means(effects.effects(plan, entries))) == (
        "- **Small structures:** after 2 steps `sas` minus `none` lies between +0.100 and +0.100. "
        "Cells: 1; seeds in each: 2; the whole interval is above 0 in 1, below 0 in 0. "
        "Cells with fewer seeds, not counted: 1."
    )
    worse = [entry(plan, "none", 0, {"a": (0.3,)}), entry(plan, "sas", 0, {"a": (0.1,)})]
    assert page.summary(plan, means(effects.effects(plan, worse))) == (
        "- **Small structures:** after 2 steps `sas` minus `none` lies between -0.200 and -0.200. "
        "Cells: 1; seeds in each: 1; the whole interval is above 0 in 0, below 0 in 0. "
        "Cells with fewer seeds, not counted: 0."
    )


def test_a_block_compares_its_arms_by_its_own_seeds(plan):
    two = tuple(run for run in plan.blocks["axis"] if run.seed < 2)
    short = replace(plan, blocks={**plan.blocks, "two seeds": two})
    entries = []
    for seed in range(4):
        entries += [
            entry(plan, "none", seed, {"a": (0.1,), "b": (0.5,)}),
            entry(plan, "sas", seed, {"a": (0.1 + 0.1 * seed,), "b": (0.5 + 0.1 * seed,)}),
        ]
    for name, seeds, difference in (("axis", 4, 0.15), ("two seeds", 2, 0.05)):
        (mean,) = means(effects.effects(short, entries, name))
        assert len(mean.seeds) == seeds and mean.difference == pytest.approx(difference)


def test_the_primary_table_sets_both_sizes_beside_each_other(plan):
    entries = []
    for seed in (0, 1):
        for arm, gain in (("none", 0.0), ("sas", 0.1 + 0.1 * seed)):
            run = replace(plan.runs()[0], arm=arm, seed=seed, regime="C")
            scores = [
                CaseScore("test", "a", True, (0.2 + gain,)),
                CaseScore("test", "b", False, (0.6 - gain,)),
            ]
            entries.append(Entry.of(run, "s", "m", 1.0, scores))
    table = page.primary_table(plan, means(effects.effects(plan, entries))).splitlines()
    assert table[0] == (
        "| setting | regime | learning rate | steps | seeds | small, none | "
        "small, difference [95 %] | large, none | large, difference [95 %] |"
    )
    assert table[2:] == [
        "| tiny | C | 0.001 | 2 | 2 | 0.200 | **+0.150** [+0.100, +0.200] "
        "| 0.600 | **-0.150** [-0.200, -0.100] |"
    ]


def test_the_figure_of_arms_has_a_row_per_arm_and_a_colour_per_regime(plan):
    def effect(arm: str, regime: str, size: str, difference: float) -> effects.Effect:
        cell = effects.Cell("tiny", regime, 1e-3, 2)
        ends = (difference - 0.1, difference + 0.3)
        return effects.Effect(
            cell, arm, size, "mean", 2, (0, 1), 0.5, 0.5 + difference, difference, *ends, (0.0, 0.0)
        )

    blocks = {
        "strength": [
            effect(arm, regime, size, value + (0.01 if size == "large" else 0))
            for arm, value in (("weak", 0.1), ("strong", 0.2))
            for regime in ("A", "C")
            for size in effects.SIZES
        ],
        "grain": [effect("weak", "C", size, -0.3) for size in effects.SIZES],
    }
    figure = figures.arms_figure(plan, blocks)
    figure.canvas.draw()
    small, large = figure.axes
    assert [t.get_text() for t in small.get_yticklabels()] == ["weak", "strong", "weak"]
    assert [t.get_text() for t in small.texts] == ["strength", "grain"]
    rows = small.get_yticks()
    assert all(a < b for a, b in itertools.pairwise(rows)) and small.yaxis_inverted()
    assert not {t.get_position()[1] for t in small.texts} & set(rows)  # a row of their own
    assert [t.get_text() for t in figure.legends[0].texts] == ["regime A", "regime C"]
    for ax, shift in ((small, 0.0), (large, 0.01)):
        a, c = ax.containers
        assert a[0].get_xdata() == pytest.approx([0.1 + shift, 0.2 + shift])
        assert c[0].get_xdata() == pytest.approx([0.1 + shift, 0.2 + shift, -0.3])
        assert np.round(c[0].get_ydata()).tolist() == rows.tolist()
        (bars,) = c[2]
        ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
        assert ends[2] == pytest.approx([-0.4, 0.0])


def test_learning_rates_stand_apart_below_the_figure():
    study = read_plan(STUDY / "plan.toml")
    one_seed = [entry for entry in tables.read_entries(STUDY) if entry.run.endswith("_0")]
    figure = figures.effects_figure(study, effects.effects(study, one_seed))
    figure.canvas.draw()
    for ax in figure.axes[-3:]:
        labels = [label for label in ax.get_xticklabels() if label.get_text()]
        assert [label.get_text() for label in labels] == ["5e-5", "2e-4", "5e-4", "2e-3"]
        boxes = [label.get_window_extent() for label in labels]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_results_of_other_cases_are_refused(plan):
    entries = []
    for seed, case in ((0, "a"), (1, "b")):
        entries += [entry(plan, arm, seed, {case: (0.1, 0.3)}) for arm in ("none", "sas")]
    with pytest.raises(ValueError, match=r"must have the cases of .*_sas_0 in test$"):
        effects.effects(plan, entries)


def test_the_interval_counts_seeds_and_cases():
    draw = np.random.default_rng(1)
    by_seed, by_case = draw.normal(0, 1, (8, 1)), draw.normal(0, 1, (1, 50))
    for differences, variance in (
        (np.repeat(by_seed, 50, 1), by_seed.var() / 8),
        (np.repeat(by_case, 8, 0), by_case.var() / 50),
        (by_seed + by_case, by_seed.var() / 8 + by_case.var() / 50),
    ):
        low, high = effects.interval([differences])
        assert (high - low) == pytest.approx(2 * 1.96 * variance**0.5, rel=0.06)
    two_sets = effects.interval([by_seed + by_case, by_seed - by_case])
    expected = by_seed.var() / 8 + by_case.var() / 50 / 2
    assert two_sets[1] - two_sets[0] == pytest.approx(2 * 1.96 * expected**0.5, rel=0.06)


# ---- tables and page -----------------------------------------------------------------------


def test_tables_give_back_what_was_written(plan, tmp_path):
    entries = [entry(plan, arm, 0, {"a": (0.1234, 0.3)}) for arm in ("none", "sas")]
    tables.write_entries(tmp_path, entries)
    assert tables.read_entries(tmp_path) == entries
    assert entries[0].scores[0].dice == (0.123, 0.3)


def test_the_page_keeps_its_words_and_says_what_is_not_run(whole_study, tmp_path):
    text = (whole_study / "README.md").read_text()
    assert text.startswith(f"# A page\n\n{page.BEGIN}\n") and text.endswith("\n\nThe end.\n")
    assert "old" not in text
    assert "| axis | 4 | 4 | 1 |" in (whole_study / "tables.md").read_text()
    assert (whole_study / "effects.png").stat().st_size > 1000
    assert (whole_study / "arms.png").stat().st_size > 1000
    plan = read_plan(write_plan(tmp_path))
    page.write_page(plan, [], tmp_path / "README.md")
    assert "| axis | 4 | 0 | not run yet |" in (tmp_path / "tables.md").read_text()
    assert not list(tmp_path.glob("*.png"))
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(ValueError, match=r"README.md must hold '<!-- made from the scores"):
        page.write_page(plan, [], tmp_path / "README.md")


def test_the_committed_page_follows_from_the_committed_scores(tmp_path):
    for path in STUDY.iterdir():
        if path.suffix != ".png":
            shutil.copy(path, tmp_path)
    page.write_page(
        read_plan(tmp_path / "plan.toml"), tables.read_entries(tmp_path), tmp_path / "README.md"
    )
    for name in ("README.md", "tables.md"):
        assert (tmp_path / name).read_text() == (STUDY / name).read_text(), name


def test_every_difference_that_the_words_name_is_in_the_tables():
    before, made = (STUDY / "README.md").read_text().split(page.BEGIN)
    advice = (STUDY.parent / "strengths.md").read_text()
    named = set(re.findall(r"[+-]\d\.\d{3}\b", before + advice))
    assert len(named) > 20
    in_tables = made.split(page.END)[0] + (STUDY / "tables.md").read_text()
    assert not {number for number in named if number not in in_tables}


def test_every_committed_score_belongs_to_the_plan():
    planned = {run.name for run in read_plan(STUDY / "plan.toml").runs()}
    entries = tables.read_entries(STUDY)
    assert {entry.run for entry in entries} <= planned
    size = sum((STUDY / name).stat().st_size for name in (tables.RUNS, tables.SCORES))
    assert size < 2_000_000
