"""Names that people give to columns and keys, and the key that Fettle reads in their place.

They are only suggested, never read as that key: `answer` beside `prompt` is what a grader compares with as often as it
is what the assistant should say.
"""

from collections.abc import Iterable

from fettle.datasets.formats.problems import quoted

# key: other names of it, in lower case
ALIASES: dict[str, tuple[str, ...]] = {
    "messages": ("message", "conversation", "dialog", "dialogue", "turns", "chat", "chats", "chat_messages"),
    "prompt": (
        *(
            "question",
            "query",
            "problem",
            "user",
            "human",
            "ask",
            "input",
            "inputs",
            "input_text",
            "user_input",
            "task",
        ),
        *("instruction", "frage", "eingabe", "aufgabe", "entrée", "pregunta", "consulta", "entrada"),
        *(
            "pergunta",
            "domanda",
            "vraag",
            "pytanie",
            "вопрос",
            "запрос",
            "问题",
            "提问",
            "質問",
            "問題",
            "질문",
            "soru",
        ),
    ),
    "completion": (
        *("response", "answer", "output", "outputs", "reply", "assistant", "solution", "target", "targets", "label"),
        *("expected_output", "output_text", "bot", "gpt", "generation", "antwort", "ausgabe", "lösung", "réponse"),
        *("reponse", "sortie", "respuesta", "salida", "resposta", "saída", "risposta", "antwoord", "odpowiedź"),
        *("ответ", "回答", "答案", "回复", "答え", "応答", "답변", "대답", "cevap"),
    ),
    "chosen": ("preferred", "accepted", "winner", "better", "chosen_response", "response_chosen", "preferred_response"),
    "rejected": ("dispreferred", "loser", "worse", "rejected_response", "response_rejected", "non_preferred"),
    "conversations": ("sharegpt",),
}
TOGETHER = (("messages",), ("conversations",), ("prompt", "chosen", "rejected"), ("prompt", "completion"))


def normal(name: str) -> str:
    return name.strip().strip("\ufeff").strip().casefold()


def renames(names: Iterable[str]) -> dict[str, str]:
    """What to rename so that rows with these keys get a shape: name → key. Empty where no names suffice for one."""
    by_normal = {normal(name): name for name in reversed([*names])}
    for keys in TOGETHER:
        found: dict[str, str] = {}
        for key in keys:
            name = next((by_normal[alias] for alias in (key, *ALIASES.get(key, ())) if alias in by_normal), None)
            if name is None or name in found:
                break
            found[name] = key
        else:
            return {name: key for name, key in found.items() if name != key}
    return {}


def advice(names: Iterable[str]) -> str:
    """`Rename 'question' to 'prompt' and 'answer' to 'completion'. `, or nothing."""
    pairs = [f"{quoted(name)} to {quoted(key)}" for name, key in renames(names).items()]
    return f"Rename {' and '.join([', '.join(pairs[:-1]), pairs[-1]] if pairs[1:] else pairs)}. " if pairs else ""
