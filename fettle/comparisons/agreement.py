"""Whether annotators agree: Krippendorff's alpha over all, and figures of each one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from fettle.comparisons.pairs import Ballot, signs

PairOfItem = tuple[str, str, str]  # item, and its two responses


def alpha(ballots: Sequence[Ballot]) -> float | None:
    """Krippendorff's alpha of the signs of all pairs, with the interval metric: a tie is half way between two orders.

    1: perfect; 0: as by chance. None where no pair has the votes of two annotators.
    """
    from nltk.metrics.agreement import AnnotationTask

    votes = [
        (ballot["annotator"], (ballot["item"], pair.first, pair.second), pair.sign)
        for ballot in ballots
        for pair in signs(ballot["levels"] or [])
    ]
    times = Counter(pair for _, pair, _ in votes)
    shared = [vote for vote in votes if times[vote[1]] > 1]
    if not shared:
        return None
    return float(AnnotationTask(shared, distance=squared).alpha())


def squared(left: int, right: int) -> float:
    return float((left - right) ** 2)


def of_annotators(ballots: Sequence[Ballot], others: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Of each: pace, agreement with the majority of the others, and how often what stood first was voted best.

    others: annotators whose votes are elsewhere; they are listed without votes.
    """
    sums: dict[PairOfItem, int] = defaultdict(int)
    for ballot in ballots:
        for pair in signs(ballot["levels"] or []):
            sums[ballot["item"], pair.first, pair.second] += pair.sign
    own: dict[str, list[Ballot]] = defaultdict(list, {annotator: [] for annotator in sorted(others)})
    for ballot in ballots:
        own[ballot["annotator"]].append(ballot)
    return [{"annotator_id": annotator, **figures(votes, sums)} for annotator, votes in own.items()]


def figures(votes: Sequence[Ballot], sums: dict[PairOfItem, int]) -> dict[str, Any]:
    choices = Counter(vote["choice"] for vote in votes)
    seconds = [vote["seconds"] for vote in votes if vote["seconds"] is not None]
    agreed = compared = 0
    for vote in votes:
        for pair in signs(vote["levels"] or []):
            others = sums[vote["item"], pair.first, pair.second] - pair.sign
            if others and pair.sign:
                compared += 1
                agreed += (others > 0) == (pair.sign > 0)
    return {
        "votes": len(votes),
        "skipped": choices["skip"],
        "both_bad": choices["both_bad"],
        "median_seconds": median(seconds) if seconds else None,
        "agreement": agreed / compared if compared else None,
        "pairs_compared": compared,
        "position_bias": position_bias(votes),
    }


def position_bias(votes: Sequence[Ballot]) -> dict[str, Any] | None:
    """How often the response at the first place was voted best, against chance; only votes with one best response.

    p_value: of the two-sided binomial test. None without such votes.
    """
    from scipy.stats import binomtest

    clear = [(vote["shown"], levels[0][0]) for vote in votes if vote["shown"] and (levels := with_best(vote))]
    if not clear:
        return None
    first = sum(best == shown[0] for shown, best in clear)
    expected = sum(1 / len(shown) for shown, _ in clear) / len(clear)
    return {
        "votes": len(clear),
        "first_place_best": first / len(clear),
        "expected": expected,
        "p_value": float(binomtest(first, len(clear), expected).pvalue),
    }


def with_best(vote: Ballot) -> list[list[str]] | None:
    """Its order, if one response is better than all others."""
    levels = vote["levels"]
    return levels if levels and len(levels) > 1 and len(levels[0]) == 1 else None
