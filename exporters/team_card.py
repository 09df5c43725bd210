"""The card of a trained team, MAP.json beside MAP.onnx: how the team was made, and how often it wins."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.files import read_regular
from envs.kinds import CARD, WHENCE, unlike
from envs.outcomes import wilson_interval
from envs.text import one_line

MAX_BYTES = 1 << 16
TEXT, COUNT, REAL = (str,), (int,), (float, int)
ROUNDING = 1e-9


@dataclass(frozen=True)
class TeamCard:
    """What a card says; `env_steps` are the checkpoint's, the `run_` fields those of the whole run.

    `settings` are those that the preset does not give. `win_rate_interval` is Wilson's 95 % interval over
    `battles` of the seed `battles_seed`, which was used for nothing else; returns are undiscounted. Where
    the run began with another one's networks, `commit`, `rules` and `run_core_minutes` are of both, steps of
    the last. `rules` are the versions of the simulator's rules by which the team learned.
    `commands` make the team again.
    """

    map: str
    algorithm: str
    preset: str
    settings: dict[str, Any]
    seed: int
    commit: str | None
    rules: tuple[int, ...]
    env_steps: int
    run_env_steps: int
    run_core_minutes: float
    backend: str
    contract_version: int
    sha256: str
    size_bytes: int
    battles: int
    battles_seed: int
    won: int
    win_rate: float
    win_rate_interval: tuple[float, float]
    return_mean: float
    commands: tuple[str, ...]

    def to_json(self) -> str:
        """The text of the card's file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TeamCard:
        """The card that `to_json` wrote; ValueError when it is none, or when its figures contradict."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("it is no object")
        if odd := set(data) ^ {field.name for field in fields(cls)}:
            raise ValueError(f"fields are missing or unknown: {', '.join(sorted(map(one_line, odd)))}")
        for name, kinds in KINDS.items():
            check_value(name, data[name], kinds)
        for name, kinds in LISTS.items():
            if not isinstance(data[name], list):
                raise ValueError(f"its {name} is no list")
            for value in data[name]:
                check_value(name, value, kinds)
            data[name] = tuple(data[name])
        card = cls(**data)
        card.check_figures()
        return card

    def check_figures(self) -> None:
        """ValueError unless win rate and interval are those of the battles won, and steps those of a run."""
        if self.env_steps > self.run_env_steps:
            more = f"more than its run_env_steps, {self.run_env_steps}"
            raise ValueError(f"its env_steps, {self.env_steps}, are {more}")
        if not self.rules:
            raise ValueError("its rules name no version")
        if self.run_core_minutes < 0:
            raise ValueError(f"its run_core_minutes is {self.run_core_minutes}")
        if not 0 <= self.won <= self.battles or self.battles < 1:
            raise ValueError(f"it says {self.won} of {self.battles} battles won")
        stated = (self.win_rate, *self.win_rate_interval)
        right = (self.won / self.battles, *wilson_interval(self.won, self.battles))
        if (
            len(stated) != len(right)
            or max(abs(a - b) for a, b in zip(stated, right, strict=True)) > ROUNDING
        ):
            raise ValueError(f"win rate and interval are not those of {self.won} of {self.battles} battles")


KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("map", "algorithm", "preset", "backend", "sha256"), TEXT),
    **dict.fromkeys(("seed", "env_steps", "run_env_steps", "contract_version", "size_bytes"), COUNT),
    **dict.fromkeys(("battles", "battles_seed", "won"), COUNT),
    **dict.fromkeys(("run_core_minutes", "win_rate", "return_mean"), REAL),
    "commit": (str, type(None)),
    "settings": (dict,),
}
LISTS: dict[str, tuple[type, ...]] = {"win_rate_interval": REAL, "commands": TEXT, "rules": COUNT}


def check_value(name: str, value: object, kinds: tuple[type, ...]) -> None:
    """ValueError unless a field has one of these types, and where it is a number, is one of at most 2^63."""
    if type(value) not in kinds or (kinds is REAL and not math.isfinite(float(str(value)))):
        raise ValueError(f"its {name} is {one_line(repr(value), 60)}")
    if isinstance(value, int) and not 0 <= value <= 1 << 63 and kinds is COUNT:
        raise ValueError(f"its {name} is {one_line(repr(value), 60)}")


def load_card(model: Path) -> TeamCard:
    """The card beside a model file; InputError when it is missing, damaged, or another file's."""
    from runtime.model_file import contract
    from runtime.model_file.loader import load_model_bytes
    from runtime.model_file.metadata import read_model_file

    data, path = read_model_file(model), model.with_suffix(".json")
    card = read_card(path)
    found: dict[str, object] = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    check_said(card, found, path, model)
    loaded = load_model_bytes(data, str(model))
    found = {
        "map": loaded.spec.name,
        "contract_version": loaded.spec.contract_version,
        "algorithm": loaded.metadata.get(contract.METADATA_ALGORITHM),
        "backend": loaded.metadata.get(contract.METADATA_BACKEND),
        "env_steps": loaded.metadata.get(contract.METADATA_ENV_STEPS),
    }
    check_said(card, found, path, model)
    return card


def read_card(path: Path) -> TeamCard:
    """The card in a file; InputError when there is none, or when it is damaged."""
    try:
        return TeamCard.from_json(read_regular(path, MAX_BYTES).decode())
    except FileNotFoundError:
        raise InputError(f"there is no card {path}; {WHENCE[CARD]}") from None
    except OSError as error:
        raise InputError(f"the card {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(unlike(path, CARD, one_line(error, 200))) from None


def check_said(card: TeamCard, found: dict[str, object], path: Path, model: Path) -> None:
    """InputError naming the first thing that a card says of its file and that the file is not."""
    for name, value in found.items():
        if str(getattr(card, name)) != str(value):
            said = one_line(getattr(card, name), 80)
            raise InputError(
                f"{path} is not the card of {model}: it says {name} {said}, "
                f"the file has {one_line(value, 80)}"
            )


def show_card(model: Path, as_json: bool) -> None:
    """Check and print a model file's card, as a table or as one JSON object; InputError as `load_card`."""
    card = load_card(model)
    if as_json:
        print(json.dumps(asdict(card)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"team: {one_line(card.map)}"), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, value in rows(card):
        table.add_row(label, Text(one_line(value)))  # a Text, so that nothing in it is markup
    Console(highlight=False, soft_wrap=True).print(table)


def rows(card: TeamCard) -> list[tuple[str, object]]:
    """Label and value of each row of the table."""
    low, high = card.win_rate_interval
    settings = ", ".join(f"{name} {value}" for name, value in card.settings.items())
    return [
        ("win rate", f"{card.win_rate:.1%} ({card.won} of {card.battles} battles)"),
        ("95 % interval", f"{low:.1%} to {high:.1%}"),
        ("mean return", f"{card.return_mean:.2f}"),
        ("seed of these battles", card.battles_seed),
        ("algorithm", card.algorithm),
        ("preset", card.preset),
        ("settings beyond it", settings),
        ("seed", card.seed),
        ("steps", f"{card.env_steps:,} of the run's {card.run_env_steps:,}"),
        ("core minutes of the run", f"{card.run_core_minutes:.1f}"),
        ("commit", card.commit or "-"),
        ("learned by rules", ", then ".join(f"version {version}" for version in card.rules)),
        ("backend", card.backend),
        ("contract version", card.contract_version),
        ("sha256", card.sha256),
        ("size", f"{card.size_bytes:,} bytes"),
        *(("made by", command) for command in card.commands),
    ]  # fmt: skip
