"""Configuration of Sphinx."""

import contextlib
import re
import runpy
import sys
from pathlib import Path
from urllib.request import urlopen

import matplotlib
import pooch
from sphinx.util import logging

import mne_mc2sleep
from mne_mc2sleep import fetch_sample

logger = logging.getLogger(__name__)
# The pages show the examples' output, which must not name folders of this machine.
pooch.get_logger().setLevel("WARNING")

DOCS = Path(__file__).parent
FIGURES = DOCS / "figures"

project = "mne_mc2sleep"
author = "The mne_mc2sleep developers"
release = mne_mc2sleep.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": r"demo\.py$",
    # The example on real EEG shows kept output, see `renew_kept_output`.
    "filename_pattern": r"/plot_(?!11_)",
    "within_subsection_order": "FileNameSortKey",
    # Their diagrams do not follow the page from light to dark.
    "ignore_repr_types": "MC2SleepClassifier|GridSearchCV",
    "min_reported_time": 60,
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": False,
}
default_role = "py:obj"
bibtex_bibfiles = ["references.bib"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Messages and options are to be found as they are written.
smartquotes = False
autosummary_generate = True
templates_path = ["_templates"]
# The docstrings describe the types; a line for each parameter fits small screens.
autodoc_typehints = "none"
maximum_signature_line_length = 60
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL03", "GL08", "PR01", "PR02", "RT01", "SS05"}
# The methods of scikit-learn's base class have another style, `pretrain` and `finetune`
# refer to `fit` for their parameters, and tuples and networks have no such sections.
numpydoc_validation_exclude = {
    r"\.datasets\.(Fold|FoundNights)(\.\w+)?$",
    r"\.(network|training)\.",
    r"\.set_\w+_request$",
    r"\.(get|set)_params$",
    r"MC2SleepClassifier\.(pretrain|finetune)$",
}

html_theme = "pydata_sphinx_theme"
html_title = "mne_mc2sleep"
html_theme_options = {
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
# So few pages need no column of their own; code needs the width.
html_sidebars = {"**": []}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False


OTHERS = {
    "python": "https://docs.python.org/3/",
    "joblib": "https://joblib.readthedocs.io/en/stable/",
    "mne": "https://mne.tools/stable/",
    "sklearn": "https://scikit-learn.org/stable/",
    "yasa": "https://yasa-sleep.org/",
}


def reachable(mapping):
    """Leave out the inventories of other projects where there is no network."""
    found = {}
    for name, url in mapping.items():
        try:
            urlopen(f"{url}objects.inv", timeout=3).close()
        except OSError:
            # The others would only wait as long.
            break
        found[name] = (url, None)
    return found


intersphinx_mapping = reachable(OTHERS)
# Every reference to this project's own names must resolve.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", rf"({'|'.join(OTHERS)})\..*")]
if len(intersphinx_mapping) < len(OTHERS):
    nitpick_ignore_regex.append((r"py:(exc|class)", r"[A-Z]\w+"))


def draw_figures(app):
    """Run each script of figures/; it draws the picture of its name beside it."""
    sys.path.insert(0, str(FIGURES))
    # The same picture is the same file.
    style = {"svg.hashsalt": "mne_mc2sleep", "savefig.facecolor": "white"}
    for script in sorted(FIGURES.glob("draw_*.py")):
        draw = runpy.run_path(script)["draw"]
        fname = FIGURES / f"{script.stem.removeprefix('draw_')}.svg"
        with matplotlib.rc_context(style):
            draw().savefig(fname, metadata={"Date": None})


def renew_kept_output(app):
    """Run the example on real EEG where its recording can be downloaded.

    Elsewhere its page shows the output that is kept in figures/.
    """
    try:
        fetch_sample()
    except OSError:
        logger.info("The recording of plot_11 is not here: its kept output is shown.")
        return
    with contextlib.chdir(FIGURES):
        runpy.run_path(str(DOCS.parent / "examples" / "plot_11_real_recording.py"))


def simplify_inherited(app, what, name, obj, options, lines):
    """Drop scikit-learn's links into its own guide from inherited methods."""
    if getattr(obj, "__module__", "").startswith("sklearn"):
        text = "\n".join(lines)
        text = re.sub(r":\w+:`([^<`]+?)(\s*<[^`]*>)?`", r"\1", text)
        lines[:] = text.split("\n")


def resolve_short_name(app, env, node, contnode):
    """Find names that docstrings and pages write without their module or class."""
    name = node["reftarget"].rpartition(".")[2]
    for prefix in ("", "network.", "MC2SleepClassifier."):
        target = f"mne_mc2sleep.{prefix}{name}"
        arguments = (env, node["refdoc"], app.builder, "obj", target, node, contnode)
        if node.get("refdomain") == "py" and (
            found := env.get_domain("py").resolve_xref(*arguments)
        ):
            return found
    return None


def setup(app):
    """Draw before the pages are read."""
    app.connect("builder-inited", draw_figures)
    # Before the gallery takes its thumbnails.
    app.connect("builder-inited", renew_kept_output, priority=100)
    app.connect("autodoc-process-docstring", simplify_inherited)
    app.connect("missing-reference", resolve_short_name)
