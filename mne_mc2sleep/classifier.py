"""The sleep stager as a scikit-learn estimator: where MNE, torch and YASA meet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import pandas as pd
import torch
from mne.utils import ProgressBar, logger, verbose
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions

from ._constants import STAGES
from ._utils import warn
from .data.reading import as_list, read_channels, read_nights, run_on_recordings
from .evaluation import evaluate
from .inference.sliding_window import stage_in_steps
from .io.hypnograms import make_hypnogram
from .network import MC2SleepConfig
from .preprocessing.scaling import SCALINGS
from .stager import Stager
from .training import TrainingOptions
from .weights.file_format import MAX_LENGTH
from .weights.registry import KNOWN_WEIGHTS, find_weights

if TYPE_CHECKING:  # YASA takes seconds to import
    from yasa import Hypnogram

# Parameters that are not saved: what belongs to the weights is stored with them, and
# the others depend on the machine and the call.
_OF_WEIGHTS = {"network", "size", "sequence_length", "scaling"}
_UNSAVED = _OF_WEIGHTS | {"weights", "precision", "callback", "device", "random_state"}


@dataclass(eq=False, repr=False)
class MC2SleepClassifier(ClassifierMixin, BaseEstimator):
    """Sleep stager that learns from scored nights: MC2SleepNet (arXiv 2502.17470).

    Parameters
    ----------
    picks : str | list of str | None
        The EEG channel, or several in order of preference, of which the first one found
        is used. If None, a common EEG channel is chosen.
    weights : str | path-like | None
        The weights to fine-tune, set by `from_pretrained`. If None, train from scratch.
    network : callable | None
        Turns an `MC2SleepConfig` into a network of your own, see
        :doc:`/change_the_method`.
    size : {"small", "base"} | None
        ``"base"`` is the network of the paper (6.1 M parameters), ``"small"`` is for a
        CPU (0.57 M). If None, the size of the weights, or ``"small"``.
    sequence_length : int | None
        Epochs that the network reads at once. If None, that of the weights, or 20.
    scaling : {"none", "robust", "spectrum"} | None
        ``"robust"`` scales to a common amplitude, ``"spectrum"`` filters towards a
        common spectrum. If None, the scaling of the weights, or ``"none"``.
    mask_ratio : float
        Share of the epochs hidden by cross-masking in pretraining (0.5 in the paper).
    contrastive_temperature : float
        Temperature of the InfoNCE loss.
    contrastive_weight, reconstruction_weight : float
        Weights of the InfoNCE and the reconstruction loss in pretraining.
    pretrain_train_epochs, finetune_train_epochs : int | None
        Maximum number of passes over the nights in each phase. If None, 20 passes of
        fine-tuning, or 5 for weights that were fine-tuned before.
    adaptation : float | "auto"
        Share of the new weights when `finetune` averages them with weights that were
        fine-tuned before; 0 fits the calibration only. ``"auto"`` chooses it by
        subjects that are left out, see :doc:`/finetune`.
    batch_size : int
        Sequences in one step; at most 8 for weights that were fine-tuned before.
    learning_rate, weight_decay : float
        Learning rate and weight decay of AdamW.
    patience : int
        Number of passes without a better validation score before a phase ends.
    validation_fraction : float
        Share of the subjects that is held out for early stopping and calibration. They
        are drawn once and stored with the weights. Evaluate on other subjects.
    precision : {"float32", "bfloat16"}
        Precision of the training; bfloat16 is faster if the hardware supports it.
    callback : callable | None
        Called with a dict after each pass, the new row of ``history_``. Not saved.
    device : str | torch.device | None
        The device to compute on. If None, CUDA, else MPS, else the CPU.
    random_state : int | RandomState | None
        Seed of the training. The same number gives the same weights on the same CPU
        with the same number of threads (environment variable ``OMP_NUM_THREADS``).

    Attributes
    ----------
    stager_ : Stager
        The network with its calibration and ``provenance``.
    """

    picks: str | list[str] | None = None
    _: KW_ONLY
    weights: str | os.PathLike | None = None
    network: Callable | None = None
    size: str | None = None
    sequence_length: int | None = None
    scaling: str | None = None
    mask_ratio: float = TrainingOptions.mask_ratio
    contrastive_temperature: float = TrainingOptions.contrastive_temperature
    contrastive_weight: float = TrainingOptions.contrastive_weight
    reconstruction_weight: float = TrainingOptions.reconstruction_weight
    pretrain_train_epochs: int = TrainingOptions.pretrain_train_epochs
    finetune_train_epochs: int | None = TrainingOptions.finetune_train_epochs
    adaptation: float | str = TrainingOptions.adaptation
    batch_size: int = TrainingOptions.batch_size
    learning_rate: float = TrainingOptions.learning_rate
    weight_decay: float = TrainingOptions.weight_decay
    patience: int = TrainingOptions.patience
    validation_fraction: float = TrainingOptions.validation_fraction
    precision: str = TrainingOptions.precision
    callback: Callable[[dict], Any] | None = None
    device: str | torch.device | None = None
    random_state: int | np.random.RandomState | None = None

    stager_: Stager = field(init=False)

    _parameter_constraints = TrainingOptions.constraints() | {
        "picks": [str, list, tuple, None],
        "weights": [str, os.PathLike, None],
        "network": [callable, None],
        "size": [StrOptions({"small", "base"}), None],
        "sequence_length": [Interval(Integral, 1, MAX_LENGTH, closed="both"), None],
        "scaling": [StrOptions(set(SCALINGS)), None],
        "device": [str, torch.device, None],
        "callback": [callable, None],
        "random_state": ["random_state"],
    }

    @property
    def classes_(self) -> np.ndarray:
        """WAKE, N1, N2, N3, REM."""
        self._check_is_fitted(can_stage=False)
        return np.array(STAGES)

    @property
    def history_(self) -> pd.DataFrame:
        """Losses and validation score of each pass over the nights."""
        self._check_is_fitted(can_stage=False)
        return pd.DataFrame(self.stager_.history)

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: the input is not a table."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    @classmethod
    def from_pretrained(
        cls,
        weights: str | os.PathLike = "small",
        *,
        sha256: str | None = None,
        network: Callable | None = None,
        device: str | torch.device | None = None,
    ) -> Self:
        """Load trained weights.

        Parameters
        ----------
        weights : str | path-like
            ``"small"``, which is part of the package, or the path or URL of a file that
            `save` wrote.
        sha256 : str | None
            The checksum of the file; a URL needs it.
        network, device
            As in the constructor. The code of a network is not in the file.
        """
        fname = find_weights(weights, sha256)
        stager, parameters = Stager.load(fname, device, network)
        if unknown := parameters.keys() - cls().get_params().keys():
            raise ValueError(
                f"{fname} was saved with the parameters {sorted(unknown)}, which this "
                "version of mne_mc2sleep does not have. Install a newer version."
            )
        source = weights if weights in KNOWN_WEIGHTS else str(fname)
        clf = cls(**parameters, weights=source, network=network, device=device)
        clf.stager_ = stager
        return clf

    def save(self, fname: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Save the stager in one file, for `from_pretrained`.

        The file names the subjects that were trained on and held out: pass codes as
        ``groups`` if their names are confidential.

        Parameters
        ----------
        fname : path-like
            The file, ``*.safetensors``.
        overwrite : bool
            Whether to replace an existing file.
        """
        self._check_is_fitted(can_stage=False)
        saved = {k: v for k, v in self.get_params().items() if k not in _UNSAVED}
        self.stager_.save(fname, saved, overwrite)

    @verbose
    def fit(self, raws, hypnos=None, *, groups=None, verbose=None) -> Self:
        """Train a stager on scored nights: `pretrain`, then `finetune`.

        Training starts from scratch. With ``weights``, these are only fine-tuned.

        Parameters
        ----------
        raws : Raw | path-like | Night | list
            One recording or a list of them. Paths are read one at a time. Nights of
            `prepare_cohort` have their own hypnogram and subject.
        hypnos : Hypnogram | Annotations | path-like | array | None | list
            One hypnogram per recording: YASA's, annotations, a file of either, YASA
            integers or stage names, or None for the recording's own annotations.
        groups : list | None
            The subject of each recording, compared as text; whole subjects are held
            out. If None, each recording is another subject.
        verbose : bool | str | int | None
            MNE's verbosity; it also controls the progress bar.

        Returns
        -------
        self : MC2SleepClassifier
            The trained stager. After a KeyboardInterrupt, it has the best weights.
        """
        phases = ["pretrain", "finetune"] if self.weights is None else ["finetune"]
        return self._train(phases, raws, hypnos, groups, restart=True)

    @verbose
    def pretrain(self, raws, hypnos=None, *, groups=None, verbose=None) -> Self:
        """Train the whole network by InfoNCE and cross-masking: the first phase.

        Training continues from the current weights, if there are any. Parameters and
        return value are those of `fit`, but stages are not needed. If no recording has
        any, call `finetune` before `predict`.
        """
        return self._train(["pretrain"], raws, hypnos, groups)

    @verbose
    def finetune(self, raws, hypnos=None, *, groups=None, verbose=None) -> Self:
        """Train the sequence level on scored nights: the second phase.

        The backbones are frozen. This adapts the weights of `from_pretrained` to the
        montage and the scorers of a laboratory. Parameters and return value are those
        of `fit`; without weights to start from, it raises a NotFittedError.
        """
        if self.weights is None:
            self._check_is_fitted(can_stage=False)
        return self._train(["finetune"], raws, hypnos, groups)

    def _train(self, phases, raws, hypnos, groups, restart=False) -> Self:
        self._validate_params()
        options = TrainingOptions.from_parameters(self.get_params())
        stager = None if restart else getattr(self, "stager_", None)
        stager = self._new_stager(options.seed) if stager is None else stager
        self._check_agrees(stager)
        read = partial(read_nights, picks=self.picks, scaling=stager.scaling)
        nights = read(raws, hypnos, groups, need_stages="finetune" in phases)
        # Only now: an error above leaves the current weights.
        self.stager_ = stager
        try:
            for phase in phases:
                train = getattr(stager, phase)
                train(nights, options, progress=ProgressBar, callback=self.callback)
        except KeyboardInterrupt:
            logger.warning("Training was interrupted: the best weights are kept.")
            raise
        return self

    def _new_stager(self, seed: int) -> Stager:
        """Load the weights to start from, or make an untrained network."""
        if self.weights is not None:
            return Stager.load(find_weights(self.weights), self.device, self.network)[0]
        length, scaling = self.sequence_length or 20, self.scaling or "none"
        config = MC2SleepConfig.from_size(self.size or "small", length)
        return Stager.untrained(config, seed, self.device, scaling, self.network)

    def _check_agrees(self, stager: Stager) -> None:
        """Raise if a parameter contradicts what belongs to the weights."""
        config = stager.net.config
        for name in sorted(_OF_WEIGHTS):
            found = getattr(stager if hasattr(stager, name) else config, name)
            requested = getattr(self, name)
            if requested is not None and requested != found:
                raise ValueError(
                    f"The weights have {name}={found!r}, but {name}={requested!r} was "
                    f"requested. Leave {name!r} out, or 'fit' with weights=None."
                )

    def _check_is_fitted(self, can_stage: bool = True) -> None:
        name = type(self).__name__
        if not hasattr(self, "stager_"):
            raise NotFittedError(
                f"This {name} has no weights yet. Call 'fit' or 'pretrain', or load "
                f"weights by {name}.from_pretrained."
            )
        if can_stage and not self.stager_.can_stage:
            raise NotFittedError(
                f"This {name} was pretrained without stages, so it cannot stage yet. "
                "Call 'finetune' with scored nights."
            )
        self._check_agrees(self.stager_)

    @overload
    def predict(self, raws: list | tuple, **options) -> list[Hypnogram]: ...
    @overload
    def predict(self, raws: Any, **options) -> Hypnogram: ...
    @verbose
    def predict(
        self, raws, *, picks=None, average_channels=None, n_jobs=None, verbose=None
    ):
        """Stage recordings.

        Parameters
        ----------
        raws, verbose
            As in `fit`.
        picks : str | list of str | None
            As in the constructor. If None, those of the constructor.
        average_channels : list of str | None
            Channels, all in the recording, whose log-posteriors are averaged.
        n_jobs : int | None
            Number of recordings staged at once, by joblib. If None, 1 or the setting of
            :func:`joblib.parallel_config`.

        Returns
        -------
        hypno : yasa.Hypnogram | list of yasa.Hypnogram
            One stage per 30 s with ``proba``; epochs without usable EEG are UNS. Those
            unlike the training nights have no probability above 0.6.
        """
        return self._run(self._stage, raws, n_jobs, picks, average_channels)

    @overload
    def predict_proba(self, raws: list | tuple, **options) -> list[pd.DataFrame]: ...
    @overload
    def predict_proba(self, raws: Any, **options) -> pd.DataFrame: ...
    @verbose
    def predict_proba(
        self,
        raws,
        *,
        step: float | None = None,
        picks: str | list[str] | None = None,
        average_channels: list[str] | None = None,
        n_jobs: int | None = None,
        verbose=None,
    ):
        """Return the calibrated probabilities of the stages.

        Parameters
        ----------
        raws, picks, average_channels, n_jobs, verbose
            As in `predict`.
        step : float | None
            Stage windows of 30 s that begin every ``step`` s, a divisor of 30 s. If
            None, every 30 s.

        Returns
        -------
        proba : DataFrame of shape (n_epochs, 5) | list of DataFrame
            The ``proba`` of the hypnograms of `predict`: columns WAKE, N1, N2, N3, REM,
            and UNS if there are epochs without usable EEG. With ``step``, a row for
            each window, indexed by its onset in s.
        """
        stage = partial(self._stage_windows, step=step)
        return self._run(stage, raws, n_jobs, picks, average_channels)

    @verbose
    def score(self, raws, hypnos=None, *, picks=None, verbose=None) -> float:
        """Return Cohen's kappa over the pooled epochs of recordings.

        Parameters
        ----------
        raws, hypnos, verbose
            As in `fit`. Epochs that are unscored or without usable EEG do not count.
        picks
            As in `predict`.

        Returns
        -------
        kappa : float
            1 is full agreement, 0 that of chance.
        """
        scores = evaluate(self, raws, hypnos, picks=picks).iloc[-1]
        logger.info("kappa %.3f on %d epochs", scores["kappa"], scores["n_epochs"])
        return float(scores["kappa"])

    def _run(self, stage, raws, n_jobs, picks, average_channels):
        """Stage one recording or a list of them."""
        self._check_is_fitted()
        picks = self.picks if picks is None else picks
        channels = {"picks": picks, "average_channels": average_channels}
        read = partial(read_channels, **channels, scaling=self.stager_.scaling)
        raws, is_list = as_list(raws)
        found = [*run_on_recordings(partial(stage, read=read), raws, n_jobs=n_jobs)]
        return found if is_list else found[0]

    def _stage(self, raw, read) -> Hypnogram:
        """Stage the epochs of one recording."""
        channels = read(raw)
        novelties = self.stager_.measure_novelty(channels)
        for channel, found in zip(channels, novelties, strict=False):
            if found.is_novel:
                warn(
                    f"Channel {channel.ch_name!r} is unlike the recordings that the "
                    f"stager was trained on: {found.description}. Is it the right "
                    "channel, in the right unit, EEG of a sleeping human? Do not trust "
                    "the stages; the probabilities of these epochs were lowered."
                )
        proba = self.stager_.stage(channels, novelties)
        is_usable = np.any([channel.usable for channel in channels], axis=0)
        return make_hypnogram(proba, is_usable, channels[0].start)

    def _stage_windows(self, raw, read, step) -> pd.DataFrame:
        """Return the probabilities of the windows of one recording."""
        if step is None:
            return self._stage(raw, read).proba
        onsets, proba, is_usable = stage_in_steps(self.stager_.stage, read(raw), step)
        table = make_hypnogram(proba, is_usable).proba
        return table.set_axis(pd.Index(onsets, name="onset"))
