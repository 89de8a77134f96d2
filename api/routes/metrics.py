from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.deps import Services
from fettle.observability import metrics_auth

router = APIRouter(tags=["health"])


@router.get("/metrics", include_in_schema=False)
async def scrape(request: Request, services: Services) -> Response:
    """Prometheus's text format. With FETTLE_METRICS_KEY as bearer token; without that setting, to this host only."""
    metrics_auth.check(services.settings.metrics_key, request.headers, request.client.host if request.client else None)
    return Response(await services.ledger.scrape(), media_type=CONTENT_TYPE_LATEST)
