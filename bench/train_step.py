#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times one training step (forward, loss, backward, SGD with momentum) of the command's networks and of the same networks in
PyTorch.

Both sides begin with the same weights and work on the same batch of random images, with the same number of threads. Their steps
take turns, ours in a process of its own, so that what else the machine does slows both. A step begins when the threads of the
other side sleep; ours wait as those of the command do. PyTorch runs in both of its memory formats, and the faster one counts.
Printed are the medians, ours divided by PyTorch's, the share of batch norm in our step, how far the first losses are apart, and
how much memory each process took at most, on top of what it had before it made a network."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn

import waiting

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {
    "cnn": ("cnn", 0, (28, 28, 1)),
    "resnet8": ("resnet", 8, (28, 28, 1)),
    "resnet20": ("resnet", 20, (32, 32, 3)),
    "mlp": ("mlp", 0, (28, 28, 1)),
}
CLASSES = 10


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = torch.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.downsample(x) if self.downsample else x
        return torch.relu_(y)


class ResNet(nn.Module):
    def __init__(self, depth, image):
        super().__init__()
        self.conv1 = nn.Conv2d(image[2], 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, channels in enumerate((16, 32, 64), 1):
            blocks = [Block(channels if block or stage == 1 else channels // 2, channels, 1 if block or stage == 1 else 2)
                      for block in range((depth - 2) // 6)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(torch.relu_(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


class Cnn(nn.Module):
    def __init__(self, _, image):
        super().__init__()
        self.conv1 = nn.Conv2d(image[2], 32, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.fc1 = nn.Linear(64 * (image[0] // 4) * (image[1] // 4), 128, bias=False)
        self.bn3 = nn.BatchNorm1d(128)
        self.fc2 = nn.Linear(128, CLASSES)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu_(self.bn1(self.conv1(x))), 2)
        x = nn.functional.max_pool2d(torch.relu_(self.bn2(self.conv2(x))), 2)
        return self.fc2(torch.relu_(self.bn3(self.fc1(x.flatten(1)))))


class Mlp(nn.Module):
    def __init__(self, _, image):
        super().__init__()
        self.fc1 = nn.Linear(image[0] * image[1] * image[2], 256, bias=False)
        self.bn1 = nn.BatchNorm1d(256)
        self.fc2 = nn.Linear(256, 128, bias=False)
        self.bn2 = nn.BatchNorm1d(128)
        self.fc3 = nn.Linear(128, CLASSES)

    def forward(self, x):
        x = torch.relu_(self.bn1(self.fc1(x.flatten(1))))
        return self.fc3(torch.relu_(self.bn2(self.fc2(x))))


MODELS = {"cnn": Cnn, "resnet": ResNet, "mlp": Mlp}


class Ours:
    """The process of train_step.c; without a norm it is there to see what batch norm adds to a step."""

    def __init__(self, program, case, batch, threads, pixels, labels, norm="before"):
        model, depth, image = CASES[case]
        command = [program, model, depth, norm, *image, CLASSES, batch, threads]
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=waiting.as_in_the_command(os.environ))
        self.name = "batchnorm" if norm == "before" else "batchnorm, no norm"
        self.library = self.line()
        self.state = dict(self.parameter() for _ in range(int(self.line())))
        self.process.stdin.write(pixels.tobytes() + labels.tobytes())

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise SystemExit("train_step has ended")
        return text.decode().rstrip("\n")

    def parameter(self):
        """A parameter under its name, in PyTorch's shape."""
        name, *sizes = self.line().split(" ")
        out, height, width, inner, rank = map(int, sizes)
        count = out * height * width * inner
        values = np.frombuffer(self.process.stdout.read(4 * count), np.float32).reshape(out, height, width, inner)
        values = torch.from_numpy(values.transpose(0, 3, 1, 2).copy())
        return name, values.reshape({1: (out,), 2: (out, -1), 4: values.shape}[rank])

    def ask(self, letter):
        self.process.stdin.write(letter)
        self.process.stdin.flush()

    def step(self):
        """Seconds by the wall, seconds of processor time, loss."""
        self.ask(b"s")
        return [float(part) for part in self.line().split(" ")]

    def profile(self):
        """Seconds of each layer since the last call, forward and backward together."""
        self.ask(b"p")
        seconds = {}
        while line := self.line():
            name, forward, backward = line.rsplit(" ", 2)
            seconds[name] = seconds.get(name, 0) + float(forward) + float(backward)
        return seconds

    def megabytes(self):
        self.ask(b"m")
        peak, start = map(float, self.line().split(" "))
        return peak - start

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    """The same network in this process."""

    def __init__(self, case, memory_format, state, pixels, labels):
        model, depth, image = CASES[case]
        self.name = f"torch {str(memory_format).rsplit('.', maxsplit=1)[-1]}"
        self.model = MODELS[model](depth, image)
        if state:
            missing, unexpected = self.model.load_state_dict(state, strict=False)
            if unexpected or not all("running" in key or "tracked" in key for key in missing):
                raise SystemExit(f"the networks differ: {missing}, {unexpected}")
        self.model.to(memory_format=memory_format)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.01, momentum=0.9, fused=True)
        self.x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
        self.labels = torch.from_numpy(labels).long()

    def step(self):
        wall, processor = time.perf_counter(), time.process_time()
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.x), self.labels)
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - wall, time.process_time() - processor, loss.item()


def peak_megabytes():
    """Linux's high-water mark of this process; getrusage() begins with that of its parent."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measure(arguments, case, threads):
    image = CASES[case][2]
    generator = np.random.default_rng(1)
    pixels = generator.standard_normal((arguments.batch, *image), np.float32)
    labels = generator.integers(0, CLASSES, arguments.batch, np.uint8)
    torch.set_num_threads(threads)
    ours = Ours(arguments.program, case, arguments.batch, threads, pixels, labels)
    without = Ours(arguments.program, case, arguments.batch, threads, pixels, labels, "none")
    sides = [ours, without] + [Torch(case, memory_format, ours.state, pixels, labels)
                      for memory_format in (torch.contiguous_format, torch.channels_last)]
    times = {side.name: [] for side in sides}
    losses = {side.name: [] for side in sides}
    end = None
    while end is None or time.perf_counter() < end or len(times[ours.name]) < 5:
        for side in sides:
            waiting.until_others_sleep(ours.process.pid, without.process.pid)
            wall, processor, loss = side.step()
            losses[side.name].append(loss)
            if end is not None:
                times[side.name].append(processor if arguments.clock == "cpu" else wall)
        if end is None and len(losses[ours.name]) == arguments.warmup:
            ours.profile()
            end = time.perf_counter() + arguments.seconds
    medians = {name: statistics.median(values) for name, values in times.items()}
    layers = ours.profile()
    norm = sum(seconds for name, seconds in layers.items() if "bn" in name or name.endswith("downsample.1"))
    best = min((name for name in medians if name.startswith("torch")), key=medians.get)
    row = {
        "case": case, "threads": threads, "batch": arguments.batch, "steps": len(times[ours.name]), "seconds": medians,
        "ratio": medians[ours.name] / medians[best], "against": best, "norm_share": norm / sum(layers.values()),
        "norm_adds": 1 - medians[without.name] / medians[ours.name],
        "loss_difference": max(abs(a / b - 1) for a, b in zip(losses[ours.name][:20], losses[best])),
        "megabytes": ours.megabytes(), "layers": {name: seconds / len(times[ours.name]) for name, seconds in layers.items()},
    }
    ours.close()
    without.close()
    return row, ours.library


def torch_memory(case, batch, threads):
    """Megabytes that ten steps in PyTorch take on top of what a process with torch has; channels-last."""
    script = f"""
import sys; sys.path.insert(0, {HERE!r})
import numpy as np, torch, train_step as t
torch.set_num_threads({threads})
image = t.CASES[{case!r}][2]
pixels = np.zeros(({batch}, *image), np.float32) + np.arange({batch}, dtype=np.float32)[:, None, None, None]
start = t.peak_megabytes()
side = t.Torch({case!r}, torch.channels_last, {{}}, pixels, np.zeros({batch}, np.uint8))
for _ in range(10): side.step()
print(t.peak_megabytes() - start)
"""
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def show(row, torch_megabytes):
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    print(f"\n{row['case']}, batch {row['batch']}, {threads}, {row['steps']} steps:")
    for name, seconds in row["seconds"].items():
        print(f"  {name:24} {1e3 * seconds:8.2f} ms")
    print(f"  ratio {row['ratio']:.3f}; batch norm with relu and pools {100 * row['norm_share']:.1f} % of our step, of which a "
          f"step without it saves {100 * row['norm_adds']:.1f} %; losses differ by at most "
          f"{row['loss_difference']:.1e}; memory {row['megabytes']:.0f} MB, torch {torch_megabytes:.0f} MB", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=f"{HERE}/../build/bench/train_step", help="build/bench/train_step")
    parser.add_argument("--cases", default="cnn,resnet8,resnet20", help=f"of {','.join(CASES)}")
    parser.add_argument("--threads", default="1,2", help="1,2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10, help="to spend on each case and number of threads")
    parser.add_argument("--warmup", type=int, default=5, help="steps that are not counted")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall",
                        help="cpu: processor time, for one thread on a machine that is busy otherwise")
    parser.add_argument("--layers", action="store_true", help="print the time of each of our layers")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    return parser.parse_args()


def main():
    arguments = parse()
    if not os.access(arguments.program, os.X_OK):
        program = os.path.normpath(arguments.program)
        sys.exit(f"train_step.py: there is no program {program}; `make` builds it, and --program names another")
    rows = []
    for threads in map(int, arguments.threads.split(",")):
        for case in arguments.cases.split(","):
            row, library = measure(arguments, case, threads)
            if not rows:
                print(f"torch {torch.__version__}; batchnorm with {library}")
                print(f"threads wait: batchnorm's {waiting.choice(waiting.as_in_the_command(os.environ))}, torch's "
                      f"{waiting.choice(os.environ)}; a step begins when all others sleep")
            row["torch_megabytes"] = torch_memory(case, arguments.batch, threads)
            show(row, row["torch_megabytes"])
            for name, seconds in row["layers"].items() if arguments.layers else ():
                print(f"    {name:28} {1e3 * seconds:8.3f} ms")
            rows.append(row)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
