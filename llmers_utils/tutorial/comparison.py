"""The arms of a notebook side by side: the same seeds, paired differences, Holm over the family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from llmers_utils.tutorial.settings import seed_everything

if TYPE_CHECKING:
    from llmers_utils.recommenders import Difference, Evaluation

ROLES = ("backbone", "metadata", "llm", "shuffled", "ablation")
# A global measure is compared through its per-user counterpart.
PER_USER = {"GAUC": "AUC"}


@dataclass(frozen=True)
class Trained:
    """One arm after training with one seed.

    ``seconds`` is the time of training, ``embedding_bytes`` the size of the text vectors that
    serving has to store, ``parameters`` the number of trainable ones.
    """

    evaluation: Evaluation
    parameters: int
    seconds: float
    embedding_bytes: int = 0


def compare(
    arms: Mapping[str, Callable[[int], Trained]],
    *,
    seeds: Sequence[int],
    metric: str,
    reference: str,
    roles: Mapping[str, str],
    lower_is_better: Iterable[str] = (),
) -> Comparison:
    """Train and evaluate every arm with every seed.

    `arms` maps a name to a function of a seed. All generators are seeded anew before each call,
    so that an arm's result does not depend on which arms ran before it. `metric` is the one that
    the notebook judges by, `reference` the arm that others are compared with (the backbone),
    `roles` the role (`ROLES`) of each arm. Raises ValueError where these do not fit together, or
    where the arms were evaluated on different users or under different protocols.
    """
    _check_names(arms, seeds, reference, roles)
    results: dict[str, list[Trained]] = {name: [] for name in arms}
    for seed in seeds:
        for name, train in arms.items():
            seed_everything(seed)
            trained = train(seed)
            if not isinstance(trained, Trained):
                raise TypeError(f"arm {name!r} must return Trained, not {type(trained).__name__}")
            results[name].append(trained)
    comparison = Comparison(
        {name: tuple(runs) for name, runs in results.items()},
        tuple(seeds),
        metric,
        reference,
        dict(roles),
        tuple(lower_is_better),
    )
    comparison.check()
    return comparison


def _check_names(
    arms: Mapping[str, object], seeds: Sequence[int], reference: str, roles: Mapping[str, str]
) -> None:
    if not seeds:
        raise ValueError("seeds: must hold at least one")
    if reference not in arms:
        raise ValueError(f"reference {reference!r}: must be one of {', '.join(arms)}")
    if set(roles) != set(arms):
        raise ValueError(f"roles: must name exactly the arms {', '.join(arms)}; got {dict(roles)}")
    for name, role in roles.items():
        if role not in ROLES:
            raise ValueError(f"roles: {name!r} is {role!r}, must be one of {', '.join(ROLES)}")
    for role in ROLES[:-1]:
        holders = [name for name, given in roles.items() if given == role]
        if len(holders) > 1:
            raise ValueError(f"roles: only one arm can be {role!r}, not {' and '.join(holders)}")


@dataclass(frozen=True)
class Comparison:
    """Results of `compare`: for each arm one `Trained` a seed."""

    arms: dict[str, tuple[Trained, ...]]
    seeds: tuple[int, ...]
    metric: str
    reference: str
    roles: dict[str, str]
    lower_is_better: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise ValueError unless the arms can be compared user by user."""
        first = self.arms[self.reference][0].evaluation
        if self.metric not in first.metrics:
            raise ValueError(f"metric {self.metric!r}: must be one of {', '.join(first.metrics)}")
        for name, runs in self.arms.items():
            for run in runs:
                if run.evaluation.protocol != first.protocol:
                    raise ValueError(
                        f"arm {name!r}: protocol {run.evaluation.protocol!r}, "
                        f"but {self.reference!r} has {first.protocol!r}"
                    )
                if not np.array_equal(run.evaluation.users, first.users):
                    raise ValueError(f"arm {name!r}: other users than {self.reference!r}")

    def arm_of(self, role: str) -> str | None:
        """Name of the arm with this role, or None."""
        return next((name for name, given in self.roles.items() if given == role), None)

    def sign(self, metric: str | None = None) -> int:
        """1 where a greater value of the metric is better, else -1."""
        return -1 if (metric or self.metric) in self.lower_is_better else 1

    def values(self, arm: str, metric: str | None = None) -> np.ndarray:
        """The metric for each seed, shape (seeds,)."""
        metric = metric or self.metric
        return np.array([run.evaluation.metrics[metric] for run in self.arms[arm]])

    def per_user(self, arm: str, metric: str | None = None) -> np.ndarray:
        """The metric for each user, averaged over seeds, shape (users,); nan where undefined."""
        metric = metric or self.metric
        name = metric if metric in self._user_metrics else PER_USER.get(metric, metric)
        if name not in self._user_metrics:
            raise ValueError(
                f"{metric!r} has no value for a user: there are {', '.join(self._user_metrics)}"
            )
        return np.mean([run.evaluation.per_user[name] for run in self.arms[arm]], axis=0)

    @property
    def _user_metrics(self) -> list[str]:
        return list(self.arms[self.reference][0].evaluation.per_user)

    def difference(
        self, arm: str, other: str | None = None, metric: str | None = None
    ) -> Difference:
        """Paired difference `arm` - `other` (the reference) over users, with 95 % interval.

        For AUC and GAUC it is the difference of the users' own AUC, over the users who have one;
        it need not equal the difference of the pooled values. The sign is the metric's own: for
        log-loss, negative is better.
        """
        from llmers_utils.recommenders import paired_difference

        first, second = self.per_user(arm, metric), self.per_user(other or self.reference, metric)
        return paired_difference(first, second)

    def pairs(self) -> list[tuple[str, str]]:
        """Every arm against the reference, and the LLM against its two controls."""
        pairs = [(name, self.reference) for name in self.arms if name != self.reference]
        llm = self.arm_of("llm")
        controls = [self.arm_of("metadata"), self.arm_of("shuffled")]
        return pairs + [(llm, c) for c in controls if llm and c and c != self.reference]

    def differences(
        self, pairs: Sequence[tuple[str, str]] | None = None, metric: str | None = None
    ) -> pl.DataFrame:
        """Differences of a family of pairs, p-values adjusted after Holm over the family.

        Columns arm, other, mean, low, high (95 %), p_value, p_holm, n (users).
        """
        from llmers_utils.recommenders import holm

        pairs = self.pairs() if pairs is None else list(pairs)
        found = [self.difference(arm, other, metric) for arm, other in pairs]
        adjusted = holm([difference.p_value for difference in found])
        rows = [
            (
                arm,
                other,
                float(d.mean),
                float(d.low),
                float(d.high),
                float(d.p_value),
                float(p),
                d.n,
            )
            for (arm, other), d, p in zip(pairs, found, adjusted, strict=True)
        ]
        names = ["arm", "other", "mean", "low", "high", "p_value", "p_holm", "n"]
        return pl.DataFrame(rows, schema=names, orient="row")

    def table(self, metrics: Sequence[str] | None = None) -> pl.DataFrame:
        """One row an arm: role, each metric's mean, its sd where there are seeds, parameters."""
        metrics = metrics or list(self.arms[self.reference][0].evaluation.metrics)
        rows = []
        for name, runs in self.arms.items():
            row: dict[str, object] = {"arm": name, "role": self.roles[name]}
            for metric in metrics:
                values = self.values(name, metric)
                row[metric] = round(float(values.mean()), 4)
                if len(values) > 1:
                    row[f"sd {metric}"] = round(float(values.std(ddof=1)), 4)
            rows.append(row | {"parameters": runs[0].parameters})
        return pl.DataFrame(rows)

    def slice_values(self, arm: str, metric: str | None = None) -> dict[str, float]:
        """The metric on each slice of users or items, mean over seeds."""
        metric = metric or self.metric
        slices = [run.evaluation.slices for run in self.arms[arm]]
        return {
            name: float(np.mean([one[name][metric] for one in slices]))
            for name in slices[0]
            if metric in slices[0][name]
        }

    def slices_table(self, metric: str | None = None) -> pl.DataFrame:
        """One row an arm, one column a slice: the metric's mean over seeds."""
        rows = [
            {"arm": name} | {k: round(v, 4) for k, v in self.slice_values(name, metric).items()}
            for name in self.arms
        ]
        return pl.DataFrame(rows)

    def __repr__(self) -> str:
        """Value of every arm and its difference to the reference, without p-values."""
        width = max(map(len, self.arms))
        lines = [f"{self.metric}, {len(self.seeds)} seed(s), reference {self.reference}"]
        for name in self.arms:
            line = f"{name:<{width}}  {self.values(name).mean():.4f}"
            if name != self.reference:
                d = self.difference(name)
                line += f"  {d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}]"
            lines.append(line)
        return "\n".join(lines)
