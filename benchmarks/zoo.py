"""From runs to the zoo: `python -m benchmarks.zoo [RUN_DIR ...] [--zoo zoo] [--again]`.

For each map of the runs, their checkpoints best.pt and run.pt play the same battles as the team that is in
the zoo already. The one that wins most of them goes into the zoo: MAP.onnx, made by the project's exporter;
MAP.json, its card, whose win rate is that of other battles; MAP.csv, its run's evaluations. Then the table in
README.md is drawn from all cards; without a run, that alone is done. `--again` plays the battles of all cards
once more, for a simulator whose rules have changed.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import tyro

from benchmarks.zoo_history import Stage, commands, settings_beyond, stages
from benchmarks.zoo_table import write_table
from envs.command import run_command
from envs.errors import InputError
from envs.files import write_atomically
from envs.smac.maps import MAP_NAMES, SCENARIO_NAMES
from exporters.contestants import onnx_contestant
from exporters.evaluate import EvaluateConfig, Evaluation, evaluate
from exporters.export import export_checkpoint
from exporters.team_card import TeamCard, load_card
from runtime.model_file.contract import METADATA_ENV_STEPS
from runtime.model_file.loader import load_model
from trainer.config import ResolvedConfig
from trainer.runs.absolute import BATTLES
from trainer.runs.absolute import SEED as CARD_SEED
from trainer.runs.assembly import EVALUATION_SEED_OFFSET, check_own
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.config_file import BEST_NAME, RUN_NAME, check_rules, load_config
from trainer.runs.metrics import read_metrics

CHOOSING_SEED = 40_000_001
"""Of the battles by which a team is chosen; a card's figures are of the absolute metric's battles."""
CSV_COLUMNS = {
    "env_steps": "env_steps",
    "updates": "updates",
    "processor_s": "wall_processor_s",
    "win_rate": "win_rate",
    "return_mean": "return_mean",
}
"""The columns of MAP.csv, and the names of the metrics in them."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run directories of lan-train, of one map or several; none: only draw the table again."""
    zoo: Path = Path("zoo")
    """Folder of the trained teams."""
    again: bool = False
    """Play the battles of every card again, and write what they give into the cards."""


@dataclass(frozen=True)
class Run:
    """A run that may give a team: how it was made, itself last, and its evaluations."""

    path: Path
    made_by: Sequence[Stage]
    evaluations: list[dict[str, Any]]

    @property
    def config(self) -> ResolvedConfig:
        """Its settings."""
        return self.made_by[-1].config


@dataclass(frozen=True)
class Candidate:
    """A model file, its run and checkpoint (None for the team in the zoo), and how it played."""

    file: Path
    run: Run | None
    checkpoint: str
    played: Evaluation

    @property
    def name(self) -> str:
        """For people."""
        return "the team in the zoo" if self.run is None else str(self.run.path / self.checkpoint)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.zoo", description=__doc__ or "", argv=argv)


def run(config: Config) -> None:
    """Choose and enter a team for each map; InputError for a run that cannot be used, before any battle."""
    if not config.zoo.is_dir():
        raise InputError(f"--zoo {config.zoo}: there is no such folder; make it first")
    runs = [read_run(path) for path in config.runs]
    write_table(config.zoo)  # what keeps it from being written is said before any battle
    for name in dict.fromkeys(each.config.map for each in runs):
        with TemporaryDirectory() as folder:
            of_map = [each for each in runs if each.config.map == name]
            candidates = list(play_all(config.zoo, name, of_map, Path(folder)))
            chosen = max(candidates, key=lambda each: (each.played.won, each.played.return_mean))
            print(f"{name}: {chosen.name} it is", flush=True)
            if chosen.run is not None:
                enter(config.zoo, chosen, read_run(chosen.run.path))  # again: it may be training on
        write_table(config.zoo)
    if config.again:
        for model in sorted(config.zoo.glob("*.onnx")):
            measure_again(model)
        write_table(config.zoo)


def read_run(path: Path) -> Run:
    """The run in a directory; InputError unless it is of today's battlefield and all for a card is known."""
    config, last = load_config(path), load_checkpoint(path)
    if config.environment not in (*MAP_NAMES, *SCENARIO_NAMES) or last.spec.name != config.environment:
        raise InputError(
            f"{path} is of {config.environment}: the zoo has teams of SMAC's {len(MAP_NAMES)} maps "
            f"and SMACv2's {len(SCENARIO_NAMES)} scenarios"
        )
    if last.backend != "sim":
        raise InputError(f"{path} was trained on {last.backend}: the zoo has teams of the simulator (sim)")
    check_rules(path)
    if {config.seed, config.seed + EVALUATION_SEED_OFFSET} & {CHOOSING_SEED, CARD_SEED}:
        raise InputError(
            f"{path} has seen the battles by which teams are chosen or judged: train with another seed"
        )
    if config.rollout_workers:
        raise InputError(
            f"{path} was played by Ray's processes, whose time nobody counted: train without them"
        )
    check_own(path / RUN_NAME, last, config)
    if (best := path / BEST_NAME).exists():
        check_own(best, load_checkpoint(best), config)
    try:
        evaluations = [record for record in read_metrics(path) if record["kind"] == "evaluation"]
        if not evaluations:
            raise InputError(f"{path} has no evaluation yet: wait for its first one")
        for record in evaluations:
            if lacking := set(CSV_COLUMNS.values()) - set(record):
                raise ValueError(f"an evaluation lacks {sorted(lacking)[0]}")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}; train again with this version") from None
    return Run(path, stages(path, config, last), evaluations)


