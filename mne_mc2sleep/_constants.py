"""The numbers and names that every layer shares."""

EPOCH_DURATION = 30.0  # seconds of sleep that get one stage
SFREQ = 100.0  # Hz, of the signals that the network sees
N_TIMES = round(EPOCH_DURATION * SFREQ)  # samples of one epoch
BAND = (0.3, 35.0)  # Hz, edges of the band-pass filter of recordings (our choice)
FILTER_ORDER = 4  # of that Butterworth filter, which is applied forwards and backwards

# In the order of the network's outputs and of YASA's integers.
STAGES = ("WAKE", "N1", "N2", "N3", "REM")
UNSCORED = -1  # "no stage" in every array of stages of this package
SCORER = "MC2SleepNet"  # of the hypnograms that this package makes
