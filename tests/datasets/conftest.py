"""The files of the rehearsal, written once."""

import pytest
from rehearsal import physionet, write_shhs_night, write_sleep_edf

SUBJECTS = (0, 36)  # two nights, and the one with records of 60 s


@pytest.fixture(scope="session")
def rehearsal_folder(tmp_path_factory):
    """Write the nights of two subjects as PhysioNet has them."""
    folder = tmp_path_factory.mktemp("rehearsal")
    write_sleep_edf(folder / "physionet", SUBJECTS)
    return folder


@pytest.fixture
def server(rehearsal_folder):
    with physionet(rehearsal_folder, SUBJECTS) as server:
        yield server


@pytest.fixture(scope="session")
def shhs_night(tmp_path_factory):
    """Write one night in the layout of the NSRR; return its two files' paths."""
    folder = tmp_path_factory.mktemp("shhs")
    write_shhs_night(folder, "200001")
    (recording,) = folder.rglob("*.edf")
    (hypnogram,) = folder.rglob("*.xml")
    return recording, hypnogram
