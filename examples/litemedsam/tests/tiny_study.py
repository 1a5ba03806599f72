"""A plan of four tiny runs, and the page that they fill."""

from __future__ import annotations

from pathlib import Path

from litemedsam.study import page

TINY = """
reference = "none"
figure = { setting = "tiny", arms = ["sas"], blocks = ["axis"] }
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


def write_plan(folder: Path, text: str = TINY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(PAGE)
    (folder / "plan.toml").write_text(text)
    return folder / "plan.toml"
