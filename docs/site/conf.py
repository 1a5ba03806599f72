"""One job: how the documentation site is built: ``sphinx-build -W -c docs/site docs build/site``.

Nothing is fetched: the theme brings its style sheets and uses the reader's own fonts, formulas
become MathML, and the pictures are drawn here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pictures
import sasaug

project = "sasaug"
author = "the sasaug authors"
version = release = sasaug.__version__
html_title = f"sasaug {release}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "mathml",
    "reference",
]
myst_enable_extensions = ["attrs_block", "dollarmath"]
autosummary_generate = False  # the tables lead to entries that autodoc writes
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["site", "README.md"]

autodoc_typehints = "none"  # the docstrings say more: shapes, dtypes, ranges
autodoc_member_order = "bysource"
# needed neither to describe our side of them nor, therefore, to build the site
autodoc_mock_imports = [
    "albumentations",
    "batchgeneratorsv2",
    "jax",
    "kornia",
    "monai",
    "nnunetv2",
    "torch",
    "torchvision",
]
napoleon_use_rtype = False
add_module_names = False
smartquotes = False  # settings are shown as one writes them
default_role = "code"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = html_show_sphinx = False

# pages that the repository keeps beside docs/; the site has them as pages of its own
BESIDE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
    "../SECURITY.md": "security.md",
    "../csrc/README.md": "kernels.md",
    "../benchmarks/results/intel-xeon-2.80ghz.md": "speed-measured.md",
}


def link_pages(app: Any, name: str, source: list[str]) -> None:
    """Lead links to pages beside docs/ to their copies in the site."""
    for beside, page in BESIDE.items():
        source[0] = source[0].replace(f"]({beside}", f"]({page}")


def setup(app: Any) -> None:
    """Draw the pictures before the pages are read."""
    app.connect("builder-inited", lambda app: pictures.draw(Path(app.srcdir) / "drawn"))
    app.connect("source-read", link_pages)
