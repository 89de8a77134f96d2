"""The API's page and its OpenAPI document: nothing from other hosts, and every error that is sent."""

import re

import pytest

from api.routes.docs import FILES, FOLDER
from api.scopes import ROUTES
from tests.conftest import Api


async def test_the_page_loads_nothing_from_another_host(api: Api) -> None:
    async with api.stranger() as http:
        page = await http.get("/docs")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(loaded) == 4
        for path in loaded:
            file = await http.get(path)
            assert file.status_code == 200, path
            assert file.headers["x-content-type-options"] == "nosniff"
        assert "<script>" not in page.text and " style=" not in page.text  # the policy would stop them
        assert (await http.get("/docs/README.md")).status_code == 401  # nothing else of the folder is shown
        assert (await http.get("/redoc")).status_code == 401


def test_the_files_come_with_their_licence() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert all((FOLDER / name).is_file() for name in FILES)


async def test_every_operation_tells_its_errors_and_its_key(api: Api) -> None:
    async with api.stranger() as http:
        document = (await http.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    told = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            told.add(f"{method.upper()} {path}")
            responses = operation["responses"]
            assert {"400", "421", "500", "503", "default"} <= set(responses)
            assert "422" not in responses
            if path.startswith("/v1"):
                assert {"401", "403", "404"} <= set(responses)
                assert operation["security"] == [{"api_key": []}]
            assert responses["400"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert set(ROUTES) <= told


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/nothing", "/openapi.json", "/docs"])
async def test_no_browser_guesses_a_type_or_keeps_what_a_key_opened(api: Api, path: str) -> None:
    async with await api.client() as http:
        answer = await http.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    if path.startswith("/v1"):
        assert answer.headers["cache-control"] == "no-store"
