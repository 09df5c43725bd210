"""The flags of `lan-play`, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from envs.errors import InputError
from envs.outputs import PAGES, check_apart
from envs.smac.maps import MAP_SCRIPT
from envs.text import one_line
from runtime.identity.addresses import Address, parse_address, parse_addresses
from runtime.identity.tls import HostTls, tls_files

NO_UNITS = "shows no units; --env sim and sc2 do"


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """The flags of lan-play."""

    map: str | None = None
    """SMAC map, such as 3m or corridor, or a map file, NAME.json; with --model by default the model's own."""
    agents: str | None = None
    """Where running agents listen, in any order: HOST:PORT,HOST:PORT,... or HOST:FIRST-LAST."""
    model: Path | None = None
    """Or: model file; its agents are started for these battles, one process each on this machine."""
    episodes: int = 32
    """Battles to play."""
    env: str = "auto"
    """Where the battles take place: auto, sim, sc2, smac or smacv2."""
    opponent: str = MAP_SCRIPT
    """Who commands the enemies: map (its own order), random, nearest, focus, kite, heuristic, or a model
    file, whose agents are started too."""
    seed: int = 0
    """Seed of the battles."""
    deadline_ms: float = 1000.0
    """Time limit of a joint step; without an answer by then, the agent's unit takes a fallback action."""
    realtime: bool = False
    """Play at the game's own speed, a step every 357 ms, and never wait longer for an agent."""
    record: Path | None = None
    """NAME.html: the first battles, to be watched; NAME.svg: the first one as an animated picture; any other
    name: all actions, a JSON object per line, which replace earlier ones."""
    watch: str | None = None
    """HOST:PORT at which a browser follows the battles while they are played, such as 127.0.0.1:8080; with
    --realtime at the game's own speed."""
    connect_timeout_s: float = 10.0
    """How long to wait at the start for agents that are not there yet."""
    tls_cert: str | None = None
    """The host's certificate (PEM), issued for spiffe://lan/host."""
    tls_key: str | None = None
    """The certificate's private key (PEM)."""
    tls_ca: str | None = None
    """Certificate (PEM) of the authority that signed the agents' certificates."""
    insecure: bool = False
    """Talk to agents on other machines without encryption or identity, and --watch for other machines."""
    json: bool = False
    """Print the report as one JSON object."""


@dataclass(frozen=True)
class ResolvedPlay:
    """The flags of lan-play with their meaning: the environment's name; backend sim, sc2 or smac; TLS
    credentials, None without. `opponent_model`: the model file that commands the enemies, None without;
    `enemies`: where its agents listen, once they have been started. `watch`: where the battles are shown.
    """

    config: PlayConfig
    map: str
    backend: str
    addresses: list[Address]
    tls: HostTls | None
    opponent_model: Path | None = None
    enemies: tuple[Address, ...] = ()
    watch: Address | None = None

    @property
    def records_page(self) -> bool:
        """Whether the record is a page or a picture to be watched."""
        return self.config.record is not None and self.config.record.suffix.lower() in PAGES


def resolve(config: PlayConfig) -> ResolvedPlay:
    """Read what the flags name; InputError when one cannot be used."""
    from envs.make import SHOWS_UNITS, resolve_backend
    from envs.plain import is_smac_map
    from runtime.host.environment import check_record, check_replaced, map_to_play, model_of_opponent

    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if not 0 <= config.seed < 2**64:
        raise InputError(f"--seed {config.seed}: a seed is 0 or more, and less than 2^64")
    if not 0 < config.deadline_ms <= 3_600_000 or not 0 < config.connect_timeout_s <= 3_600:
        raise InputError("--deadline-ms and --connect-timeout-s must be above 0 and at most an hour")
    tls, addresses = running_agents(config)
    map_name = map_to_play(config.map, config.model)
    if config.record is not None:
        check_record(config.record, map_name)
        config = replace(config, record=config.record.absolute())  # an environment may change the folder
    resolved = ResolvedPlay(config, map_name, resolve_backend(config.env, map_name), addresses, tls)
    if resolved.records_page and resolved.backend not in SHOWS_UNITS:
        raise InputError(f"--record {config.record}: --env {resolved.backend} {NO_UNITS}")
    if config.watch is not None:
        resolved = replace(resolved, watch=watch_address(config.watch, config.insecure))
        if not is_smac_map(map_name) or resolved.backend not in SHOWS_UNITS:
            where = (
                f"--env {resolved.backend} {NO_UNITS}" if is_smac_map(map_name) else f"{map_name} has none"
            )
            raise InputError(f"--watch shows the units of SMAC's maps: {where}")
    opponent = model_of_opponent(config.opponent, map_name, resolved.backend)
    words = {
        "--map": config.map,
        "--tls-cert": config.tls_cert,
        "--tls-key": config.tls_key,
        "--tls-ca": config.tls_ca,
    }
    read = {flag: Path(word) for flag, word in words.items() if word}
    check_apart({"--model": config.model, "--opponent": opponent, **read}, {"--record": config.record})
    if config.record is not None:
        check_replaced(config.record)
    return replace(resolved, opponent_model=opponent)


def running_agents(config: PlayConfig) -> tuple[HostTls | None, list[Address]]:
    """How and where running agents are reached: nowhere yet with --model; InputError when nobody may be."""
    if (config.agents is None) == (config.model is None):
        raise InputError(
            "give either --model FILE, whose agents are then started, or --agents ADDRESSES of running ones"
        )
    if config.agents is None:
        for flag in ("tls_cert", "tls_key", "tls_ca", "insecure"):
            if getattr(config, flag) not in (None, False) and not (flag == "insecure" and config.watch):
                name = flag.replace("_", "-")
                raise InputError(
                    f"--{name} is for --agents: those of --model stay on this machine's loopback"
                )
        return None, []
    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    tls = None if files is None else HostTls(files)
    addresses = parse_addresses(config.agents)
    for address in addresses:
        if not address.port:
            raise InputError(f"{address}: no agent listens on port 0; say the port that it printed")
        if not address.is_loopback and tls is None and not config.insecure:
            raise InputError(
                f"{address} is another machine, and what it is sent could be read and changed on the way: "
                "give --tls-cert, --tls-key and --tls-ca, or say --insecure if you mean it"
            )
    return tls, addresses


def watch_address(text: str, is_insecure: bool) -> Address:
    """Where battles are shown; InputError for no address, or one that other machines reach unasked."""
    if "/" in text or "," in text:
        raise InputError(f"--watch {one_line(text, 100)}: say HOST:PORT, such as 127.0.0.1:8080")
    address = parse_address(text)
    if not address.is_loopback and not is_insecure:
        raise InputError(
            f"--watch {address}: everybody who reaches it could watch; say --insecure if you mean it"
        )
    return address
