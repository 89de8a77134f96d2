"""What the page says in words: its beginning, and what no schema can tell of a parameter."""

from tests.conformance.surface import CHAT, COMPLETIONS, CREATE, RESPONSES

HEAD = """\
# OpenAI compatibility

Fettle speaks the wire format of OpenAI's files, uploads, fine-tuning, models, chat, completions, responses, batches,
evals and webhooks routes, so that the unmodified `openai` SDK drives it: give it a `base_url` and a key. This page
says, route by route and field by field, what is the same, what Fettle adds, and what it refuses. **Nothing is ignored
silently.**

The tables are generated from the `openai` SDK {version} and from Fettle's own schemas by
`python -m tests.conformance.page`; a test fails when they are stale. The calls of `tests/conformance` are made by that
SDK and, for the 1.x line, by `openai` 1.109.1.

| word | meaning |
|---|---|
| same | taken, and means what it means at OpenAI |
| no effect | taken and checked, then left out: it changes nothing about an answer here |
| extended | Fettle's own; the SDK sends it in a plain dict or with `extra_body`, and reads it as an extra field |
| refused | 400 with the code `unknown_parameter` or `invalid_value` and the parameter's name |

## What holds for every route

- **Errors** are `{{"error": {{"message", "type", "param", "code"}}}}` with an `x-request-id`, and become the SDK's own
  exceptions. Where a retry cannot help, the answer carries `x-should-retry: false`, and the SDK asks once.
- **Unknown** body fields and query parameters are refused by name; so is a query parameter that comes twice.
- **Types are kept**: `"5"` and `true` are not numbers, and `5` is not text. `null` means that a parameter was left out.
- **Model ids** may hold `/` and `:`. Both ways to write them in a path are understood: `%2F` (SDK 3.x) and `/` (1.x).
- **Lists** page with `after` and `limit` and say `has_more`; the SDK's iterators page by themselves.
- **Retries**: a create that the SDK repeats (`x-stainless-retry-count`) answers with the job of its first try,
  whichever of them arrives first. A header `Idempotency-Key` does the same for 24 hours; used with another body it is
  a 409.
- **Aliases**: with `FETTLE_MODEL_ALIASES='{{"gpt-4o-mini": "starter"}}'` a job, a chat and a response may name
  `gpt-4o-mini`. Answers always name the local model: jobs, tuned models (`ft:starter:…`), chats,
  `GET /v1/models/gpt-4o-mini`. Aliases are not in the list of models, which tells what there is. Dated names
  (`gpt-4o-mini-2024-07-18`) are aliases of their own. An alias of a model that is not in the catalog stops the API at
  its start, and `fettle doctor` names it.
- **Events** stream with `?stream=true` as server-sent events, oldest first, with `: ping` comments while there is
  nothing to tell, until the job ends and `[DONE]` is sent. A header `Last-Event-ID` resumes after that event.
- **Chat** is the engine's to honour; the table is that of Fettle's own engine. A vLLM in its place takes what vLLM
  takes.
"""

