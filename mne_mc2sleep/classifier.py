"""The sleep stager: where MNE, torch and YASA meet."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from mne.utils import ProgressBar, logger, verbose

from ._estimator import StagerEstimator
from .data.reading import (
    as_list,
    naming,
    pair,
    read_channel,
    read_nights,
    read_stages,
    run_on_recordings,
    warn_if_far,
)
from .io.hypnograms import make_hypnogram, stages_on_grid
from .metrics import score_stages
from .training import TrainingOptions, interruptible

if TYPE_CHECKING:
    from pathlib import Path

    from yasa import Hypnogram

    from .io.recordings import Recording


class MC2SleepClassifier(StagerEstimator):
    """A sleep stager that learns from scored nights: MC2SleepNet.

    Parameters
    ----------
    picks : str | list of str | None
        The EEG channel to stage by: a name, a list of names of which the first that the
        recording has is taken, or None for the first in the order of preference of
        `mne_mc2sleep.io.recordings.pick_channel`.
    weights : str | path-like | None
        What `fit` starts from, and then fine-tunes only; None trains anew.
        `from_pretrained` sets it, so that scikit-learn's copies of the stager adapt the
        same weights.
    size : {"small", "base"}
        ``"base"`` is the network of the paper (6.1 M parameters), ``"small"`` the same
        structure for a CPU (0.57 M, our choice).
    sequence_length : int
        Epochs that the sequence level reads at once (our choice).
    scaling : {None, "robust", "spectrum"}
        How recordings are brought closer to each other, see
        `mne_mc2sleep.preprocessing.scaling.scale_signals`; None leaves µV as they are.
    mask_ratio : float
        Share of the epochs of a modality that pretraining hides (0.5 in the paper).
    temperature : float
        Temperature of InfoNCE (our choice).
    contrastive_weight, reconstruction_weight : float
        Weights of the InfoNCE and reconstruction losses in pretraining (our choice).
    excluded_neighbors : int
        InfoNCE takes epochs of one night that are at most this far apart for no
        negatives (our choice).
    exclude_same_stage : bool
        Whether InfoNCE takes epochs of the same stage for no negatives (our choice).
    pretrain_train_epochs, finetune_train_epochs : int
        Passes over the nights in each stage of the training, at most.
    adaptation : float | "auto"
        How far `finetune` moves weights that could stage before: they end as
        (1 - adaptation) times what they were plus adaptation times what they were
        fine-tuned to (WiSE-FT, Wortsman et al., arXiv 2109.01903). ``"auto"`` is
        n / (n + 2) with n subjects to train on (our choice): few do not spoil what many
        have taught. 1 goes all the way, as the first fine-tuning in `fit` always does.
    batch_size : int
        Sequences of one step.
    learning_rate, weight_decay : float
        Of AdamW, with warm-up and cosine decay.
    patience : int
        Passes without a better validation score after which a stage of the training
        ends.
    validation_fraction : float
        Share of the subjects held out for early stopping and calibration; 0 for none.
    device : str | None
        Torch's name of the device; None takes a GPU if there is one.
    random_state : int | RandomState | None
        Same number, same machine, same weights.

    Attributes
    ----------
    stager_ : Stager
        The network, its calibration and the record of its training.
    classes_ : array of str of shape (5,)
        WAKE, N1, N2, N3, REM.
    history_ : DataFrame
        Losses and validation score of each pass.

    Notes
    -----
    The method is that of Na et al., "Multi-modal Cross-masking with Contrastive
    Learning for Sleep Stage Classification" (arXiv 2502.17470).
    """

    def __init__(
        self,
        picks: str | list[str] | None = None,
        *,
        weights: str | Path | None = None,
        size: str = "small",
        sequence_length: int = 20,
        scaling: str | None = None,
        mask_ratio: float = 0.5,
        temperature: float = 0.1,
        contrastive_weight: float = 0.1,
        reconstruction_weight: float = 0.1,
        excluded_neighbors: int = 0,
        exclude_same_stage: bool = False,
        pretrain_train_epochs: int = 20,
        finetune_train_epochs: int = 20,
        adaptation: float | str = "auto",
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        patience: int = 5,
        validation_fraction: float = 0.2,
        device: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.picks = picks
        self.weights = weights
        self.size = size
        self.sequence_length = sequence_length
        self.scaling = scaling
        self.mask_ratio = mask_ratio
        self.temperature = temperature
        self.contrastive_weight = contrastive_weight
        self.reconstruction_weight = reconstruction_weight
        self.excluded_neighbors = excluded_neighbors
        self.exclude_same_stage = exclude_same_stage
        self.pretrain_train_epochs = pretrain_train_epochs
        self.finetune_train_epochs = finetune_train_epochs
        self.adaptation = adaptation
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    @verbose
    def fit(self, raws, hypnos=None, *, groups=None, verbose=None):
        """Train a stager on scored nights: `pretrain` anew, then `finetune`.

        With ``weights``, `finetune` these and no more.

        Parameters
        ----------
        raws : Raw | path-like | list
            One recording or a list of them. Paths are read one at a time.
        hypnos : Hypnogram | Annotations | path-like | array | None | list
            One hypnogram per recording: YASA's, annotations, a file of either, YASA
            integers or stage names, or None for the recording's own annotations.
        groups : list | None
            The subject of each recording. Validation holds out whole subjects; None
            takes each recording for a subject of its own.
        verbose : bool | str | int | None
            MNE's verbosity; it also controls the progress bar.

        Returns
        -------
        self : MC2SleepClassifier
            The trained stager. After a KeyboardInterrupt, the best one so far.

        Raises
        ------
        ValueError
            If no recording is scored, a recording or hypnogram cannot be used, or
            ``weights`` are of another size.
        """
        self._validate_params()
        nights = read_nights(
            raws, hypnos, groups, self.picks, self.scaling, need_stages=True
        )
        options = TrainingOptions.from_parameters(self.get_params())
        if self.weights is None:
            self._start(nights, options)
        else:
            self._load_weights()
            self._check_size()
        with interruptible():
            if self.weights is None:
                self.stager_.pretrain(nights, options, ProgressBar)
            self.stager_.finetune(nights, options, ProgressBar)
        return self

    @verbose
    def pretrain(self, raws, hypnos=None, *, groups=None, verbose=None):
        """Train the whole network by InfoNCE and cross-masking: the first stage.

        It goes on from the weights at hand (of `from_pretrained`, of the parameter
        ``weights``, or of an earlier call), and starts anew if there are none.

        Parameters
        ----------
        raws, groups, verbose
            As in `fit`.
        hypnos : Hypnogram | Annotations | path-like | array | None | list
            As in `fit`. Stages are used where there are any, but are not needed.

        Returns
        -------
        self : MC2SleepClassifier
            It can stage only if stages were learnt; else call `finetune`.
        """
        self._validate_params()
        self._take_weights()
        nights = read_nights(
            raws, hypnos, groups, self.picks, self.scaling, need_stages=False
        )
        options = TrainingOptions.from_parameters(self.get_params())
        if not hasattr(self, "stager_"):
            self._start(nights, options)
        with interruptible():
            self.stager_.pretrain(nights, options, ProgressBar)
        return self

    @verbose
    def finetune(self, raws, hypnos=None, *, groups=None, verbose=None):
        """Train the sequence level on scored nights: the second stage.

        The backbones are frozen. With the weights of `from_pretrained` this adapts them
        to the montage and the scorer of a laboratory.

        Parameters
        ----------
        raws, hypnos, groups, verbose
            As in `fit`.

        Returns
        -------
        self : MC2SleepClassifier
            The adapted stager.

        Raises
        ------
        NotFittedError
            If there are no weights to start from.
        """
        self._validate_params()
        self._take_weights()
        self._check_is_fitted(can_stage=False)
        nights = read_nights(
            raws, hypnos, groups, self.picks, self.scaling, need_stages=True
        )
        options = TrainingOptions.from_parameters(self.get_params())
        with interruptible():
            self.stager_.finetune(nights, options, ProgressBar)
        return self

    @verbose
    def predict(
        self,
        raws,
        *,
        picks: str | list[str] | None = None,
        n_jobs: int | None = None,
        verbose=None,
    ) -> Hypnogram | list[Hypnogram]:
        """Stage recordings.

        Parameters
        ----------
        raws : Raw | path-like | list
            One recording or a list of them; they are not modified.
        picks : str | list of str | None
            The channel to stage by, if it is not the one of the constructor. Of several
            names **all** are staged, and their log-posteriors averaged.
        n_jobs : int | None
            Recordings staged at once, by joblib; None is 1 unless
            :func:`joblib.parallel_config` says otherwise, which can also name a
            cluster. The stages do not depend on it.
        verbose : bool | str | int | None
            MNE's verbosity.

        Returns
        -------
        hypno : yasa.Hypnogram | list of yasa.Hypnogram
            One stage per 30 s with ``proba``; epoch i begins 30 i s after the
            recording. Epochs that hold no EEG are UNS. A list if ``raws`` is one.

        Raises
        ------
        NotFittedError
            If no stages have been learnt.
        TypeError, ValueError
            If a recording cannot be staged; the message says why.

        Warns
        -----
        RuntimeWarning
            If a recording is odd (see `mne_mc2sleep.io.recordings.read_recording`), or
            unlike those of the training (see
            `mne_mc2sleep.preprocessing.novelty.measure`): then no probability
            exceeds 0.6 in the epochs that are, and the stages stay.
        """
        self._check_is_fitted()
        raws, is_list = as_list(raws)
        stage = partial(self._stage_recording, picks=picks)
        hypnos = list(run_on_recordings(stage, raws, n_jobs=n_jobs))
        return hypnos if is_list else hypnos[0]

    @verbose
    def predict_proba(
        self,
        raws,
        *,
        picks: str | list[str] | None = None,
        n_jobs: int | None = None,
        verbose=None,
    ) -> pd.DataFrame | list[pd.DataFrame]:
        """Return the calibrated probabilities of the stages.

        Parameters
        ----------
        raws, picks, n_jobs, verbose
            As in `predict`.

        Returns
        -------
        proba : DataFrame of shape (n_epochs, 5) | list of DataFrame
            The ``proba`` of the hypnograms that `predict` gives: columns WAKE, N1, N2,
            N3, REM, and UNS if there are epochs that hold no EEG.
        """
        hypnos = self.predict(raws, picks=picks, n_jobs=n_jobs)
        is_list = isinstance(hypnos, list)
        return [hypno.proba for hypno in hypnos] if is_list else hypnos.proba

    @verbose
    def score(self, raws, hypnos=None, *, verbose=None) -> float:
        """Return Cohen's kappa over the pooled epochs of recordings.

        Parameters
        ----------
        raws, hypnos, verbose
            As in `fit`. Epochs that the expert left unscored or that hold no EEG do not
            count; hypnograms are compared by position in the recording.

        Returns
        -------
        kappa : float
            1 is full agreement, 0 that of chance.
        """
        self._check_is_fitted()
        raws, hypnos = pair(raws, hypnos, "hypnograms")
        references, predictions = [], []
        for index, raw in enumerate(raws):
            with naming(index, raws):
                channels = self._read(raw)
                references.append(read_stages(channels[0], hypnos[index]))
                predicted = self._stage(channels)
            predictions.append(stages_on_grid(predicted.as_int(), len(predicted)))
        scores = score_stages(np.concatenate(references), np.concatenate(predictions))
        logger.info("kappa %(kappa).3f on %(n_epochs)d epochs", scores)
        return scores["kappa"]

    def _stage_recording(self, raw, picks) -> Hypnogram:
        return self._stage(self._read(raw, picks))

    def _read(self, raw, picks=None) -> list[Recording]:
        if picks and isinstance(picks, list | tuple):
            return [read_channel(raw, name, self.scaling) for name in picks]
        picks = self.picks if picks is None else picks
        return [read_channel(raw, picks, self.scaling)]

    def _stage(self, channels: list[Recording]) -> Hypnogram:
        signals = [channel.signals for channel in channels]
        usable = [channel.usable for channel in channels]
        familiarity = self.stager_.familiarity(signals, usable)
        for channel, found in zip(channels, familiarity, strict=False):
            warn_if_far(channel, found)
        proba = self.stager_.probabilities(signals, usable, familiarity)
        return make_hypnogram(proba, np.any(usable, axis=0), channels[0].start)
