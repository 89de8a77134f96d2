"""`fettle webhooks`: URLs of yours that are told of the end of jobs, batches and runs of evals."""

from typing import Annotated

import typer

from fettle.cli import tables
from fettle.cli.client import Client
from fettle.cli.terminal import AsJson, console, example, moment, plain, show_json
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Webhook endpoints: create, list, test, deliveries, delete.")

PATH = "/v1/webhook_endpoints"
EVENTS = ["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"]
EndpointId = Annotated[str, typer.Argument(help="The endpoint's id. `fettle webhooks list` shows it.")]


@app.command(epilog=example("fettle webhooks create ci https://hooks.example.com/fettle --event batch.completed"))
def create(
    name: Annotated[str, typer.Argument(help="What the endpoint is for.")],
    url: Annotated[str, typer.Argument(help="It begins with https://.")],
    event: Annotated[
        list[str], typer.Option("--event", help="Repeatable. Default: the three events that end a job.")
    ] = EVENTS,
    as_json: AsJson = False,
) -> None:
    """Create an endpoint and print its signing secret, which is not shown again."""
    made = Client(Settings()).post(PATH, {"name": name, "url": url, "event_types": event})
    if as_json:
        show_json(made)
        return
    tables.facts([("id", made["id"]), ("signing secret", made["signing_secret"])])


@app.command("list", epilog=example("fettle webhooks list"))
def show(as_json: AsJson = False) -> None:
    """Show the project's endpoints."""
    found = Client(Settings()).pages(PATH, 100)
    if as_json:
        show_json(found)
        return
    rows = [(each["id"], each["name"], each["url"], " ".join(each["event_types"])) for each in found]
    tables.show(("id", "name", "url", "events"), rows, nothing="There are no webhook endpoints yet.")


@app.command(epilog=example("fettle webhooks test whep_abc123 fine_tuning.job.succeeded"))
def test(
    endpoint_id: EndpointId, event: Annotated[str, typer.Argument(help="The type of event.")], as_json: AsJson = False
) -> None:
    """Send an example event now, and show the status of the response."""
    found = Client(Settings()).post(f"{PATH}/{endpoint_id}/test", {"event_type": event})
    if as_json:
        show_json(found)
        return
    console.print(plain(f"The endpoint answered {found['status_code']}."))


@app.command(epilog=example("fettle webhooks deliveries whep_abc123 --dead"))
def deliveries(
    endpoint_id: EndpointId,
    dead: Annotated[bool, typer.Option("--dead", help="Only deliveries that are no longer retried.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest deliveries to an endpoint, with the last error of each."""
    chosen = {"status": "dead"} if dead else {}
    found = Client(Settings()).pages(f"{PATH}/{endpoint_id}/deliveries", 100, **chosen)
    if as_json:
        show_json(found)
        return
    rows = [
        (
            each["id"],
            each["event_type"],
            each["status"],
            each["attempts"],
            moment(each["created_at"]),
            each["last_error"] or "",
        )
        for each in found
    ]
    tables.show(
        ("id", "event", "status", "tries", "created", "last error"), rows, nothing="There are no deliveries yet."
    )


@app.command(epilog=example("fettle webhooks redeliver whep_abc123 whd_def456"))
def redeliver(
    endpoint_id: EndpointId,
    delivery_id: Annotated[str, typer.Argument(help="The delivery's id.")],
    as_json: AsJson = False,
) -> None:
    """Send an event again, with the same id and body."""
    found = Client(Settings()).post(f"{PATH}/{endpoint_id}/deliveries/{delivery_id}/redeliver")
    if as_json:
        show_json(found)
        return
    console.print(plain(f"{delivery_id} will be sent again"))


@app.command(epilog=example("fettle webhooks delete whep_abc123"))
def delete(endpoint_id: EndpointId, as_json: AsJson = False) -> None:
    """Delete an endpoint and its deliveries."""
    found = Client(Settings()).delete(f"{PATH}/{endpoint_id}")
    if as_json:
        show_json(found)
        return
    console.print(plain(f"{endpoint_id} deleted"))
