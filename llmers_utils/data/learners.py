"""A seeded simulator of learners who practise concepts along a graph of prerequisites.

The logs are synthetic and follow the graph by construction. What is learned on them says how a
method works, not how children learn.
"""

from __future__ import annotations

import numpy as np
import polars as pl

THREAD = 2.0  # how much likelier a learner goes on with what builds on the last concept (logit)
STEP_BACK = 0.2  # chance to go back to a prerequisite after a wrong answer
INTEREST = 1.0  # how far interests in areas differ between learners (sd of a logit)
RIGHT = {"mastered": 0.9, "new": 0.35}  # chance of a right answer


def simulate_learners(
    before: np.ndarray,
    areas: np.ndarray,
    *,
    learners: int,
    repetition: float,
    attempts: tuple[int, int] = (6, 18),
    seed: int = 0,
) -> pl.DataFrame:
    """Draw one log of attempts.

    A learner masters a concept with a chance of their own at each attempt, and only meets a
    concept whose prerequisites they master. Among these the choice follows their interest in areas
    and, more strongly, what builds on the last concept; after a wrong answer they may step back to
    a prerequisite. They begin at a stage of their own, with all that lies below it mastered, and
    stop early when nothing is left. The last C of at least C learners begin at one concept each, so
    that every concept is practised.

    Args:
        before: (C, C) bool; [i, j] is true where concept i is a prerequisite of j; no cycles.
        areas: (C,) whole numbers from 0.
        learners: how many.
        repetition: chance that the next attempt stays at the concept, from 0 to below 1.
        attempts: least and greatest length of a log.
        seed: two equal ones draw the same log.

    Returns:
        user:Int64, concept:Int64, step:Int64 (from 0), correct:Int64 (0 or 1), sorted by user and
        step.

    Raises:
        ValueError: a repetition out of range, or a graph with a cycle.
    """
    if not 0 <= repetition < 1:
        raise ValueError(f"repetition={repetition!r}: allowed are numbers from 0 to below 1")
    rng = np.random.default_rng(seed)
    depth = depths(before)
    everyone = np.arange(learners)
    speed = rng.uniform(0.3, 0.7, learners)
    interest = rng.normal(0, INTEREST, (learners, areas.max() + 1))[:, areas]  # (L, C)
    length = rng.integers(attempts[0], attempts[1] + 1, learners)
    mastered = _stages(before, depth, rng.uniform(-0.5, 0.8 * depth.max(), learners), rng)
    current = _choose(_ready(mastered, before), interest, rng)
    if learners >= len(before):
        mastered[-len(before) :] = _needed(before).T
        current[-len(before) :] = np.arange(len(before))
    active, rows = current >= 0, []
    for step in range(attempts[1]):
        active &= step < length
        known = mastered[everyone, current]
        right = rng.random(learners) < np.where(known, RIGHT["mastered"], RIGHT["new"])
        rows.append(np.stack([everyone, current, np.full(learners, step), right])[:, active])
        mastered[everyone, current] |= rng.random(learners) < speed
        stays = rng.random(learners) < repetition
        ready = _ready(mastered, before)
        ready[everyone, current] = False
        forward = _choose(ready, interest + THREAD * before[current], rng)
        back = _choose(before.T[current], np.zeros_like(interest), rng)
        steps_back = ~right & (rng.random(learners) < STEP_BACK) & (back >= 0)
        moved = np.where(steps_back, back, forward)
        active &= stays | (moved >= 0)
        current = np.where(stays, current, np.maximum(moved, 0))
    table = np.concatenate(rows, axis=1)
    frame = pl.DataFrame(dict(zip(("user", "concept", "step", "correct"), table, strict=True)))
    return frame.sort("user", "step")


def depths(before: np.ndarray) -> np.ndarray:
    """Length of the longest path that leads to each concept, (C,).

    Raises:
        ValueError: the graph has a cycle.
    """
    depth = np.zeros(len(before), dtype=np.int64)
    for _ in range(len(before)):
        deeper = np.where(before, depth[:, None] + 1, 0).max(0, initial=0)
        if (deeper == depth).all():
            return depth
        depth = deeper
    raise ValueError("the graph of prerequisites has a cycle")


def _stages(
    before: np.ndarray, depth: np.ndarray, stage: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What each learner masters at the start, (L, C): never without its prerequisites."""
    mastered = depth + rng.normal(0, 1, (len(stage), len(depth))) < stage[:, None]
    for concept in np.argsort(depth, kind="stable"):
        mastered[:, concept] &= mastered[:, before[:, concept]].all(1)
    return mastered


def _needed(before: np.ndarray) -> np.ndarray:
    """Direct and indirect prerequisites, (C, C): [i, j] is true where j cannot be without i."""
    needed = before.copy()
    for middle in range(len(before)):
        needed |= np.outer(needed[:, middle], needed[middle])
    return needed


def _ready(mastered: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Concepts that are not mastered but whose prerequisites are, (L, C)."""
    missing = ~mastered
    return missing & ~(missing.astype(np.float32) @ before.astype(np.float32) > 0)


def _choose(allowed: np.ndarray, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one allowed concept a learner by softmax of the logits, (L,); -1 where there is none."""
    scores = np.where(allowed, logits + rng.gumbel(size=logits.shape), -np.inf)
    return np.where(allowed.any(1), scores.argmax(1), -1)
