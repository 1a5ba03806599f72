"""A study: resumed to the same table, fair pairs, and a page that follows from its scores."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from litemedsam import demo
from litemedsam.data.batches import Batch
from litemedsam.study import effects, page, queue, tables
from litemedsam.study import run as runs
from litemedsam.study import study as run_study
from litemedsam.study.consistency import Consistency
from litemedsam.study.plan import Arm, Data, Plan, read_plan
from litemedsam.study.run import CaseScore
from litemedsam.study.samples import Samples, Stream, grained, select, usual
from litemedsam.study.tables import Entry

EXAMPLE = Path(__file__).resolve().parents[1]
STUDY = EXAMPLE.parents[1] / "docs" / "study"

TINY = """
reference = "none"
figure = { setting = "tiny", arms = ["sas"] }
[data]
large = { folder = "large", part = "fit" }
held = { folder = "large", part = "held_out" }
test = { folder = "test", number = 2 }
[bases.clicks]
config = "tiny"
train = ["large"]
steps = 2
prompts = ["click", "box"]
[regimes]
A = "none"
C = "clicks"
[settings.tiny]
config = "tiny"
train = ["large"]
test = ["test"]
held_out = ["held"]
steps = 2
clicks = 1
test_clicks = 2
[arms.none]
[arms.sas]
sas = "both"
[[blocks]]
name = "axis"
seeds = [0]
arms = ["none", "sas"]
[[blocks.cells]]
setting = "tiny"
regimes = ["C", "A"]
learning_rates = [1e-3]
"""

PAGE = f"# A page\n\n{page.BEGIN}\nold\n{page.END}\n\nThe end.\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    demo.folders(root, None, 0, 12)
    return root


def write_plan(folder: Path, text: str = TINY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(PAGE)
    (folder / "plan.toml").write_text(text)
    return folder / "plan.toml"


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """The folder of a study of four runs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run_study(write_plan(folder), data, folder / "out")
    return folder


# ---- the queue -----------------------------------------------------------------------------


def table_of(folder: Path) -> list:
    return [replace(entry, seconds=0) for entry in tables.read_entries(folder)]


KILLED = """
import os, signal, sys
from pathlib import Path
from litemedsam.study import run, study
score_cases, calls = run.score_cases, []
def killed(*arguments):
    calls.append(arguments)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return score_cases(*arguments)
run.score_cases = killed
study(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_study_killed_and_resumed_ends_in_the_same_table(data, whole, tmp_path):
    plan, out = write_plan(tmp_path / "killed"), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, plan, data, out]
    # two test sets per run: in the middle of the second run's test, then of the third's
    for call, done in ((4, 1), (4, 2)):
        result = subprocess.run([*command, str(call)], cwd=EXAMPLE, check=False)
        assert result.returncode == -signal.SIGKILL
        assert len(list((out / "runs").glob("*.json"))) == done
    run_study(plan, data, out)
    assert len(table_of(plan.parent)) == 4
    assert table_of(plan.parent) == table_of(whole)
    assert (plan.parent / "README.md").read_text() == (whole / "README.md").read_text()


def test_nothing_that_is_done_is_made_again(data, whole, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(runs, "make_run", lambda *arguments: made.append(arguments))
    run_study(whole / "plan.toml", data, whole / "out")
    assert made == []
    # the committed tables suffice: a new folder, as on another day
    run_study(whole / "plan.toml", data, tmp_path / "empty")
    assert made == []


def test_two_processes_share_a_queue(data, tmp_path):
    plan = read_plan(write_plan(tmp_path))
    one = queue.Queue(plan, data, tmp_path / "out", tmp_path)
    other = queue.Queue(plan, data, tmp_path / "out", tmp_path)
    run = plan.runs()[2]
    with one.locked(run.name) as mine:
        assert mine
        assert other.make(run) is False  # it is being made
    assert other.make(run) is True
    assert one.make(run) is False  # it is there


def test_arms_of_a_pair_start_alike_and_seeds_do_not(whole):
    start = {entry.run: entry.start for entry in tables.read_entries(whole)}
    assert start["tiny_A_0.001x2_none_0"] == start["tiny_A_0.001x2_sas_0"]
    assert start["tiny_C_0.001x2_none_0"] == start["tiny_C_0.001x2_sas_0"]
    assert len(set(start.values())) == 2
    setting = read_plan(whole / "plan.toml").settings["tiny"]
    digests = {runs.digest(runs.new_model(setting, seed).state_dict()) for seed in (0, 0, 1)}
    assert len(digests) == 2


def test_a_base_is_trained_on_from_another(data, tmp_path):
    text = TINY.replace(
        "[regimes]",
        """
