"""What an agent is: Stable-Baselines3's `predict`, so that its models are agents as they are."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ram_env.validation import brief, require_probabilities


class LearningDivergedError(ValueError):
    """Weights or gradients are no longer numbers: a fault of the hyperparameters."""


class Agent(Protocol):
    """Anything that chooses actions for a batch of environments, remembering what it has seen."""

    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Returns a batch of actions, and the state to hand in with the next observations.

        Args:
            observation: A batch of observations, as a vector environment returns them.
            state: What the last call returned, to be left as it is, as others may be handed it,
                too; None before the first.
            episode_start: bool `(num_envs,)`, where an episode begins with this observation, so
                that what was seen before it must be forgotten. None: nowhere, or, with
                `state=None`, everywhere.
            deterministic: Whether to take the likeliest action instead of a sample.
        """


@runtime_checkable
class AgentWithProbabilities(Agent, Protocol):
    """An agent that can also say how likely it thinks each choice to be: an optional method.

    Evaluations then have a cross-entropy, animations bars of its belief, and the answers of several
    sampled episodes can be averaged (`ram evaluate --rollouts`).
    """

    def class_probabilities(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Returns the probability of each class, or move, after these observations too.

        Args:
            observation: What `predict` is called with, too, a batch.
            state: The same: what was remembered before these observations.
            episode_start: The same.

        Returns:
            Probabilities, `(num_envs, K)`.
        """


def ask(
    agent: Agent,
    observation: dict[str, NDArray[Any]],
    state: Any,
    episode_start: NDArray[np.bool_] | None,
    *,
    deterministic: bool,
) -> tuple[Any, Any]:
    """Returns what the agent's `predict` does, actions and state.

    Args:
        agent: Anybody's, so it may not be one.
        observation: See `Agent.predict`, as for the others.
        state: What was remembered.
        episode_start: Where an episode begins.
        deterministic: Whether to sample nothing.

    Raises:
        ValueError: It has no such method, or that returns something else.
    """
    if not callable(getattr(agent, "predict", None)):
        raise ValueError(
            f"agent={brief(agent)} has no method predict(observation, state, episode_start, "
            "deterministic), as agents/base.py describes it; give an object that has"
        )
    answer = agent.predict(observation, state, episode_start, deterministic=deterministic)
    if not isinstance(answer, tuple) or len(answer) != len(("actions", "state")):
        raise ValueError(
            f"predict must return (actions, state), that of {type(agent).__name__} returned "
            f"{brief(answer)}; return None as the state where there is nothing to remember"
        )
    return answer


def ask_probabilities(
    agent: AgentWithProbabilities,
    observation: dict[str, NDArray[Any]],
    state: Any,
    episode_start: NDArray[np.bool_],
    num_choices: int,
) -> NDArray[np.float64]:
    """Returns what the agent's `class_probabilities` does, `(num_envs, num_choices)`.

    Args:
        agent: Anybody's.
        observation: See `Agent.predict`, as for the others.
        state: What was remembered.
        episode_start: Where an episode begins.
        num_choices: Of how many classes, or moves.

    Raises:
        ValueError: What it returns are no such probabilities.
    """
    probabilities = agent.class_probabilities(observation, state, episode_start)
    shape = (len(episode_start), num_choices)
    return require_probabilities("class_probabilities", probabilities, shape)
