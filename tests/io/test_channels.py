"""The choice of the EEG channel."""

from pathlib import Path

import mne
import numpy as np
import pytest

from mne_mc2sleep.io.channels import pick_channel

NOXTURNAL = Path(__file__).parents[3] / "shared/data/device_edf/noxturnal_2min.edf"


def make_raw(ch_names, ch_types="eeg"):
    """Return one second of nothing with the channels asked for."""
    info = mne.create_info(list(ch_names), 100.0, ch_types)
    return mne.io.RawArray(np.zeros((len(info.ch_names), 100)), info, verbose=False)


@pytest.mark.parametrize(
    ("ch_names", "chosen"),
    [
        (["Pz-Oz", "C4-M1", "EEG Fpz-Cz"], "EEG Fpz-Cz"),
        (["C4-M1", "Fz-M2"], "Fz-M2"),
        (["C3-M2", "C4-M1"], "C4-M1"),
        (["C4", "C3-A2"], "C3-A2"),
        (["F4-M1", "Cz"], "Cz"),
        (["C4-M2", "F3-M2"], "F3-M2"),
        (["O1", "O2", "Oz"], "Oz"),
        (["O2-M1", "EEG Pz-Oz"], "EEG Pz-Oz"),
        (["C4 Impédance", "C4"], "C4"),
        (["ECG", "EOG(L)", "EEG(sec)", "EEG"], "EEG"),
        (["SaO2", "EEG(sec)", "ECG"], "EEG(sec)"),
        (["EOG", "O1-M2", "EEG 1"], "O1-M2"),
    ],
)
def test_automatic_choice_follows_the_order_of_preference(ch_names, chosen):
    assert pick_channel(make_raw(ch_names)) == chosen


@pytest.mark.parametrize("ch_name", ["X7", "EEG 001", "derivation", "E12", "0"])
def test_the_only_eeg_channel_is_taken_whatever_its_name(ch_name):
    raw = make_raw([ch_name, "C4-M1"], ["eeg", "misc"])
    assert pick_channel(raw) == ch_name


@pytest.mark.parametrize(
    "ch_name",
    [
        *("A1-A2", "C4-M1 (Imp)", "C4 Impédance", "ECG", "EKG", "EMG chin"),
        *("EOG horizontal", "Audio Volume dB"),
        *("E1-M2", "LOC", "ROC-A1", "M1", "A2", "M1M2", "Snoring", "Microphone"),
        *("SpO2", "SaO2", "Saturation", "Resp Rate", "Airflow", "Position", "X Axis"),
        *("Nasal Pressure", "Pulse", "Abdomen", "Voltage (core)"),
    ],
)
def test_a_channel_that_says_it_is_no_eeg_is_never_chosen(ch_name):
    with pytest.raises(ValueError, match="Pass the name of one as 'picks'"):
        pick_channel(make_raw([ch_name]))


def test_automatic_choice_passes_over_bad_channels_and_other_types():
    raw = make_raw(["Fz", "Cz", "C3"], ["misc", "eeg", "eeg"])
    raw.info["bads"] = ["Cz"]
    assert pick_channel(raw) == "C3"


def test_no_choice_lists_the_eeg_channels():
    raw = make_raw(["left", "middle", "right"])
    raw.info["bads"] = ["right"]
    with pytest.raises(ValueError, match=r"'middle', 'right'\] \(.* \['right'\]\)"):
        pick_channel(raw)


@pytest.mark.parametrize("picks", ["C3", ["Cz", "C3", "C4"], ("C3",), [np.str_("C3")]])
def test_picks_takes_the_first_name_that_exists(picks):
    """A name or a list of names wins over the order of preference."""
    assert pick_channel(make_raw(["C4", "C3", "Fz"]), picks) == "C3"


