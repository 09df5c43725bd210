"""Records grow with every battle; a disk that refuses is asked again, and the battles go on."""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.map_command import main as lan_map
from runtime.host.flags import PlayConfig, resolve
from runtime.host.game import EpisodeResult
from runtime.host.records import ActionsRecord, PageRecord
from runtime.host.screen import Expendable
from tests.paths import ROOT
from tests.runtime.support.fake_agent import FakeAgent, fake_team
from tests.runtime.support.tag_env import TagEnv
from tests.runtime.support.tag_play import play_tag


def result(episode: int) -> EpisodeResult:
    return EpisodeResult(episode, True, 1.0, 2, 0, [1.0, 1.0], np.zeros((2, 3), np.int64))


def test_every_battle_is_on_disk_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text("an older record\n")
    record = ActionsRecord(path)
    assert path.read_text() == "an older record\n", "nothing was played yet"
    for episode in range(3):
        record.note(result(episode))
        assert [json.loads(line)["episode"] for line in path.read_text().splitlines()] == [
            *range(episode + 1)
        ]
    record.close()
    record.close()


def test_a_disk_that_refuses_for_a_while_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gone" / "record.jsonl"
    record = ActionsRecord(path)
    record.note(result(0))
    record.note(result(1))
    assert caplog.text.count("cannot write") == 1
    path.parent.mkdir()
    record.note(result(2))
    record.close()
    assert [json.loads(line)["episode"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_a_disk_that_refuses_to_the_end_is_an_error() -> None:
    record = ActionsRecord(Path("/dev/full"))
    record.note(result(0))
    with pytest.raises(InputError, match="cannot write /dev/full: No space left on device"):
        record.close()


def test_half_a_line_is_completed_by_the_next_try(tmp_path: Path) -> None:
    """As on a disk that takes the first bytes only."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while select.select([], [writer], [], 0)[1]:
        os.write(writer, b"x" * 4096)
    os.read(reader, 4096)  # room for a page
    record = ActionsRecord(Path(f"/proc/self/fd/{writer}"))
    record._descriptor = writer
    many = EpisodeResult(0, True, 1.0, 2, 0, [], np.zeros((2_000, 3), np.int64))
    record.note(many)
    text = b""
    for _ in range(100):
        text += os.read(reader, 65_536)
        record.note(result(1))
        if not record._unsaved:
            break
    record.close()
    os.set_blocking(reader, False)
    text += os.read(reader, 65_536)
    os.close(reader)
    lines = text.lstrip(b"x").decode().splitlines()
    assert json.loads(lines[0])["episode"] == 0
    assert all(json.loads(line)["episode"] == 1 for line in lines[1:])


def test_a_page_is_written_after_each_of_the_first_battles(tmp_path: Path) -> None:
    from envs.conformance import random_actions
    from envs.make import make_env

    rng = np.random.default_rng(1)
    path = tmp_path / "page.html"
    with make_env("3m", "sim") as env:
        record = PageRecord(path, env)
        for episode in range(6):
            step = env.reset()
            record.begin(step)
            while not step.done[0]:
                actions = random_actions(step, rng)
                step = env.step(actions)
                record.step(step, actions, np.full((1, 3, env.spec.n_actions), np.nan, np.float32))
            record.note(result(episode))
            data = json.loads(path.read_text().partition('id="data">')[2].partition("</script>")[0])
            assert len(data["battles"]) == min(episode + 1, 4)
        record.close()
        early = PageRecord(tmp_path / "early.html", env)
        early.begin(env.reset())
        early.close()  # a battle that was interrupted at once
    assert "running" in (tmp_path / "early.html").read_text()


def test_an_environment_that_shows_no_units_makes_no_page(tmp_path: Path) -> None:
    env = TagEnv()
    with pytest.raises(InputError, match="only battles on SMAC's maps, on the simulator"):
        PageRecord(tmp_path / "x.html", env).begin(env.reset())


@pytest.mark.parametrize(
    ("map_name", "record", "says"),
    [
        (
            "spread:3",
            "x.html",
            "a page shows battles on SMAC's maps only; spread:3's actions can be recorded",
        ),
        ("checkers", "x.html", "x.jsonl"),
        ("3m", "nowhere/x.jsonl", "there is no directory"),
        ("3m", ".", "is a directory"),
        ("3m", "pipe", "is no regular file"),
    ],
)
def test_a_record_that_cannot_be_is_refused_before_anything_is_played(
    map_name: str, record: str, says: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    config = PlayConfig(map=map_name, agents="127.0.0.1:1", record=tmp_path / record, env="sim")
    with pytest.raises(InputError, match="--record") as caught:
        resolve(config)
    assert says in str(caught.value)


@pytest.mark.parametrize(("content", "is_replaced"), [
    (None, True), (b"", True), (b'{"episode": 0, "won": true', True),
    (b"precious", False), (b'{"name": "small"}', False), (b"{", False),
])  # fmt: skip
@pytest.mark.parametrize("is_link", [False, True])
def test_a_record_replaces_a_record_and_nothing_else(
    content: bytes | None, is_replaced: bool, is_link: bool, tmp_path: Path
) -> None:
    path = file = tmp_path / "notes.md"
    if content is not None:
        file.write_bytes(content)
    if is_link:
        path = tmp_path / "link"
        path.symlink_to(file)
    config = PlayConfig(map="3m", agents="127.0.0.1:1", insecure=True, record=path, env="sim")
    if is_replaced:
        assert resolve(config).config.record == path
        return
    with pytest.raises(InputError, match="exists and holds no actions of battles; name another file"):
        resolve(config)
    assert file.read_bytes() == content


def test_a_record_is_not_written_over_a_model(tmp_path: Path) -> None:
    model = tmp_path / "3m.onnx"
    model.write_bytes((ROOT / "zoo" / "3m.onnx").read_bytes())
    for config in (
        PlayConfig(map="3m", model=model, record=model, env="sim"),
        PlayConfig(map="3m", model=ROOT / "zoo" / "3m.onnx", opponent=str(model), record=model, env="sim"),
    ):
        with pytest.raises(InputError, match=r"--record .*3m\.onnx is --(model|opponent) too"):
            resolve(config)


def test_a_record_is_not_written_over_a_map(tmp_path: Path) -> None:
    own_map = tmp_path / "small.json"
    assert lan_map(["new", "2 marines against 1 zealot", "--out", str(own_map)]) == 0
    with pytest.raises(InputError, match=r"--record .*small\.json is --map too"):
        resolve(PlayConfig(map=str(own_map), agents="127.0.0.1:1", record=own_map, env="sim"))


def test_a_flag_that_is_given_empty_is_not_taken_for_none() -> None:
    with pytest.raises(InputError, match="one of them is empty"):
        resolve(PlayConfig(map="3m", agents="127.0.0.1:1", tls_cert="", tls_key="", tls_ca=""))
    with pytest.raises(InputError, match="--tls-cert is for --agents"):
        resolve(PlayConfig(map="3m", model=ROOT / "zoo" / "3m.onnx", tls_cert=""))


FULL_DISK = ("bash", "-c", 'ulimit -f 0; exec "$@"', "bash")
"""No file can grow."""


@pytest.mark.asyncio
async def test_a_record_that_the_disk_refuses_is_not_said_to_be_written(tmp_path: Path) -> None:
    record = tmp_path / "battles.jsonl"
    for before in (FULL_DISK, ()):
        async with fake_team(FakeAgent(0), FakeAgent(1), FakeAgent(2)) as addresses:
            ended = await play_tag("--agents", addresses, "--episodes", 2, "--record", record, before=before)
        assert json.loads(ended.out)["episodes"] == 2  # what was played is reported all the same
        assert (ended.code, f"recorded in {record}" in ended.err) == ((2, False) if before else (0, True))
        assert (f"error: cannot write {record}" in ended.err) == bool(before)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_would_be_another_one_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match="--seed"):
        resolve(PlayConfig(map="3m", agents="127.0.0.1:1", env="sim", seed=seed))


def test_port_0_is_no_address_of_an_agent() -> None:
    with pytest.raises(InputError, match="port 0"):
        resolve(PlayConfig(map="3m", agents="127.0.0.1:0", env="sim"))


def test_what_a_console_does_not_take_is_left_out_at_once() -> None:
    reader, writer = os.pipe()
    start_s = time.monotonic()
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "w") as stream:
        screen = Expendable(stream)
        for _ in range(10_000):
            screen.write("some words\n")
        os.read(reader, 1 << 20)
        screen.write("again\n")
        assert os.read(reader, 1 << 20).endswith(b"again\n")
        os.close(reader)
        screen.write("nobody reads\n")
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:
        Expendable(full).write("a full disk\n")
    Expendable(None).write("no console\n")
    assert not Expendable(None).isatty()
    assert time.monotonic() - start_s < 10.0
