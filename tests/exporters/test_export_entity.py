"""Networks that read every enemy leave as one file too, which acts as the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from envs.errors import InputError
from envs.make import agent_types, enemy_rows, env_spec, make_env
from exporters.card import of_file, of_map
from exporters.export import main
from exporters.parity import compare
from runtime.model_file.loader import load_model
from trainer.learning.from_model_file import net_of_model_file
from trainer.learning.networks import advantage_net, count_parameters
from trainer.playing.policy import TorchPolicy
from trainer.runs.checkpoint import Checkpoint, load_advantage_net, load_checkpoint, save_checkpoint

Exported = tuple[Checkpoint, Path]
Export = Callable[..., Exported]


@pytest.fixture
def export(checkpoint_for: Callable[..., Checkpoint], tmp_path: Path) -> Export:
    """Writes a checkpoint for a map, and its model file; `by_type`: one network per unit type."""

    def write(name: str, *, by_type: bool = False) -> Exported:
        types, ckpt, out = agent_types(name) if by_type else None, tmp_path / "run.pt", tmp_path / "a.onnx"
        save_checkpoint(ckpt, checkpoint_for(env_spec(name), agent_types=types, enemies=enemy_rows(name)))
        assert main(["--ckpt", str(ckpt), "--out", str(out), "--battles", "2"]) == 0
        return load_checkpoint(ckpt), out

    return write


@pytest.mark.parametrize(("name", "by_type"), [("3m", False), ("MMM", False), ("2s3z", True), ("MMM2", True)])
def test_the_file_acts_as_the_checkpoint_in_battle(name: str, by_type: bool, export: Export) -> None:
    checkpoint, out = export(name, by_type=by_type)
    assert checkpoint.enemies == enemy_rows(name)
    reference = TorchPolicy(load_advantage_net(checkpoint))
    with make_env(name, "sim", n_battles=2, seed=77) as env:
        report = compare(env, reference, load_model(out), n_battles=4, seed=1)
    assert report.agent_steps > 4 * 10 * checkpoint.spec.n_agents
    assert report.differing_actions == 0
    assert report.max_difference < 1e-5


@pytest.mark.parametrize("by_type", [False, True])
def test_the_cards_name_the_network_and_count_it(by_type: bool, export: Export, tmp_path: Path) -> None:
    checkpoint, out = export("2s3z", by_type=by_type)
    net = load_advantage_net(checkpoint)
    for path in (tmp_path / "run.pt", out):
        card = of_file(path)
        assert card.parameters["advantage"] == count_parameters(net)
        assert card.provenance["network"] == "entity"


def test_the_card_of_a_map_counts_the_network_that_is_asked_for() -> None:
    card = of_map("MMM2", "lan", "type", "entity")
    net = advantage_net(card.spec, agent_types("MMM2"), enemy_rows("MMM2"))
    assert card.parameters["advantage"] == count_parameters(net)
    assert card.provenance["network"] == "entity"
    with pytest.raises(InputError, match="checkers shows no enemies"):
        of_map("checkers", "lan", network="entity")


def test_the_weights_come_back_from_the_file(export: Export) -> None:
    checkpoint, out = export("3m")
    spec, net = net_of_model_file(out.read_bytes(), "a")
    wanted = load_advantage_net(checkpoint).state_dict()
    assert spec == checkpoint.spec
    assert net.enemies == checkpoint.enemies
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in net.state_dict().items())
    assert set(wanted) == set(net.state_dict())


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("[4, 3, 5, 1]", "its rows of enemies are not five whole numbers"),
        ('{"first": 4}', "its rows of enemies are not five whole numbers"),
        ("[4, 30, 5, 1, 6]", "its rows of enemies do not fit its spec"),
        ("[4, 3, 4, 1, 6]", "its parameters are not those of an advantage network"),
        ("null", "its parameters are not those of an advantage network"),
        ("[4, 3", "holds no network that can play here: Expecting"),
    ],
)
def test_a_file_whose_rows_are_wrong_holds_no_network(rows: str, problem: str, export: Export) -> None:
    _, out = export("3m")
    model = onnx.load(out)
    for entry in model.metadata_props:
        if entry.key == "lan.enemies":
            assert json.loads(entry.value) == [4, 3, 5, 1, 6]
            entry.value = rows
    with pytest.raises(InputError, match=problem):
        net_of_model_file(model.SerializeToString(), "a")


@pytest.mark.parametrize(
    "rows", [[4, 3, 5, 1], [4, 30, 5, 1, 6], [4, 3, 5, 1, 6.0], "rows", [4, 3, 5, 1, True]]
)
def test_a_checkpoint_whose_rows_are_wrong_is_damaged(
    rows: Any, checkpoint_for: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint_for(env_spec("3m"), enemies=enemy_rows("3m")))
    data = torch.load(tmp_path / "run.pt", weights_only=True)
    torch.save(data | {"enemies": rows}, tmp_path / "run.pt")
    with pytest.raises(InputError, match=r"run\.pt is damaged: its .*enemies"):
        load_checkpoint(tmp_path / "run.pt")
    torch.save({key: value for key, value in data.items() if key != "enemies"}, tmp_path / "run.pt")
    older = load_checkpoint(tmp_path / "run.pt")
    assert older.enemies is None
    with pytest.raises(InputError, match="does not fit its 3m"):
        load_advantage_net(older)
