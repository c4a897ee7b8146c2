"""Gradient boosting on band powers: how well they predict the stages.

It gets the powers without noise, which a stager must estimate from the signal, and is
trained on the same nights as the shipped weights. ``accuracy.py`` prints its row.
"""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

N_CONTEXT = 8  # epochs on either side, four minutes


def cut(night, montage, n_epochs=None):
    """Return the log powers by a montage, and the stages, of each cut of a night."""
    powers = np.concatenate(
        [night.log_band_power, night.log_variance[..., np.newaxis]], axis=2
    )
    mixed = np.tensordot(montage, powers.astype(float), (0, 1))  # (n_epochs, 6)
    length = n_epochs or len(mixed)
    return [
        (mixed[start : start + length], night.stages[start : start + length])
        for start in range(0, len(mixed) - length + 1, length)
    ]


def describe(powers):
    """Return the powers of each epoch and its neighbors, minus their median."""
    centred = powers - np.median(powers, axis=0)
    padded = np.pad(centred, ((N_CONTEXT, N_CONTEXT), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(powers), axis=0)
    return windows.reshape(-1, len(powers)).T


def boost(train_nights, nights, montage, n_epochs=None):
    """Train on some nights and stage others, by a montage (weights of both channels).

    Returns for each cut of ``n_epochs`` (None: each night) the subject, the expert's
    stages, those found, and their probabilities.
    """
    pieces = [
        piece for night in train_nights for piece in cut(night, montage, n_epochs)
    ]
    features = np.concatenate([describe(powers) for powers, _ in pieces])
    stages = np.concatenate([stages for _, stages in pieces])
    scored = stages >= 0
    model = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.08, random_state=0
    )
    model.fit(features[scored], stages[scored])
    results = []
    for night in nights:
        for powers, stages in cut(night, montage, n_epochs):
            proba = model.predict_proba(describe(powers))
            results.append((night.subject, stages, proba.argmax(axis=1), proba))
    return results
