"""Read the sleep stages of XML files: NSRR annotations, Compumedics ProFusion."""

from __future__ import annotations

from typing import NamedTuple
from xml.etree import ElementTree

# The codes of ProFusion; others are unscored.
_PROFUSION = {"0": "W", "1": "N1", "2": "N2", "3": "N3", "4": "N4", "5": "R", "6": "MT"}


class XMLStages(NamedTuple):
    """Stages in an XML file."""

    root: str
    """The outermost element."""
    events: list[tuple[float, float, str]]
    """Onset in s, duration in s and name of each stage of an NSRR file."""
    epochs: list[str]
    """The name of each epoch of a ProFusion file."""
    epoch_duration: str
    """The duration of these epochs in s."""


def read_stage_xml(text: str) -> XMLStages:
    """Read the sleep stages of an NSRR or ProFusion file.

    The onsets count from the first sample. A ValueError if the text is not complete
    XML, has a stage whose onset or duration is not a number, or declares a document
    type: entities that fill the memory or read other files come from there.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(
            "The XML declares a document type, which no hypnogram file does; copy the "
            "file again from its source."
        )
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(
            f"The XML is damaged or cut off ({error}); copy the file again."
        ) from error
    codes = (_text(element) for element in root.iterfind(".//{*}SleepStage"))
    return XMLStages(
        root.tag.rpartition("}")[2],
        [
            _read_event(event)
            for event in root.iterfind(".//{*}ScoredEvent")
            if _text(event.find("{*}EventType")).startswith("Stages")
        ],
        # A code, or a name.
        [_PROFUSION.get(code, "?" if code.isdigit() else code) for code in codes],
        _text(root.find(".//{*}EpochLength")),
    )


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _read_event(event: ElementTree.Element) -> tuple[float, float, str]:
    concept, onset, duration = (
        _text(event.find(f"{{*}}{name}"))
        for name in ("EventConcept", "Start", "Duration")
    )
    try:
        return float(onset), float(duration), concept
    except ValueError:
        raise ValueError(
            f"The stage {concept!r} has the onset {onset!r} and the duration "
            f"{duration!r}; both must be numbers."
        ) from None
