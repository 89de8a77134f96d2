"""How like two texts are, in 0…1: OpenAI's text_similarity by rapidfuzz, sacrebleu, NLTK and rouge-score."""

from collections.abc import Callable, Sequence

from fettle.rewards.samples import Sample, Score, no_score
from fettle.rewards.templates import Unfilled, fill

LENGTH_AT_MOST = 50_000  # characters: some of these take time by the product of both lengths


class TooLong(Exception):
    """More than can be compared in good time."""


def fuzzy_match(text: str, reference: str) -> float:
    """1 − the share of insertions and deletions between the two (rapidfuzz's `ratio`)."""
    from rapidfuzz import fuzz

    return float(fuzz.ratio(text, reference)) / 100


def bleu(text: str, reference: str) -> float:
    """BLEU of one sentence (Papineni et al. 2002), smoothed exponentially, n-grams as the text is long enough for."""
    from sacrebleu import sentence_bleu

    return sentence_bleu(text, [reference]).score / 100


def gleu(text: str, reference: str) -> float:
    """Google's BLEU of one sentence (Wu et al. 2016, section 5.3) over words."""
    from nltk.translate.gleu_score import sentence_gleu

    return float(sentence_gleu([reference.split()], text.split()))


def rouge(kind: str) -> Callable[[str, str], float]:
    """The F measure (Lin 2004), without stemming."""

    def f_measure(text: str, reference: str) -> float:
        from rouge_score.rouge_scorer import RougeScorer

        return float(RougeScorer([kind]).score(reference, text)[kind].fmeasure)

    return f_measure


def rouge_l(text: str, reference: str) -> float:
    """The F measure of the longest common subsequence of words (Lin 2004, section 3.1), without stemming.

    By rapidfuzz: rouge-score's own table takes gigabytes for texts of this length.
    """
    from rapidfuzz.distance import LCSseq
    from rouge_score.tokenize import tokenize

    words, wanted = tokenize(text, None), tokenize(reference, None)
    if not words or not wanted:
        return 0.0
    return 2 * LCSseq.similarity(words, wanted) / (len(words) + len(wanted))


METRICS: dict[str, Callable[[str, str], float]] = {
    "fuzzy_match": fuzzy_match,
    "bleu": bleu,
    "gleu": gleu,
    "rouge_1": rouge("rouge1"),
    "rouge_2": rouge("rouge2"),
    "rouge_3": rouge("rouge3"),
    "rouge_4": rouge("rouge4"),
    "rouge_5": rouge("rouge5"),
    "rouge_l": rouge_l,
}


def similarity(metric: str, text: str, reference: str) -> float:
    """Raises TooLong."""
    longest = max(len(text), len(reference))
    if longest > LENGTH_AT_MOST:
        raise TooLong(f"A text has {longest:,} characters; the limit is {LENGTH_AT_MOST:,}.")
    return min(1.0, max(0.0, METRICS[metric](text, reference)))


class TextSimilarity:
    def __init__(self, metric: str, text: str, reference: str) -> None:
        self.metric, self.text, self.reference = metric, text, reference

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        try:
            text, reference = fill(self.text, sample), fill(self.reference, sample)
        except Unfilled as error:
            return no_score(error.flag, str(error))
        try:
            return Score(similarity(self.metric, text, reference))
        except TooLong as error:
            return no_score("other_error", str(error))

    def close(self) -> None: ...
