"""The documentation as a site: `make docs` builds it from the Markdown in the repository, into `site/`.

Links that lead nowhere are errors. API pages are made from the docstrings.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "Local Advantage Networks on SMAC"
author = "the maintainers"
copyright = "Apache-2.0"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    "docs/*.md", "results/README.md", "results/*/README.md", "zoo/README.md",
]  # fmt: skip
exclude_patterns = ["**/.*", "**/node_modules"]
suppress_warnings = ["toc.not_included"]  # results/*/README.md, which results/README.md links
myst_heading_anchors = 4
myst_links_external_new_tab = True

default_role = "code"  # as `name` is meant in docstrings
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"LAN on SMAC {release}"
html_copy_source = False
html_show_sphinx = False
