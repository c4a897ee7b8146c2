"""Cross-masking: draw the epochs to hide, and replace them by a learned token."""

import torch
from torch import Tensor, nn


def draw_mask(usable: Tensor, mask_ratio: float) -> Tensor:
    """Draw the epochs to hide: True in ``mask_ratio`` of the usable ones of each row.

    ``usable`` is bool of shape (batch, sequence); the number is rounded.
    """
    order = torch.rand(usable.shape, device=usable.device)
    rank = order.masked_fill(~usable, 2.0).argsort(dim=1).argsort(dim=1)
    n_masked = (usable.sum(dim=1, keepdim=True) * mask_ratio).round()
    return rank < n_masked


class MaskToken(nn.Module):
    """The learned embedding that replaces hidden epochs of one modality."""

    def __init__(self, width: int):
        super().__init__()
        # Never on "meta", where torch would import its compiler.
        self.token = nn.Parameter(torch.empty(width, device="cpu").normal_(std=0.02))

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Replace embeddings (batch, sequence, width) where ``mask`` is True."""
        return torch.where(mask[..., None], self.token.to(embeddings), embeddings)
