from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.agent.episodes import Episode, EpisodeTable, RequestError, StepReply, StepRequest
from runtime.agent.policy import AgentPolicy
from runtime.model_file.loader import Model, load_model_bytes
from tests.runtime.support.small_models import model_bytes, random_weights
from tests.runtime.support.tag_env import SPEC

ALL = bytes([0, 1, 1, 1, 1])


@pytest.fixture(scope="module")
def model(small_model_bytes: bytes) -> Model:
    return load_model_bytes(small_model_bytes, "test")


def make_table(model: Model, **limits: float) -> EpisodeTable:
    settings = {"max_episodes": 4, "idle_s": 60.0, **limits}
    return EpisodeTable(AgentPolicy(model, 1), **settings)  # type: ignore[arg-type]


def request(step: int, episode_id: str = "e", seed: int = 0, avail: bytes = ALL) -> StepRequest:
    obs = np.random.default_rng([seed, step]).standard_normal(SPEC.obs_dim).astype("<f4")
    return StepRequest(episode_id, step, obs.tobytes(), avail)


def rejected(table: EpisodeTable, bad: StepRequest, now_s: float = 0.0) -> RequestError:
    """The error that `bad` gives, after checking that it changed nothing."""
    before = snapshot(table)
    with pytest.raises(RequestError) as caught:
        table.act(bad, now_s)
    assert snapshot(table) == before
    return caught.value


def snapshot(table: EpisodeTable) -> dict[str, tuple[int, bytes, int]]:
    return {
        key: (live.episode.reply.step, live.episode.memory.hidden.tobytes(), table.steps)
        for key, live in table._live.items()
    }


def in_process(model: Model, steps: int, agent_id: int = 1, seed: int = 0) -> list[int]:
    """The actions of the model itself, its memory carried by hand."""
    hidden, last_action = model.initial_hidden(1), np.array([-1])
    actions = []
    for step in range(steps):
        asked = request(step, seed=seed)
        obs = np.frombuffer(asked.observation, "<f4")[None]
        avail = np.frombuffer(asked.available_actions, bool)[None]
        last_action, _, hidden = model.step(obs, last_action, np.array([agent_id]), avail, hidden)
        actions.append(int(last_action[0]))
    return actions


def test_an_episode_takes_the_actions_of_the_model_itself(model: Model) -> None:
    table = make_table(model)
    actions = [table.act(request(step), 0.0).action for step in range(40)]
    assert actions == in_process(model, 40)
    assert len(set(actions)) > 1


def test_a_repeated_step_gets_the_same_reply_and_leaves_the_memory_alone(model: Model) -> None:
    table = make_table(model)
    first = table.act(request(0), 0.0)
    before = snapshot(table)
    assert table.act(request(0), 1.0) is first
    assert snapshot(table) == before
    assert (table.steps, table.duplicates) == (1, 1)


def test_the_same_step_with_other_inputs_is_refused(model: Model) -> None:
    table = make_table(model)
    table.act(request(0), 0.0)
    table.act(request(1), 0.0)
    error = rejected(table, request(1, seed=9))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "STEP_OUT_OF_ORDER")
    assert error.metadata == {"expected_step": "2"}
    other_mask = request(1, avail=bytes([0, 1, 1, 1, 0]))
    assert rejected(table, other_mask).reason == "STEP_OUT_OF_ORDER"


@pytest.mark.parametrize("step", [0, 1, 4, 2**32 - 1])
def test_any_other_step_is_refused_and_the_expected_one_named(model: Model, step: int) -> None:
    table = make_table(model)
    for taken in range(3):
        table.act(request(taken), 0.0)
    error = rejected(table, request(step))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "STEP_OUT_OF_ORDER")
    assert error.metadata == {"expected_step": "3"}


def test_an_unknown_episode_never_starts_in_the_middle(model: Model) -> None:
    table = make_table(model)
    error = rejected(table, request(5))
    assert (error.code, error.reason) == ("NOT_FOUND", "UNKNOWN_EPISODE")


def test_episodes_do_not_see_each_other(model: Model) -> None:
    table = make_table(model)
    for step in range(10):
        for name, seed in (("a", 1), ("b", 2)):
            action = table.act(request(step, name, seed), 0.0).action
            assert action == in_process(model, step + 1, seed=seed)[-1]


def test_an_ended_episode_is_forgotten_and_may_be_ended_again(model: Model) -> None:
    table = make_table(model)
    table.act(request(0), 0.0)
    assert table.end("e")
    assert not table.end("e")
    assert rejected(table, request(1)).reason == "UNKNOWN_EPISODE"
    assert table.act(request(0), 0.0).step == 0


