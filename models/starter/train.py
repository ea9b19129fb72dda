"""Trains the starter detector on rendered street scenes and writes it as ONNX.

    render_dataset DATA/train_640x360 640 360 0 6000 6 75      # see README.md for the whole data set
    python train.py --data DATA --output starter.onnx

`--smoke` runs a few steps on whatever is in the folder, also without a GPU, to see that everything works.
"""

import argparse
import copy
import math
import time

import torch

import dataset
from export import export
from loss import loss
from model import Detector, anchors, decode


class Average:
    """Exponential moving average of the weights, with a short memory at first."""

    def __init__(self, model, decay):
        self.model = copy.deepcopy(model).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model):
        self.updates += 1
        keep = self.decay * (1 - math.exp(-self.updates / 1000))
        pairs = zip(self.model.state_dict().values(), model.state_dict().values())
        mine, theirs = zip(*((a, b) for a, b in pairs if a.dtype.is_floating_point))
        torch._foreach_lerp_(list(mine), list(theirs), 1 - keep)


def optimiser(model, rate):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=torch.cuda.is_available())


def train(arguments):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    started = time.monotonic()
    shards = dataset.load(arguments.data, device)
    counts = torch.tensor([len(pictures) for pictures, _ in shards], dtype=torch.float)
    print(f"{int(counts.sum())} pictures in {time.monotonic() - started:.0f} s", flush=True)

    model = Detector().to(device, memory_format=torch.channels_last)
    if arguments.resume:
        model.load_state_dict(torch.load(arguments.resume, map_location=device, weights_only=True))
    average = Average(model, 0.9995)
    optimizer = optimiser(model, arguments.rate)
    centres, strides = (tensor.to(device) for tensor in anchors())
    augment = dataset.Augment(device, arguments.seed)
    # The choice of pictures has its own generator, so that it is the same on every device.
    choice = torch.Generator().manual_seed(arguments.seed)
    steps, warm_up = arguments.steps, min(500, arguments.steps // 10 + 1)
    started = time.monotonic()
    running = 0.0
    for step in range(steps):
        # A run that is short of time ends early with its schedule complete.
        spent = (time.monotonic() - started) / (arguments.minutes * 60)
        progress = max(step / steps, spent)
        if progress >= 1:
            break
        rate = arguments.rate * min(1, (step + 1) / warm_up) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        size = int(torch.multinomial(counts, 1, generator=choice))
        pictures, labels = shards[size]
        # Larger pictures come in smaller batches, so that a step needs about the same memory.
        pixels = pictures.shape[1] * pictures.shape[2] * 2 // 3
        batch = max(2, min(arguments.batch, arguments.batch * 640 * 480 // pixels))
        index = torch.randint(len(pictures), (batch,), generator=choice).to(device)
        with torch.no_grad():
            known = labels[index]
            known = known[:, : int((known[..., 0] >= 0).sum(1).max().clamp(min=1))]
            # Towards the end pictures look as they mostly will; coding and zoom stay.
            images, targets = augment(pictures[index], known, mild=progress > 0.7)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            raw, logits = model(images.contiguous(memory_format=torch.channels_last))
        boxes = decode(raw.float(), centres, strides)
        value = loss(boxes, logits.float(), centres, targets)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        average.update(model)
        running += value.detach()
        if (step + 1) % arguments.report == 0:
            print(
                f"step {step + 1}: loss {float(running) / arguments.report:.3f}, rate {rate:.1e}, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
            running = 0.0
    torch.save(average.model.state_dict(), arguments.output + ".pt")
    export(average.model, arguments.output)
    print(f"{arguments.output}: {step + 1} steps in {time.monotonic() - started:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of NAME_WIDTHxHEIGHT.i420 and .csv files")
    parser.add_argument("--output", default="starter.onnx")
    parser.add_argument("--resume", metavar="WEIGHTS", help="start from the .pt file of an earlier run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=16000)
    parser.add_argument("--minutes", type=float, default=60, help="ends the run, and its schedule, by then")
    parser.add_argument("--batch", type=int, default=320)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--report", type=int, default=500, help="steps between lines of the log")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.steps, arguments.batch, arguments.report = 6, 4, 1
    train(arguments)


if __name__ == "__main__":
    main()
