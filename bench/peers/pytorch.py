"""PyTorch on the processor, eager, as its users run it. argv: number of threads."""

import sys

import torch
from lines import read_data, serve
from torch import nn
from torch_networks import build

threads = int(sys.argv[1])
torch.set_num_threads(threads)
torch.set_num_interop_threads(threads)


def prepare(request):
    model, input_shape = build(request["network"])
    x, y = read_data(request, input_shape)
    batch = request["batch"]
    classes = request["loss"] == "sparseCategoricalCrossentropy"
    xs = [part.contiguous() for part in torch.from_numpy(x).split(batch)]
    parameters = sum(weight.numel() for weight in model.parameters())
    if request["mode"] == "scoring":
        model.eval()
        return parameters, lambda units: score(model, xs, units)
    targets = torch.from_numpy(y).flatten().long() if classes else torch.from_numpy(y)
    ys = [part.contiguous() for part in targets.split(batch)]
    loss = nn.CrossEntropyLoss() if classes else nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=request["learningRate"])
    model.train()
    step = 0

    def run(units):
        nonlocal step
        for _ in range(units):
            at = step % len(xs)
            step += 1
            optimizer.zero_grad(set_to_none=True)
            value = loss(model(xs[at]), ys[at])
            value.backward()
            optimizer.step()
        return value.item()

    return parameters, run


@torch.inference_mode()
def score(model, xs, units):
    for i in range(units):
        model(xs[i % len(xs)]).numpy()
    return None


serve({"version": torch.__version__}, prepare)