def test_the_number_of_episodes_is_bounded(model: Model) -> None:
    table = make_table(model)
    for index in range(4):
        table.act(request(0, f"e{index}"), 0.0)
    error = rejected(table, request(0, "one more"))
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_EPISODES")
    table.act(request(1, "e0"), 0.0)
    table.end("e1")
    table.act(request(0, "one more"), 0.0)


def test_idle_episodes_expire_and_make_room(model: Model) -> None:
    table = make_table(model)
    for index in range(4):
        table.act(request(0, f"e{index}"), float(index))
    table.act(request(1, "e0"), 50.0)
    table.act(request(0, "new"), 62.5)  # e1 and e2 were last asked for 61.5 and 60.5 s ago
    assert [name for name in ("e0", "e1", "e2", "e3", "new") if name in table] == ["e0", "e3", "new"]


BAD_INPUTS = {
    "episode_id": [StepRequest("", 0, b"", ALL), StepRequest("x" * 65, 0, b"", ALL)],
    "observation": [
        StepRequest("e", 0, b"", ALL),
        StepRequest("e", 0, bytes(4 * SPEC.obs_dim - 1), ALL),
        StepRequest("e", 0, bytes(4 * SPEC.obs_dim + 4), ALL),
        StepRequest("e", 0, np.full(SPEC.obs_dim, np.nan, "<f4").tobytes(), ALL),
        StepRequest("e", 0, np.full(SPEC.obs_dim, np.inf, "<f4").tobytes(), ALL),
    ],
    "available_actions": [
        request(0, avail=b""),
        request(0, avail=ALL[1:]),
        request(0, avail=ALL + b"\0"),
        request(0, avail=bytes(5)),
        request(0, avail=bytes([0, 1, 2, 0, 0])),
        request(0, avail=bytes([255, 1, 0, 0, 0])),
    ],
}


@pytest.mark.parametrize(("field", "bad"), [(key, bad) for key, many in BAD_INPUTS.items() for bad in many])
def test_bad_inputs_name_the_field_and_change_nothing(model: Model, field: str, bad: StepRequest) -> None:
    table = make_table(model)
    error = rejected(table, bad)
    assert (error.code, error.field) == ("INVALID_ARGUMENT", field)
    assert error.message.startswith(f"{field}: ")
    assert len(table) == 0
    table.act(request(0), 0.0)
    later = StepRequest(bad.episode_id, 1, bad.observation, bad.available_actions)
    assert rejected(table, later).field == field


def test_an_outcome_that_is_not_finite_is_refused() -> None:
    weights = random_weights(SPEC, seed=1)
    weights["fc2.weight"] = np.full_like(weights["fc2.weight"], 3e38)
    table = make_table(load_model_bytes(model_bytes(weights=weights), "test"))
    error = rejected(table, request(0))
    assert (error.code, error.field) == ("INVALID_ARGUMENT", "observation")
    assert len(table) == 0


class FailingJournal:
    """A journal that raises as often as it is told to, and otherwise keeps what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, Episode] = {}
        self.failures = 0

    def save(self, episode: Episode) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("no space left on device")
        self.kept[episode.episode_id] = episode

    def forget(self, episode_id: str) -> None:
        self.kept.pop(episode_id, None)


def test_a_step_that_cannot_be_kept_did_not_happen(model: Model) -> None:
    journal = FailingJournal()
    table = EpisodeTable(AgentPolicy(model, 1), max_episodes=4, idle_s=60.0, journal=journal)
    actions = []
    for step in range(6):
        journal.failures = 2
        for _ in range(2):
            with pytest.raises(OSError, match="no space"):
                table.act(request(step), 0.0)
        actions.append(table.act(request(step), 0.0).action)
    assert actions == in_process(model, 6)
    table.end("e")
    assert not journal.kept


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 0, 7])), max_size=40))
def test_whatever_is_delivered_in_whatever_order_memory_advances_once_per_step(
    asked: list[tuple[int, int]],
) -> None:
    """Random deliveries, repeated and foreign ones among them, against the plain sequence of steps."""
    model = MODELS.setdefault("m", load_model_bytes(model_bytes(), "test"))
    table = make_table(model)
    next_step = 0
    replies: dict[int, StepReply] = {}
    for step, seed in asked:
        try:
            reply = table.act(request(step, seed=seed), 0.0)
        except RequestError:
            assert not (step == next_step and seed == 0)
            continue
        if seed:
            # a foreign step was taken as the next one: that is another episode's history, so stop here
            assert step == next_step
            return
        if step == next_step:
            replies[step] = reply
            next_step += 1
        assert reply is replies[step]
        assert step == next_step - 1
    assert [replies[step].action for step in range(next_step)] == in_process(model, next_step)


MODELS: dict[str, Model] = {}
