"""Likely secrets and personal data in a text: by the prefixes that providers give their keys, and by check digits.

What libraries know beyond these (names, addresses) takes a language model, and guesses. A look like this one is quick,
rarely wrong, and sees no more than what has a form of its own.
"""

import re
from collections.abc import Iterator

LOOKED_AT = 20_000  # characters of a text
SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20}"
    r"|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}|\bhf_[A-Za-z0-9]{30,}|\bAIza[\w-]{35}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\b[rs]k_live_[A-Za-z0-9]{20,}|\bSG\.[\w-]{22}\.[\w-]{43}|\bnpm_[A-Za-z0-9]{36}"
    r"|\bpypi-[\w-]{50,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"  # a signed JSON web token
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"
    r"|\b(?:postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqps?|https?)://[^\s:/@]{1,64}:[^\s:/@]{4,64}@[\w.-]+"
)
MARKS = (  # one of them is in every secret
    *("AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "hf_", "AIza", "xox"),
    *("k_live_", "SG.", "npm_", "pypi-", "eyJ", "PRIVATE KEY-", "://"),
)
EMAIL = re.compile(r"[\w.+-]{1,64}@(?!example\.)[\w-]{1,63}(?:\.[\w-]{1,63})*\.[A-Za-z]{2,24}\b")
PHONE = re.compile(r"(?<![\w+])\+[1-9]\d{0,2}[ .()/-]{0,2}(?:\d[ .()/-]{0,2}){7,11}\d\b|\(\d{3}\) ?\d{3}-\d{4}\b")
CARD = re.compile(r"(?<![\d.-])(?:\d[ -]?){12,18}\d(?![\d.-])")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
SOCIAL = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")  # the USA's


def kinds(text: str) -> Iterator[str]:
    """The codes of what is found, each once."""
    text = text[:LOOKED_AT]
    if any(mark in text for mark in MARKS) and SECRET.search(text):
        yield "likely_secrets"
    if personal(text):
        yield "personal_data"


def personal(text: str) -> bool:
    if "@" in text and EMAIL.search(text):
        return True
    digits = sum(map(text.count, "0123456789"))
    return bool(
        (digits > 8 and PHONE.search(text))
        or (digits > 8 and SOCIAL.search(text))
        or (digits > 12 and any(card(found[0]) for found in CARD.finditer(text)))
        or (digits > 9 and any(iban(found[0]) for found in IBAN.finditer(text)))
    )


def card(number: str) -> bool:
    """By the first digit of a payment card, and Luhn's check digit (ISO/IEC 7812-1)."""
    digits = [int(sign) for sign in number if sign.isdigit()]
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(reversed(digits))]
    return digits[0] in (3, 4, 5, 6) and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def iban(number: str) -> bool:
    """By the remainder of its letters and digits (ISO 13616)."""
    plain = number.replace(" ", "")
    turned = "".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(turned) % 97 == 1
