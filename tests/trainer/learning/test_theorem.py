"""Theorem 4.1 of the LAN paper on small Dec-POMDPs that are enumerated exactly, no sampling anywhere."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
import torch

from tests.trainer.support.dec_pomdp import (
    ALL_ACTIONS,
    GAMMA,
    N_ACTIONS,
    N_AGENTS,
    Actions,
    History,
    Joint,
    all_local_q,
    make_central_value,
    make_problem,
    occupancy,
)
from trainer.learning.lan import lan_loss


@pytest.mark.parametrize("seed", range(2))
def test_the_proxy_is_the_local_q_in_expectation_over_the_others_histories(seed: int) -> None:
    """Theorem 4.1: E[Q~_a(s, tau, u_a) | tau_a] = Q_a(tau_a, u_a).

    Derivation. Fix the policies pi of all agents. Agent a alone faces a POMDP in which the others belong to
    the world; its hidden part is (s, tau_-a), and P(s, tau_-a | tau_a) does not depend on the action that
    follows, as agents act independently given their histories. There

        Q_a(tau_a, u_a) = E[ sum_k gamma^k r_{t+k} | tau_a, u_a ],
        V_a(tau_a) = sum_u pi_a(u | tau_a) Q_a(tau_a, u),
        A_a(tau_a, u_a) = Q_a(tau_a, u_a) - V_a(tau_a),

    while V(s, tau) = E[ sum_k gamma^k r_{t+k} | s, tau ] conditions on more. By the law of total expectation
    E[ V(s, tau) | tau_a ] = V_a(tau_a). With Q~_a(s, tau, u_a) = V(s, tau) + A_a(tau_a, u_a) (Eq. 1), and A_a
    a function of tau_a and u_a only,

        E[ Q~_a | tau_a ] = V_a(tau_a) + A_a(tau_a, u_a) = Q_a(tau_a, u_a).

    Here the two sides come from computations that share nothing but the problem: V backward over joint
    histories and averaged by probabilities accumulated forward; Q_a backward over one agent's histories
    with filtered beliefs. A single Q~ differs from Q_a, or nothing would be shown.
    """
    problem = make_problem(seed, horizon=3)
    central_value = make_central_value(problem)
    steps = occupancy(problem)
    largest_spread = 0.0
    for agent in range(N_AGENTS):
        q_local = all_local_q(problem, agent, best=False)
        sums: dict[History, np.ndarray] = defaultdict(lambda: np.zeros(N_ACTIONS))
        mass: dict[History, float] = defaultdict(float)
        for joint, p in (item for step in steps for item in step.items()):
            own = joint[1 + agent]
            advantage = q_local[own] - problem.policy(agent, own) @ q_local[own]
            q_proxy = central_value(joint) + advantage
            sums[own] += p * q_proxy
            mass[own] += p
            largest_spread = max(largest_spread, float(np.abs(q_proxy - q_local[own]).max()))
        assert set(sums) == set(q_local)
        for own, total in sums.items():
            np.testing.assert_allclose(total / mass[own], q_local[own], rtol=0, atol=1e-9)
    assert largest_spread > 0.1


@pytest.mark.parametrize("seed", range(2))
def test_where_lans_loss_is_stationary_the_proxy_expects_the_best_response(seed: int) -> None:
    """What training converges to, on data of fixed policies, is the theorem's claim about best responses.

    Derivation. The loss is E[ sum_a (V(s, tau) + A_a(tau_a, u_a) - y_a)^2 ]. Its derivative with respect to
    the one number A_a(tau_a, u_a) vanishes only if E[ Q~_a | tau_a, u_a ] = E[ y_a | tau_a, u_a ], whatever V
    is. With q_a(tau_a, u_a) = E[ Q~_a | tau_a, u_a ], where u_a tells nothing more about (s, tau_-a), and
    u* = argmax A_a(tau'_a, .) = argmax q_a(tau'_a, .),

        q_a(tau_a, u_a) = E[ r + gamma Q~_a(s', tau', u*) | tau_a, u_a ]
                        = E[ r | tau_a, u_a ] + gamma E[ max_u q_a(tau'_a, u) | tau_a, u_a ],

    which is the Bellman equation of the best response to the others' policies. So tables V and A are solved
    for step by step from the end, `trainer.learning.lan.lan_loss` is shown to be stationary there, and q_a is
    compared with the best response computed over agent a's histories alone.
    """
    problem = make_problem(seed, horizon=2)
    value: dict[Joint, float] = {}
    advantage: list[dict[History, np.ndarray]] = [{}, {}]

    def proxy_ahead(joint: Joint, actions: Actions, agent: int) -> float:
        """Expectation of Q~_a at the next step's greedy action; 0 at the end."""
        if problem.is_last(joint[1]):
            return 0.0
        return sum(
            p * (value[after] + advantage[agent][after[1 + agent]].max())
            for p, after in problem.successors(joint, actions)
        )

    for step in reversed(occupancy(problem)):
        solve_step(problem, step, proxy_ahead, value, advantage)

    assert_stationary(problem, value, advantage, proxy_ahead)
    for agent in range(N_AGENTS):
        best_response = all_local_q(problem, agent, best=True)
        sums: dict[History, np.ndarray] = defaultdict(lambda: np.zeros(N_ACTIONS))
        mass: dict[History, float] = defaultdict(float)
        for joint, p in (item for step in occupancy(problem) for item in step.items()):
            own = joint[1 + agent]
            sums[own] += p * (value[joint] + advantage[agent][own])
            mass[own] += p
        for own, total in sums.items():
            np.testing.assert_allclose(total / mass[own], best_response[own], rtol=0, atol=1e-7)


def solve_step(problem, step, proxy_ahead, value, advantage) -> None:  # type: ignore[no-untyped-def]
    """Fill in V and A of one step: weighted least squares on what follows, which is solved already."""
    joints = list(step)
    entries = [
        (agent, own, u)
        for agent in range(N_AGENTS)
        for own in sorted({joint[1 + agent] for joint in joints})
        for u in range(N_ACTIONS)
    ]
    column = {entry: len(joints) + i for i, entry in enumerate(entries)}
    rows, targets = [], []
    for i, joint in enumerate(joints):
        for actions, agent in product(ALL_ACTIONS, range(N_AGENTS)):
            weight = np.sqrt(step[joint] * problem.acts(joint, actions))
            row = np.zeros(len(joints) + len(entries))
            row[[i, column[agent, joint[1 + agent], actions[agent]]]] = weight
            rows.append(row)
            y = problem.reward[(joint[0], *actions)] + GAMMA * proxy_ahead(joint, actions, agent)
            targets.append(weight * y)
    solution = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
    value.update(zip(joints, solution, strict=False))
    for agent, own, u in entries:
        advantage[agent].setdefault(own, np.zeros(N_ACTIONS))[u] = solution[column[agent, own, u]]


def assert_stationary(problem, value, advantage, proxy_ahead) -> None:  # type: ignore[no-untyped-def]
    """The gradient of the trainer's loss with respect to every entry of the tables is zero.

    The loss is homogeneous: rows scaled by the root of their probability weigh by their probability.
    """
    index = {joint: i for i, joint in enumerate(value)}
    table_v = torch.tensor([value[joint] for joint in index], dtype=torch.float64, requires_grad=True)
    own_index = [{own: i for i, own in enumerate(table)} for table in advantage]
    tables_a = [
        torch.tensor(np.array(list(table.values())), dtype=torch.float64, requires_grad=True)
        for table in advantage
    ]
    q_proxy, weights, rewards, ends, q_next = [], [], [], [], []
    for joint, p in (item for step in occupancy(problem) for item in step.items()):
        for actions in ALL_ACTIONS:
            q_proxy.append(
                torch.stack(
                    [
                        table_v[index[joint]] + tables_a[a][own_index[a][joint[1 + a]], actions[a]]
                        for a in range(N_AGENTS)
                    ]
                )
            )
            weights.append(np.sqrt(p * problem.acts(joint, actions)))
            rewards.append(problem.reward[(joint[0], *actions)])
            ends.append(float(problem.is_last(joint[1])))
            q_next.append([proxy_ahead(joint, actions, a) for a in range(N_AGENTS)])
    weight = torch.tensor(np.array(weights) * np.sqrt(len(weights)), dtype=torch.float64)
    goes_on = 1 - torch.tensor(ends, dtype=torch.float64)[:, None]
    y = torch.tensor(np.array(rewards))[:, None] + GAMMA * goes_on * torch.tensor(q_next, dtype=torch.float64)
    loss = lan_loss(weight[:, None] * torch.stack(q_proxy), weight[:, None] * y)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() > 1e-4, "V + A fits every target: then the expectation would show nothing"
    for table in (table_v, *tables_a):
        assert table.grad is not None
        assert table.grad.abs().max().item() < 1e-10
