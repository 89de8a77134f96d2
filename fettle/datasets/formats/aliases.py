"""Names that people give to columns and keys, and the key that Fettle reads in their place.

English names are only suggested, never read as that key: `answer` beside `prompt` is what a grader compares with as
often as it is what the assistant should say. The header of a CSV file may be in another language.
"""

import re
import unicodedata
from collections.abc import Iterable

from fettle.datasets.formats.problems import quoted

# key: other names of it, as `normal` writes them
ENGLISH: dict[str, str] = {
    "messages": "message conversation dialog dialogue turns chat chats chat_messages contents",
    "prompt": (
        "question query problem user human ask input inputs input_text user_input task instruction prompts questions "
        "prompt_text user_prompt user_message user_query instructions source source_text context request"
    ),
    "completion": (
        "response answer output outputs reply assistant solution target targets label expected_output output_text bot "
        "gpt generation completions responses answers completion_text target_text assistant_message "
        "assistant_response assistant_completion generated_text model_output best_answer reference_answer ai"
    ),
    "chosen": "preferred accepted winner better chosen_response response_chosen preferred_response",
    "rejected": "dispreferred loser worse rejected_response response_rejected non_preferred",
    "conversations": "sharegpt",
}
LOCAL: dict[str, str] = {
    "prompt": (
        "anweisung eingabe frage aufgabe entrée consulta pregunta entrada instrucción instrução istruzione pergunta "
        "domanda vraag pytanie fråga spørgsmål spørsmål kysymys otázka kérdés întrebare ερώτηση вопрос запрос питання "
        "question سؤال السؤال שאלה प्रश्न คำถาม câu_hỏi pertanyaan soru "
        "指令 指示 问题 提问 提示 質問 問題 질문"
    ),
    "completion": (
        "ausgabe antwort lösung sortie réponse reponse salida respuesta saída resposta risposta antwoord odpowiedź "
        "svar vastaus odpověď válasz răspuns απάντηση ответ відповідь جواب إجابة תשובה उत्तर "
        "คำตอบ trả_lời jawaban cevap 输出 出力 回答 答案 回复 答え 応答 답변 대답"
    ),
    "instruction": "anweisung consigne instrucción instrução istruzione instructie instrukcja инструкция 指令 指示",
    "input": "eingabe entrée entrada ввод 输入 入力",
    "output": "ausgabe sortie salida saída uitvoer вывод 输出 出力",
}
TOGETHER = (
    *(("messages",), ("conversations",), ("prompt", "chosen", "rejected"), ("instruction", "input", "output")),
    *(("prompt", "completion"), ("prompt",)),
)


def table(*parts: dict[str, str]) -> dict[str, tuple[str, ...]]:
    keys = {key: None for part in parts for key in part}
    return {key: tuple(dict.fromkeys(name for part in parts for name in part.get(key, "").split())) for key in keys}


ALIASES = table(ENGLISH, LOCAL)
ABROAD = table(LOCAL)
ENGLISH_NAMES = frozenset(name for names in ENGLISH.values() for name in names.split())
NAMES = frozenset().union(*ALIASES.values())


def normal(name: str) -> str:
    """In lower case, without blanks, quotes or a colon around it; blanks and hyphens inside are underscores."""
    plain = unicodedata.normalize("NFC", name).replace("\u200b", "").strip("\ufeff \t\u00a0'\"“”:").casefold()
    return re.sub(r"[\s-]+", "_", plain)


def renames(names: Iterable[str], known: dict[str, tuple[str, ...]] = ALIASES) -> dict[str, str]:
    """What to rename so that rows with these keys get a shape: name → key. Empty where no names suffice for one."""
    by_normal = {normal(name): name for name in reversed([*names])}
    for keys in TOGETHER:
        found: dict[str, str] = {}
        for key in keys:
            name = next((by_normal[alias] for alias in (key, *known.get(key, ())) if alias in by_normal), None)
            if name is None or name in found:
                break
            found[name] = key
        else:
            return {name: key for name, key in found.items() if name != key}
    return {}


def from_abroad(names: Iterable[str]) -> dict[str, str]:
    """As `renames`, where at least one of the names that suffice for a shape is not English."""
    found = renames(names, ABROAD)
    return found if any(normal(name) not in ENGLISH_NAMES for name in found) else {}


def advice(names: Iterable[str]) -> str:
    """`Rename 'question' to 'prompt' and 'answer' to 'completion'. `, or nothing."""
    return sentence(renames(names))


def advice_for(key: str, names: Iterable[str]) -> str:
    """`Rename 'response' to 'output'. `, of a row that lacks only this key; or nothing."""
    like = "completion" if key in ("output", "completion") else "prompt" if key == "instruction" else key
    others = {key, like, *ALIASES.get(key, ()), *ALIASES.get(like, ())}
    found = next((name for name in names if normal(name) in others and name != key), None)
    return sentence({found: key}) if found else ""


def sentence(renamed: dict[str, str]) -> str:
    pairs = [f"{quoted(name)} to {quoted(key)}" for name, key in renamed.items()]
    return f"Rename {' and '.join([', '.join(pairs[:-1]), pairs[-1]] if pairs[1:] else pairs)}. " if pairs else ""
