"""Reference attention: a picture's own features, at the same noise level, as more keys and values of self-attention.

Zero123++ (Shi et al., 2023, section 2.2). The network runs twice a step: over the reference, then over the sample.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

Mode = Literal["off", "write", "read"]
SELF_ATTENTION = "attn1.processor"  # how diffusers names it


class Bank:
    """What the reference left behind in every self-attention layer."""

    def __init__(self) -> None:
        self.mode: Mode = "off"
        self.features: dict[str, Tensor] = {}

    @contextmanager
    def set_to(self, mode: Mode) -> Iterator[None]:
        """For the runs inside."""
        self.mode = mode
        try:
            yield
        finally:
            self.mode = "off"


class ReferenceAttention:
    """Wraps the processor of one self-attention layer."""

    def __init__(self, inner: Any, name: str, bank: Bank) -> None:
        self._inner, self._name, self._bank = inner, name, bank

    def __call__(
        self, attn: nn.Module, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **rest: Any
    ) -> Tensor:
        """The layer, with the reference's features beside its own."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if self._bank.mode == "write":
            self._bank.features[self._name] = context
        elif self._bank.mode == "read":
            context = torch.cat([context, self._bank.features[self._name]], dim=1)
        return self._inner(attn, hidden_states, context, **rest)


def with_reference_attention(unet: Any) -> Bank:
    """Change every self-attention layer of a diffusers UNet; returns the bank that they share."""
    bank = Bank()
    unet.set_attn_processor({
        name: ReferenceAttention(inner, name, bank) if name.endswith(SELF_ATTENTION) else inner
        for name, inner in unet.attn_processors.items()
    })  # fmt: skip
    return bank
