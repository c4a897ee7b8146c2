"""What the pages tell to copy runs, and what they point to is there."""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import joblib
import pytest
from matplotlib import pyplot as plt
from stagers import SEEDS

from mne_mc2sleep import (
    MC2SleepClassifier,
    simulate_night,
    write_hypnogram,
)
from mne_mc2sleep.commands.main import main
from mne_mc2sleep.weights import registry

ROOT = Path(__file__).parents[1]
TEXTS = {
    str(page.relative_to(ROOT)): page.read_text("utf-8")
    for folder in (ROOT, ROOT / "docs")
    for page in sorted(folder.glob("*.md"))
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
# The site's pages of the examples are made from these.
EXAMPLE = re.compile(r"auto_examples/(plot_\w+)\.rst")


def find_blocks(page, language="python"):
    """Return blocks of code, each below as many lines as in the page."""
    text = TEXTS[page]
    return [
        "\n" * text[: match.start(2)].count("\n") + match[2]
        for match in FENCE.finditer(text)
        if match[1] == language
    ]


def find_commands(page):
    """Return the words of each command of a page."""
    lines = "\n".join(find_blocks(page, "")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def expand(words):
    """Replace patterns by the files that match, as a shell does."""
    return [name for word in words for name in sorted(glob(word)) or [word]]


def anchors(page):
    """Return the headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", TEXTS[page], re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


LINKS = [(page, link) for page in TEXTS for link in LINK.findall(TEXTS[page])]
PROGRAMS = [(page, words) for page in TEXTS for words in find_commands(page)]


@pytest.fixture(scope="module")
def nights():
    """Simulate nights of six subjects that hold all five stages."""
    return [simulate_night(2400, random_state=seed) for seed in SEEDS * 2]


@pytest.fixture(scope="module")
def shipped(tiny_clf, tmp_path_factory):
    """Let a stager that has hardly learnt be the weights that ship."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_clf.save(folder / "small.safetensors")
    known = registry.KnownWeights("small.safetensors", "", 0, "a test's")
    # As long as the passes are: the pages keep the defaults that users get.
    defaults = inspect.unwrap(MC2SleepClassifier.__init__).__kwdefaults__
    quick = {"pretrain_train_epochs": 1, "finetune_train_epochs": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_FOLDER", folder)
        patch.setitem(registry.KNOWN_WEIGHTS, "small", known)
        for name, value in quick.items():
            patch.setitem(defaults, name, value)
        yield folder / "small.safetensors"


@pytest.fixture(scope="module")
def files(nights, tmp_path_factory):
    """Write the nights into a folder, with a table of them."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "recordings").mkdir()
    table = ["recording,subject,hypnogram"]
    for number, (raw, hypno) in enumerate(nights, start=1):
        fnames = [f"recordings/S{number}-{kind}.edf" for kind in ("PSG", "Hypnogram")]
        raw.export(folder / fnames[0], verbose="error")
        write_hypnogram(folder / fnames[1], hypno)
        table.append(f"{fnames[0]},S{number},{fnames[1]}")
    (folder / "nights.csv").write_text("\n".join(table), "utf-8")
    shutil.copy(folder / "recordings" / "S1-PSG.edf", folder / "night.edf")
    (folder / "scores.txt").write_text("\n".join(["W", "N1", "N2"] * 80))
    return folder


@pytest.fixture
def reader(nights, files, shipped, tmp_path, monkeypatch):
    """Sit a reader before a folder of files; return the names that a page may use."""
    monkeypatch.chdir(shutil.copytree(files, tmp_path / "here"))
    monkeypatch.setattr(plt, "show", lambda: None)
    raws, hypnos = zip(*nights, strict=True)
    raws = [raw.copy() for raw in raws]
    names = {
        "raws": raws,
        "hypnos": list(hypnos),
        "subjects": [f"S{number}" for number in range(1, 7)],
        "raw": raws[0].copy(),
        "unscored": raws[:2],
        "new_raws": raws[3:],
        "new_hypnos": list(hypnos[3:]),
        "recordings": sorted(glob("recordings/*-PSG.edf")),
        "hypnograms": sorted(glob("recordings/*-Hypnogram.edf")),
    }
    # Other processes would not know the weights above.
    with joblib.parallel_config("sequential"):
        yield names


@pytest.mark.parametrize("page", [page for page in TEXTS if find_blocks(page)])
def test_the_code_of_a_page_runs(page, reader):
    """From its first block to its last, in one session."""
    for block in find_blocks(page):
        exec(compile(block, page, "exec"), reader)
    plt.close("all")


def test_mypy_accepts_the_code_of_the_readme(tmp_path):
    """And knows the types that it sees: the last line needs its "ignore"."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    code = [
        "raw, raws, hypnos, subjects = object(), [object()], [object()], ['S1']",
        find_blocks("README.md")[0],
        "clf.predict(raw).sleep_statistics()",
        "len(clf.predict([raw]))",
        "n: int = clf.predict_proba('night.edf')  # type: ignore[assignment]",
    ]
    (tmp_path / "readme.py").write_text("\n".join(code), "utf-8")
    command = [sys.executable, "-m", "mypy", tmp_path / "readme.py"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("page", "words"), [pair for pair in PROGRAMS if pair[1][0] == "mne-mc2sleep"]
)
def test_a_command_of_a_page_runs(page, words, reader, shipped):
    """Beside the weights that the page's code would have written."""
    if "lab.safetensors" in words and "train" not in words:
        Path("lab.safetensors").write_bytes(shipped.read_bytes())
    if "--version" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            main(words[1:])
    else:
        assert main(expand(words[1:])) == 0


@pytest.mark.parametrize(
    ("page", "words"), [pair for pair in PROGRAMS if pair[1][0] == "make"]
)
def test_what_a_page_makes_is_in_the_makefile(page, words):
    """Of each ``make`` the first target."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_to_a_page_and_its_heading(page, link):
    """Links to the examples lead to the scripts that these pages are made from."""
    name, _, heading = link.partition("#")
    if name == "auto_examples/index.rst":
        name = "../examples/README.txt"
    name = EXAMPLE.sub(r"../examples/\1.py", name)
    target = (ROOT / page).parent / name if name else ROOT / page
    assert target.exists()
    if heading:
        assert heading in anchors(str(target.resolve().relative_to(ROOT)))


def test_every_figure_has_its_picture():
    """What the pages show is drawn by scripts, and committed for GitHub's readers."""
    figures = ROOT / "docs" / "figures"
    drawn = {script.stem.removeprefix("draw_") for script in figures.glob("draw_*.py")}
    assert {picture.stem for picture in figures.glob("*.svg")} == drawn
