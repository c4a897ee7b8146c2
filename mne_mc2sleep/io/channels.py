"""Choose the EEG channel that is staged."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import mne
from mne.utils import logger

if TYPE_CHECKING:
    from mne.io import BaseRaw

PREFERENCE = (
    *("FPZ-CZ", "FZ*", "C4-M1", "C3-M2", "CZ*", "F4-M1", "F3-M2"),
    *("C4*", "C3*", "F4*", "F3*", "FPZ*", "FP1*", "FP2*"),
    *("PZ-OZ", "O2-M1", "O1-M2", "PZ*", "OZ*", "O1*", "O2*"),
    *("EEG", "EEG1", "EEG2", "EEGSEC"),
)
"""Order of the automatic choice, as patterns on standard names. Our choice: Sleep-EDF's
derivation, then what the AASM manual recommends, then nearest to the front. The last
four are what portable recorders and SHHS call a channel without telling its place."""

# A positive rule: a name is EEG only where all of it reads as a 10-20 derivation.
_SITE = r"(?:FPZ|FP[12]|AFZ|[FCPO]Z|[FCP][34]|F[78]|O[12]|[TP][78]|T[3-6])"
_EARS = r"\(?[AM]1\+?[AM]2\)?(?:/2)?"
_DERIVATION = re.compile(
    rf"(?:EEG[-:.]?)?({_SITE})[-:/.]?({_SITE}|[AM][12]|{_EARS}|REF|LER?|CLE|AVG?)?"
)
_PLACELESS = re.compile(r"(EEG)[-.]?\(?([12]|SEC)?\)?")

_NOT_EEG = re.compile(
    r"IMP|OHM|ECG|EKG|EMG|EOG|\b[LR]OC\b|^[EMA][12](?!\d)|CHIN|LEG|TIB|JAMBE|RESP|FLOW"
    r"|THOR|ABD|CHEST|NASAL|CPAP|RIP|S[PA]O2|SAT|OXY|CO2|PULSE|PLETH|PPG|HEART|RATE"
    r"|\bHR\b|SNOR|MIC|AUDIO|SOUND|POS|ANGLE|ACC|ACTI|AXIS|ELEV|TEMP|LIGHT|BATT|VOLT"
    r"|PRESS|EVENT|MARK|STATUS|TRIG|STIM|HYPNO"
)


def pick_channel(raw: BaseRaw, picks: str | list[str] | None = None) -> str:
    """Choose the one EEG channel of a recording to stage.

    Parameters
    ----------
    raw : Raw
        The recording. It is not modified.
    picks : str | list of str | None
        The exact name of a channel, or several names, of which the first that the
        recording has is taken. None chooses among the channels of type EEG that are
        not in ``raw.info["bads"]``: see Notes.

    Returns
    -------
    ch_name : str
        The name of the channel, as the recording writes it.

    Raises
    ------
    TypeError
        If ``picks`` is no name, list of names or None.
    ValueError
        If the recording has none of the named channels, if the named one is bad or
        not of type EEG, or if no channel can be chosen without a name.

    Notes
    -----
    The automatic choice is the first of: Fpz-Cz; Fz; C4-M1; C3-M2; Cz; F4-M1; F3-M2;
    C4, C3, F4, F3, Fpz, Fp1, Fp2; Pz-Oz; O2-M1; O1-M2; Pz, Oz, O1, O2 (where no
    reference is given here, any is accepted); "EEG", "EEG 1", "EEG 2", "EEG(sec)".
    The order is our choice. Spelling is free: "EEG C4-A1", "C4:M1", "c4/a1" and
    "C4M1" are all C4-M1. Channels whose names are no such derivation (EOG, ECG,
    impedances, ...) are never chosen, even if their type is EEG, as it is for every
    channel of an EDF file. A recording's only EEG channel is taken whatever its name,
    unless that says it is something else.
    """
    if picks is not None:
        return _pick_by_name(raw, picks)
    candidates = [ch for ch in _eeg_channels(raw) if ch not in raw.info["bads"]]
    names = {ch: standard_name(ch) for ch in candidates}
    for pattern in PREFERENCE:
        for ch_name, name in names.items():
            if fnmatchcase(name, pattern):
                logger.info(
                    "Chose channel %r: first in the order of preference.", ch_name
                )
                return ch_name
    if len(candidates) == 1 and not _NOT_EEG.search(candidates[0].upper()):
        logger.info("Chose channel %r: the only EEG channel.", candidates[0])
        return candidates[0]
    raise ValueError(
        "No channel could be chosen by its name. "
        f"{_describe_channels(raw)} Pass the name of one as 'picks'."
    )


def standard_name(ch_name: str) -> str:
    """Return the derivation that a channel's name stands for.

    Parameters
    ----------
    ch_name : str
        The name as a recorder writes it, for example ``"EEG C4:A1"``.

    Returns
    -------
    name : str
        The site and its reference in capitals, ``"C4-M1"``, the site alone if the
        reference is not named or common to all channels, or ``""`` if the name is not
        that of an EEG derivation.
    """
    name = re.sub(r"[\s_]", "", ch_name.upper())
    if match := _PLACELESS.fullmatch(name):
        return match[1] + (match[2] or "")
    if not (match := _DERIVATION.fullmatch(name)):
        return ""
    site, reference = match.groups()
    if reference in (None, "REF", "LE", "LER", "CLE", "AV", "AVG"):
        return site
    # A1 and A2 (ears) are scored as M1 and M2 (mastoids).
    return f"{site}-{reference}".replace("A1", "M1").replace("A2", "M2")


def _pick_by_name(raw: BaseRaw, picks: str | list[str]) -> str:
    """Return the first named channel that the recording has, if it may be staged."""
    wanted = [picks] if isinstance(picks, str) else picks
    if not isinstance(wanted, list | tuple) or not all(
        isinstance(name, str) for name in wanted
    ):
        raise TypeError(
            "'picks' must be the name of a channel, a list of names or None; "
            f"got {picks!r}."
        )
    if not wanted:
        raise ValueError("'picks' is empty; pass the name of a channel, or None.")
    found = [name for name in wanted if name in raw.ch_names]
    if not found:
        raise ValueError(
            f"The recording has no channel {' or '.join(map(repr, wanted))}. "
            f"{_describe_channels(raw)} Pass the name of one as 'picks'."
        )
    ch_name = found[0]
    ch_type = mne.channel_type(raw.info, raw.ch_names.index(ch_name))
    if ch_type != "eeg":
        raise ValueError(
            f"Channel {ch_name!r} is of type {ch_type!r}, not 'eeg'. If it is EEG, "
            f"call raw.set_channel_types({{{ch_name!r}: 'eeg'}}) first; else pass "
            "another channel as 'picks'."
        )
    if ch_name in raw.info["bads"]:
        raise ValueError(
            f"Channel {ch_name!r} is marked as bad. To stage it all the same, remove "
            "it from raw.info['bads']; else pass another channel as 'picks'."
        )
    logger.debug("Chose channel %r: named by 'picks'.", ch_name)
    return ch_name


def _eeg_channels(raw: BaseRaw) -> list[str]:
    """Return the names of the channels of type EEG, bad ones too."""
    return [
        ch_name
        for index, ch_name in enumerate(raw.ch_names)
        if mne.channel_type(raw.info, index) == "eeg"
    ]


def _describe_channels(raw: BaseRaw) -> str:
    """Return a sentence that lists the EEG channels of a recording."""
    bads = [ch for ch in _eeg_channels(raw) if ch in raw.info["bads"]]
    marked = f" (of which marked as bad: {bads})" if bads else ""
    return f"Its EEG channels are {_eeg_channels(raw)}{marked}."
