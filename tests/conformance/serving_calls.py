"""Models, chat, completions, responses, and what is not there."""

from tests.conformance.calls import ASK, NO_MODEL, NO_ROUTE, Table, bad, chat, complete, refused, respond, unknown

MODELS: Table = {
    "models.list": (
        lambda c, t: [m.id in {t.base, t.tuned, t.doomed, "starter"} for m in c.models.list()],
        [True] * 4,
    ),
    "models.list unknown query": (lambda c, t: c.models.list(extra_query={"limit": 1}), unknown("limit")),
    "models.retrieve": (lambda c, t: c.models.retrieve("starter").id, "starter"),
    "models.retrieve slash": (lambda c, t: c.models.retrieve(t.base).id, "acme/tiny-1"),
    "models.retrieve tuned": (lambda c, t: c.models.retrieve(t.tuned).id == t.tuned, True),
    "models.retrieve checkpoint": (lambda c, t: c.models.retrieve(t.checkpoint).id == t.checkpoint, True),
    "models.retrieve alias": (lambda c, t: c.models.retrieve(t.alias).id, "starter"),
    "models.retrieve 404": (lambda c, t: c.models.retrieve("Qwen/Qwen3-0.6B"), NO_MODEL),
    "models.delete base": (
        lambda c, t: c.models.delete(t.base),
        refused("PermissionDeniedError", 403, "insufficient_scope", None),
    ),
    "models.delete alias": (lambda c, t: c.models.delete(t.alias), bad("model")),
    "models.delete 404": (lambda c, t: c.models.delete("ft:acme/tiny-1:x::none"), NO_MODEL),
    "models.delete": (lambda c, t: [c.models.delete(t.doomed).deleted, c.models.delete(t.doomed)], NO_MODEL),
}

CHAT: Table = {
    "chat base": (lambda c, t: chat(c, "starter").choices[0].message.content, "4"),
    "chat slash": (lambda c, t: chat(c, t.base).model, "acme/tiny-1"),
    "chat tuned": (lambda c, t: chat(c, t.tuned).model == t.tuned, True),
    "chat checkpoint": (lambda c, t: chat(c, t.checkpoint).model == t.checkpoint, True),
    "chat alias": (lambda c, t: chat(c, t.alias).model, "starter"),
    "chat stream": (
        lambda c, t: [k.choices[0].finish_reason for k in chat(c, t.tuned, stream=True)],
        [None, "stop"],
    ),
    "chat model 404": (lambda c, t: chat(c, "gpt-5"), NO_MODEL),
    "chat tuned 404": (lambda c, t: chat(c, "ft:acme/tiny-1:x::none"), NO_MODEL),
    "chat unneeded": (
        lambda c, t: chat(
            c, "starter", user="u", store=False, metadata={"a": "b"}, service_tier="auto", safety_identifier="s",
            prompt_cache_key="k", modalities=["text"],
        ).model_extra["asked"],
        {"model": "starter", "messages": ASK},
    ),
    "chat store": (lambda c, t: chat(c, "starter", store=True), bad("store")),
    "chat service_tier": (lambda c, t: chat(c, "starter", service_tier="flex"), bad("service_tier")),
    "chat metadata": (lambda c, t: chat(c, "starter", metadata={"k": 5}), bad("metadata.k")),
    "chat user": (lambda c, t: chat(c, "starter", user=5), bad("user")),
    "chat model as number": (lambda c, t: chat(c, 5), bad("model")),  # type: ignore[arg-type]
    "chat unknown query": (lambda c, t: chat(c, "starter", extra_query={"a": 1}), unknown("a")),
}  # fmt: skip

COMPLETIONS: Table = {
    "completions": (lambda c, t: complete(c).choices[0].text, "4"),
    "completions tuned": (lambda c, t: complete(c, t.tuned).model == t.tuned, True),
    "completions alias": (lambda c, t: complete(c, t.alias).model, "starter"),
    "completions stream": (lambda c, t: [k.choices[0].text for k in complete(c, stream=True)], ["4", ""]),
    "completions unneeded": (
        lambda c, t: complete(c, suffix=None, prompt=[5, 6]).model_extra["asked"],
        {"model": "starter", "prompt": [5, 6]},
    ),
    "completions model 404": (lambda c, t: complete(c, "gpt-3.5-turbo-instruct"), NO_MODEL),
    "completions model as number": (lambda c, t: complete(c, 5), bad("model")),  # type: ignore[arg-type]
    "completions unknown query": (lambda c, t: complete(c, extra_query={"a": 1}), unknown("a")),
}

RESPONSES: Table = {
    "responses": (lambda c, t: respond(c).output_text, "4"),
    "responses tuned": (lambda c, t: respond(c, t.tuned).model == t.tuned, True),
    "responses messages": (
        lambda c, t: (
            respond(
                c, input=[*ASK, *respond(c).to_dict()["output"], *ASK], instructions="Add.", temperature=0.0, top_p=1
            ).status
        ),
        "completed",
    ),
    "responses stream": (
        lambda c, t: [e.type for e in respond(c, stream=True)],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ],
    ),
    "responses model 404": (lambda c, t: respond(c, "gpt-5"), NO_MODEL),
    "responses previous": (
        lambda c, t: [
            len(respond(c, previous_response_id=(first := respond(c)).id, input="And 3?").output),
            respond(c, previous_response_id=first.id).previous_response_id == first.id,
        ],
        [1, True],
    ),
    "responses previous 404": (
        lambda c, t: respond(c, previous_response_id="resp_x"),
        refused("NotFoundError", 404, "previous_response_not_found", "previous_response_id"),
    ),
    "responses.retrieve": (
        lambda c, t: c.responses.retrieve((r := respond(c, store=True)).id).to_dict() == r.to_dict(),
        True,
    ),
    "responses.input_items.list": (
        lambda c, t: [item.type for item in c.responses.input_items.list(respond(c).id)],
        ["message"],
    ),
    "responses.delete": (lambda c, t: c.responses.delete(respond(c).id), None),
    "responses reasoning": (lambda c, t: respond(c, reasoning={"effort": "low"}).reasoning.effort, "low"),
    "responses.cancel": (lambda c, t: c.responses.cancel("resp_x"), NO_ROUTE),
    "responses tools": (lambda c, t: respond(c, tools=[{"type": "web_search"}]), bad("tools[0].type")),
    "responses background": (lambda c, t: respond(c, background=True), unknown("background")),
    "responses not stored": (
        lambda c, t: c.responses.retrieve(respond(c, store=False).id),
        refused("NotFoundError", 404, "not_found", "response_id"),
    ),
    "responses image": (
        lambda c, t: respond(c, input=[{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]),
        bad("input[0].content[0].type"),
    ),
    "responses limit as text": (lambda c, t: respond(c, max_output_tokens="9"), bad("max_output_tokens")),
    "responses.retrieve 404": (
        lambda c, t: c.responses.retrieve("resp_x"),
        refused("NotFoundError", 404, "not_found", "response_id"),
    ),
}

REST: Table = {
    "embeddings": (lambda c, t: c.embeddings.create(model="starter", input="x"), NO_ROUTE),
    "batches.list": (lambda c, t: [batch.id for batch in c.batches.list()], []),
    "no key": (
        lambda c, t: c.with_options(api_key="fk_wrong").models.list(),
        refused("AuthenticationError", 401, "invalid_api_key", None),
    ),
}
