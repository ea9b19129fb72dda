"""Trains the starter detector on rendered street scenes and writes it as ONNX.

    render_dataset DATA/train_640x360 640 360 0 6000 6 75      # see README.md for the whole data set
    python train.py --data DATA --output starter.onnx

With `torchrun --nproc-per-node GPUS train.py ...` each GPU takes its share of the files and has batches of its own. The
averaged weights are saved every minute, so that a run cut short is not lost: `export.py WEIGHTS OUTPUT` makes ONNX of them.
`--smoke` runs a few steps on whatever is in the folder, also without a GPU, to see that everything works.
"""

import argparse
import copy
import math
import os
import time

import torch
import torch.distributed as distributed

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


def share_gradients(parameters):
    """Every process gets the mean of the gradients of all."""
    gradients = [parameter.grad for parameter in parameters]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients)])


def train(arguments):
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = "cpu"
    if torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(device)
    if processes > 1:
        distributed.init_process_group("nccl" if device != "cpu" else "gloo")
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    started = time.monotonic()
    shards = dataset.load(arguments.data, device, rank, processes)
    counts = torch.tensor([len(pictures) for pictures, _ in shards], dtype=torch.float)
    appeal = [dataset.appeal(pictures, labels).cumsum(0).cpu() for pictures, labels in shards]
    # No picture has more objects than this.
    most = int(max((labels[..., 0] >= 0).sum(1).max() for _, labels in shards)) + 7 & ~7
    shards = [(pictures, labels[:, :most].contiguous()) for pictures, labels in shards]
    print(f"{int(counts.sum())} pictures, objects up to {most}, in {time.monotonic() - started:.0f} s", flush=True)

    model = Detector().to(device, memory_format=torch.channels_last)
    if arguments.resume:
        model.load_state_dict(torch.load(arguments.resume, map_location=device, weights_only=True))
    average = Average(model, 0.9997)
    optimizer = optimiser(model, arguments.rate)
    parameters = list(model.parameters())
    centres, strides = (tensor.to(device) for tensor in anchors())
    # The choice of the size is the same in every process, that of pictures and of their changes is not.
    torch.manual_seed(arguments.seed * 1000 + rank)
    sizes = torch.Generator().manual_seed(arguments.seed)
    choice = torch.Generator().manual_seed(arguments.seed * 1000 + rank)
    augment = dataset.Augment(device)
    steps, warm_up = arguments.steps, min(500, arguments.steps // 10 + 1)
    started = saved = time.monotonic()
    # All processes must take the same steps, so the time that counts is the first one's.
    progress = torch.zeros(1, device=device)
    running = 0.0
    for step in range(steps):
        if step % 10 == 0:
            # A run that is short of time ends early with its schedule complete.
            progress.fill_(max(step / steps, (time.monotonic() - started) / (arguments.minutes * 60)))
            if processes > 1:
                distributed.broadcast(progress, 0)
            done = float(progress)
        if done >= 1:
            break
        rate = arguments.rate * min(1, (step + 1) / warm_up) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        size = int(torch.multinomial(counts, 1, generator=sizes))
        pictures, labels = shards[size]
        # Larger pictures come in smaller batches, so that a step needs about the same memory.
        pixels = pictures.shape[1] * pictures.shape[2] * 2 // 3
        batch = max(2, min(arguments.batch, arguments.batch * 640 * 960 // pixels))
        place = torch.rand(batch, generator=choice, dtype=torch.double) * appeal[size][-1]
        index = torch.searchsorted(appeal[size], place).clamp(max=len(pictures) - 1).to(device)
        with torch.no_grad():
            # Towards the end pictures look as they mostly will; coding and zoom stay.
            mild = torch.full((), float(done > 0.7), device=device)
            images, targets = augment(pictures[index], labels[index], mild)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=device != "cpu"):
            raw, logits = model(images.contiguous(memory_format=torch.channels_last))
        boxes = decode(raw.float(), centres, strides)
        value = loss(boxes, logits.float(), centres, targets)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if processes > 1:
            share_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        average.update(model)
        running += value.detach()
        if rank == 0 and (step + 1) % arguments.report == 0:
            print(
                f"step {step + 1}: loss {float(running) / arguments.report:.3f}, rate {rate:.1e}, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
            running = 0.0
        if rank == 0 and time.monotonic() - saved > 60:
            saved = time.monotonic()
            torch.save(average.model.state_dict(), arguments.output + ".part")
            os.replace(arguments.output + ".part", arguments.output + ".pt")
    if rank == 0:
        torch.save(average.model.state_dict(), arguments.output + ".pt")
        export(average.model, arguments.output)
        print(f"{arguments.output}: {step + 1} steps in {time.monotonic() - started:.0f} s", flush=True)
    if processes > 1:
        distributed.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of NAME_WIDTHxHEIGHT.i420 and .csv files")
    parser.add_argument("--output", default="starter.onnx")
    parser.add_argument("--resume", metavar="WEIGHTS", help="start from the .pt file of an earlier run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=24000)
    parser.add_argument("--minutes", type=float, default=60, help="ends the run, and its schedule, by then")
    parser.add_argument("--batch", type=int, default=256, help="pictures a step, of each process")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--report", type=int, default=500, help="steps between lines of the log")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.steps, arguments.batch, arguments.report = 6, 4, 1
    train(arguments)


if __name__ == "__main__":
    main()
