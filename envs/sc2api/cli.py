"""`lan-sc2`: the simulator behind Blizzard's SC2 API, as a game to install or as a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.command import no_subcommand, printed, run_command
from envs.errors import InputError
from envs.sc2api.ids import BASE_BUILD
from envs.text import shell_word

DESCRIPTIONS = {
    "install": "Make a tree that pysc2 and SMAC take for StarCraft II, the simulator in the game's place.",
    "serve": "Serve the simulator over the SC2 API until interrupted; every client plays in a separate game.",
}
USAGE = "usage: lan-sc2 {install,serve} ...   (lan-sc2 install --help, lan-sc2 serve --help)"


@dataclass(frozen=True, kw_only=True)
class InstallConfig:
    """The flags of lan-sc2 install."""

    root: Path
    """Where to make the tree; set SC2PATH to it."""
    base_build: int = BASE_BUILD
    """The build of the game whose place it takes; 75689 is 4.10."""


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """The flags of lan-sc2 serve."""

    port: int = 5000
    """The port to listen on; 0 takes a free one."""
    host: str = "127.0.0.1"
    """The address to listen on."""


def install_tree(config: InstallConfig) -> int:
    """Install, and say how to use it."""
    from envs.sc2api.install import install

    if not 55958 <= config.base_build <= 999_999:
        raise InputError(f"--base-build {config.base_build}: pysc2 wants 55958 (3.16.1) or newer")
    root = Path(os.path.realpath(config.root))  # unlike Path.resolve it takes a link to itself
    install(root, config.base_build)
    print(f"installed; now: export SC2PATH={shell_word(root)}")
    return 0


def serve(config: ServeConfig) -> int:
    """Serve until interrupted."""
    from envs.sc2api.server import Server

    if not 0 <= config.port < 65536:
        raise InputError(f"--port {config.port} is no port")
    server = Server(config.host, config.port)
    host = f"[{config.host}]" if ":" in config.host else config.host
    print(f"serving ws://{host}:{server.port}/sc2api, pid {os.getpid()}", flush=True)
    server.serve()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    what = arguments[0] if arguments else ""
    prog = f"lan-sc2 {what}"
    if what == "install":
        return run_command(
            InstallConfig, install_tree, prog=prog, description=DESCRIPTIONS[what], argv=arguments[1:]
        )
    if what == "serve":
        return run_command(ServeConfig, serve, prog=prog, description=DESCRIPTIONS[what], argv=arguments[1:])
    return printed(lambda: no_subcommand("lan-sc2", USAGE, "install or serve", what), "lan-sc2")


if __name__ == "__main__":
    sys.exit(main())
