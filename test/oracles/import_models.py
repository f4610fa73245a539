"""The five small models of make_import_fixtures.py: an architecture each, inputs, labels and LoRA sites.

Not a script. Weights are random float32 numbers, large enough that every gradient counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    ViTConfig,
    ViTForImageClassification,
)

BATCH, CLASSES, TOKENS, VOCAB = 3, 5, 7, 50
TRANSFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_labels": CLASSES,
    "attn_implementation": "eager",
}


@dataclass
class Fixture:
    build: Callable[[], nn.Module]
    inputs: Callable[[torch.Generator], dict[str, Tensor]]
    labels: Callable[[dict[str, Tensor], torch.Generator], Tensor]
    lora: list[str]  # modules whose names end in one of these


def classes(_inputs: dict[str, Tensor], g: torch.Generator) -> Tensor:
    return torch.randint(0, CLASSES, (BATCH,), generator=g)


def mlp() -> nn.Module:
    layers = [nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.Tanh(), nn.LayerNorm(8)]
    for activation in (nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.LeakyReLU(0.1), nn.ReLU6()):
        layers += [nn.Linear(8, 8), activation, nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(8, CLASSES))


def bert() -> nn.Module:
    sizes = {"vocab_size": VOCAB, "max_position_embeddings": 16}
    return BertForSequenceClassification(BertConfig(**sizes, **TRANSFORMER))


def vit() -> nn.Module:
    fused = TRANSFORMER | {"attn_implementation": "sdpa"}  # the default: exported with its guard against NaN
    return ViTForImageClassification(ViTConfig(image_size=12, patch_size=4, **fused))


def gpt() -> nn.Module:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16, "n_inner": 48, "vocab_size": VOCAB}
    plain = {"use_cache": False, "attn_implementation": "eager", "bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **plain))


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a strided 1x1 convolution where sizes change."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        shortcut = [nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)]
        self.downsample = nn.Sequential(*shortcut) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, 2, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = Block(8, 8, 1)
        self.layer2 = Block(8, 16, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


def token_ids(g: torch.Generator) -> Tensor:
    return torch.randint(0, VOCAB, (BATCH, TOKENS), generator=g)


def masked_tokens(g: torch.Generator) -> dict[str, Tensor]:
    lengths = torch.tensor([[TOKENS], [TOKENS - 2], [3]])
    return {"input_ids": token_ids(g), "attention_mask": (torch.arange(TOKENS) < lengths).long()}


def next_tokens(inputs: dict[str, Tensor], _g: torch.Generator) -> Tensor:
    """The label of a position is the token after it; the last has none, nor has one in the middle."""
    labels = torch.cat([inputs["input_ids"][:, 1:], torch.full((BATCH, 1), -100)], 1)
    labels[1, 2] = -100
    return labels


def images(name: str, size: int) -> Callable[[torch.Generator], dict[str, Tensor]]:
    return lambda g: {name: torch.randn(BATCH, 3, size, size, generator=g)}


def rows(g: torch.Generator) -> dict[str, Tensor]:
    return {"x": torch.randn(BATCH, 6, generator=g)}


FIXTURES = {
    "mlp": Fixture(mlp, rows, classes, lora=["0", "2", "5", "8", "11", "14", "17", "20"]),
    "bert": Fixture(bert, masked_tokens, classes, lora=["query", "value"]),
    "vit": Fixture(vit, images("pixel_values", 12), classes, lora=["q_proj", "v_proj", "projection"]),
    "gpt": Fixture(gpt, lambda g: {"input_ids": token_ids(g)}, next_tokens, lora=["c_attn"]),
    "resnet": Fixture(ResNet, images("x", 20), classes, lora=["layer1.conv1", "layer2.conv1"]),
}


def randomise(model: nn.Module, g: torch.Generator) -> None:
    """Weights N(0, 1/in), biases N(0, 0.1^2), gains 1 + N(0, 0.2^2), running variances in [0.5, 1.5]."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if p.ndim == 1:
            is_gain = name.endswith("weight")
            p.data = 1 + 0.2 * noise if is_gain else 0.1 * noise
        else:
            p.data = noise / (p[0].numel() if p.ndim > 2 else min(p.shape)) ** 0.5
    for name, b in model.named_buffers():
        if name.endswith("running_mean"):
            b.data = 0.2 * torch.randn(b.shape, generator=g)
        if name.endswith("running_var"):
            b.data = 0.5 + torch.rand(b.shape, generator=g)
