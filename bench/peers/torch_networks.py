"""The networks of bench/engine/networks.ts in PyTorch, as its users write them: channels before time and space."""

import torch
from torch import nn

UNITS = 32
WINDOW = 64
CHANNELS = 8


class LastStep(nn.Module):
    """A recurrent layer, its last step, a linear layer. x: (batch, 64, 8) -> (batch, 8). nn.GRU is the variant with the
    reset after the product, and PyTorch keeps two biases: 2.4 % more weights, the same work."""

    def __init__(self, kind):
        super().__init__()
        self.recurrent = kind(CHANNELS, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, CHANNELS)

    def forward(self, x):
        sequence, _ = self.recurrent(x)
        return self.head(sequence[:, -1])


def autoencoder():
    """x: (batch, 38, 64) -> the same. PyTorch pads both sides alike where Keras' "same" with a stride does not: same work."""
    return nn.Sequential(
        nn.Conv1d(38, 32, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv1d(32, 16, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.ConvTranspose1d(16, 16, 7, stride=2, padding=3, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose1d(16, 32, 7, stride=2, padding=3, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose1d(32, 38, 7, padding=3),
    )


def image_network():
    """x: (batch, 1, 28, 28) -> logits (batch, 10): PyTorch's cross-entropy has the softmax in it."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1600, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class MiniTransformer(nn.Module):
    """x: (batch, 32, 8) -> (batch, 8). Normalisation after each sum, as in Vaswani et al. 2017, arXiv 1706.03762."""

    def __init__(self):
        super().__init__()
        width, heads = 32, 2
        self.embed = nn.Linear(CHANNELS, width)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, heads, dim_feedforward=4 * width, dropout=0.0, batch_first=True)
                for _ in range(2)
            )
        )
        self.head = nn.Linear(width, CHANNELS)

    def forward(self, x):
        return self.head(self.blocks(self.embed(x)).mean(dim=1))


# name: (how to build it, input shape of a sample)
NETWORKS = {
    "gru": (lambda: LastStep(nn.GRU), (WINDOW, CHANNELS)),
    "lstm": (lambda: LastStep(nn.LSTM), (WINDOW, CHANNELS)),
    "conv1d-autoencoder": (autoencoder, (38, 64)),
    "image-network": (image_network, (1, 28, 28)),
    "mini-transformer": (MiniTransformer, (32, CHANNELS)),
}


def build(name, seed=1):
    torch.manual_seed(seed)
    make, input_shape = NETWORKS[name]
    return make(), input_shape
