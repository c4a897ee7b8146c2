"""A network with all it needs to train and to stage, on arrays: no MNE, no YASA."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import __version__, training
from ._constants import SFREQ, STAGES
from ._utils import find_device
from .data.night_files import StoredEmbeddings
from .data.nights import Night, count_stages, hold_out_subjects
from .inference.sliding_window import (
    calibrate,
    encode_epochs,
    fit_temperature,
    log_posteriors,
)
from .metrics import score_stages
from .network import MC2SleepConfig, MC2SleepNet
from .preprocessing.novelty import (
    check_profile,
    fit_profile,
    measure,
    sample_nights,
    soften,
)
from .preprocessing.short_recordings import (
    check_levels,
    fit_levels,
    scale_anew,
    temperature_factor,
)
from .training import logger
from .weights.file_format import load_weights, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .preprocessing.novelty import Familiarity
    from .training import TrainingOptions

# What weights are saved with, and of which type it is.
_RECORD = {
    "temperature": (float, int),
    "can_stage": bool,
    "training_data": dict,
    "scores": dict,
    "parameters": dict,
}
# What weights may be without, and what tells whether it is sound.
_OPTIONAL = {"profile": check_profile, "levels": check_levels}
# How often a short recording is scaled anew: the stages hardly change after (our
# choice).
_N_ANEW = 2


class Stager:
    """MC2SleepNet with its calibration and the record of its training.

    Parameters
    ----------
    net : MC2SleepNet
        The network, on the device to compute on.
    temperature : float
        Divides log-posteriors; 1 until it is fitted.
    can_stage : bool
        Whether stages have been learnt.
    training_data : dict | None
        Counts of the nights, subjects and epochs by stage last trained on.
    scores : dict | None
        Validation score of the weights, if subjects were held out.
    profile : dict | None
        What the nights trained on are like, from `familiarity.fit_profile`. Without it,
        nothing is checked.
    levels : list | None
        Where the stages lie, from `rescaling.fit_levels`. Without it, short recordings
        are not scaled anew.

    Attributes
    ----------
    history : list of dict
        Losses and validation score of each train epoch of both phases.
    """

    def __init__(
        self,
        net: MC2SleepNet,
        temperature: float = 1.0,
        can_stage: bool = False,
        training_data: dict[str, Any] | None = None,
        scores: dict[str, float] | None = None,
        profile: dict[str, Any] | None = None,
        levels: list[list[float]] | None = None,
    ):
        self.net = net
        self.temperature = temperature
        self.can_stage = can_stage
        self.training_data = training_data or {}
        self.scores = scores or {}
        self.profile = profile
        self.levels = levels
        self.history: list[dict] = []

    @classmethod
    def from_nights(
        cls,
        config: MC2SleepConfig,
        nights: Sequence[Night],
        seed: int,
        device: str | None = None,
    ) -> Stager:
        """Make an untrained stager that knows what ``nights`` are like."""
        with training.seeded(seed):
            net = MC2SleepNet(config).to(find_device(device))
        training.fit_input_statistics(net, nights, seed)
        return cls(net, profile=fit_profile(nights))

    def pretrain(
        self,
        nights: Sequence[Night],
        options: TrainingOptions,
        progress: Callable | None = None,
        checkpoint: str | Path | None = None,
        held_out: Sequence[Night] | None = None,
    ) -> None:
        """Train on signals, see `training.pretrain`; subjects are held out here.

        Parameters
        ----------
        nights : sequence of Night
            All nights; their inputs are signals.
        options, progress, checkpoint
            As in `training.pretrain`.
        held_out : sequence of Night | None
            More nights, to validate on; None draws subjects of ``nights`` by
            ``validation_fraction``.
        """
        self._learn_profile(nights)
        train, held_out = self._hold_out(nights, options, held_out)
        n_before = len(self.history)
        try:
            training.pretrain(
                self.net,
                train,
                held_out,
                options,
                self.history,
                progress,
                checkpoint,
            )
        finally:
            self._record(train, n_before)
            # What was fitted on the posteriors of other weights does not hold.
            self.temperature = 1.0

    def finetune(
        self,
        nights: Sequence[Night],
        options: TrainingOptions,
        progress: Callable | None = None,
        checkpoint: str | Path | None = None,
        held_out: Sequence[Night] | None = None,
    ) -> None:
        """Train the sequence level, see `training.finetune`, and calibrate.

        A stager that was fine-tuned before, or loaded, goes but a part of the way from
        what it was, see ``adaptation``.

        Parameters
        ----------
        nights : sequence of Night
            All nights; their inputs are signals, which are encoded here, once. The
            embeddings of signals on the disk go to the disk too, for the time of it.
        options, progress, checkpoint
            As in `training.finetune`.
        held_out : sequence of Night | None
            As in `pretrain`; their inputs are signals too.
        """
        scored = [night for night in nights if night.is_scored]
        self._learn_profile(scored)
        if options.scaling == "spectrum" and self.levels is None:
            self.levels = fit_levels(sample_nights(scored))
        with TemporaryDirectory(prefix="mne_mc2sleep_") as folder:
            nights, held_out = (
                None if part is None else self._encode(part, Path(folder))
                for part in (nights, held_out)
            )
            split = self._hold_out(nights, options, held_out)
            self._finetune(*split, options, progress, checkpoint)

    def _finetune(
        self,
        train: Sequence[Night],
        held_out: Sequence[Night],
        options: TrainingOptions,
        *args: Any,
    ) -> None:
        n_before = len(self.history)
        share = self._adaptation(train, options)
        before = deepcopy(self.net.state_dict()) if share < 1 else None
        try:
            training.finetune(self.net, train, held_out, options, self.history, *args)
        finally:
            self._record(train, n_before)
            if share < 1:
                self._stay_near(before, share)
            self._calibrate(held_out, share)

    def familiarity(
        self, signals: Sequence[NDArray], usable: Sequence[NDArray[np.bool_]]
    ) -> list[Familiarity]:
        """Tell how like the training each channel is; nothing without a profile.

        Parameters
        ----------
        signals, usable
            As in `probabilities`.

        Returns
        -------
        familiarity : list of Familiarity
            One for each channel, from `familiarity.measure`.
        """
        if self.profile is None:
            return []
        return [measure(self.profile, *c) for c in zip(signals, usable, strict=True)]

    def probabilities(
        self,
        signals: Sequence[NDArray],
        usable: Sequence[NDArray[np.bool_]],
        familiarity: Sequence[Familiarity] = (),
    ) -> NDArray[np.float64]:
        """Stage one night by one channel or several.

        Parameters
        ----------
        signals : sequence of array of shape (n_epochs, n_times)
            The channels in µV, all finite.
        usable : sequence of array of bool of shape (n_epochs,)
            False where the channel is no EEG.
        familiarity : sequence of Familiarity
            Of each channel; by it, `familiarity.soften` lowers the probabilities.

        Returns
        -------
        probabilities : array of shape (n_epochs, 5)
            From the mean log-posterior of the channels that are usable in the epoch,
            calibrated; uniform where none is usable. A short channel is staged once
            more after each `rescaling.scale_anew`, and doubted more, if the weights
            know ``levels``.
        """
        weights = np.stack(usable)[..., None]  # (n_channels, n_epochs, 1)
        posteriors = np.stack([*map(self._posteriors, signals, usable)])
        fused = (posteriors * weights).sum(axis=0) / weights.sum(axis=0).clip(min=1)
        temperature = self.temperature
        if self.levels:
            temperature *= temperature_factor(np.any(usable, axis=0).sum())
        return soften(calibrate(fused, temperature), familiarity, usable)

    def _posteriors(
        self, signals: NDArray, usable: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        found = log_posteriors(self.net, encode_epochs(self.net, signals), usable)
        for _ in range(_N_ANEW if self.levels else 0):
            probabilities = calibrate(found, self.temperature)
            anew = scale_anew(signals, usable, probabilities, self.levels)
            if anew is None:
                break
            found = log_posteriors(self.net, encode_epochs(self.net, anew), usable)
        return found

    def save(
        self, fname: str | Path, parameters: dict[str, Any], overwrite: bool = False
    ) -> None:
        """Save weights with this record and the ``parameters`` of the classifier."""
        metadata = {
            "parameters": parameters,
            "temperature": self.temperature,
            "can_stage": self.can_stage,
            "training_data": self.training_data,
            "scores": self.scores,
            "profile": self.profile,
            "levels": self.levels,
            "stages": STAGES,
            "sfreq": SFREQ,
            "package_version": __version__,
        }
        save_weights(fname, self.net, metadata, overwrite)

    @classmethod
    def load(
        cls, fname: str | Path, device: str | None
    ) -> tuple[Stager, dict[str, Any]]:
        """Load what `save` wrote: the stager and the parameters of the classifier."""
        net, metadata = load_weights(fname)
        record = {name: metadata.get(name) for name in _RECORD}
        for name, kind in _RECORD.items():
            if not isinstance(record[name], kind):
                raise ValueError(
                    f"{fname} does not tell the {name!r} of its weights: it was saved "
                    "by another version of mne_mc2sleep. Save it anew by this one."
                )
        if not 0 < record["temperature"] < np.inf:
            raise ValueError(
                f"The weights in {fname} have a temperature of "
                f"{record['temperature']:g}, not a number above 0. Save them anew."
            )
        for name, is_sound in _OPTIONAL.items():
            record[name] = metadata.get(name)
            if record[name] is not None and not is_sound(record[name]):
                raise ValueError(
                    f"The weights in {fname} hold an unsound {name!r} of the nights "
                    "that they were trained on. Save them anew."
                )
        parameters = record.pop("parameters")
        net = net.to(find_device(device))
        return cls(net, **record), parameters

    def _learn_profile(self, nights: Sequence[Night]) -> None:
        """Keep the profile while no night is far from it, else fit it to these."""
        if self.profile is None or any(
            measure(self.profile, night.inputs[:], night.usable).is_far
            for night in sample_nights(nights)
        ):
            self.profile = fit_profile(nights)

    def _encode(self, nights: Sequence[Night], folder: Path) -> list[Night]:
        """Embed scored nights; where their signals are on the disk, so is all else."""
        encoded = []
        for night in nights:
            if night.is_scored:
                embeddings = encode_epochs(self.net, night.inputs[:])
                if not isinstance(night.inputs, torch.Tensor):
                    fname = folder / "embeddings"
                    embeddings = StoredEmbeddings.store(fname, embeddings)
                encoded.append(replace(night, inputs=embeddings))
        return encoded

    def _hold_out(
        self,
        nights: Sequence[Night],
        options: TrainingOptions,
        held_out: Sequence[Night] | None,
    ) -> tuple[list[Night], list[Night]]:
        if held_out is None:
            rng = np.random.default_rng(options.seed)
            fraction = options.validation_fraction
            nights, held_out = hold_out_subjects(nights, fraction, rng)
        if not held_out:
            logger.info(
                "No subject is held out: training does not stop early, keeps its last "
                "state, and does not calibrate the probabilities."
            )
        return list(nights), list(held_out)

    def _record(self, nights: Sequence[Night], n_before: int) -> None:
        # Interrupted within the first train epoch, it has learnt next to nothing.
        if len(self.history) > n_before:
            counts = count_stages(nights)
            self.can_stage = self.can_stage or any(counts.values())
            self.training_data = {
                "n_nights": len(nights),
                "n_subjects": len({night.subject for night in nights}),
                "n_epochs": counts,
            }
            rows = self.history[n_before:]
            name = next(name for name in rows[0] if name.startswith("validation"))
            best = max(row[name] for row in rows)
            self.scores = {} if np.isnan(best) else {name: best}

    def _adaptation(self, nights: Sequence[Night], options: TrainingOptions) -> float:
        """Return how far to move; all the way after a pretraining."""
        is_first = self.history and self.history[-1]["phase"] == "Pretraining"
        if is_first or not self.can_stage:
            return 1.0
        return options.share(len({night.subject for night in nights}))

    def _stay_near(self, before: dict[str, torch.Tensor], share: float) -> None:
        """Average the weights with those of before (WiSE-FT, arXiv 2109.01903)."""
        logger.info("Moved the weights by %.2f of the way to the fine-tuned.", share)
        for name, tensor in self.net.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(before[name].lerp(tensor, share))

    def _calibrate(self, held_out: Sequence[Night], share: float) -> None:
        """Fit the temperature; score anew what is not the state that was validated."""
        if not held_out:
            # Weights that stay near others stay about as sure as they.
            self.temperature = 1.0 if share == 1 else self.temperature
            return
        posteriors = [log_posteriors(self.net, n.inputs[:], n.usable) for n in held_out]
        posteriors = np.concatenate(posteriors)
        targets = np.concatenate([night.targets for night in held_out])
        self.temperature = fit_temperature(posteriors, targets)
        if share < 1:
            scores = score_stages(targets, posteriors.argmax(axis=1))
            self.scores = {"validation_macro_f1": scores["macro_f1"]}