def play_all(zoo: Path, name: str, runs: Sequence[Run], folder: Path) -> Iterator[Candidate]:
    """Every candidate for a map, after it has played; model files of the runs go to `folder`.

    InputError when a checkpoint cannot be exported.
    """
    seen: set[str] = set()

    def played(file: Path, of: Run | None, checkpoint: str) -> Iterator[Candidate]:
        if (digest := load_model(file).digest) not in seen:  # the last checkpoint may be the best
            seen.add(digest)
            candidate = Candidate(file, of, checkpoint, battles(file, CHOOSING_SEED))
            won, mean = candidate.played.won, candidate.played.return_mean
            print(f"{name}: {candidate.name} wins {won} of {BATTLES}, return {mean:.2f}", flush=True)
            yield candidate

    if (model := zoo / f"{name}.onnx").exists():
        yield from played(model, None, "")
    numbers = count()
    for each in runs:
        for checkpoint in (BEST_NAME, RUN_NAME):
            if (each.path / checkpoint).exists():
                file = folder / f"{next(numbers)}.onnx"
                export_checkpoint(each.path / checkpoint, file)
                yield from played(file, each, checkpoint)


def battles(file: Path, seed: int) -> Evaluation:
    """The battles of a seed, played by a model file in this process as `lan-eval` does."""
    return evaluate(onnx_contestant(file), EvaluateConfig(model=file, episodes=BATTLES, seed=seed))


def enter(zoo: Path, chosen: Candidate, of: Run) -> None:
    """Play the card's battles and write model, card and curve, each file whole or not at all."""
    card = make_card(chosen, of)
    write_atomically(zoo / f"{card.map}.csv", curve(of).encode())
    write_atomically(zoo / f"{card.map}.onnx", chosen.file.read_bytes())
    write_atomically(zoo / f"{card.map}.json", card.to_json().encode())
    low, high = card.win_rate_interval
    print(
        f"{card.map}: on other battles {card.win_rate:.1%} (95 % interval {low:.1%} to {high:.1%})",
        flush=True,
    )


def measure_again(model: Path) -> None:
    """Play the battles of a team's card by today's rules, and write the card with what they give."""
    card, played = load_card(model), battles(model, CARD_SEED)
    print(f"{card.map}: {card.won} of {card.battles} on its card, now {played.won}", flush=True)
    card = replace(card, **figures(played))
    write_atomically(model.with_suffix(".json"), card.to_json().encode())


def figures(played: Evaluation) -> dict[str, Any]:
    """What a card says of its battles."""
    return {
        "battles": played.episodes,
        "battles_seed": played.seed,
        "won": played.won,
        "win_rate": played.win_rate,
        "win_rate_interval": played.win_rate_interval,
        "return_mean": played.return_mean,
    }


def make_card(chosen: Candidate, of: Run) -> TeamCard:
    """The card of a chosen team, after the battles that give its figures."""
    played, model = battles(chosen.file, CARD_SEED), load_model(chosen.file)
    config, last = of.config, of.made_by[-1].last
    processor_s = sum(each.last.clocks.processor_before_s for each in of.made_by)
    commits = dict.fromkeys(each.commit for each in of.made_by if each.commit is not None)
    return TeamCard(
        map=config.map,
        algorithm=config.algorithm,
        preset=config.preset,
        settings=settings_beyond(of.made_by),
        seed=config.seed,
        commit=", ".join(commits) or None,
        rules=tuple(dict.fromkeys(each.rules for each in of.made_by)),
        env_steps=int(model.metadata[METADATA_ENV_STEPS]),
        run_env_steps=last.env_steps,
        run_core_minutes=round(processor_s / 60, 2),
        backend=last.backend,
        contract_version=model.spec.contract_version,
        sha256=model.digest,
        size_bytes=chosen.file.stat().st_size,
        **figures(played),
        commands=commands(of.made_by, chosen.checkpoint),
    )


def curve(of: Run) -> str:
    """The run's evaluations as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([json.dumps(record[name]) for name in CSV_COLUMNS.values()] for record in of.evaluations)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
