"""The two phases of the training: what each one minimises."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..data.nights import Batch, Night
from ..network import Embeddings, SleepNetwork, draw_mask
from .losses import info_nce_loss, reconstruction_loss, stage_loss
from .options import TrainingOptions

_FINETUNE_TRAIN_EPOCHS = 20  # unless the options name another number (our choice)
# Epochs from which the input statistics are taken: enough for a steady estimate.
_N_STATISTICS = 4096


def fit_input_statistics(net: SleepNetwork, nights: Sequence[Night], seed: int) -> None:
    """Store scale and spectral statistics of usable epochs of ``nights`` in ``net``."""
    rng, share = np.random.default_rng(seed), -(-_N_STATISTICS // len(nights))
    epochs = [
        night.signals[epoch : epoch + 1]
        for night in nights
        for epoch in rng.permutation(np.flatnonzero(night.usable))[:share]
    ]
    net.fit_input_statistics(torch.cat(epochs).to(next(net.parameters()).device))


class Phase(nn.Module):
    """A phase of the training, as `train` runs it.

    To change the method, derive from `Pretraining` or `Finetuning`, override a method,
    and pass an instance to `train`.
    """

    name: str
    n_train_epochs: int
    #: The parts of the network that the phase does not use.
    frozen: tuple[nn.Module, ...] = ()

    def __init__(self, net: SleepNetwork, options: TrainingOptions):
        super().__init__()
        self.net, self.options = net, options

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.parameters()).device

    def embed(self, batch: Batch) -> Embeddings:
        """Return the embeddings of shape (batch, sequence, width)."""
        raise NotImplementedError

    def losses(self, embeddings: Embeddings, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss, which `train` adds up and logs by name."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss of a batch."""
        batch = batch.to(self.device)
        with self._autocast():
            return self.losses(self.embed(batch), batch)

    def predict(self, batch: Batch) -> Tensor:
        """Return the stages of shape (batch, sequence) that the network predicts."""
        batch = batch.to(self.device)
        with self._autocast():
            contexts = self.net.contextualize(self.embed(batch), batch.usable)
            return self.net.stage(contexts).total.argmax(dim=-1)

    def stage_losses(self, logits: dict, batch: Batch) -> dict[str, Tensor]:
        """Return the stage loss of each set of logits."""
        targets = batch.stages if batch.soft_stages is None else batch.soft_stages
        return {
            f"stage_{name}": stage_loss(part, targets, self.options.label_smoothing)
            for name, part in logits.items()
        }

    def _autocast(self) -> torch.autocast:
        is_lower = self.options.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_lower)


class Pretraining(Phase):
    """Train the whole network by InfoNCE, cross-masking, and the stages where known.

    Both levels at once are in the paper. The loss is CE(total) + CE(signal) +
    CE(spectrogram) + 0.1 InfoNCE + 0.1 reconstruction (our weights); epochs without a
    stage enter the last two only.
    """

    name = "Pretraining"

    def __init__(self, net: SleepNetwork, options: TrainingOptions):
        super().__init__(net, options)
        self.n_train_epochs = options.pretrain_train_epochs

    def embed(self, batch: Batch) -> Embeddings:
        """Encode the usable epochs; the others get zeros."""
        # Artefacts and padding would move the statistics of BatchNorm.
        encoded = self.net.encode(batch.inputs[batch.usable])
        shape, places = (*batch.usable.shape, self.net.config.width), (batch.usable,)
        return Embeddings(*(e.new_zeros(shape).index_put(places, e) for e in encoded))

    def losses(self, embeddings: Embeddings, batch: Batch) -> dict[str, Tensor]:
        """Return the stage losses, InfoNCE and the reconstruction loss."""
        logits = self.net.stage(self.net.contextualize(embeddings, batch.usable))
        losses, options = self.stage_losses(logits._asdict(), batch), self.options
        contrastive = self.contrastive_loss(embeddings, batch)
        losses["contrastive"] = options.contrastive_weight * contrastive
        reconstruction = self.reconstruction_loss(embeddings, batch)
        losses["reconstruction"] = options.reconstruction_weight * reconstruction
        return losses

    def contrastive_loss(self, embeddings: Embeddings, batch: Batch) -> Tensor:
        """Return InfoNCE between the modalities of the usable epochs."""
        usable = batch.usable
        projected = self.net.project(Embeddings(*(e[usable] for e in embeddings)))
        # Sequences of one night may overlap.
        places = torch.stack([batch.nights[usable], batch.positions[usable]])
        same_epoch = (places[:, :, None] == places[:, None]).all(dim=0)
        temperature = self.options.contrastive_temperature
        return info_nce_loss(*projected, temperature, same_epoch)

    def draw_masks(self, batch: Batch) -> Embeddings:
        """Draw which epochs are hidden in each modality, (batch, sequence)."""
        ratio = self.options.mask_ratio
        return Embeddings(*(draw_mask(batch.usable, ratio) for _ in range(2)))

    def reconstruction_loss(self, embeddings: Embeddings, batch: Batch) -> Tensor:
        """Return the mean distance of recovered from hidden embeddings."""
        masks = self.draw_masks(batch)
        recovered = self.net.recover(embeddings, masks, batch.usable)
        signal, spectrogram = map(reconstruction_loss, recovered, embeddings, masks)
        return (signal + spectrogram) / 2


class Finetuning(Phase):
    """Train the sequence level and the heads on the stages; the backbones stay.

    The backbones are frozen (in the paper) and in eval mode, so they give the same
    embeddings in every train epoch: these are the inputs, computed once. The loss is
    the sum of CE over the five sets of logits that the authors' code returns.
    """

    name = "Fine-tuning"

    def __init__(self, net: SleepNetwork, options: TrainingOptions):
        super().__init__(net, options)
        self.n_train_epochs = options.finetune_train_epochs or _FINETUNE_TRAIN_EPOCHS
        self.frozen = net.backbones

    def embed(self, batch: Batch) -> Embeddings:
        """Return the inputs, which are embeddings already."""
        return Embeddings(*batch.inputs.unbind(dim=2))

    def losses(self, embeddings: Embeddings, batch: Batch) -> dict[str, Tensor]:
        """Return the stage losses of the five sets of logits."""
        net, usable = self.net, batch.usable
        logits = net.stage(net.contextualize(embeddings, usable))._asdict()
        alone = net.stage(net.contextualize(embeddings, usable, cross_attention=False))
        # The total of the modalities without cross-attention is not one of the five.
        logits |= {"signal_only": alone.signal, "spectrogram_only": alone.spectrogram}
        return self.stage_losses(logits, batch)
