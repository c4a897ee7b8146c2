"""Draw recordings with soft targets, and store them.

Two sources: nights resynthesised from band powers, and real nights glued from heads.
Each exists in several versions that differ in recorder and texture or order. A teacher
stages each whole recording as drawn.
"""

from __future__ import annotations

import logging

import numpy as np
from continuation import Recording
from sleep_edf_heads import N_TIMES, draw_donors, glue, record_signal, stage_shares
from synthesis import resynthesize_anywhere
from teachers import log_mean, mix_targets

logger = logging.getLogger("mne")

SFREQ = 100.0
# Of each version: how much the powers of single epochs vary at most, and how far the
# recorders are from flat at most. Recorders of laboratories differ less than those that
# we drew first; short recordings need to know it.
POWER_VERSIONS = ((0.0, 1.0), (0.5, 1.0), (0.0, 0.6))
HEADS_VERSIONS = (1.0, 1.0, 1.0, 0.6)
# Heads are played up to 6 % faster or slower: spindles and alpha differ in frequency.
MAX_LOG_SPEED = 0.06
POWER_SEED, HEADS_SEED, PASS_SEED = 40_000, 50_000, 70_000
# Weight of the teachers in the targets. Of events, the stage of the powers knows less.
TEACHER_WEIGHTS = {"power": 0.5, "events": 0.6, "heads": 0.6}
# Resynthesised nights in one pass; every glued night is in every pass.
N_POWER_NIGHTS = 47


def draw_power_nights(power_nights, version, folder, teacher, seed=0, source="power"):
    """Draw one version of resynthesised nights; one teacher stages them.

    The ``source`` "events" also draws spindles, eye movements, arousals and others.
    """
    for index, night in enumerate(power_nights):
        fname = folder / f"{source}{version}" / f"{night.name}.npz"
        if fname.exists():
            continue
        rng = np.random.default_rng([seed, POWER_SEED + version, index])
        max_spread, max_recorder = POWER_VERSIONS[version]
        signals = resynthesize_anywhere(
            night.log_band_power,
            night.log_variance,
            max_spread=max_spread,
            recorder=_draw_strength(max_recorder, rng),
            events=source == "events",
            random_state=rng,
        ).numpy()
        proba = teacher(signals.ravel().astype(float), SFREQ)
        targets = mix_targets(night.stages, proba, TEACHER_WEIGHTS[source])
        _save(fname, signals, targets, night.subject)
    logger.info("Drew version %d of %d %s nights.", version, len(power_nights), source)


def draw_head_nights(head_nights, version, folder, teachers, seed=0):
    """Draw one version of glued nights, each from neighbors and from one stage."""
    for index, night in enumerate(head_nights):
        for same_stage in (False, True):
            fname = folder / f"heads{version}" / f"{night.name}_{same_stage:d}.npz"
            if fname.exists():
                continue
            rng = np.random.default_rng([seed, HEADS_SEED + version, index, same_stage])
            donors = draw_donors(night.stages, same_stage, rng)
            speed = np.exp(rng.uniform(-MAX_LOG_SPEED, MAX_LOG_SPEED))
            recorder = _draw_strength(HEADS_VERSIONS[version], rng)
            signal = record_signal(glue(night.heads, donors, speed), rng, recorder)
            proba = log_mean([stage(signal.astype(float), SFREQ) for stage in teachers])
            shares = stage_shares(night.stages, donors)
            targets = mix_targets(None, proba, TEACHER_WEIGHTS["heads"], shares)
            _save(fname, signal.reshape(-1, N_TIMES), targets, night.subject)
    logger.info("Drew version %d of %d glued nights.", version, len(head_nights))


def read_pass(folder, number, narrow_share=0.0, seed=0, power_source="power"):
    """Read the recordings of one pass, each in one of its versions at random.

    ``narrow_share`` is the share of the recordings of which a version with nearly flat
    recorders is read.
    """
    rng = np.random.default_rng([seed, PASS_SEED, number])
    recordings = []
    for source in (power_source, "heads"):
        names = sorted(fname.name for fname in (folder / f"{source}0").glob("*.npz"))
        if source != "heads" and len(names) > N_POWER_NIGHTS:
            names = rng.choice(names, N_POWER_NIGHTS, replace=False)
        n_versions = len(HEADS_VERSIONS if source == "heads" else POWER_VERSIONS)
        for name in names:
            version = rng.integers(n_versions - 1)
            if rng.uniform() < narrow_share:
                version = n_versions - 1
            with np.load(folder / f"{source}{version}" / name) as file:
                subject = str(file["subject"])
                recordings.append(Recording(file["x"], file["targets"], subject))
    return recordings


def _draw_strength(max_strength, rng):
    return 1.0 if max_strength == 1 else float(rng.uniform(0, max_strength))


def _save(fname, signals, targets, subject):
    fname.parent.mkdir(parents=True, exist_ok=True)
    # An incomplete file must not be read as a complete one.
    temporary = fname.with_suffix(".part")
    signals = signals.clip(-6e4, 6e4).astype(np.float16)
    with temporary.open("wb") as file:
        np.savez(file, x=signals, targets=targets, subject=subject)
    temporary.rename(fname)
