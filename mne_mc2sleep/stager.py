"""The network with its scaling, calibration and provenance: arrays in and out."""

import hashlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from . import __version__, training
from ._constants import SFREQ, STAGES
from ._utils import find_device
from .data.nights import Night, StoredEpochs, count_stages, hold_out_subjects
from .inference.sliding_window import calibrate, encode_epochs, log_posteriors
from .network import MC2SleepConfig, SleepNetwork, make_network
from .preprocessing import novelty, short_recordings
from .preprocessing.novelty import Novelty
from .preprocessing.scaling import SCALINGS
from .training import TrainingOptions, adaptation, logger
from .weights.file_format import load_weights, save_weights

# How to check values of the metadata in a file.
_CHECKS = {
    "scaling": SCALINGS.__contains__,
    "calibration_temperature": lambda number: 0 < number < float("inf"),
    "profile": novelty.check_profile,
    "levels": short_recordings.check_levels,
}


@dataclass(eq=False)
class Stager:
    """A network with what it needs to train and to stage."""

    net: SleepNetwork  # on the device to compute on
    network: Callable | None = None  # what made it, if it is not MC2SleepNet
    scaling: str = "none"  # of the signals that it sees
    calibration_temperature: float = 1.0  # divides log-posteriors
    can_stage: bool = False  # whether it was trained with stages
    was_finetuned: bool = False  # by the last training: `adaptation` limits the next
    # The subjects held out in all trainings so far, and one step for each training.
    validation_subjects: list[str] = field(default_factory=list)
    provenance: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)  # of held-out subjects
    profile: dict[str, Any] | None = None  # of the training nights, for `novelty`
    levels: list[list[float]] | None = None  # spectra of the stages, for `rescale`
    started_from: dict[str, str] | None = None  # name and sha256 of the loaded file
    history: list[dict[str, Any]] = field(default_factory=list)  # by pass; not saved

    @classmethod
    def untrained(
        cls,
        config: MC2SleepConfig,
        seed: int,
        device=None,
        scaling="none",
        network=None,
    ) -> Self:
        """Make a stager whose network has random weights, drawn from ``seed``."""
        device = find_device(device)
        with training.seeded(seed):
            net = make_network(config, network).to(device)
        return cls(net, network, scaling)

    def pretrain(
        self, nights: Sequence[Night], options: TrainingOptions, held_out=None, **run
    ) -> None:
        """Train all of the network, see `training.Pretraining`.

        Validate on the nights ``held_out``, by default on the validation subjects among
        ``nights``. ``run`` are the other parameters of `training.train`.
        """
        train, held_out = self._split(nights, options, held_out)
        self._fit_statistics(train, options.seed)
        self._train(training.Pretraining(self.net, options), train, held_out, run)

    def finetune(
        self, nights: Sequence[Night], options: TrainingOptions, held_out=None, **run
    ) -> None:
        """Train the sequence level, see `training.Finetuning`, and calibrate.

        Weights that were fine-tuned before are adapted, see ``options.adaptation`` and
        `training.adaptation`. Then, if ``held_out`` is None and the subjects are few,
        nobody is held out. The parameters are those of `pretrain`.
        """
        nights = [night for night in nights if night.is_scored]
        if held_out is not None:
            held_out = [night for night in held_out if night.is_scored]
        shares: tuple[float, ...] = (1.0,)  # of the new weights, to choose from
        if self.was_finetuned:
            auto = options.adaptation == "auto"
            shares = adaptation.SHARES if auto else (float(options.adaptation),)
            options = adaptation.limit(options)
        are_few = held_out is None and self._are_few(nights, options)
        leave_out = are_few and len(shares) > 1
        train, held_out = self._split(nights, options, [] if leave_out else held_out)
        self._fit_statistics(train, options.seed)
        if self.scaling == "spectrum" and self.levels is None:
            self.levels = short_recordings.fit_levels(novelty.sample_nights(train))
        net, before = self.net, deepcopy(self.net.state_dict())
        temperature, chosen = self.calibration_temperature, None
        choose = partial(
            adaptation.choose, net, before, shares=shares, temperature=temperature
        )
        with TemporaryDirectory(prefix="mne_mc2sleep_") as folder:
            encoded = self._encode([*train, *held_out], Path(folder))
            encoded, validation = encoded[: len(train)], encoded[len(train) :]
            if self.was_finetuned:
                encoded = adaptation.blend_targets(net, encoded, temperature)
            if leave_out and len(_subjects(train)) > 1:
                chosen = choose(adaptation.leave_out(net, encoded, options))
            kind = adaptation.Adapting if self.was_finetuned else training.Finetuning
            try:
                self._train(kind(net, options), encoded, validation, run)
            finally:
                after = deepcopy(net.state_dict())
                if validation:
                    chosen = choose([(after, validation)])
                elif chosen is None:
                    chosen = adaptation.without_held_out(shares, temperature)
                logger.info("Share of the fine-tuned weights: %g.", chosen.share)
                adaptation.average_weights(net, before, after, chosen.share)
                self.calibration_temperature = chosen.temperature
                if chosen.macro_f1 is not None:
                    self.scores = {"validation_macro_f1": chosen.macro_f1}

    def measure_novelty(self, channels: Sequence) -> list[Novelty]:
        """Compare each channel with the training nights, if there is a profile."""
        if self.profile is None:
            return []
        measure = partial(novelty.measure_novelty, self.profile)
        return [measure(channel.signals[:], channel.usable) for channel in channels]

    def stage(self, channels: Sequence, novelties: Sequence | None = None) -> NDArray:
        """Stage one night by one channel or several: recordings or nights, scaled.

        The probabilities (n_epochs, 5) are from the mean log-posterior of the channels
        that are usable in the epoch, calibrated; uniform where none is. They are
        lowered by the ``novelties`` of the channels, by default `measure_novelty`.
        """
        if novelties is None:
            novelties = self.measure_novelty(channels)
        usable = [channel.usable for channel in channels]
        weights = np.stack(usable)[..., None]  # (n_channels, n_epochs, 1)
        posteriors = np.stack([*map(self._posteriors, channels)])
        fused = (posteriors * weights).sum(axis=0) / weights.sum(axis=0).clip(min=1)
        calibrated = calibrate(fused, self.calibration_temperature)
        return novelty.soften(calibrated, novelties, usable)

    def _posteriors(self, channel: Any) -> NDArray:
        """Return the log-posteriors (n_epochs, 5) of one channel."""
        signals, usable = np.asarray(channel.signals[:]), channel.usable

        def stage(scaled: NDArray | None) -> NDArray:
            scaled = signals if scaled is None else scaled
            return log_posteriors(self.net, encode_epochs(self.net, scaled), usable)

        if self.levels is None:
            return stage(signals)
        rescale = partial(short_recordings.rescale, signals, usable, levels=self.levels)
        found = stage(rescale(None))
        scaled = rescale(calibrate(found, self.calibration_temperature))
        # After that, the stages hardly change.
        return found if scaled is None else stage(scaled)

    def save(self, fname, parameters: dict[str, Any], overwrite: bool = False) -> None:
        """Save the stager with the ``parameters`` of its classifier."""
        not_saved = ("net", "network", "started_from", "history")
        metadata = {k: v for k, v in vars(self).items() if k not in not_saved}
        metadata |= {"parameters": parameters, "stages": STAGES, "sfreq": SFREQ}
        metadata["package_version"] = __version__
        save_weights(fname, self.net, metadata, overwrite, self.network)

    @classmethod
    def load(cls, fname, device=None, network=None) -> tuple[Self, dict[str, Any]]:
        """Load what `save` wrote: the stager and the parameters of its classifier."""
        net, saved = load_weights(fname, network)
        for name, is_sound in _CHECKS.items():
            if saved[name] is not None and not is_sound(saved[name]):
                raise ValueError(
                    f"The metadata {name!r} in {fname} are not valid. Download or save "
                    "the weights again."
                )
        parameters = saved.pop("parameters")
        sha256 = hashlib.sha256(Path(fname).read_bytes()).hexdigest()
        started_from = {"name": Path(fname).name, "sha256": sha256}
        net = net.to(find_device(device))
        return cls(net, network, **saved, started_from=started_from), parameters

    def _split(self, nights, options, held_out) -> tuple[list[Night], list[Night]]:
        """Hold out the validation subjects; draw them if they are not known yet."""
        train, stored = list(nights), set(self.validation_subjects)
        if held_out is None:
            fraction = options.validation_fraction
            rng = np.random.default_rng(options.seed)
            train, held_out = hold_out_subjects(nights, fraction, rng, stored)
            if held_out and stored and stored.isdisjoint(_subjects(held_out)):
                logger.info(
                    "None of the validation subjects is here. Others are drawn."
                )
        held_out, subjects = list(held_out), _subjects(held_out)
        self.validation_subjects = sorted(stored.union(subjects) - {*_subjects(train)})
        if held_out:
            logger.info("Validation subjects: %s.", ", ".join(subjects))
        else:
            logger.info("No subject is held out: training keeps its last state.")
        return train, held_out

    def _fit_statistics(self, nights: Sequence[Night], seed: int) -> None:
        """Learn what the training nights look like; keep a profile that fits them."""
        if not self.provenance:
            training.fit_input_statistics(self.net, nights, seed)
        self.profile = novelty.fit_profile(nights, self.profile)

    def _encode(self, nights: Sequence[Night], folder: Path) -> list:
        """Embed nights; the embeddings of signals on the disk are stored there too."""
        encoded = []
        for number, night in enumerate(nights):
            embeddings: Any = encode_epochs(self.net, night.signals[:])
            if isinstance(night.signals, StoredEpochs):
                embeddings = StoredEpochs.store(folder / f"{number}", embeddings)
            encoded.append(night.encoded(embeddings))
        return encoded

    def _are_few(self, nights: Sequence[Night], options: TrainingOptions) -> bool:
        """Return whether subjects are few, and none was held out before."""
        subjects = _subjects(nights)
        if set(subjects).intersection(self.validation_subjects):
            return False
        are_few = len(subjects) <= adaptation.MAX_SUBJECTS
        return are_few or options.validation_fraction == 0

    def _train(self, phase, nights, held_out, run) -> None:
        """Run a phase, and add it to the provenance, also if it is interrupted."""
        n_before = len(self.history)
        try:
            training.train(phase, nights, held_out, self.history, **run)
        finally:
            # Interrupted within the first pass, it has hardly learnt anything.
            if rows := self.history[n_before:]:
                self._record(phase, nights, held_out, rows)

    def _record(self, phase, nights, held_out, rows) -> None:
        """Take over what belongs to the new weights; ``rows`` are of the history."""
        counts = count_stages(nights)
        self.can_stage = self.can_stage or any(counts.values())
        self.was_finetuned = isinstance(phase, training.Finetuning)
        # The old one was fitted to the posteriors of other weights.
        self.calibration_temperature = 1.0
        step = {
            "phase": phase.name.lower(),
            "package_version": __version__,
            "source": None,
            "licences": [],
            "teachers": [],
            "n_nights": len(nights),
            "n_subjects": len(_subjects(nights)),
            "n_epochs": counts,
            "subjects": _subjects(nights),
            "validation_subjects": _subjects(held_out),
            "started_from": self.started_from,
        }
        self.provenance = [*self.provenance, step]
        self.started_from = None
        name = next(name for name in rows[0] if name.startswith("validation"))
        best = max(row[name] for row in rows)
        self.scores = {} if np.isnan(best) else {name: best}


def _subjects(nights: Sequence) -> list[str]:
    return sorted({str(night.subject) for night in nights})