REMARKS: dict[tuple[str, str], str] = {
    ("POST /v1/files", "purpose"): "`fine-tune`, `evals`, `batch` or `user_data`",
    ("POST /v1/files", "expires_after"): "without it files stay until they are deleted, those for batches as well",
    ("POST /v1/batches", "endpoint"): "chat completions, completions or responses",
    ("POST /v1/batches", "input_file_id"): "up to 50,000 requests and 200 MiB",
    ("POST /v1/uploads", "bytes"): "up to 5 GiB, unless the operator says otherwise",
    ("POST /v1/uploads", "purpose"): "as for files",
    ("POST /v1/uploads/{upload_id}/parts", "data"): "at most 64 MiB",
    ("GET /v1/files", "limit"): "1 to 10 000",
    (CREATE, "model"): "a base model or its alias",
    (CREATE, "hyperparameters"): "the older place; not together with `method`",
    (CREATE, "method.supervised.hyperparameters.learning_rate"): "instead of the multiplier, which scales `auto`",
    (CREATE, "integrations"): "of the kinds that this installation has; any other is refused",
    (CREATE, "seed"): "0 to 2³¹ − 1",
    (CREATE, "suffix"): "up to 64 letters, digits, `_`, `.`, `-`",
    (CREATE, "metadata"): "16 pairs; names up to 64 characters, values up to 512",
    (CREATE, "priority"): "`low`, `normal` or `high`; the quota `high_priority_jobs` limits the last",
    (CREATE, "limits"): "hours that all attempts at the job may run; then it fails as `time_limit_reached`",
    (CREATE, "resources"): "what the job asks of a worker; [Who runs next](queue.md)",
    ("GET /v1/fine_tuning/jobs", "metadata"): "`metadata[k]=v`, or `metadata=null` for jobs without any",
    ("GET /v1/fine_tuning/jobs", "limit"): "1 to 100",
    (CHAT, "model"): "a base model, its alias, a tuned model or a checkpoint; an unknown one is 404",
    (CHAT, "metadata"): "kept with stored completions, which it finds again",
    (CHAT, "tools"): "functions; custom tools are refused",
    (CHAT, "tool_choice"): "`none`, `auto`, `required` or a function",
    (CHAT, "functions"): "the older form of `tools`; not both",
    (CHAT, "function_call"): "the older form of `tool_choice`",
    (
        CHAT,
        "store",
    ): "`true` is refused until the operator turns storing on; kept for 30 days (`FETTLE_COMPLETION_DAYS`)",
    (CHAT, "service_tier"): "`auto` or `default`; the others are refused",
    (CHAT, "reasoning_effort"): "open base models have no such setting",
    (CHAT, "user"): "there is no abuse detection to feed",
    (CHAT, "safety_identifier"): "there is no abuse detection to feed",
    (CHAT, "prompt_cache_key"): "a hint about speed",
    (CHAT, "max_tokens"): "the older name of `max_completion_tokens`; not both",
    (COMPLETIONS, "model"): "as in chat",
    (COMPLETIONS, "prompt"): "texts or token ids, up to 64 of them, as they are: no chat template stands around them",
    (COMPLETIONS, "best_of"): "up to 16; not with `stream`",
    (COMPLETIONS, "echo"): "not with `logprobs`",
    (COMPLETIONS, "logprobs"): "0 to 5",
    (COMPLETIONS, "max_tokens"): "512 when it is left out, not 16",
    (COMPLETIONS, "user"): "as in chat",
    (RESPONSES, "model"): "as in chat",
    (
        RESPONSES,
        "input",
    ): "text, or messages of text, calls and their outputs; items of an earlier `output` too",
    (RESPONSES, "metadata"): "comes back with the answer, and is stored with it",
    (
        RESPONSES,
        "store",
    ): "left out it means `true`; kept for 30 days (`FETTLE_RESPONSE_DAYS`)",
    (RESPONSES, "include"): "`message.output_text.logprobs`; `reasoning.encrypted_content` has no effect",
    (RESPONSES, "top_logprobs"): "0 to 20; asks for logprobs as `include` does",
    (RESPONSES, "reasoning"): "open base models have no such setting",
    (RESPONSES, "service_tier"): "`auto` or `default`; the others are refused",
    (RESPONSES, "user"): "as in chat",
    (RESPONSES, "safety_identifier"): "as in chat",
    (RESPONSES, "prompt_cache_key"): "as in chat",
    (RESPONSES, "previous_response_id"): "a stored response; its `instructions` do not carry over",
    (RESPONSES, "text"): "`json_object` and `json_schema` as far as chat takes `response_format`",
    (RESPONSES, "tools"): "functions; the built-in tools of OpenAI are refused",
    (RESPONSES, "tool_choice"): "as in chat",
    (RESPONSES, "truncation"): "`disabled` only",
    (RESPONSES, "conversation"): "send the earlier messages in `input`",
}
