"""Parse the names of sleep stages, in any spelling of the field."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from .._constants import STAGES

# YASA's.
INTEGERS = {stage: i for i, stage in enumerate(STAGES)} | {"ART": -1, "UNS": -2}

# Without blanks, accents and capitals. English, German, French, Spanish, Portuguese,
# Italian, Dutch and the Scandinavian languages.
_NAMES = {
    0: "w wk wake awake wakefulness waking wach wachheit eveil eveille veille vigile "
    "vigilia despierto despierta acordado veglia sveglio wakker waak vaken s0 n0 nrem0",
    3: "sws slowwave slowwaves n3n4 s3s4",
    4: "r rem rapideyemovement paradoxical paradoxal paradoxale paradojico sp mor",
    -1: "art artefact artifact artefakt artefacto artefatto mt mvt movement "
    "movementtime bodymovement bewegung bewegungszeit mouvement movimiento movimento",
    -2: "? uns unscored unscorable notscored unknown undefined undetermined "
    "indeterminate unclassified nostage nd na nan none",
}
_INTEGER_OF_NAME = {name: i for i, names in _NAMES.items() for name in names.split()}
# Only after a word for "stage": alone they may be triggers.
_AFTER_STAGE = {"0": 0, "m": -1}
_NREM = re.compile(r"(nrem|nonrem)?(?:stage)?([ns])?(34|[1-4]|iv|i{1,3})")
_DIGITS = {"1": 1, "2": 2, "i": 1, "ii": 2}  # all others are N3
_WORDS = re.compile(
    r"(?P<stage>(?:sleep|schlaf|slaap)?(?:stages?|stade|stadium|stadio|estadio))?"
    r"(?P<sleep>sleep)?(?:fase|sommeil|sueno|sonno|sono)?"
    r"(?P<name>.*?)(?:sleep|schlaf|slaap|stage)?"
)


class StageName(NamedTuple):
    """Meaning of a name."""

    integer: int | None  # YASA's; None if the name is not a stage's
    is_marked: bool  # it says that it is a stage: "Sleep stage W", "REM sleep|5"


@lru_cache(maxsize=10_000)
def parse_stage(name: str) -> StageName:
    """Parse the name of a sleep stage in R&K or AASM spelling.

    For example ``"Sleep stage 2"``, ``"StageW"``, ``"NREM-2"``, ``"SLEEP-S0"``
    (RemLogic), ``"Stage 2 sleep|2"`` (NSRR) or ``"Sleep stage N2@@C4-M1"`` (EDF+).
    """
    text, has_code = re.subn(r"\|\d+\s*$", "", name.partition("@@")[0])
    text = unicodedata.normalize("NFKD", re.sub(r"\(.*?\)", "", text)).casefold()
    text = re.sub(r"[^\w?]|_", "", text)  # accents are characters of their own here
    match = _WORDS.fullmatch(text)
    assert match is not None  # the pattern takes any text
    words = match.groupdict()
    body, is_stage = words["name"], words["stage"] is not None
    integer = _INTEGER_OF_NAME.get(body)
    if integer is None and is_stage:
        integer = _AFTER_STAGE.get(body)
    if integer is None and (match := _NREM.fullmatch(body)):
        nrem, letter, digit = match.groups()
        if is_stage or nrem or (letter and digit.isdigit()):
            integer = _DIGITS.get(digit, INTEGERS["N3"])
    is_marked = is_stage or words["sleep"] is not None or has_code > 0
    return StageName(integer, is_marked and integer is not None)
