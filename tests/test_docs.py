"""The site names all that is public."""

import re
from pathlib import Path

import mne_mc2sleep

API_PAGE = Path(__file__).parents[1] / "docs" / "api.rst"


def test_every_public_name_is_on_the_api_page():
    """And nothing else is."""
    listed = re.findall(r"^   (\w+)$", API_PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(mne_mc2sleep.__all__)
