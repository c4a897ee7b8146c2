"""Reading hypnograms of the NSRR."""

import pytest
from rehearsal import STAGES, nsrr_xml

from mne_mc2sleep import read_hypnogram


@pytest.fixture
def fname(tmp_path):
    fname = tmp_path / "shhs1-200001-nsrr.xml"
    fname.write_text(nsrr_xml(STAGES))
    return fname


def test_first_stage_may_be_late(fname):
    """Onsets count from the recording's first sample, not from the first stage."""
    fname.write_text(nsrr_xml(STAGES).replace("Wake|0", "Unscored|9", 1))
    hypno = read_hypnogram(fname)
    assert len(hypno) == len(STAGES)
    assert (hypno.hypno[:70] == "UNS").all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_refuses_entities(fname, encoding):
    """A document type is refused before any entity grows, in any encoding."""
    declared = '<!DOCTYPE a [<!ENTITY b "bbbb">]>'
    text = '<?xml version="1.0"?>' + declared + "<a>&b;</a>"
    fname.write_text(text, encoding=encoding)
    with pytest.raises(
        ValueError, match=r"nsrr\.xml: The XML declares a document type"
    ):
        read_hypnogram(fname)


def test_refuses_a_stage_without_number(fname):
    """A stage whose onset is not a number is an error, not a gap."""
    fname.write_text(nsrr_xml(STAGES).replace("<Start>2100", "<Start>"))
    with pytest.raises(ValueError, match=r"'Stage 1 sleep\|1' has the onset ''"):
        read_hypnogram(fname)


def test_fields_outside_events_do_not_matter(fname):
    """The same element names elsewhere in the file are not taken for an event's."""
    text = nsrr_xml(STAGES).replace("<EpochLength>", "<Start>x</Start><EpochLength>")
    fname.write_text(text)
    assert len(read_hypnogram(fname)) == len(STAGES)
