from __future__ import annotations

from agents.seeds import learning_seeds


def test_equal_agents_have_equal_seeds() -> None:
    assert learning_seeds(3, 120) == learning_seeds(3, 120)


def test_environments_share_no_seed_with_those_of_another_seed_or_a_later_time() -> None:
    num_envs = 512
    seen: set[int] = set()
    for seed, timesteps in ((0, 0), (1, 0), (2, 0), (0, 12), (0, 24)):
        first = learning_seeds(seed, timesteps).env
        assert first + num_envs < 2**32  # as Gymnasium's seeds have to be
        assert seen.isdisjoint(range(first, first + num_envs))
        seen.update(range(first, first + num_envs))
