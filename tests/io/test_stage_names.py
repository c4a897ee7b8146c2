"""The names of sleep stages in the spellings of the field."""

import pytest

from mne_mc2sleep.io.stage_names import parse_stage

NAMES = {
    0: "W|Wake|AWAKE|S0|N0|Wach|Éveil|Eveil|Veille|Éveillé|Despierto|Vigilia|Veglia|"
    "Wakker|StageW|SLEEP-S0|Sleep stage W|sleep_stage_w|STAGE - W|Wake stage|Stage 0",
    1: "N1|n-1|S1|NREM 1|NREM-1|NREM_1|NonREM1|Non-REM 1|Stage 1|Sleep stage 1|STADE 1|"
    "Stadium N1|Stage I|SLEEP-S1|N1@@C4-M1",
    2: "N2|S2|NREM2|Sleep_stage_N2|Fase N2|Estadio 2|Stage II|Sleep stage N2@@C4-M1",
    3: "N3|N4|S3|S4|NREM 3|nrem-4|SWS|Slow-wave sleep|Sleep stage 3|Sleep stage 4|"
    "Stage 4 sleep|Stage N3 (SWS)|S3/S4|NREM III|SLEEP-S4",
    4: "R|REM|rem sleep|REM-Schlaf|Paradoxical|Sommeil paradoxal|SP|Sleep stage R|"
    "StageR|SLEEP-REM",
    -1: "ART|Artefakt|MT|Movement time|Movement (MT)|Bewegung|Sleep stage M|SLEEP-MT",
    -2: "UNS|Unscored|Unknown|?|Sleep stage ?|ND|NotScored|n/a|SLEEP-UNSCORED",
}
OTHERS = (
    "1|0|I|si|sleep|stage|Sleep stage X|Sleep stage N5|NREM|Light|Lights off|Fase 2|"
)
OTHERS += "Stimulus/S  1|EEG arousal|Sleep spindle|BAD_move|A|N2期|非R|sleep 1|Phase 1|"


@pytest.mark.parametrize(("integer", "names"), NAMES.items())
def test_names_of_stages(integer, names):
    """English, German, French, Spanish, Italian, Dutch; R&K, AASM and vendors."""
    names = names.split("|")
    assert {name: parse_stage(name).integer for name in names} == dict.fromkeys(
        names, integer
    )


@pytest.mark.parametrize("name", OTHERS.split("|"))
def test_other_names_are_not_stages(name):
    """A stage is taken only where we are sure."""
    assert parse_stage(name) == (None, False)


@pytest.mark.parametrize(
    ("name", "is_marked"),
    [
        ("W", False),
        ("S1", False),
        ("?", False),
        ("REM", False),
        ("N2@@C4-M1", False),
        ("StageW", True),
        ("Sleep stage ?", True),
        ("SLEEP-S2", True),
        ("Stade 2", True),
        ("Wake|0", True),
    ],
)
def test_names_are_marked_as_stages_by_a_word(name, is_marked):
    assert parse_stage(name).is_marked == is_marked
