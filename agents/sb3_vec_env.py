"""SB3's view of our vector environments: its algorithms step all sub-environments at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from ram_env.vector_env import TaskVectorEnv

Observations = dict[str, NDArray[np.float32]]
Infos = list[dict[str, Any]]

FINAL = ("final_obs", "final_info")  # what infos have of episodes that have just ended
# What an attribute of one environment is called in many, and what there is one of for each.
SINGLE = {"action_space": "single_action_space", "observation_space": "single_observation_space"}
ONE_EACH = ("np_random", "np_random_seed", "belief")


class SB3VecEnv(VecEnv):
    """Does what SB3's `DummyVecEnv` over single environments does, number by number, but faster.

    (With `order="sequential"` the items are dealt out to all, and not to each from the first on.)

    For episode returns in SB3's logs, wrap it in SB3's `VecMonitor`.

    Args:
        env: The environments, in the same-step autoreset mode, with `action_format`
            `"multi_discrete"` or `"discrete"`: SB3 knows no dict actions.

    Raises:
        ValueError: It is another vector environment, or not of that kind.

    Example:
        >>> from sb3_contrib import RecurrentPPO
        >>> from ram_env import GlimpseVectorEnv
        >>> env = GlimpseVectorEnv(num_envs=64, action_format="discrete", autoreset_mode="SameStep")
        >>> model = RecurrentPPO("MultiInputLstmPolicy", SB3VecEnv(env), n_steps=12)
    """

    def __init__(self, env: TaskVectorEnv) -> None:
        if not isinstance(env, TaskVectorEnv):
            raise ValueError(
                f"{type(env).__name__} is no vector environment of ram_env; give what "
                "gym.make_vec('ram_env/...') returns, without wrappers, or SB3's DummyVecEnv the "
                "single environments"
            )
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"autoreset_mode={env.autoreset_mode.value!r}: SB3 needs 'SameStep', in which the "
                "step that ends an episode returns the next one's first observation"
            )
        if isinstance(env.single_action_space, gym.spaces.Dict):
            raise ValueError(
                "action_format='dict': SB3 knows no dict actions; make the environments with "
                "action_format='multi_discrete' or 'discrete'"
            )
        self.env = env
        self._actions: NDArray[np.int64] | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = env.metadata  # which SB3 takes a video's frames per second from

    def reset(self) -> Observations:
        """Starts all episodes anew, with the seeds and options that were set before, once."""
        try:
            observations, infos = self.env.reset(
                seed=list(self._seeds),
                options={"index": self._index_of_each()} if any(self._options) else None,
            )
        finally:
            self._reset_seeds()
            self._reset_options()
        self.reset_infos = self._as_rows(infos, range(self.num_envs))
        return observations

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Takes the actions of the step that `step_wait` makes."""
        self._actions = actions

    def step_wait(self) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], Infos]:
        """Steps all sub-environments; those that end start again."""
        observations, rewards, terminated, truncated, infos = self.env.step(self._actions)
        dones = terminated | truncated
        return observations, rewards.astype(np.float32), dones, self._infos_of_each(infos, dones)

    def _infos_of_each(self, infos: dict[str, Any], dones: NDArray[np.bool_]) -> Infos:
        """Returns a dict for each sub-environment, as its own `step` would have returned it."""
        each = self._as_rows(infos, range(self.num_envs))
        done = np.flatnonzero(dones).tolist()
        for row in done:
            self.reset_infos[row] = dict(each[row])
        if done:
            for row, final in zip(done, self._as_rows(infos["final_info"], done), strict=True):
                each[row] |= {**final, "terminal_observation": infos["final_obs"][row]}
        for info in each:
            info["TimeLimit.truncated"] = False
        return each

    def _as_rows(self, infos: dict[str, Any], rows: Iterable[int]) -> Infos:
        """Returns the infos of some sub-environments, a dict of plain numbers for each."""
        columns = {
            name: values.tolist()
            for name, values in infos.items()
            if name not in FINAL and not name.startswith("_")
        }
        return [{name: column[row] for name, column in columns.items()} for row in rows]

    def _index_of_each(self) -> NDArray[np.int64]:
        """Returns the items that `set_options` asked for."""
        if any(set(options) != {"index"} for options in self._options):
            raise ValueError(f"options={self._options!r}: give each sub-environment an 'index'")
        return np.array([options["index"] for options in self._options])

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Returns a frame of each sub-environment; None without `render_mode="rgb_array"`."""
        frames = self.env.render() if self.render_mode == "rgb_array" else None
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute of each environment: its own, or one that all of them share."""
        rows = self._get_indices(indices)
        value = getattr(self.env, SINGLE.get(attr_name, attr_name))
        return [value[row] if attr_name in ONE_EACH else value for row in rows]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of all environments; a ValueError if it is to be that of a few."""
        self._require_all(indices, f"set_attr({attr_name!r})")
        if attr_name in ONE_EACH:
            value = [value] * self.num_envs
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method of the environments once, for all; each gets the result, or its frame."""
        self._require_all(indices, f"env_method({method_name!r})")
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        if method_name == "render" and result is not None:
            return list(result)
        return [result] * self.num_envs

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """Returns False for each: there are no wrappers between."""
        return [False for _ in self._get_indices(indices)]

    def _require_all(self, indices: Iterable[int] | int | None, call: str) -> None:
        if list(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError(f"{call} with indices={indices!r}: the sub-environments are one")
