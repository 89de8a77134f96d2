"""Sign-in and sign-out of the console. These routes are for browsers; programs send an API key with each request."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import Services, Snapshot, Transaction
from api.edge import cookies, proxies
from api.schemas.session import SignIn, nobody_object, session_object
from fettle import __version__
from fettle.errors import Unauthenticated
from fettle.tenancy import api_keys, people, sessions
from models import ApiKey, Project

router = APIRouter(prefix="/session", tags=["session"], include_in_schema=False)

KEEP_NOTHING = {"cache-control": "no-store"}


@router.post("")
async def sign_in(body: SignIn, request: Request, session: Transaction, services: Services) -> JSONResponse:
    """Exchanges an API key, a sign-in link, or the name that a trusted proxy sends, for a session cookie."""
    cookies.need_same_origin(request.scope)
    person = None
    if body.link_token is not None:
        key, secret = await sessions.open_link(session, body.link_token, services.pepper)
    else:
        if body.project_id is not None:
            person = need_person(request)
            key = await people.key_in(session, person, body.project_id)
        else:
            key = await key_of(session, body, services.pepper)
        _, secret = await sessions.create(session, key, services.pepper, person=person)
    response = JSONResponse(await described(session, key, secret, services.pepper, person), headers=KEEP_NOTHING)
    cookies.set_secret(response, request.scope, secret)
    return response


def need_person(request: Request) -> str:
    """Raises Unauthenticated."""
    if (person := proxies.person_of(request.scope)) is None:
        raise Unauthenticated("No trusted proxy says who you are. Sign in with an API key.", code="no_proxy_user")
    return person


async def key_of(session: AsyncSession, body: SignIn, pepper: bytes) -> ApiKey:
    """Raises Unauthenticated."""
    assert body.api_key is not None  # noqa: S101 — the schema takes exactly one
    found = await api_keys.authenticate(session, body.api_key.strip(), pepper)
    if found is None:
        raise Unauthenticated("This API key is not valid. `fettle keys list` shows the live keys.")
    return found


@router.get("")
async def current(request: Request, session: Snapshot, services: Services) -> JSONResponse:
    """Who is signed in, and the CSRF token; `{"session": null}` when nobody is."""
    secret, person = cookies.secret_of(request.scope), proxies.person_of(request.scope)
    key = await sessions.authenticate(session, secret, services.pepper, person) if secret else None
    if key and secret:
        return JSONResponse(await described(session, key, secret, services.pepper, person), headers=KEEP_NOTHING)
    projects = [project for _, project in await people.keys_of(session, person)] if person else []
    return JSONResponse(nobody_object(person, projects), headers=KEEP_NOTHING)


@router.delete("")
async def sign_out(request: Request, session: Transaction, services: Services) -> JSONResponse:
    cookies.need_same_origin(request.scope)
    response = JSONResponse({"session": None}, headers=KEEP_NOTHING)
    if secret := cookies.secret_of(request.scope):
        cookies.need_csrf_token(request.scope, secret, services.pepper)
        await sessions.end(session, secret, services.pepper)
    cookies.clear(response, request.scope)
    return response


async def described(
    session: AsyncSession, key: ApiKey, secret: str, pepper: bytes, person: str | None
) -> dict[str, Any]:
    project = await session.get_one(Project, key.project_id)
    return {"session": session_object(key, project, sessions.csrf_token(secret, pepper), __version__, person)}
