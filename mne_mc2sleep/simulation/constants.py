"""Moments of the band powers of real nights, for simulated nights.

``training_scripts/fit_simulation_constants.py`` computed them from 156,147 scored
epochs of 131 sleep cassette nights of 67 subjects of the Sleep-EDF Database Expanded
1.0.0 (Kemp et al. 2000, https://doi.org/10.1109/10.867928; Goldberger et al. 2000,
https://doi.org/10.1161/01.CIR.101.23.e215; Open Data Commons Attribution License 1.0).

The features are, of EEG Fpz-Cz and then of EEG Pz-Oz, the natural log of the mean power
density (µV²/Hz) in delta, theta, alpha, beta and gamma. An epoch is the mean of its
stage + an offset of the subject + a deviation, winsorised at percentiles 1 and 99.

The powers of 15 nights of 8 subjects were measured, the others estimated from other
features of the epoch (held-out R² .72 in alpha, .85 in beta, more elsewhere), so alpha
and beta vary less than in real nights.
"""

import numpy as np

# Of the deviations of one epoch and of the next in the same stage.
AUTOCORRELATION = 0.79

# fmt: off
STAGE_MEANS = np.array([  # log powers, (n_stages, n_features)
  [ 3.89,  1.56,  0.72, -0.20, -0.36,  1.54,  0.30,  0.12, -1.13, -1.53],
  [ 2.45,  0.82,  0.16, -1.11, -2.05,  1.45,  0.14, -0.54, -2.21, -3.58],
  [ 3.35,  1.34,  0.15, -1.32, -2.58,  2.26,  0.67, -0.67, -2.30, -3.97],
  [ 4.69,  1.73,  0.29, -1.34, -2.68,  3.41,  0.96, -0.54, -2.26, -3.99],
  [ 2.36,  0.67, -0.18, -1.58, -2.30,  1.29,  0.09, -0.90, -2.57, -3.81],
])

STAGE_STDS = np.array([  # within the stage, (n_stages, n_features)
  [ 1.20,  0.89,  0.76,  1.05,  1.49,  0.94,  0.72,  0.79,  1.12,  1.61],
  [ 0.79,  0.57,  0.57,  0.66,  1.10,  0.74,  0.57,  0.59,  0.55,  0.74],
  [ 0.66,  0.45,  0.51,  0.60,  0.99,  0.62,  0.49,  0.50,  0.52,  0.68],
  [ 0.45,  0.38,  0.51,  0.56,  0.84,  0.60,  0.45,  0.50,  0.46,  0.69],
  [ 0.67,  0.47,  0.53,  0.56,  0.98,  0.54,  0.51,  0.57,  0.54,  0.72],
])

CORRELATIONS = np.array([  # within the stages, pooled, (n_features, n_features)
  [ 1.00,  0.67,  0.26,  0.28,  0.13,  0.49,  0.30,  0.07,  0.19,  0.15],
  [ 0.67,  1.00,  0.66,  0.63,  0.37,  0.36,  0.43,  0.24,  0.33,  0.14],
  [ 0.26,  0.66,  1.00,  0.84,  0.57,  0.17,  0.30,  0.41,  0.41,  0.18],
  [ 0.28,  0.63,  0.84,  1.00,  0.71,  0.13,  0.26,  0.37,  0.48,  0.27],
  [ 0.13,  0.37,  0.57,  0.71,  1.00,  0.02,  0.07,  0.20,  0.27,  0.37],
  [ 0.49,  0.36,  0.17,  0.13,  0.02,  1.00,  0.69,  0.34,  0.41,  0.13],
  [ 0.30,  0.43,  0.30,  0.26,  0.07,  0.69,  1.00,  0.68,  0.65,  0.21],
  [ 0.07,  0.24,  0.41,  0.37,  0.20,  0.34,  0.68,  1.00,  0.76,  0.35],
  [ 0.19,  0.33,  0.41,  0.48,  0.27,  0.41,  0.65,  0.76,  1.00,  0.53],
  [ 0.15,  0.14,  0.18,  0.27,  0.37,  0.13,  0.21,  0.35,  0.53,  1.00],
])

# Of the offsets, (n_features,).
SUBJECT_STDS = np.array([0.40, 0.49, 0.58, 0.64, 1.18, 0.52, 0.64, 0.66, 0.59, 0.73])
# fmt: on
