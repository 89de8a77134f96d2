"""Adapters on the Hugging Face hub, or on any server that speaks as it does (`HF_ENDPOINT`)."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from fettle.errors import InvalidRequest, Unavailable

REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def pull(
    repository: str, revision: str | None, folder: Path, names: Sequence[str], token: SecretStr | None = None
) -> str:
    """Those of the files that the repository has, all of one commit, which is returned.

    Blocking. Raises InvalidRequest for what is not an adapter, Unavailable if it cannot be downloaded.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InvalidRequest(f"{repository!r} is not a repository on the hub. Write OWNER/NAME, such as ann/shop-lora.")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the client is imported
    try:
        import httpx
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise InvalidRequest("Pulling needs the hub's client. Install it: pip install huggingface_hub") from error
    hub = HfApi(token=token.get_secret_value() if token else False)
    try:
        found = hub.model_info(repository, revision=revision)
        there = {each.rfilename for each in found.siblings or []}
        refuse_foreign(repository, there)
        commit = str(found.sha)
        for name in names:
            if name in there:
                hub.hf_hub_download(repository, name, revision=commit, local_dir=folder)
    except (HfHubHTTPError, httpx.HTTPError, OSError, ValueError) as error:
        raise Unavailable(
            f"The hub did not return {repository!r}{f' at {revision!r}' if revision else ''} ({why(error)}). "
            "Check the name and the network; a private repository needs FETTLE_HF_TOKEN."
        ) from error
    return commit


def why(error: Exception) -> str:
    """In a few words, without addresses: the status of the hub's answer, or what kept it from coming."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"status {status}" if status else type(error).__name__


def refuse_foreign(repository: str, there: set[str]) -> None:
    """Raises InvalidRequest for a repository without an adapter in safetensors."""
    if CONFIG not in there:
        raise InvalidRequest(
            f"{repository!r} has no {CONFIG}, so it is not a LoRA adapter. For a whole model use `fettle models add`."
        )
    if WEIGHTS not in there:
        pickled = "; adapter_model.bin is a pickle, which can run code" if "adapter_model.bin" in there else ""
        raise InvalidRequest(
            f"{repository!r} has no {WEIGHTS}{pickled}. Load it with PEFT where you trust it, save it with "
            "save_pretrained(FOLDER), and use `fettle models upload`."
        )
