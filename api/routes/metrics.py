import secrets
from ipaddress import ip_address

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.deps import Held
from fettle.errors import Unauthenticated

router = APIRouter(tags=["health"])

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # then a proxy is on loopback, and the client anywhere


@router.get("/metrics", include_in_schema=False)
async def scrape(request: Request, held: Held) -> Response:
    """Prometheus's text format. With FETTLE_METRICS_KEY as bearer token; without that setting, to this host only."""
    key = held.settings.metrics_key
    if key is not None:
        expected = f"Bearer {key.get_secret_value()}".encode()
        if not secrets.compare_digest(request.headers.get("authorization", "").encode("latin-1"), expected):
            raise Unauthenticated("/metrics wants the header 'Authorization: Bearer <FETTLE_METRICS_KEY>'.")
    elif not local(request):
        raise Unauthenticated("/metrics is open to this host only: set FETTLE_METRICS_KEY to read it from elsewhere.")
    return Response(await held.ledger.scrape(), media_type=CONTENT_TYPE_LATEST)


def local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
