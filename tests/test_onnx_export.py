"""The exported file stages like the stager, without torch."""

import copy
import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.exceptions import NotFittedError

from mne_mc2sleep import MC2SleepClassifier, onnx_export
from mne_mc2sleep._constants import BAND, STAGES
from mne_mc2sleep.nights import read_channel
from mne_mc2sleep.stager import Stager

LENGTH = 8  # epochs of a sequence of the tiny network
# Up to two windows, and more epochs than are encoded at once, by one and by some.
N_EPOCHS = [1, 7, LENGTH, LENGTH + 1, 65, 83]


def as_classifier(stager, **parameters):
    """Return a classifier that holds the stager."""
    clf = MC2SleepClassifier(**parameters)
    clf.stager_ = stager
    return clf


@pytest.fixture(scope="module")
def in_train_mode(trained):
    """Return the tiny trained stager as training leaves it when interrupted."""
    stager = copy.deepcopy(trained)
    stager.net.train()
    return stager


@pytest.fixture(scope="module")
def exported(in_train_mode, tmp_path_factory):
    """Return the file of the tiny trained stager."""
    fname = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    clf = as_classifier(in_train_mode, picks=["Fpz-Cz", "µ"], scaling="robust")
    clf.export_onnx(fname)
    return fname


@pytest.fixture
def quick_export(monkeypatch):
    """Let the conversion, which takes seconds, give an empty model."""
    graph = onnx.helper.make_graph([], "empty", [], [])
    model = onnx.helper.make_model(graph)
    monkeypatch.setattr(onnx_export, "_make_model", lambda stager: model)


def run(fname, signals, usable):
    """Return the probabilities that the file gives."""
    session = onnxruntime.InferenceSession(fname)
    (proba,) = session.run(None, {"signals": signals, "usable": usable})
    return proba


def read_metadata(fname):
    """Return the metadata as a table."""
    return {entry.key: entry.value for entry in onnx.load(fname).metadata_props}


