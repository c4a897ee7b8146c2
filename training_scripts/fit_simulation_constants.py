"""Print the constants of ``mne_mc2sleep/simulation/constants.py``.

::

    python training_scripts/fit_simulation_constants.py band_power_nights.npz

The file, see ``band_power_nights.py``, also says which nights were ``measured`` on the
signal.
"""

from __future__ import annotations

import argparse

import numpy as np

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
# A median of fewer epochs says little about a night's stage.
MIN_EPOCHS = 10
# Artefacts, mostly of wakefulness, would otherwise set the covariances.
WINSOR_PERCENTILES = (1, 99)


def night_stage_medians(features, night, stage, n_nights):
    """Return the median of each night's stage: (n_nights, n_stages, n_features)."""
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
    # One autocorrelation is used for all stages, so their scales are divided out.
    autocorrelation = lag_correlation(deviations / stds[stage], night, stage)
    return {
        "AUTOCORRELATION": autocorrelation,
        "STAGE_MEANS": means,
        "STAGE_STDS": stds,
        "CORRELATIONS": np.mean([np.corrcoef(rows.T) for rows in by_stage], axis=0),
        "SUBJECT_STDS": offsets.std(axis=0, ddof=1),
    }


def format_array(values):
    """Return an array of one or two dimensions as aligned rows of 2 decimals."""
    rows = [", ".join(f"{x:5.2f}" for x in row) for row in np.atleast_2d(values)]
    if values.ndim == 1:
        return f"np.array([{rows[0]}])"
    return "np.array([\n" + "".join(f"  [{row}],\n" for row in rows) + "])"


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
    _, subject = np.unique([name[:5] for name in names], return_inverse=True)
    print(
        f"# {(stage >= 0).sum():,} scored epochs of {len(names)} nights of "
        f"{subject.max() + 1} subjects; measured on the signal: {measured.sum()} "
        f"nights of {len(np.unique(subject[measured]))} subjects\n"
        "import numpy as np\n"
    )
    for name, values in fit(features, night, stage, subject).items():
        text = format_array(values) if np.ndim(values) else f"{values:.2f}"
        print(f"{name} = {text}\n")


if __name__ == "__main__":
    main()
