from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agents.reinforce import Reinforce
from experiments import speed
from experiments.speed import TimedEnv
from ram_env import GlimpseEnv, GlimpseVectorEnv


def test_ours_stands_beside_peers_and_the_limit() -> None:
    row = "28x28, 8x8, 1 scale: 256 envs"
    rates = {(row, "native"): 3e6, (row, "SyncVectorEnv"): 3e4, (row, "copy"): 6e7}
    *_, line = speed.environment_table({**rates, (row, "ap-gym"): 1.5e4}).splitlines()
    assert line == f"| {row} | 3,000,000 | 30,000 | 15,000 | 100.0 | 200.0 | 0.050 |"
    *_, line = speed.environment_table(rates).splitlines()
    assert line == f"| {row} | 3,000,000 | 30,000 |  | 100.0 |  | 0.050 |"


def test_training_stands_beside_its_limit() -> None:
    rates = {("t", "images/s"): 2e4, ("t", "limit"): 4e4, ("t", "environment"): 0.125}
    table = speed.learning_table({**rates, ("evaluation", "images/s"): 5e4})
    assert table.splitlines()[2:] == [
        "| t | 20,000 | 40,000 | 0.50 | 12% |",
        "| evaluation | 50,000 |  |  |  |",
    ]


def test_our_adapter_stands_beside_sb3s_own_batching() -> None:
    table = speed.sb3_table({("steps", "SB3VecEnv"): 3e5, ("steps", "DummyVecEnv"): 1.2e4})
    assert table.splitlines()[-1] == "| steps | 300,000 | 12,000 | 25.0 |"


@pytest.mark.parametrize("num_envs", [1, 5])
def test_a_run_of_steps_is_whole_episodes_with_their_resets(num_envs: int) -> None:
    for env in (
        GlimpseVectorEnv(num_envs=num_envs),
        SyncVectorEnv([lambda: GlimpseEnv(num_glimpses=6)] * num_envs),
    ):
        ends = []
        step = env.step
        env.step = lambda actions, step=step, ends=ends: ends.append(step(actions)) or ends[-1]
        task = speed.stepping(env, num_steps=7)
        task.run()
        task.run()
        assert task.amount == 7 * num_envs
        terminated = [bool(terminations.all()) for _, _, terminations, _, _ in ends]
        assert terminated == ([False] * 5 + [True, False]) * 2


def test_the_limit_multiplies_what_an_update_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    env = GlimpseVectorEnv(num_envs=4, autoreset_mode=AutoresetMode.DISABLED)
    agent = Reinforce(
        env,
        glimpse_hidden_size=3,
        location_hidden_size=5,
        image_hidden_size=7,
        hidden_size=11,
    )
    products = []
    monkeypatch.setattr(
        "torch.mm", lambda left, right: products.append((*left.shape, right.shape[1]))
    )
    task = speed.multiplying(agent, batch_size=4)
    task.run()
    assert task.amount == 4
    # Weights: 64x3 what, 2x5 where, 8x7 output, 18x11 core; the first two need no input gradient.
    multiplications = 4 * (2 * 64 * 3 + 2 * 2 * 5 + 3 * 8 * 7 + 3 * 18 * 11)
    assert sum(m * k * n for m, k, n in products) == 6 * multiplications


def test_a_timed_environment_knows_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    inner = GlimpseVectorEnv(num_envs=2)
    reset, step = inner.reset, inner.step

    def slowly(call, seconds):
        def run(*arguments, **options):
            clock[0] += seconds
            return call(*arguments, **options)

        return run

    inner.reset, inner.step = slowly(reset, 1.0), slowly(step, 0.5)
    env = TimedEnv(inner)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.step(env.action_space.sample())
    env.seconds = 8.0
    assert env.share == (1.0 + 2 * 0.5) / 8.0


def test_the_peer_is_told_what_to_do_line_by_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    fake = tmp_path / "python"  # stands in for the interpreter that has ap-gym
    fake.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "for line in sys.stdin:\n"
        f"    open({str(log)!r}, 'a').write(line)\n"
        "    print('done', flush=True)\n"
    )
    fake.chmod(0o755)
    with speed.ap_gym(fake) as peer:
        tasks = speed.peer_tasks(peer)
        for task in tasks.values():
            task.run()
    assert log.read_text().splitlines() == ["0 7", "1 7", "16 7", "256 7", "1024 7"]
    assert [task.amount for task in tasks.values()] == [7, 7, 7 * 16, 7 * 256, 7 * 1024]
    assert {column for _, column in tasks} == {"ap-gym"}


def test_a_peer_that_dies_is_told_of(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nread line\n")
    fake.chmod(0o755)
    with speed.ap_gym(fake) as peer:
        task, *_ = speed.peer_tasks(peer).values()
        with pytest.raises(ValueError, match="ap-gym ended"):
            task.run()
