"""How good the models are: win rates, and Bradley–Terry strengths with bootstrap intervals."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.comparisons.pairs import Ballot, signs

RESAMPLES = 300
INTERVAL = (2.5, 97.5)  # percentiles
PRIOR = 0.01  # of choix: strengths stay finite where one model always wins

Wins = NDArray[np.float64]  # [winner, loser]: how often; a tie is half a win of each


def of_models(ballots: Sequence[Ballot], writers: Mapping[str, str], models: Sequence[str]) -> dict[str, Any] | None:
    """writers: response → model. None where fewer than two models were compared.

    The interval is of whole items drawn again and again with replacement, as votes on one item depend on each other.
    """
    per_vote = [wins(ballot, writers, models) for ballot in ballots]
    total = sum(per_vote, np.zeros((len(models), len(models))))
    seen = [index for index in range(len(models)) if total[index].sum() + total[:, index].sum() > 0]
    if len(seen) < 2:
        return None
    total = total[np.ix_(seen, seen)]
    names = [models[index] for index in seen]
    per_vote = [each[np.ix_(seen, seen)] for each in per_vote]
    strength = fit(total)
    drawn = resampled(by_item(ballots, per_vote))
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    order = sorted(range(len(names)), key=lambda index: -strength[index])
    rates = win_rates(total)
    return {
        "models": [
            {
                "model": names[index],
                "rank": rank,
                "win_rate": rates[index],
                "comparisons": int(total[index].sum() + total[:, index].sum()),
                "strength": float(strength[index]),
                "interval": [float(low[index]), float(high[index])],
            }
            for rank, index in enumerate(order, 1)
        ],
        "resamples": len(drawn),
        "flips": flips(order, names, total, per_vote),
    }


def wins(ballot: Ballot, writers: Mapping[str, str], models: Sequence[str]) -> Wins:
    """Of one vote; two responses of one model say nothing about models."""
    found = np.zeros((len(models), len(models)))
    for pair in signs(ballot["levels"] or []):
        if pair.first not in writers or pair.second not in writers:
            continue  # imported
        one, other = (models.index(writers[response]) for response in (pair.first, pair.second))
        if one != other:
            found[one, other] += (1 + pair.sign) / 2
            found[other, one] += (1 - pair.sign) / 2
    return found


def win_rates(total: Wins) -> list[float]:
    won, played = total.sum(axis=1), total.sum(axis=1) + total.sum(axis=0)
    return [float(rate) for rate in won / played]


def fit(total: Wins) -> NDArray[np.float64]:
    """Bradley–Terry strengths, as logarithms with the mean 0 (Bradley & Terry 1952; Maystre & Grossglauser 2015)."""
    import choix

    found: NDArray[np.float64] = choix.ilsr_pairwise_dense(total, alpha=PRIOR)
    return found


def by_item(ballots: Sequence[Ballot], per_vote: Sequence[Wins]) -> NDArray[np.float64]:
    """[item, winner, loser]"""
    sums: dict[str, Wins] = defaultdict(lambda: np.zeros_like(per_vote[0]))
    for ballot, found in zip(ballots, per_vote, strict=True):
        sums[ballot["item"]] += found
    return np.stack([*sums.values()])


def resampled(items: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """[resample, model]: strengths of items drawn with replacement; always the same ones, so that results repeat."""
    random = np.random.default_rng(seed)
    chances = np.full(len(items), 1 / len(items))
    drawn = random.multinomial(len(items), chances, size=RESAMPLES)
    return np.stack([fit(np.tensordot(times, items, axes=1)) for times in drawn])


def flips(order: Sequence[int], names: Sequence[str], total: Wins, per_vote: Sequence[Wins]) -> dict[str, Any] | None:
    """The fewest votes that, turned round, make two neighbours in the order change places; None: no votes do."""
    fewest: dict[str, Any] | None = None
    for upper, lower in itertools.pairwise(order):
        count = flips_between(upper, lower, total, per_vote)
        if count is not None and (fewest is None or count < fewest["votes"]):
            fewest = {"votes": count, "upper": names[upper], "lower": names[lower]}
    return fewest


def flips_between(upper: int, lower: int, total: Wins, per_vote: Sequence[Wins]) -> int | None:
    """Votes in which the upper model beat the lower are turned round, the clearest first."""
    leads = sorted((float(vote[upper, lower] - vote[lower, upper]) for vote in per_vote), reverse=True)
    leads = [lead for lead in leads if lead > 0]

    def changed(count: int) -> bool:
        turned = total.copy()
        moved = sum(leads[:count])
        turned[upper, lower] -= moved
        turned[lower, upper] += moved
        strength = fit(turned)
        return bool(strength[lower] > strength[upper])

    if not changed(len(leads)):
        return None
    low, high = 0, len(leads)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if changed(middle) else (middle + 1, high)
    return low
