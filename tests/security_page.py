"""The tables of docs/security.md. `python -m tests.security_page` writes them anew from the code."""

from pathlib import Path

from api.scopes import ROUTES
from fettle.tenancy.quotas import QUOTAS
from fettle.tenancy.scopes import SCOPES

PAGE = Path(__file__).parent.parent / "docs" / "security.md"
SCOPES_HEAD = "| scope | opens | routes |\n|---|---|---|\n"
QUOTAS_HEAD = "| quota | counts | when it is full |\n|---|---|---|\n"


def scopes_table() -> str:
    rows = []
    for scope, opens in SCOPES.items():
        routes = "<br>".join(f"`{route}`" for route, needed in ROUTES.items() if needed == scope)
        rows.append(f"| `{scope}` | {opens} | {routes} |\n")
    return SCOPES_HEAD + "".join(rows)


def quotas_table() -> str:
    full = {"running_jobs": "further jobs wait in the queue, and other projects' jobs go first"}
    rows = [
        f"| `{name}` | {quota.unit} | {full.get(name, f'429: {quota.way_out}')} |\n" for name, quota in QUOTAS.items()
    ]
    return QUOTAS_HEAD + "".join(rows)


def renewed(page: str) -> str:
    """The page with both tables as the code has them."""
    for head, table in ((SCOPES_HEAD, scopes_table()), (QUOTAS_HEAD, quotas_table())):
        before, _, after = page.partition(head)
        rest = after.splitlines(keepends=True)
        while rest and rest[0].startswith("|"):
            rest.pop(0)
        page = before + table + "".join(rest)
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
