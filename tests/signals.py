"""Signals and recordings that several tests use."""

from datetime import UTC, datetime

import edfio
import mne
import numpy as np

MEAS_DATE = datetime(2024, 2, 28, 23, 15, 30, 250000, tzinfo=UTC)


def make_noise(n_times, amplitude=30.0, seed=0):
    """Return white noise in µV."""
    return np.random.default_rng(seed).normal(0, amplitude, n_times)


def make_raw(signal, sfreq=100.0, first_samp=0, ch_name="C4-M1"):
    """Return a recording of one channel whose signal is given in µV."""
    info = mne.create_info([ch_name], sfreq, "eeg")
    info.set_meas_date(MEAS_DATE)
    data = np.atleast_2d(signal) * 1e-6
    return mne.io.RawArray(data, info, first_samp, verbose=False)


def make_wavelet(times, centre, frequency=10.0, duration=0.2):
    """Return a burst of 10 Hz in µV that peaks at a given second."""
    envelope = np.exp(-0.5 * ((times - centre) / duration) ** 2)
    return 1000 * envelope * np.cos(2 * np.pi * frequency * (times - centre))


def write_edf_with_pauses(fname, edf, pauses):
    """Write an edfio.Edf or Bdf as EDF+D, with pauses before data records.

    ``pauses`` holds the seconds of each pause by the number of the record that follows.
    """
    # Makes room for longer onsets in the last record.
    edf.add_annotations([edfio.EdfAnnotation(1e9, 0, "room" * 10)])
    edf.write(fname)
    content = bytearray(fname.read_bytes())
    width = 2 if content[:1] == b"0" else 3
    content[192:197] = (b"EDF+D", b"BDF+D")[width - 2]
    n_header, n_signals = int(content[184:192]), int(content[252:256])
    fields = content[256 + 216 * n_signals :]
    n_samples = [int(fields[8 * i : 8 * i + 8]) for i in range(n_signals)]
    labels = [content[256 + 16 * i : 272 + 16 * i] for i in range(n_signals)]
    index = next(i for i, label in enumerate(labels) if b"Annotations" in label)
    record, size = width * sum(n_samples), width * n_samples[index]
    first = n_header + width * sum(n_samples[:index])
    for number, start in enumerate(range(first, len(content), record)):
        onset = number * float(content[244:252])
        onset += sum(pause for record, pause in pauses.items() if record <= number)
        rest = bytes(content[start : start + size]).partition(b"\x14\x14")[2]
        rest = rest.partition(b"+1000000000")[0]
        tal = b"+%.10g\x14\x14" % onset + rest.rstrip(b"\0") + b"\0"
        assert len(tal) <= size
        content[start : start + size] = tal.ljust(size, b"\0")
    fname.write_bytes(content)
