"""Choose the EEG channel that is staged."""

import re
from fnmatch import fnmatchcase

import mne
from mne.io import BaseRaw
from mne.utils import logger

from .._utils import warn

PREFERENCE = (
    *("FPZ-CZ", "FZ*", "C4-M1", "C3-M2", "CZ*", "F4-M1", "F3-M2"),
    *("C4*", "C3*", "F4*", "F3*", "FPZ*", "FP1*", "FP2*"),
    *("PZ-OZ", "O2-M1", "O1-M2", "PZ*", "OZ*", "O1*", "O2*"),
    *("EEG", "EEG1", "EEG2", "EEGSEC"),
)
"""Order of the automatic choice, as patterns on standard names. Our choice: Sleep-EDF's
derivation, then what the AASM manual recommends, then nearest to the front. The last
four are what portable recorders and SHHS call a channel without its place."""

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


def pick_channel(
    raw: BaseRaw, picks: str | list[str] | tuple[str, ...] | None = None
) -> str:
    """Choose the one EEG channel of a recording to stage.

    ``picks`` is the name of a channel, or alternatives in order of preference, of which
    the first that the recording has and that is not marked as bad is taken. None takes
    the first of ``PREFERENCE`` among the channels of type EEG that are not bad; where
    it gives no reference, any is accepted. A recording's only EEG channel is taken
    regardless of its name, unless that says it is something else (EOG, ECG, ...).

    Spelling is free: "EEG C4-A1", "C4:M1", "c4/a1", "C4M1" and "C4-M1-0" (MNE's name
    for the first of two) are all C4-M1; an exact name comes first.
    """
    if picks is not None:
        return _pick_by_name(raw, picks)
    candidates = [ch for ch in _eeg_channels(raw) if ch not in raw.info["bads"]]
    is_only = len(candidates) == 1 and not _NOT_EEG.search(candidates[0].upper())
    for pattern in PREFERENCE + ("*",) * is_only:
        for ch_name in candidates:
            if fnmatchcase(standard_name(ch_name), pattern):
                logger.info("Chose channel %r by the order of preference.", ch_name)
                return ch_name
    raise ValueError(f"No channel could be chosen by its name. {_choices(raw)}")


def standard_name(ch_name: str) -> str:
    """Return the derivation that a channel's name stands for.

    For ``"EEG C4:A1"`` that is ``"C4-M1"``. A reference that is not named, or common to
    all channels, is left out. ``""`` stands for what is not an EEG derivation.
    """
    if match := _PLACELESS.fullmatch(_squeeze(ch_name)):
        return match[1] + (match[2] or "")
    if not (match := _DERIVATION.fullmatch(_without_number(ch_name))):
        return ""
    site, reference = match.groups()
    if reference in (None, "REF", "LE", "LER", "CLE", "AV", "AVG"):
        return site
    # A1 and A2 (ears) are scored as M1 and M2 (mastoids).
    return f"{site}-{reference}".replace("A1", "M1").replace("A2", "M2")


def _squeeze(ch_name: str) -> str:
    """Return a name in capitals without blanks, underscores and the NULs of a file."""
    return re.sub(r"[\s_\0]", "", ch_name.upper())


def _without_number(ch_name: str) -> str:
    """Return a name without the number that MNE gives to channels of the same name."""
    return re.sub(r"-\d+$", "", _squeeze(ch_name))


def _pick_by_name(raw: BaseRaw, picks: str | list[str] | tuple[str, ...]) -> str:
    """Return the first named channel that the recording has, if it may be staged."""
    wanted = [picks] if isinstance(picks, str) else picks
    is_list = isinstance(wanted, list | tuple)
    if not is_list or not all(isinstance(name, str) for name in wanted):
        raise TypeError(
            "'picks' must be the name of a channel, a list of names or None, got "
            f"{picks!r} instead."
        )
    if not wanted:
        raise ValueError("'picks' is empty; pass the name of a channel, or None.")
    matches = [_match(raw.ch_names, name) for name in wanted]
    found = [ch_name for names in matches for ch_name in names]
    if not found:
        names = " or ".join(map(repr, wanted))
        raise ValueError(f"The recording has no channel {names}. {_choices(raw)}")
    usable = [name for name in found if name not in raw.info["bads"]]
    if not usable:
        raise ValueError(
            f"Channel {found[0]!r} is marked as bad. To stage it anyway, remove "
            "it from raw.info['bads']; otherwise pass another channel as 'picks'."
        )
    ch_name = usable[0]
    twins = next(names for names in matches if ch_name in names)
    if len(twins) > 1:
        warn(
            f"The recording has several channels of that name: {twins}. Took "
            f"{ch_name!r}; pass the exact name as 'picks' to choose another."
        )
    ch_type = mne.channel_type(raw.info, raw.ch_names.index(ch_name))
    if ch_type != "eeg":
        raise ValueError(
            f"Channel {ch_name!r} is of type {ch_type!r}, not 'eeg'. If it is EEG, "
            f"call raw.set_channel_types({{{ch_name!r}: 'eeg'}}) first; otherwise "
            "pass another channel as 'picks'."
        )
    logger.debug("Chose channel %r: named by 'picks'.", ch_name)
    return ch_name


def _match(ch_names: list[str], wanted: str) -> list[str]:
    """Return the channels that a name means: exactly, in another spelling, or twins."""
    if wanted in ch_names:
        return [wanted]
    for simplify in (_squeeze, standard_name, _without_number):
        if matches := [ch for ch in ch_names if simplify(ch) == simplify(wanted) != ""]:
            return matches
    return []


def _eeg_channels(raw: BaseRaw) -> list[str]:
    """Return the names of the channels of type EEG, bad ones too."""
    return [raw.ch_names[i] for i in mne.pick_types(raw.info, eeg=True, exclude=[])]


def _choices(raw: BaseRaw) -> str:
    """Say what can be EEG among a recording's channels, and to choose one."""
    typed = _eeg_channels(raw)
    listed = [ch for ch in typed if standard_name(ch)]
    listed = listed or [ch for ch in typed if not _NOT_EEG.search(ch.upper())]
    marked = [ch for ch in listed if ch in raw.info["bads"]]
    text = f"Its EEG channels are {listed}"
    if not listed:
        text = f"None of its channels reads as EEG; they are {raw.ch_names}"
    elif marked:
        text += f" (of which marked as bad: {marked})"
    return f"{text}. Pass the name of one as 'picks'."
