"""Runs the pod, the OpenCV loop and the appsink loop in turn on one clip and prints their rates and ratios."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def run_pod(arguments, sources):
    uris = [word for _ in range(sources) for word in ("--uri", str(arguments.clip))]
    report = json.loads(subprocess.run(
        ["analytics-pod", "bench", *uris, "--lossless", "--duration", str(arguments.seconds),
         "--model", str(arguments.model), "--output", "json"],
        check=True, stdout=subprocess.PIPE).stdout)
    return report["total"]["processedFps"], report["total"]["cpuMsPerFrame"]


def run_loop(name):
    def run(arguments, sources):
        result = json.loads(subprocess.run(
            [sys.executable, HERE / name, str(arguments.model), str(arguments.clip), str(sources),
             str(arguments.seconds)],
            check=True, stdout=subprocess.PIPE).stdout)
        return result["frames"] / result["seconds"], 1000 * result["cpu"] / max(1, result["frames"])
    return run


CONTENDERS = {
    "analytics-pod": run_pod,
    "OpenCV loop": run_loop("opencv_loop.py"),
    "appsink loop": run_loop("appsink_loop.py"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--clip", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sources", type=int, nargs="*", default=[1, 4, 8])
    arguments = parser.parse_args()
    slower = False
    print(f"{'sources':8}{'':16}{'frames/s':>10}{'CPU ms/frame':>14}")
    for sources in arguments.sources:
        measured = {name: [] for name in CONTENDERS}
        for _ in range(arguments.rounds):
            for name, run in CONTENDERS.items():
                measured[name].append(run(arguments, sources))
        rates = {name: statistics.median(rate for rate, _ in runs) for name, runs in measured.items()}
        for name, runs in measured.items():
            cpu = statistics.median(cost for _, cost in runs)
            print(f"{sources:<8}{name:16}{rates[name]:10.1f}{cpu:14.1f}")
        best = max(rate for name, rate in rates.items() if name != "analytics-pod")
        slower |= rates["analytics-pod"] < best
        print(f"{'':8}{'pod / best peer':16}{rates['analytics-pod'] / best:10.2f}")
    sys.exit("the pod is slower than a peer" if slower else 0)


if __name__ == "__main__":
    main()
