"""Rows with comparisons, good and bad: code → rows and the paths that are reported with it."""

from typing import Any

from tests.fettle.datasets.formats.given import line, message

SECRET = "zebra quagga 4711"  # content that no report may show
ASKED, SAID, OTHER = message("user", SECRET), message("assistant", SECRET), message("assistant", "5")


def openai(prompt: Any, better: Any, worse: Any, **more: Any) -> bytes:
    return line({"input": {"messages": prompt}, "preferred_output": better, "non_preferred_output": worse, **more})


def trl(prompt: Any, chosen: Any, rejected: Any) -> bytes:
    return line({"prompt": prompt, "chosen": chosen, "rejected": rejected})


def numbered(responses: Any, ranking: Any) -> bytes:
    return line({"prompt": SECRET, "responses": responses, "ranking": ranking})


def ranked(*order: Any) -> bytes:
    return line({"prompt": SECRET, "ranked": list(order)})


GOOD_PAIR = trl("2 + 3 = ?", "5", "6")
PREFERENCES: dict[str, list[tuple[bytes, list[str]]]] = {
    "missing_prompt": [
        (line({"chosen": SECRET, "rejected": "x"}), ["prompt"]),
        (line({"preferred_output": [SAID], "non_preferred_output": [OTHER]}), ["input.messages"]),
        (line({"input": SECRET, "preferred_output": [SAID], "non_preferred_output": [OTHER]}), ["input.messages"]),
    ],
    "prompt_not_text_or_messages": [(trl({"text": SECRET}, SECRET, "x"), ["prompt"])],
    "prompt_ends_with_assistant": [
        (trl([ASKED, SAID], "x", "y"), ["prompt[1].role"]),
        (openai([ASKED, SAID], [SAID], [OTHER]), ["input.messages[1].role"]),
    ],
    "missing_response": [
        (line({"prompt": SECRET, "chosen": "x"}), ["rejected"]),
        (line({"prompt": SECRET, "rejected": "x", "chosen": None}), ["chosen"]),
        (line({"input": {"messages": [ASKED]}, "preferred_completion": [SAID]}), ["non_preferred_output"]),
    ],
    "response_not_text_or_message": [(trl(SECRET, 5, {"content": SECRET}), ["chosen", "rejected"])],
    "response_not_one_message": [
        (openai([ASKED], [], [OTHER]), ["preferred_output"]),
        (trl([ASKED], [SAID, ASKED, OTHER], [OTHER]), ["chosen"]),
    ],
    "response_not_assistants": [(openai([ASKED], [ASKED], [OTHER]), ["preferred_output[0].role"])],
    "identical_responses": [
        (trl(SECRET, SECRET, SECRET), ["rejected"]),
        (trl([ASKED], [SAID], SECRET), ["rejected"]),
        (openai([ASKED], [SAID], [{**SAID, "weight": 1}]), ["non_preferred_output"]),
        (line({"chosen": [ASKED, SAID], "rejected": [ASKED, SAID]}), ["rejected"]),
    ],
    "empty_text": [(trl(" ", SECRET, "x"), ["prompt"]), (trl(SECRET, "", "x"), ["chosen"])],
    "empty_content": [(openai([ASKED], [message("assistant", " ")], [OTHER]), ["preferred_output[0].content"])],
    "weight_in_prompt": [
        (openai([ASKED, {**SAID, "weight": 1}, ASKED], [SAID], [OTHER]), ["input.messages[1].weight"])
    ],
}

GOOD_RANKING = line({"prompt": "2 + 3 = ?", "ranked": ["5", ["6", "7"]]})
RANKINGS: dict[str, list[tuple[bytes, list[str]]]] = {
    "missing_prompt": [(line({"ranked": [SECRET, "x"]}), ["prompt"])],
    "missing_ranking": [
        (line({"prompt": SECRET, "responses": ["x", "y"]}), ["ranking"]),
        (line({"prompt": SECRET, "ranking": [0, 1]}), ["responses"]),
    ],
    "ranking_not_list": [
        (line({"prompt": SECRET, "ranked": SECRET}), ["ranked"]),
        (numbered(["x", "y"], 1), ["ranking"]),
    ],
    "too_few_responses": [(ranked(SECRET), ["ranked"]), (numbered([SECRET], [0]), ["responses"])],
    "ranking_not_a_response": [
        (numbered(["x", SECRET], [0, 1, 2]), ["ranking[2]"]),
        (numbered(["x", SECRET, "y"], [0, [1, -1], 2, "1", True]), ["ranking[1][1]", "ranking[3]", "ranking[4]"]),
    ],
    "ranked_twice": [(numbered(["x", SECRET], [0, [1, 0]]), ["ranking[1][1]"])],
    "ranking_empty_tie": [(numbered(["x", SECRET], [0, [], 1]), ["ranking[1]"])],
    "ranking_incomplete": [(numbered(["x", SECRET, "z"], [2, 0]), ["ranking"])],
    "ranking_all_tied": [(numbered(["x", SECRET], [[0, 1]]), ["ranking"]), (ranked(["x", SECRET]), ["ranked"])],
    "identical_responses": [(numbered([SECRET, SECRET, "x"], [0, 1, 2]), ["ranking"])],
    "empty_text": [(numbered([SECRET, ""], [0, 1]), ["responses[1]"]), (ranked("x", ["y", " "]), ["ranked[1][1]"])],
    "response_not_text_or_message": [(ranked(SECRET, 5), ["ranked[1]"])],
}