[bases.boxes]
config = "tiny"
train = ["large"]
steps = 2
prompts = ["box"]
[regimes]""",
    ).replace("[bases.clicks]", '[bases.clicks]\nstart = "boxes"', 1)
    plan = read_plan(write_plan(tmp_path, text))
    runs_folder = queue.Queue(plan, data, tmp_path / "out", tmp_path)
    after = runs_folder.base("clicks")
    before = torch.load(tmp_path / "out" / "bases" / "boxes.pt", weights_only=True)
    again = runs.make_base(plan, "clicks", data, before)
    assert runs.digest(again) == runs.digest(after)
    assert runs.digest(runs.make_base(plan, "clicks", data, None)) != runs.digest(after)


def test_a_reference_from_another_base_is_made_again(data, tmp_path):
    plan_path, out = write_plan(tmp_path), tmp_path / "out"
    run_study(plan_path, data, out, most=1)
    first = tables.read_entries(tmp_path)
    assert [entry.run for entry in first] == ["tiny_C_0.001x2_none_0"]
    base = out / "bases" / "clicks.pt"
    state = torch.load(base, weights_only=True)
    torch.save({key: value + 1e-3 for key, value in state.items()}, base)
    run_study(plan_path, data, out)
    entries = tables.read_entries(tmp_path)
    names = [entry.run for entry in entries]
    assert names.count("tiny_C_0.001x2_none_0") == 2 and len(names) == 5
    plan = read_plan(plan_path)
    for arm, reference in [
        pair for found in effects.pairs(plan, entries).values() for pair in found
    ]:
        assert (arm.start, arm.machine) == (reference.start, reference.machine)


# ---- the plan ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[arms.none]", "[arms.none", "must be a TOML file"),
        ('reference = "none"', "", "'reference' is missing"),
        ('reference = "none"', 'reference = "nothing"',
         "reference: 'nothing' must be one of the arms: none, sas"),
        ('sas = "both"', 'sass = "both"', r"arms.sas has unknown keys \['sass'\]; known are"),
        ('regimes = ["C", "A"]', 'regimes = ["D"]',
         "block 'axis': 'D' must be one of the regimes: A, C"),
        ('C = "clicks"', 'C = "click"',
         "regimes.C: 'click' must be one of the bases: none, clicks"),
        ("[bases.clicks]", '[bases.clicks]\nstart = "box"',
         "bases.clicks: 'box' must be one of the bases: none, clicks"),
        ('test = ["test"]', 'test = ["tests"]',
         "settings.tiny: 'tests' must be one of the data: large, held, test"),
        ('arms = ["none", "sas"]', 'arms = ["both"]',
         "block 'axis': 'both' must be one of the arms: none, sas"),
    ],
)  # fmt: skip
def test_a_plan_that_is_not_right_is_refused(tmp_path, old, new, message):
    path = write_plan(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^{path}: .*{message}"):
        read_plan(path)


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path}/no.toml: no such plan$"):
        read_plan(tmp_path / "no.toml")


def test_seeds_are_outermost_and_runs_come_once(tmp_path):
    blocks = TINY.split("[[blocks]]")[1].replace("[0]", "[0, 1]")
    cells = blocks.split("[[blocks.cells]]")[1].replace("1e-3", "1e-4")
    text = f"""{TINY}[[blocks]]{blocks.replace('"axis"', '"more"')}[[blocks.cells]]{cells}"""
    found = read_plan(write_plan(tmp_path, text)).runs()
    # the first block's four runs come again in the second, whose seed 1 is last
    assert [run.seed for run in found] == [0] * 8 + [1] * 8
    assert [run.learning_rate for run in found] == ([1e-3] * 4 + [1e-4] * 4) * 2
    assert len({run.name for run in found}) == 16
    assert [run.arm for run in found[:2]] == ["none", "sas"]


def test_a_base_is_tested_by_clicks_and_by_boxes(data, tmp_path):
    cells = TINY.split("[[blocks.cells]]")[1]
    text = TINY.replace(
        "[arms.none]",
        """[settings.boxes]
