"""The table of bad inputs: how each is made, and what must become of it."""

from datetime import timedelta
from typing import NamedTuple

import edfio
import mne
import numpy as np
from signals import write_edf_with_pauses
from yasa import Hypnogram

N_EPOCHS = 40
CHANNEL = "EEG Fpz-Cz"


def spoil(start, stop, value):
    """Return a function that sets what lies between two seconds to a value."""

    def apply(raw):
        times = raw.times
        inside = (times >= start) & (times < stop)
        return raw.copy().apply_function(lambda x: np.where(inside, value, x))

    return apply


def gain(factor):
    return lambda raw: raw.copy().apply_function(lambda x: factor * x)


def cut(duration):
    return lambda raw: raw.copy().crop(0, duration, include_tmax=False)


def at_rate(sfreq):
    return lambda raw: raw.copy().resample(sfreq)


def annotate(onset, duration):
    def apply(raw):
        raw = raw.copy()
        raw.annotations.append(onset, duration, "BAD_move")
        return raw

    return apply


def mark_bad(raw):
    raw = raw.copy()
    raw.info["bads"] = [CHANNEL]
    return raw


def as_misc(raw):
    return raw.copy().set_channel_types({CHANNEL: "misc"}, on_unit_change="ignore")


def as_epochs(raw):
    return mne.make_fixed_length_epochs(raw, 30, preload=True)


class Refused(NamedTuple):
    """What cannot be staged."""

    make: object
    error: type = ValueError
    match: str = ""


class Staged(NamedTuple):
    """What is staged, with a warning or with epochs that are UNS."""

    make: object
    warning: str | None = None
    unusable: tuple = ()
    n_epochs: int = N_EPOCHS
    is_same_elsewhere: bool = False


REFUSED = {
    "array": Refused(lambda raw: raw.get_data(), TypeError, "mne.io.Raw"),
    "epochs": Refused(as_epochs, TypeError, "mne.io.Raw"),
    "no file": Refused(lambda _: "nowhere.edf", FileNotFoundError, "nowhere.edf"),
    "channel missing": Refused(
        lambda raw: raw.copy().pick(["EEG Pz-Oz"]), match="EEG channels are .*Pz-Oz"
    ),
    "channel bad": Refused(mark_bad, match="marked as bad"),
    "channel of another type": Refused(as_misc, match="of type 'misc', not 'eeg'"),
    "complex": Refused(lambda raw: raw.copy().apply_hilbert(), match="complex numbers"),
    "20 s": Refused(cut(20), match="lasts 20 s.* one epoch of 30 s"),
    "32 Hz": Refused(at_rate(32), match="sampled at 32 Hz"),
    "all NaN": Refused(spoil(0, 1e9, np.nan), match="40 of 40 epochs .40 not finite"),
    "all flat": Refused(spoil(0, 1e9, 0), match="40 of 40 epochs .40 flat"),
    "all beyond volts": Refused(gain(1e20), match="40 of 40 epochs .40 not finite"),
    "all BAD": Refused(annotate(0, 1e300), match="40 of 40 epochs .40 bad annot"),
    "BAD without a time": Refused(annotate(0, np.nan), match="duration nan s; correct"),
}
STAGED = {
    "45 s": Staged(cut(45), n_epochs=1),
    "partial last epoch": Staged(cut(N_EPOCHS * 30 - 0.01), n_epochs=N_EPOCHS - 1),
    "volts are µV": Staged(gain(1e6), "amplitude of .* µV .*check the unit"),
    "1e-6 too small": Staged(gain(1e-6), "amplitude of .* µV .*check the unit"),
    "50 Hz": Staged(at_rate(50), "sampled at 50 Hz"),
    "NaN": Staged(spoil(301, 350, np.nan), None, (10, 11), is_same_elsewhere=True),
    "Inf": Staged(spoil(301, 301.01, -np.inf), None, (10,), is_same_elsewhere=True),
    "flat 5 min": Staged(
        spoil(300, 600, 1e-4), None, tuple(range(10, 20)), is_same_elsewhere=True
    ),
    "BAD": Staged(annotate(310, 65), None, (10, 11), is_same_elsewhere=True),
    "low-pass 12 Hz": Staged(
        lambda raw: raw.copy().filter(None, 12), "low-pass filtered at 12 Hz"
    ),
}


