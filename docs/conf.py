"""The documentation site: `make docs` builds it from the repository's own Markdown, into site/.

Pages are listed in `_toc.yml`, one line each. README.md is the front page.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # command_reference

project = "seam"
author = "The seam authors"
version = release = version_of("seam")
extensions = [
    "command_reference",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_external_toc",
]

# What Markdown means on GitHub it means here: CommonMark, and anchors named alike.
myst_heading_anchors = 4
external_toc_path = str(HERE / "_toc.yml")
include_patterns = ["*.md", "bench/NOTES.md", "docs/**"]

# Docstrings: Google's sections, `name` for code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"seam {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False


def front_page(app: Sphinx, failed: Exception | None) -> None:
    """README.html under the name that servers and people look for."""
    if not failed and app.builder.name == "html":
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", front_page)