def mask_out(n_epochs, which):
    """Return a mask of usable epochs in which some are not."""
    usable = np.ones(n_epochs, dtype=bool)
    if which == "some":
        usable[[0, n_epochs // 2, -1]] = False
    elif which == "most":
        # Some windows hold no usable epoch at all.
        usable[n_epochs // 4 :] = False
    elif which == "all":
        usable[:] = False
    return usable


@pytest.mark.parametrize("which", ["none", "some", "most", "all"])
@pytest.mark.parametrize("n_epochs", N_EPOCHS)
def test_the_file_stages_like_the_stager(
    trained, exported, make_night, n_epochs, which
):
    """Shorter and longer than a sequence, with and without unusable epochs."""
    signals = make_night(50, n_epochs).inputs.numpy()
    usable = mask_out(n_epochs, which)
    found = run(exported, signals, usable)
    expected = trained.probabilities([signals], [usable])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_epochs", N_EPOCHS)
def test_what_unusable_epochs_hold_does_not_matter(exported, make_night, n_epochs):
    """Not even NaN, Inf or a burst; their own probabilities are uniform."""
    signals = make_night(51, n_epochs).inputs.numpy().copy()
    usable = mask_out(n_epochs, "some")
    expected = run(exported, signals, usable)
    signals[0, 7], signals[n_epochs // 2], signals[-1, ::2] = np.nan, 1e6, np.inf
    found = run(exported, signals, usable)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[~usable], 0.2)


def test_a_small_classifier_and_its_file_agree_on_a_recording(fitted, raw, tmp_path):
    """From the same recording to the same probabilities."""
    fitted.export_onnx(tmp_path / "small.onnx")
    recording = read_channel(raw, fitted.picks, fitted.scaling)
    found = run(tmp_path / "small.onnx", recording.signals, recording.usable)
    np.testing.assert_allclose(found, fitted.predict_proba(raw), rtol=0, atol=1e-5)


def test_the_file_is_valid(exported):
    """By the checker of ONNX: types and shapes too."""
    onnx.checker.check_model(exported, full_check=True)


def test_the_file_is_all_there_is(exported):
    """No external data, nothing left behind."""
    assert [path.name for path in exported.parent.iterdir()] == ["tiny.onnx"]


def test_inputs_and_outputs_are_named_and_of_any_number_of_epochs(exported):
    """What a user's code refers to."""
    session = onnxruntime.InferenceSession(exported)
    ends = [*session.get_inputs(), *session.get_outputs()]
    assert [(end.name, end.type, end.shape) for end in ends] == [
        ("signals", "tensor(float)", ["n_epochs", 3000]),
        ("usable", "tensor(bool)", ["n_epochs"]),
        ("probabilities", "tensor(float)", ["n_epochs", 5]),
    ]


def test_the_metadata_say_what_to_feed(exported, trained):
    """All that must be known without this package."""
    metadata = read_metadata(exported)
    for text in ("µV", "100 Hz", "0.3-35 Hz", "order 4", "interquartile", "3000"):
        assert text in metadata["inputs"]
    values = {
        name: json.loads(metadata[name])
        for name in metadata.keys() - {"description", "inputs", "outputs"}
        if name != "package_version"
    }
    assert values == {
        "stages": list(STAGES),
        "sfreq": 100.0,
        "epoch_duration": 30.0,
        "band": list(BAND),
        "picks": ["Fpz-Cz", "µ"],
        "scaling": "robust",
        "levels": None,
        "sequence_length": LENGTH,
        "temperature": trained.temperature,
    }


def test_the_metadata_give_the_amplitude_of_robust_scaling(exported, raw):
    """The figure is that which recordings are scaled to."""
    recording = read_channel(raw, "EEG Fpz-Cz", "robust")
    iqr = np.subtract(*np.percentile(recording.signals[recording.usable], [75, 25]))
    assert f"to {iqr:.4g}" in read_metadata(exported)["inputs"]


def test_the_metadata_tell_how_short_recordings_are_scaled_anew(
    trained, tmp_path, quick_export
):
    """Where the stager knows levels, the file holds them."""
    stager = copy.copy(trained)
    stager.levels = [[0.5] * 13] * 5
    fname = tmp_path / "lab.onnx"
    as_classifier(stager, scaling="spectrum").export_onnx(fname)
    metadata = read_metadata(fname)
    assert json.loads(metadata["levels"]) == stager.levels
    assert "rescaling.scale_anew(signals" in metadata["outputs"]


def test_without_scaling_the_metadata_ask_for_none(trained, tmp_path, quick_export):
    """Signals stay as they are in µV."""
    as_classifier(trained).export_onnx(tmp_path / "lab.onnx")
    metadata = read_metadata(tmp_path / "lab.onnx")
    assert "interquartile" not in metadata["inputs"]
    assert metadata["scaling"] == metadata["picks"] == "null"


def test_the_file_names_no_path_of_who_exported(exported):
    """The exporter would note where each line of code lies."""
    assert b"/" + b"mne_mc2sleep/" not in exported.read_bytes()
    assert b".py" not in exported.read_bytes()


def test_the_export_leaves_the_stager_as_it_was(exported, in_train_mode, trained):
    """It stays in train mode if it was in it, with the same weights."""
    assert in_train_mode.net.training
    state, expected = in_train_mode.net.state_dict(), trained.net.state_dict()
    torch.testing.assert_close(state, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["lab", "lab.pt", "lab.safetensors"])
def test_another_suffix_is_refused(trained, tmp_path, quick_export, name):
    """The name says what the file is."""
    with pytest.raises(ValueError, match=r"'\*\.onnx', not 'lab"):
        as_classifier(trained).export_onnx(tmp_path / name)


def test_an_existing_file_is_replaced_only_if_asked(trained, tmp_path, quick_export):
    """An error that says what to do, and the file stays as it was."""
    fname = tmp_path / "lab.onnx"
    fname.write_bytes(b"older")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        as_classifier(trained).export_onnx(fname)
    assert fname.read_bytes() == b"older"
    as_classifier(trained).export_onnx(str(fname), overwrite=True)
    assert "stages" in read_metadata(fname)


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_the_extra_the_error_says_what_to_install(
    trained, tmp_path, monkeypatch, package
):
    """One sentence, and no file."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install mne-mc2sleep\[onnx\]"):
        as_classifier(trained).export_onnx(tmp_path / "lab.onnx")
    assert not list(tmp_path.iterdir())


def test_a_new_classifier_cannot_be_exported(tmp_path):
    """There is nothing to write."""
    with pytest.raises(NotFittedError, match="no weights yet"):
        MC2SleepClassifier().export_onnx(tmp_path / "lab.onnx")


def test_a_stager_that_knows_no_stages_cannot_be_exported(net, tmp_path):
    """After pretraining without stages its probabilities mean nothing."""
    with pytest.raises(NotFittedError, match="pretrained without stages"):
        as_classifier(Stager(net)).export_onnx(tmp_path / "lab.onnx")
