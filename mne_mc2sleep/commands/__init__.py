"""The command line, ``mne-mc2sleep``."""
