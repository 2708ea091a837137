"""Writes every network as NAME.onnx into the folder argv[1], for one window: what onnxruntime-node scores."""

import sys
from pathlib import Path

import torch
from torch_networks import NETWORKS, build

folder = Path(sys.argv[1])
for name in NETWORKS:
    model, input_shape = build(name)
    model.eval()
    if name == "image-network":
        # Keras' network ends in the softmax that PyTorch has in its loss.
        model.append(torch.nn.Softmax(dim=1))
    window = torch.zeros(1, *input_shape)
    torch.onnx.export(
        model, (window,), folder / f"{name}.onnx", input_names=["x"], output_names=["y"], dynamo=True, external_data=False
    )
