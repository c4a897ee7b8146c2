"""What ``mne-mc2sleep weights`` prints."""

from mne_mc2sleep.weights.registry import KNOWN_WEIGHTS, find_weights


def test_list_names_the_weights(run):
    status, out, _ = run("weights", "list")
    lines = out.splitlines()
    assert status == 0
    assert [line.split("\t")[0] for line in lines] == ["name", *KNOWN_WEIGHTS]
    assert "in the package" in lines[1]


def test_card_prints_what_was_trained_on(run):
    _, out, _ = run("weights", "card", "small")
    assert str(find_weights("small")) in out
    assert "\nscaling: spectrum\n" in out
    assert "\nStep 1 of 2\nphase: pretraining and fine-tuning\n" in out
    assert "\nn subjects: 48\n" in out


def test_unknown_weights_are_one_sentence(fails):
    fails("weights", "card", "huge", match="no weights named 'huge'")
