"""The tables of trained teams in the zoo's README.md, drawn from their cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.errors import InputError
from envs.files import read_regular, write_atomically
from envs.smac.maps import MAP_NAMES, SCENARIO_NAMES
from exporters.team_card import TeamCard, load_card
from trainer.plots.tables import cell

FILE_NAME = "README.md"
BEGIN, END = "<!-- the table begins: python -m benchmarks.zoo draws it -->", "<!-- the table ends -->"
EMPTY = f"# Trained teams\n\n{BEGIN}\n{END}\n"
GOOD = 0.9
COLUMNS = (
    "map",
    "battles won (95 % interval)",
    "algorithm",
    "preset",
    "steps",
    "core minutes",
    "rules",
    "size",
)


def write_table(zoo: Path) -> None:
    """Draw the table of a folder's teams; InputError for a wrong card, or a README.md without marks."""
    path = zoo / FILE_NAME
    try:
        text = read_regular(path).decode() if path.exists() else EMPTY
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path} lacks the lines between which the table stands: {BEGIN} and {END}")
    write_atomically(path, f"{before}{BEGIN}\n{table_of(cards_of(zoo))}\n{END}{after}".encode())


def cards_of(zoo: Path) -> dict[str, TeamCard]:
    """The cards of a folder's model files, by their names, which are the maps'; InputError as `load_card`."""
    cards: dict[str, TeamCard] = {}
    for path in sorted(zoo.glob("*.onnx")):
        try:
            cards[path.stem] = load_card(path)
        except InputError as error:
            raise InputError(f"a team in the zoo cannot be used: {error}; remove {path} to go on") from None
    for name, card in cards.items():
        if name != card.map or name not in (*MAP_NAMES, *SCENARIO_NAMES):
            raise InputError(f"{zoo / name}.onnx is a team of {card.map}: name it after its map")
    return cards


def table_of(cards: Mapping[str, TeamCard]) -> str:
    """A row for each of SMAC's maps, a line that counts, a row for each scenario of SMACv2 with a team."""
    of_maps = [cards[name] for name in MAP_NAMES if name in cards]
    good = sum(card.win_rate >= GOOD for card in of_maps)
    lines = rows_of(MAP_NAMES, cards)
    lines += [
        "",
        f"Maps with a team: {len(of_maps)} of {len(MAP_NAMES)}. Teams that win {GOOD:.0%} or more: {good}.",
    ]
    if scenarios := [name for name in SCENARIO_NAMES if name in cards]:
        lines += ["", "SMACv2's scenarios draw both teams and their starts anew in every battle:", ""]
        lines += rows_of(scenarios, cards)
    return "\n".join(lines)


def rows_of(names: Sequence[str], cards: Mapping[str, TeamCard]) -> list[str]:
    """The lines of one table."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    return [*head, *(f"| {' | '.join(map(cell, row(name, cards.get(name))))} |" for name in names)]


def row(name: str, card: TeamCard | None) -> list[str]:
    """The cells of a map."""
    if card is None:
        return [name, "not trained yet", *[""] * (len(COLUMNS) - 2)]
    low, high = (f"{100 * bound:.1f}" for bound in card.win_rate_interval)
    below = "" if card.win_rate >= GOOD else f", below {GOOD:.0%}: mean return {card.return_mean:.1f}"
    return [
        name,
        f"{card.win_rate:.1%} ({low} to {high}){below}",
        card.algorithm,
        card.preset,
        f"{card.env_steps:,} of {card.run_env_steps:,}",
        f"{card.run_core_minutes:.1f}",
        ", ".join(map(str, card.rules)),
        f"{card.size_bytes / 1e6:.2f} MB",
    ]
