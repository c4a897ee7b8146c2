"""Read the sleep stages of annotation files of the National Sleep Research Resource."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

import mne

if TYPE_CHECKING:
    from pathlib import Path

_EVENT = "ScoredEvent"
_FIELDS = ("EventType", "EventConcept", "Start", "Duration")


def read_nsrr_xml(fname: Path) -> mne.Annotations:
    """Read the sleep stages of an NSRR annotation file.

    The file is parsed as a stream, and refused if it declares a document type: that is
    where entities that blow up the memory, or read other files, come from.

    Parameters
    ----------
    fname : Path
        An existing file, such as ``shhs1-200001-nsrr.xml``.

    Returns
    -------
    annotations : Annotations
        The events of type ``"Stages|Stages"``, with onsets in seconds from the
        recording's first sample and their names as in the file, for example
        ``"Stage 2 sleep|2"``.

    Raises
    ------
    ValueError
        If the file is no complete XML, declares a document type, or has a stage whose
        onset or duration is no number.
    """
    events = _Events()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = events.start
    parser.EndElementHandler = events.end
    parser.CharacterDataHandler = events.text
    try:
        with fname.open("rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise ValueError(
            f"The XML is damaged or cut off ({error}); fetch the file again."
        ) from error
    onset, duration, description = (
        zip(*events.stages, strict=True) if events.stages else ((), (), ())
    )
    return mne.Annotations(onset, duration, description)


def _refuse_doctype(*_args) -> None:
    raise ValueError(
        "The XML declares a document type, which no NSRR annotation file does; fetch "
        "the file again from its source."
    )


class _Events:
    """Collects the stages from what the parser meets; keeps one event at a time."""

    def __init__(self) -> None:
        self.stages: list[tuple[float, float, str]] = []
        self._event: dict[str, str] | None = None
        self._field: str | None = None

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == _EVENT:
            self._event = dict.fromkeys(_FIELDS, "")
        self._field = name if name in _FIELDS else None

    def text(self, data: str) -> None:
        if self._event is not None and self._field is not None:
            self._event[self._field] += data

    def end(self, name: str) -> None:
        self._field = None
        if name != _EVENT or self._event is None:
            return
        event, self._event = self._event, None
        if not event["EventType"].strip().startswith("Stages"):
            return
        try:
            onset, duration = float(event["Start"]), float(event["Duration"])
        except ValueError:
            raise ValueError(
                f"The stage {event['EventConcept']!r} has the onset {event['Start']!r} "
                f"and the duration {event['Duration']!r}; both must be numbers."
            ) from None
        self.stages.append((onset, duration, event["EventConcept"].strip()))
