"""Input that the stager refuses, or accepts with a warning."""

import pytest
from stagers import QUICK

from mne_mc2sleep import MC2SleepClassifier


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"size": "huge"}, "size"),
        ({"mask_ratio": 1.5}, "mask_ratio"),
        ({"scaling": "minmax"}, "scaling"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"adaptation": 1.5}, "adaptation"),
        ({"adaptation": "half"}, "adaptation"),
    ],
)
def test_bad_parameters_are_named(parameters, name, scored_raws):
    """A parameter that cannot be is named before any training."""
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        MC2SleepClassifier(**parameters).fit(*scored_raws)


def test_lists_of_different_lengths(scored_raws):
    """Fewer hypnograms or groups than recordings is an error with both counts."""
    raws, stages = scored_raws
    clf = MC2SleepClassifier(**QUICK)
    with pytest.raises(ValueError, match="3 recordings but 2 hypnograms"):
        clf.fit(raws, stages[:2])
    with pytest.raises(ValueError, match="3 recordings but 1 groups"):
        clf.fit(raws, stages, groups=["a"])


def test_no_stage_anywhere(scored_raws):
    """Training that needs stages says where to take them from."""
    with pytest.raises(ValueError, match="None of the 3 recordings has a usable epoch"):
        MC2SleepClassifier(**QUICK).fit(scored_raws[0])


def test_score_needs_a_hypnogram(fitted, raw):
    """A recording cannot be scored against nothing."""
    with pytest.raises(ValueError, match="Pass one in 'hypnos'"):
        fitted.score(raw)


def test_empty_list(fitted):
    """No recording at all is an error."""
    with pytest.raises(ValueError, match="list of recordings is empty"):
        fitted.predict([])


def test_the_recording_that_fails_is_named(fitted, scored_raws, tmp_path):
    """With several recordings, the error names the one that failed."""
    raws = [scored_raws[0][0], scored_raws[0][1].copy().crop(0, 20)]
    with pytest.raises(ValueError, match=r"^Recording 2 of 2: .* 30 s"):
        fitted.predict(raws)
    with pytest.raises(FileNotFoundError, match=r"^Recording 1 of 2 \(no.edf\): "):
        fitted.score(["no.edf", raws[0]], scored_raws[1][:2])


def test_unknown_device(scored_raws):
    """A device that torch does not know is named before any training."""
    with pytest.raises(ValueError, match="device 'abacus'"):
        MC2SleepClassifier(**QUICK, device="abacus").fit(*scored_raws)


def test_no_picks_at_all(fitted, scored_raws):
    """An empty list of channels is an error."""
    with pytest.raises(ValueError, match="'picks' is empty"):
        fitted.predict(scored_raws[0][0], picks=[])
