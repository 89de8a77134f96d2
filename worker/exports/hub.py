"""Exported models on the Hugging Face hub, or on any server that speaks as it does (`HF_ENDPOINT`)."""

from pathlib import Path

from pydantic import SecretStr

from fettle.errors import InvalidRequest, Unavailable
from fettle.registry.hub import REPOSITORY, why


def check(repository: str, token: SecretStr | None) -> None:
    """Before anything is merged. Raises InvalidRequest."""
    if not REPOSITORY.fullmatch(repository):
        raise InvalidRequest(
            f"{repository!r} is not a repository on the hub. Write OWNER/NAME, such as ann/shop-model."
        )
    if token is None:
        raise InvalidRequest("Pushing to the hub needs a token that may write. Set FETTLE_HF_TOKEN.")


def push(folder: Path, repository: str, token: SecretStr) -> str:
    """The whole folder in one commit, to a private repository if it is new; returns the commit's address.

    Blocking. Raises Unavailable where the hub does not take it; the folder stays.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(token=token.get_secret_value())
    try:
        hub.create_repo(repository, private=True, exist_ok=True)
        done = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Exported by Fettle")
    except (HfHubHTTPError, httpx.HTTPError, OSError, ValueError) as error:
        raise Unavailable(
            f"The hub rejected {repository!r} ({why(error)}). The export is in {folder}. "
            "Check the token's rights and the network, and push again."
        ) from error
    return str(done.commit_url)
