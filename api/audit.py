"""Every request that changed something leaves an entry in the audit log, before its answer leaves.

A new route is recorded without a word here. Only what changes nothing, or would drown the log, is left out.
"""

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle.tenancy import audit
from fettle.tenancy.audit import Actor, Origin

log = structlog.get_logger()

READING = {"GET", "HEAD", "OPTIONS"}
UNRECORDED = {
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
    "POST /v1/uploads/{upload_id}/parts",
    "POST /v1/fine_tuning/advise",
    "POST /v1/fine_tuning/estimate",
    "POST /v1/fine_tuning/dry_runs",
    "POST /v1/fine_tuning/alpha/graders/run",
    "POST /v1/fine_tuning/alpha/graders/validate",
    "POST /v1/comparisons/{comparison_id}/release",
    "POST /v1/comparisons/{comparison_id}/votes",  # a vote is a record of its own
    "DELETE /v1/comparisons/{comparison_id}/votes/{vote_id}",
}
LONGEST_ANSWER = 1 << 20  # bytes that are searched for the id of what was made


class Audit:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READING:
            await self.app(scope, receive, send)
            return
        held: list[Message] = []  # of an answer that is recorded first

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.clear()  # recording failed, and this answer says so
                if message["status"] < 400 and type_of(scope) is not None:
                    held.append(message)
                    return
            if not held:
                await send(message)
                return
            await record(scope, message.get("body", b""))
            for each in (*held, message):
                await send(each)
            held.clear()

        await self.app(scope, receive, send_recorded)


def type_of(scope: Scope) -> str | None:
    """Such as jobs.cancel; None: the request is not recorded."""
    route, key = scope.get("route"), scope["state"].get("api_key")
    if route is None or key is None or f"{scope['method']} {route.path_format}" in UNRECORDED:
        return None
    return f"{route.endpoint.__module__.rpartition('.')[2]}.{route.endpoint.__name__}"


async def record(scope: Scope, body: bytes) -> None:
    """In the log of this process as well, which has it when the database does not."""
    key, state = scope["state"]["api_key"], scope["state"]
    actor = Actor("annotator" if "annotator" in state else "api_key", key.id, key.name)
    client = scope.get("client")
    origin = Origin(client and client[0], Headers(scope=scope).get("user-agent"), state.get("request_id"))
    type, request = type_of(scope) or "", f"{scope['method']} {scope['path']}"
    resource = resource_of(scope, body)
    log.info("audit", type=type, actor=actor.id, resource=resource, ip_address=origin.ip_address)
    async with scope["app"].state.db.transaction() as session:
        audit.add(session, actor, type, request, project_id=key.project_id, resource_id=resource, origin=origin)


def resource_of(scope: Scope, body: bytes) -> str | None:
    """The last id in the path; of something new the answer's."""
    if named := list(scope.get("path_params", {}).values()):
        return str(named[-1])
    if len(body) > LONGEST_ANSWER:
        return None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    found = answer.get("id") if isinstance(answer, dict) else None
    return found if isinstance(found, str) else None