@pytest.mark.parametrize(
    ("ch_name", "picks"),
    [
        ("C4-M1", "c4-m1"),
        ("C4-M1", "EEG C4:A1"),
        ("EEG C4-A1", ["Cz", "C4-M1"]),
        ("C4/A1 ", "C4-M1"),
        ("C4-M1\0\0", "C4-M1"),
        ("C4-M1", "C4-M1\0 "),
        ("C4-M1-0", "C4-M1"),
        ("EEG 001", "eeg_001"),
        ("derivation-1", "Derivation"),
        ("EEG Fpz", "Fpz-Ref"),
        ("C4A1", "C4-M1"),
        (" C4_M1 ", "C4-M1"),
        ("EEG Fp1-LE", "Fp1"),
        ("C3-(A1+A2)/2", "C3-(M1+M2)/2"),
        ("EEG(sec)", "EEGsec"),
    ],
)
def test_picks_are_matched_in_any_spelling(ch_name, picks):
    assert pick_channel(make_raw(["O1", ch_name]), picks) == ch_name


@pytest.mark.parametrize("picks", ["C4", "M1", "C4-M2", "C4-M11", ""])
def test_another_derivation_is_not_the_channel(picks):
    with pytest.raises(ValueError, match="no channel"):
        pick_channel(make_raw(["C4-M1"]), picks)


def test_an_exact_name_comes_first():
    assert pick_channel(make_raw(["c4", "C4"]), "C4") == "C4"


@pytest.mark.parametrize(
    "ch_names",
    [["C4-M1-0", "C4-M1-1"], ["EEG C4-A1", "c4:m1"], ["X1", "C4M1-0", "C4M1-1"]],
)
def test_a_channel_that_is_there_twice_is_warned_of(ch_names):
    """The first is taken, or the one that is not bad."""
    raw = make_raw(ch_names)
    with pytest.warns(RuntimeWarning, match=r"several channels .*the exact name"):
        assert pick_channel(raw, "C4-M1") == ch_names[-2]
    raw.info["bads"] = [ch_names[-2]]
    with pytest.warns(RuntimeWarning, match="several channels"):
        assert pick_channel(raw, "C4-M1") == ch_names[-1]


def test_an_alternative_is_taken_for_a_bad_channel():
    raw = make_raw(["C3", "C4", "Cz"])
    raw.info["bads"] = ["C4"]
    assert pick_channel(raw, ["C4", "Cz", "C3"]) == "Cz"


@pytest.mark.parametrize(
    ("ch_names", "listed"),
    [
        (["ECG II", "Airflow", "C3-M2", "EOG"], r"EEG channels are \['C3-M2'\]"),
        (["left", "SpO2", "right"], r"EEG channels are \['left', 'right'\]"),
        (["ECG II", "Airflow"], r"None of its channels reads as EEG; .*'Airflow'"),
    ],
)
def test_messages_list_what_can_be_eeg(ch_names, listed):
    """EDF gives no types, so MNE takes all for EEG."""
    with pytest.raises(ValueError, match=listed):
        pick_channel(make_raw(ch_names), "Pz")


@pytest.mark.parametrize("picks", [0, ["C3", 1], {"C3": 1}, np.array(["C3"])])
def test_picks_of_another_type_is_refused(picks):
    with pytest.raises(TypeError, match="name of a channel"):
        pick_channel(make_raw(["C3"]), picks)


@pytest.mark.skipif(not NOXTURNAL.exists(), reason=f"{NOXTURNAL} is missing")
def test_automatic_choice_in_a_home_recorders_file():
    """Among 89 channels all typed EEG, the choices are derivations, best first."""
    raw = mne.io.read_raw_edf(NOXTURNAL, verbose="ERROR")
    chosen = []
    for _ in range(10):
        chosen.append(pick_channel(raw))
        raw.info["bads"].append(chosen[-1])
    assert chosen[:4] == ["C4-M1", "C3-M2", "F4-M1", "F3-M2"]
    assert chosen[4:] == ["C4", "C3", "F4", "F3", "O2-M1", "O1-M2"]
