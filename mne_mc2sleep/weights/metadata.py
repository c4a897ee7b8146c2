"""The metadata of weights, and their description as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "parameters": dict,
    "scaling": str,
    "calibration_temperature": (float, int),
    "can_stage": bool,
    "was_finetuned": bool,
    "validation_subjects": list,
    "provenance": list,
    "scores": dict,
}


def check_metadata(metadata: dict[str, Any], fname: str | Path) -> dict[str, Any]:
    """Return the known entries of the metadata; raise if one is missing or wrong."""
    for name, kind in _TYPES.items():
        if not isinstance(metadata.get(name), kind):
            raise ValueError(
                f"The metadata {name!r} in {fname} are not valid: found "
                f"{metadata.get(name)!r:.80}. Download or save the weights again."
            )
    if not 0 < metadata["calibration_temperature"] < float("inf"):
        raise ValueError(
            f"The calibration temperature in {fname} is not a number above 0. "
            "Download or save the weights again."
        )
    return {name: metadata[name] for name in _TYPES}


def format_card(metadata: dict[str, Any], fname: str | Path) -> str:
    """Return the settings of weights and the steps of their training as text."""
    saved = check_metadata(metadata, fname)
    steps = saved.pop("provenance")
    lines = [f"Weights: {Path(fname).name}", *_lines(saved)]
    for number, step in enumerate(steps, start=1):
        lines += ["", f"Step {number} of {len(steps)}", *_lines(step)]
    return "\n".join(lines)


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        if value not in ("", None):
            lines.append(f"{name.replace('_', ' ')}: {value}")
    return lines