def as_edf(annotations=(), edit=None, pauses=None):
    """Return a function that writes a recording as EDF, and spoils its bytes."""

    def make(raw, folder):
        signal = raw.get_data(picks=CHANNEL, units="uV")[0]
        signal = signal[: signal.size // 100 * 100]
        fname, unit = folder / "night.edf", {"physical_dimension": "uV"}
        signal = edfio.EdfSignal(signal, 100, label=CHANNEL, **unit)
        edf = edfio.Edf([signal], annotations=annotations)
        write_edf_with_pauses(fname, edf, pauses or {})
        if edit is not None:
            fname.write_bytes(edit(fname.read_bytes()))
        return fname

    return make


def cut_after(share):
    return lambda content: content[: int(share * len(content))]


MARKERS = [edfio.EdfAnnotation(10 * i, 0, name) for i, name in enumerate("WRW?")]
FILES = {
    "EDF+D, pause of 10 min": Staged(
        as_edf(pauses={600: 600}), None, tuple(range(20, 40)), N_EPOCHS + 20
    ),
    "EDF cut after 60 %": Staged(
        as_edf(edit=cut_after(0.61)), "cut short: .* are missing", (), 24
    ),
    "markers W, R, ?": Staged(as_edf(annotations=MARKERS)),
    "hypnogram as a recording": Refused(
        lambda _, folder: as_hypnogram(folder), match="annotations but no signals"
    ),
    "empty EDF": Refused(as_edf(edit=cut_after(0)), match="The file is empty"),
    "header cut": Refused(as_edf(edit=lambda c: c[:300]), match="no valid EDF header"),
    "header alone": Refused(
        as_edf(edit=lambda c: c[: int(c[184:192])]), match="a header but no data"
    ),
}


def as_hypnogram(folder):
    stage = edfio.EdfAnnotation(0, 30, "Sleep stage W")
    edfio.Edf([], annotations=[stage]).write(folder / "hypnogram.edf")
    return folder / "hypnogram.edf"


def annotated(stages, orig_time=None, shift=0.0, tail=0):
    """Return stages as annotations, an epoch each, and an unscored tail."""
    names = [f"Sleep stage {'W123R'[stage]}" for stage in stages] + ["Sleep stage ?"]
    onset = 30.0 * np.arange(len(names)) + shift
    duration = [30.0] * len(stages) + [tail]
    return mne.Annotations(onset, duration, names, orig_time)


# From the stages and the start of a recording: a hypnogram, and the same on the grid.
ALIGNED = {
    "longer": lambda stages, _: (np.r_[stages, stages[:5]], stages),
    "shorter": lambda stages, _: (stages[:35], np.r_[stages[:35], [-2] * 5]),
    "names": lambda stages, _: (np.array(["W", "N1", "S2", "N4", "R"])[stages], stages),
    "in steps of 10 s": lambda stages, _: (
        Hypnogram.from_integers(np.repeat(stages, 3), freq="10s"),
        stages,
    ),
    "a ? tail of a day": lambda stages, start: (
        annotated(stages, start, tail=86_400),
        stages,
    ),
    "from an hour before": lambda stages, start: (
        annotated([0] * 120 + stages.tolist(), start - timedelta(hours=1)),
        stages,
    ),
    "from 5 epochs on": lambda stages, start: (
        Hypnogram.from_integers(stages[5:], start=start + timedelta(seconds=150)),
        np.r_[[-2] * 5, stages[5:]],
    ),
    "12 s late": lambda stages, _: (annotated(stages, shift=12), stages),
}
MISFITS = {
    "another day": (
        lambda stages, start: annotated(stages, start + timedelta(days=1)),
        "no epoch in common",
    ),
    "two stages at once": (
        lambda stages, _: annotated(stages) + annotated((stages + 1) % 5),
        "Two stages, .* cover the epoch at 0 s",
    ),
    "unknown stage": (
        lambda *_: mne.Annotations([0], [900], ["Sleep stage N5"]),
        "no sleep stage; found",
    ),
    "mostly unknown stages": (
        lambda *_: mne.Annotations([0, 30], [30, 900], ["Sleep stage W", "sommeil"]),
        "Unknown stage names .* cover 15 min",
    ),
    "10-s values": (
        lambda stages, _: np.repeat(stages, 3),
        "each seems to stand for 10 s",
    ),
    "no duration": (
        lambda *_: mne.Annotations([0], [0], ["Sleep stage W"]),
        "duration of 0 s",
    ),
}
