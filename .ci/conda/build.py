"""Build the conda package for each Python of variants.yaml, and run its tests.

    python .ci/conda/build.py [folder for the packages] [channel]

Needs py-rattler-build. The channel is conda-forge, or the address of another.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rattler_build import Stage0Recipe, ToolConfiguration, VariantConfig
from rattler_build.progress import SimpleProgressCallback

here = Path(__file__).resolve().parent
folder, channel = [*sys.argv[1:], *["dist/conda", "conda-forge"][len(sys.argv) - 1 :]]
recipe = Stage0Recipe.from_file(here / "recipe.yaml")
variants = recipe.render(VariantConfig.from_file(here / "variants.yaml"))
for variant in variants:
    result = variant.run_build(
        tool_config=ToolConfiguration(test_strategy="native"),
        output_dir=folder,
        channels=[channel],
        progress_callback=SimpleProgressCallback(),
    )
    print(*result.packages, f"for Python {variant.variant['python']}")
