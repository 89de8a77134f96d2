"""The API's own page, by Swagger UI. Every byte of it comes from this package: it works without internet access."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(prefix="/docs", tags=["docs"], include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "docs_page"
FILES = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)  # Swagger UI sets styles on its elements


@router.get("")
async def page() -> FileResponse:
    return FileResponse(FOLDER / "index.html", media_type="text/html", headers={"content-security-policy": POLICY})


def serve(name: str, kind: str) -> None:
    @router.get(f"/{name}")
    async def file() -> FileResponse:
        return FileResponse(FOLDER / name, media_type=kind, headers={"cache-control": "public, max-age=3600"})


for name, kind in FILES.items():
    serve(name, kind)
