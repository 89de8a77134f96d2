"""Makes calls and says what they came to.

`python -m tests.conformance.perform URL KEY THINGS` does so with the SDK that it finds first and prints JSON: a version
other than the environment's can be tried from a folder of its own.
"""

import json
import sys
from typing import Any

import openai
from openai import OpenAI

from tests.conformance.calls import Call, Table, Things, refused
from tests.conformance.grader_calls import GRADERS, METHODS
from tests.conformance.serving_calls import CHAT, COMPLETIONS, MODELS, RESPONSES, REST
from tests.conformance.training_calls import FILES, JOBS, PAUSES

CALLS = FILES | JOBS | GRADERS | METHODS | MODELS | CHAT | COMPLETIONS | RESPONSES | REST


def outcome(call: Call, client: OpenAI, things: Things) -> Any:
    try:
        return call(client, things)
    except openai.APIStatusError as error:
        return refused(type(error).__name__, error.status_code, str(error.code), error.param)


def perform(client: OpenAI, things: Things, calls: Table) -> dict[str, Any]:
    return {name: outcome(call, client, things) for name, (call, _) in calls.items()}


if __name__ == "__main__":
    url, key, told = sys.argv[1:]
    with OpenAI(base_url=url, api_key=key) as spoken:
        outcomes = perform(spoken, Things(**json.loads(told)), CALLS | PAUSES)
    print(json.dumps({"version": openai.__version__, **outcomes}, default=str))
