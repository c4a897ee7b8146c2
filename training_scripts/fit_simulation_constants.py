"""Print the module that holds the constants of simulated nights.

::

    python training_scripts/fitsimulation/constants.py band_power_nights.npz \
        > mne_mc2sleep/simulation/constants.py

The file holds, for nights ``first_epoch[i]:first_epoch[i + 1]`` named ``night``, the
arrays ``log_band_power`` (n_epochs, 2, 5), ``log_variance`` (n_epochs, 2) and ``stage``
(0-4, or -1 for unscored), and which nights were ``measured`` on the signal.
"""

from __future__ import annotations

import argparse

import numpy as np

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
# A median of fewer epochs says little about a night's stage.
MIN_EPOCHS = 10
# Artefacts, mostly of wakefulness, would otherwise set the covariances.
WINSOR_PERCENTILES = (1, 99)

TEMPLATE = '''"""What the band powers of real nights look like, for simulated ones.

Computed by ``training_scripts/fitsimulation/constants.py`` from the sleep cassette
nights of the PhysioNet Sleep-EDF Database Expanded 1.0.0:
{n_epochs:,} scored epochs of {n_nights} nights of {n_subjects} subjects.
The data are under the Open Data Commons Attribution License 1.0; cite Kemp et al.
(2000, https://doi.org/10.1109/10.867928) and Goldberger et al. (2000,
https://doi.org/10.1161/01.CIR.101.23.e215).

The features, in this order: of EEG Fpz-Cz the natural log of the mean power density
(µV²/Hz) in delta, theta, alpha, beta and gamma and of the variance (µV²), then the same
of EEG Pz-Oz. Stages in the order of ``STAGES``. An epoch is the mean of its stage + an
offset of the subject + a deviation. Deviations were winsorised at their percentiles
{low} and {high} against artefacts.

The powers of {n_measured} nights of {n_measured_subjects} subjects were measured on
the signal, those of the others regressed from other features of the epoch (held-out R²
.72 in alpha, .85 in beta, more elsewhere), so alpha and beta vary too little here. All
nights were used: so few subjects do not show how much subjects differ.
"""

from __future__ import annotations

import numpy as np

AUTOCORRELATION = {autocorrelation:.2f}
"""Correlation of the deviations of one epoch and of the next in the same stage."""

# fmt: off
STAGE_MEANS = np.array([
{means}
])
"""Log powers, shape (n_stages, n_features)."""

STAGE_STDS = np.array([
{stds}
])
"""Standard deviations within the stage, shape (n_stages, n_features)."""

STAGE_CORRELATIONS = np.array([
{correlations}
])
"""Correlations within the stage, shape (n_stages, n_features, n_features)."""

SUBJECT_STDS = np.array(
{subject_stds}
)
"""Standard deviations of the subjects' offsets, shape (n_features,)."""

SUBJECT_CORRELATIONS = np.array([
{subject_correlations}
])
"""Correlations of the subjects' offsets, shape (n_features, n_features)."""
# fmt: on'''


def night_stage_medians(features, night, stage, n_nights):
    """Give the median of each night's stage: (n_nights, n_stages, n_features)."""
    medians = np.full((n_nights, len(STAGES), features.shape[1]), np.nan)
    for i in range(n_nights):
        for j in range(len(STAGES)):
            rows = (night == i) & (stage == j)
            if rows.sum() >= MIN_EPOCHS:
                medians[i, j] = np.median(features[rows], axis=0)
    return medians


def lag_correlation(deviations, night, stage):
    """Correlate deviations with those of the next epoch: the mean over features."""
    same = (stage[1:] == stage[:-1]) & (night[1:] == night[:-1]) & (stage[1:] >= 0)
    pairs = zip(deviations[:-1][same].T, deviations[1:][same].T, strict=True)
    return np.mean([np.corrcoef(here, after)[0, 1] for here, after in pairs])


def fit(features, night, stage, subject):
    """Fit stage means, subjects' offsets and deviations from their sum.

    ``subject`` numbers the subject of each night.
    """
    medians = night_stage_medians(features, night, stage, len(subject))
    means = np.nanmedian(medians, axis=0)
    night_offsets = np.nanmean(medians - means, axis=1)
    offsets = np.array(
        [night_offsets[subject == i].mean(axis=0) for i in np.unique(subject)]
    )
    deviations = features - means[stage] - offsets[subject[night]]
    for j in range(len(STAGES)):
        rows = stage == j
        low, high = np.percentile(deviations[rows], WINSOR_PERCENTILES, axis=0)
        deviations[rows] = np.clip(deviations[rows], low, high)
        deviations[rows] -= deviations[rows].mean(axis=0)
    by_stage = [deviations[stage == j] for j in range(len(STAGES))]
    stds = np.array([rows.std(axis=0) for rows in by_stage])
    # One autocorrelation serves all stages, so their scales must not weigh in it.
    autocorrelation = lag_correlation(deviations / stds[stage], night, stage)
    return {
        "means": means,
        "stds": stds,
        "correlations": np.array([np.corrcoef(rows.T) for rows in by_stage]),
        "subject_stds": offsets.std(axis=0, ddof=1),
        "subject_correlations": np.corrcoef(offsets.T),
        "autocorrelation": autocorrelation,
    }


def write_array(values):
    """Write an array of one to three dimensions as aligned rows of 2 decimals."""
    if values.ndim == 1:
        return "  [" + ", ".join(f"{value:5.2f}" for value in values) + "]"
    if values.ndim == 2:
        return ",\n".join(write_array(row) for row in values) + ","
    blocks = zip(STAGES, map(write_array, values), strict=True)
    return "\n".join(f" [  # {name}\n{rows}\n ]," for name, rows in blocks)


def main():
    """Read the nights, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", help="band_power_nights.npz")
    with np.load(parser.parse_args().fname) as data:
        names, measured = data["night"], data["measured"]
        night = np.repeat(np.arange(len(names)), np.diff(data["first_epoch"]))
        stage = data["stage"].astype(int)
        features = np.concatenate(
            [data["log_band_power"], data["log_variance"][..., None]], axis=-1
        ).astype(float)
    features = features.reshape(len(stage), -1)
    # "SC4ssNE0" is night N of subject ss.
    subject_names, subject = np.unique(
        [name[:5] for name in names], return_inverse=True
    )
    fitted = fit(features, night, stage, subject)
    text = {k: write_array(v) if np.ndim(v) else v for k, v in fitted.items()}
    print(
        TEMPLATE.format(
            n_epochs=(stage >= 0).sum(),
            n_subjects=len(subject_names),
            n_nights=len(names),
            n_measured=measured.sum(),
            n_measured_subjects=len(np.unique(subject[measured])),
            low=WINSOR_PERCENTILES[0],
            high=WINSOR_PERCENTILES[1],
            **text,
        )
    )


if __name__ == "__main__":
    main()