config = "tiny"
train = ["large"]
test = ["test"]
test_prompt = "box"
[arms.none]""",
    ).replace(cells, cells.replace('["C", "A"]', '["C"]') + "steps = 0\n")
    text += f"[[blocks.cells]]{cells}steps = 0".replace('"tiny"', '"boxes"')
    path = write_plan(tmp_path, text.replace('arms = ["none", "sas"]', 'arms = ["none"]'))
    run_study(path, data, tmp_path / "out")
    table = (tmp_path / "README.md").read_text().split("### Dice of the bases")[1]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| C")]
    assert {(row[4], row[6] == " |") for row in rows} == {("click", False), ("box", True)}


# ---- the images ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(data) -> Samples:
    return Samples(select(data, Data("large")))


def stream(samples: Samples, **arm) -> list:
    batches = iter(Stream(samples, Arm(**arm), canvas=64, batch_size=4, seed=3))
    return [next(batches) for _ in range(5)]


def test_arms_see_the_same_cases_in_the_same_order(samples):
    plain, sas = stream(samples), stream(samples, sas="both", usual=True, p=1.0)
    again = stream(samples, sas="both", usual=True, p=1.0)
    for a, b, c in zip(plain, sas, again, strict=True):
        assert torch.equal(a.ids, b.ids) and not torch.equal(a.images, b.images)
        assert torch.equal(b.images, c.images) and torch.equal(b.masks, c.masks)
    ids = torch.cat([batch.ids for batch in plain]).tolist()
    assert len(set(ids)) == len(ids)  # an epoch's ids never come again in the next
    assert sorted(i % len(samples) for i in ids[: len(samples)]) == list(range(len(samples)))


def test_the_usual_augmentation_moves_image_and_mask_together():
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 15:45] = 1
    sample = torch.from_numpy(mask * 255)[None], torch.from_numpy(mask), 0
    changed = set()
    for id in range(30):
        image, moved, _ = usual((sample[0], sample[1], id), seed=1)
        assert image.shape == sample[0].shape and moved.shape == sample[1].shape
        wrong = ((image[0] > 127) != moved.bool()).float().mean()
        assert wrong < 0.02  # the edge, where bilinear and nearest differ
        changed.add(int(moved.sum()))
    assert min(changed) < 600 * 0.7 and max(changed) > 600 * 1.3 and len(changed) > 20


def test_noise_with_a_grain_is_smoother_and_as_strong(samples):
    noise = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    for grain in (2, 4):
        coarse = grained(noise, grain)
        assert coarse.shape == noise.shape
        assert coarse.square().mean() == pytest.approx(noise.square().mean().item(), rel=1e-4)
        neighbours = (coarse[..., 1:] * coarse[..., :-1]).mean() / coarse.square().mean()
        assert neighbours == pytest.approx(1 - 1 / grain, abs=0.05)
    fine = stream(samples, sas="both", p=1.0)[0]
    coarse = stream(samples, sas="both", p=1.0, grain=4)[0]
    clean = stream(samples, sas="thumbnail", p=1.0)[0]
    assert torch.equal(fine.masks, coarse.masks)
    assert not torch.equal(fine.images, coarse.images)
    for one, other, mask in zip(coarse.images, clean.images, coarse.masks, strict=True):
        # outside the structure nothing changes but the scale of min-max
        assert np.corrcoef(one[0][mask == 0], other[0][mask == 0])[0, 1] > 0.9999
        assert np.corrcoef(one[0][mask == 1], other[0][mask == 1])[0, 1] < 0.999
    with pytest.raises(ValueError, match="grain must be 1 where there is no noise, got 2"):
        stream(samples, sas="thumbnail", grain=2)


def test_rehearsal_fills_its_share_of_each_batch(data, samples):
    few = Samples(select(data, Data("test", number=1)))
    arm = Arm(rehearsal=0.25)
    batches = iter(Stream(samples, arm, canvas=64, batch_size=4, seed=0, rehearsal=few))
    ids = next(batches).ids.tolist()
    assert len(ids) == 4 and ids[3] < len(few)
    with pytest.raises(ValueError, match=r"rehearsal 0.1 must have data and fill part of a batch"):
        Stream(samples, Arm(rehearsal=0.1), canvas=64, batch_size=4, seed=0, rehearsal=few)


class Square(torch.nn.Module):
    """A model that finds the same square in each image but the first ``blind`` of a batch."""

    def __init__(self, blind: int = 0) -> None:
        super().__init__()
        self.blind = blind

    def encode(self, images):
        return images[:, :1]

    def decode(self, embedding, points):
        logits = torch.full_like(embedding, -1.0)
        logits[self.blind :, :, 8:40, 8:40] = 1.0
        return logits, None


def guessed(samples: Samples, blind: int = 0, **arm) -> Batch | None:
    source = Consistency(samples, Arm(**arm), canvas=64, batch_size=4, seed=3)
    return source.batch(Square(blind), torch.Generator().manual_seed(0))


def test_a_consistency_loss_takes_the_models_own_masks_to_a_strong_view(samples):
    weak = guessed(samples, consistency="none")
    assert torch.equal(weak.ids, stream(samples)[0].ids)
    assert (weak.images - stream(samples)[0].images).abs().max() <= 0.5 / 255 + 1e-6
    square = torch.zeros(64, 64, dtype=torch.uint8)
    square[8:40, 8:40] = 1
    assert (weak.masks == square).all()
    strong = guessed(samples, consistency="both", p=1.0)
    assert torch.equal(strong.ids, weak.ids)
    assert (strong.masks.flatten(1).sum(1) < square.sum()).all()  # thumbnails of the square
    # nothing found, nothing to learn
    assert torch.equal(guessed(samples, 3, consistency="none").ids, weak.ids[3:])
    assert guessed(samples, 4, consistency="none") is None


def test_an_arm_with_consistency_learns_from_images_without_masks(
    data, samples, tmp_path, monkeypatch
):
    text = TINY.replace("[arms.sas]", '[arms.self]\nconsistency = "none"\n[arms.sas]')
    more = 'test_clicks = 2\nunlabelled = ["large"]\n'
    plan = read_plan(write_plan(tmp_path, text.replace("test_clicks = 2\n", more)))
    setting = plan.settings["tiny"]
    digests = set()
    for found in (None, stream(samples)[0]):
        monkeypatch.setattr(Consistency, "batch", lambda *arguments, found=found: found)
        model = runs.new_model(setting, 0)
        runs.fit(model, setting, plan, data, plan.arms["self"], seed=0)
        digests.add(runs.digest(model.state_dict()))
    assert len(digests) == 2
    with pytest.raises(ValueError, match="or consistency must have data for it, got none"):
        nothing = replace(setting, unlabelled=())
        runs.fit(model, nothing, plan, data, plan.arms["self"], seed=0)


def test_data_of_a_plan(data):
    assert not {c.name for c in select(data, Data("large", part="fit"))} & {
        c.name for c in select(data, Data("large", part="held_out"))
    }
    two = select(data, Data("test", number=2))
    assert [case.small for case in two].count(True) == 2 and len(two) <= 4
    assert all(case.area <= 0.03 for case in select(data, Data("test", most_area=0.03)))
    with pytest.raises(ValueError, match="no case of test is as Data"):
        select(data, Data("test", least_area=0.99))


def test_the_learning_rate_rises_then_falls():
    values = [runs.rate(step, 100, 0.1) for step in range(100)]
    assert values[0] == pytest.approx(0.1) and values[9] == values[10] == 1.0
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[-1] == pytest.approx(runs.LEAST_RATE, abs=0.001)


# ---- effects -------------------------------------------------------------------------------


def entry(plan: Plan, arm: str, seed: int, scores: dict[str, tuple], start: str = "s") -> Entry:
    run = replace(plan.runs()[0], arm=arm, seed=seed)
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
    effect = effects.effects(plan, entries)[0]
    assert effect.low is None and effect.high is None
    assert "(one seed)" in page.effect_table([effect])


def means(found: list) -> list:
    return [e for e in found if e.measure == "mean"]


def test_the_page_sums_up_the_primary_outcome(plan):
    entries = []
    for seed in (0, 1):
        entries += [
            entry(plan, "none", seed, {"a": (0.1,), "b": (0.5,)}),
            entry(plan, "sas", seed, {"a": (0.2,), "b": (0.6,)}),
        ]
    assert page.summary(plan, means(effects.effects(plan, entries))) == (
        "- **Small structures:** `sas` minus `none` lies between +0.100 and +0.100. "
        "Cells: 1; seeds in each: 2; the whole interval is above 0 in 1, below 0 in 0."
    )
    worse = [entry(plan, "none", 0, {"a": (0.3,)}), entry(plan, "sas", 0, {"a": (0.1,)})]
    assert page.summary(plan, means(effects.effects(plan, worse))) == (
        "- **Small structures:** `sas` minus `none` lies between -0.200 and -0.200. "
        "Cells: 1; seeds in each: 1; the whole interval is above 0 in 0, below 0 in 0."
    )


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


def test_the_page_keeps_its_words_and_says_what_is_not_run(whole, tmp_path):
    text = (whole / "README.md").read_text()
    assert text.startswith(f"# A page\n\n{page.BEGIN}\n") and text.endswith("\n\nThe end.\n")
    assert "old" not in text and "| axis | 4 | 4 | 1 |" in text
    assert (whole / "effects.png").stat().st_size > 1000
    plan = read_plan(write_plan(tmp_path))
    page.write_page(plan, [], tmp_path / "README.md")
    assert "| axis | 4 | 0 | not run yet |" in (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(ValueError, match=r"README.md must hold '<!-- made from the scores"):
        page.write_page(plan, [], tmp_path / "README.md")


def test_the_committed_page_follows_from_the_committed_scores(tmp_path):
    plan = read_plan(STUDY / "plan.toml")
    text = (STUDY / "README.md").read_text()
    made = text.split(page.BEGIN)[1].split(page.END)[0]
    assert made.strip() == page.markdown(plan, tables.read_entries(STUDY)).strip()


def test_every_committed_score_belongs_to_the_plan():
    planned = {run.name for run in read_plan(STUDY / "plan.toml").runs()}
    entries = tables.read_entries(STUDY)
    assert {entry.run for entry in entries} <= planned
    size = sum((STUDY / name).stat().st_size for name in (tables.RUNS, tables.SCORES))
    assert size < 1_000_000
