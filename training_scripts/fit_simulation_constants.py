"""Print the module with the constants of simulated nights.

::

    python training_scripts/fit_simulation_constants.py band_power_nights.npz \
        > mne_mc2sleep/simulation/constants.py

The file holds, for nights ``first_epoch[i]:first_epoch[i + 1]`` named ``night``, the
arrays ``log_band_power`` (n_epochs, 2, 5) and ``stage`` (0-4, or -1 for unscored), and
which nights were ``measured`` on the signal.
"""

from __future__ import annotations

import argparse

import numpy as np

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
# A median of fewer epochs says little about a night's stage.
MIN_EPOCHS = 10
# Artefacts, mostly of wakefulness, would otherwise set the covariances.
WINSOR_PERCENTILES = (1, 99)

TEMPLATE = '''"""Moments of the band powers of real nights, for simulated nights.

Computed by ``training_scripts/fit_simulation_constants.py`` from {n_epochs:,} scored
epochs of {n_nights} sleep cassette nights of {n_subjects} subjects of the Sleep-EDF
Database Expanded 1.0.0 (Kemp et al. 2000, https://doi.org/10.1109/10.867928; Goldberger
et al. 2000, https://doi.org/10.1161/01.CIR.101.23.e215; Open Data Commons Attribution
License 1.0).

The features are, of EEG Fpz-Cz and then of EEG Pz-Oz, the natural log of the mean power
density (µV²/Hz) in delta, theta, alpha, beta and gamma. The stages have the order of
``STAGES``. An epoch is the mean of its stage + an offset of the subject + a deviation,
winsorised at the percentiles {low} and {high}.

The powers of {n_measured} nights of {n_measured_subjects} subjects were measured on the
signal, the others were estimated from other features of the epoch (held-out R² .72 in
alpha, .85 in beta, more elsewhere), so alpha and beta vary less than in real nights.
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

CORRELATIONS = np.array([
{correlations}
])
"""Correlations within the stages, pooled, shape (n_features, n_features)."""

SUBJECT_STDS = np.array(
{subject_stds}
)
"""Standard deviations of the subjects' offsets, shape (n_features,)."""
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
        "correlations": np.mean([np.corrcoef(rows.T) for rows in by_stage], axis=0),
        "subject_stds": offsets.std(axis=0, ddof=1),
        "autocorrelation": autocorrelation,
    }


def write_array(values):
    """Write an array of one or two dimensions as aligned rows of 2 decimals."""
    if values.ndim == 1:
        return "  [" + ", ".join(f"{value:5.2f}" for value in values) + "]"
    return ",\n".join(write_array(row) for row in values) + ","


def main():
    """Read the nights, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", help="the file of make_band_powers.py")
    with np.load(parser.parse_args().fname) as data:
        names, measured = data["night"], data["measured"]
        night = np.repeat(np.arange(len(names)), np.diff(data["first_epoch"]))
        stage = data["stage"].astype(int)
        features = data["log_band_power"].astype(float).reshape(len(stage), -1)
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
