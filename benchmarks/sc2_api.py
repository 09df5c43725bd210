"""How fast battles go through Blizzard's SC2 API, and the server's share of the time.

    python -m benchmarks.sc2_api [--maps 3m 27m_vs_30m] [--seconds 5] [--official]

Random available actions, B = 1, resets included; client and server are two processes of this machine. It
measures Sc2Env (our client, pysc2 under it) and, with --official, the official SMAC package, one after the
other on every map, and prints JSON. A share is a process's user and system time over the time that went by.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from envs.conformance import random_actions
from envs.make import make_env
from envs.sc2api.install import install
from envs.types import MultiAgentEnv

OFFICIAL_STEPS_PER_S = {"3m": 628.0, "2s3z": 464.0, "MMM2": 248.0, "27m_vs_30m": 120.0}
"""Official SMAC over the same API, measured once on another machine of this kind (see docs/starcraft2.md)."""


def measure(env: MultiAgentEnv, seconds: float, seed: int = 0) -> dict[str, float]:
    """Steps per second, and the shares of server and client in the time."""
    rng = np.random.default_rng(seed)
    step = env.reset()
    for _ in range(20):  # both sides have compiled and warmed up
        step = env.reset() if step.done.all() else env.step(random_actions(step, rng))
    me = psutil.Process()
    game = next(child for child in me.children() if "envs.sc2api.binary" in " ".join(child.cmdline()))
    server_before, client_before = sum(game.cpu_times()[:2]), sum(me.cpu_times()[:2])
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        if step.done.all():
            step = env.reset()
        else:
            step = env.step(random_actions(step, rng))
            steps += 1
    passed = time.perf_counter() - start
    return {
        "steps_per_s": round(steps / passed, 1),
        "server_share": round((sum(game.cpu_times()[:2]) - server_before) / passed, 3),
        "client_share": round((sum(me.cpu_times()[:2]) - client_before) / passed, 3),
    }


def run(maps: list[str], seconds: float, with_official: bool) -> dict[str, Any]:
    """One table: by map, ours, official SMAC's if asked, and the ratios."""
    table: dict[str, Any] = {}
    for name in maps:
        row: dict[str, Any] = {}
        for key, backend in (("ours", "sc2"), ("official", "smac")):
            if backend == "smac" and not with_official:
                continue
            env = make_env(name, backend, seed=1)
            try:
                row[key] = measure(env, seconds)
            finally:
                env.close()
        speed = row["ours"]["steps_per_s"]
        if name in OFFICIAL_STEPS_PER_S:
            row["ratio_to_official_elsewhere"] = round(speed / OFFICIAL_STEPS_PER_S[name], 2)
        if "official" in row:
            row["ratio_to_official_here"] = round(speed / row["official"]["steps_per_s"], 2)
        table[name] = row
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--maps", nargs="+", default=["3m", "2s3z", "MMM2", "27m_vs_30m"])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--official", action="store_true", help="also measure the official SMAC package")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lan-sc2-") as folder:
        install(Path(folder), 75689)
        os.environ["SC2PATH"] = folder
        load = os.getloadavg()[0]
        table = run(options.maps, options.seconds, options.official)
    print(json.dumps({"load_at_start": round(load, 2), "cpus": os.cpu_count(), "maps": table}, indent=2))


if __name__ == "__main__":
    main()
