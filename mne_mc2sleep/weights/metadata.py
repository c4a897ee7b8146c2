"""The metadata of weights: what they hold, those of older files, and the card."""

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
    """Return what a stager needs of the metadata of a file, of whatever version.

    Parameters
    ----------
    metadata : dict
        From `load_weights`.
    fname : path-like
        The file, for errors.

    Returns
    -------
    saved : dict
        The parameters of the classifier and the attributes of the stager.

    Raises
    ------
    ValueError
        If something is missing or of another type.
    """
    metadata = _convert(metadata)
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


def _convert(metadata: dict[str, Any]) -> dict[str, Any]:
    """Convert the metadata of files from before version 0.1."""
    data, parameters = metadata.get("training_data"), metadata.get("parameters")
    if not isinstance(data, dict) or not isinstance(parameters, dict):
        return metadata
    parameters = dict(parameters)
    if "temperature" in parameters:
        parameters["contrastive_temperature"] = parameters.pop("temperature")
    of_weights = {
        name: parameters.pop(name, None)
        for name in ("size", "sequence_length", "scaling")
    }
    step = {"phase": "training", "package_version": metadata.get("package_version")}
    return metadata | {
        "parameters": parameters,
        "scaling": of_weights["scaling"] or "none",
        "calibration_temperature": metadata.get("temperature"),
        # These files do not say; most were fine-tuned.
        "was_finetuned": metadata.get("can_stage"),
        "validation_subjects": data.get("validation_subjects", []),
        "provenance": [step | data] if data else [],
    }


def format_card(metadata: dict[str, Any], fname: str | Path) -> str:
    """Describe weights in a text: their settings and each step of their training.

    Parameters
    ----------
    metadata, fname
        As in `check_metadata`.

    Returns
    -------
    card : str
        One line for each fact.
    """
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
