"""Where the management API is for a client that no binding tells: a URL and a key.

They are given, or come from the environment, or from local.settings.json of the current folder where that is an app's:
from its `Values` or, for the app's own local host, from `Host.LocalHttpPort`.

Source of the addresses: durable-functions JSON protocol, section on the durableClient payload.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from worker_ext.errors import HostError
from worker_ext.protocol.client import CreationUrls, DurableClientPayload, ManagementUrls
from worker_ext.protocol.jsonc import read_json_object

LOCAL_URL = "http://localhost:7071"
URL_VARIABLE = "WORKER_EXT_URL"
KEY_VARIABLE = "WORKER_EXT_KEY"
_WEBHOOK = "/runtime/webhooks/durabletask"
_PLACEHOLDER = "INSTANCEID"
_SETTINGS = "local.settings.json"


class Target(NamedTuple):
    """A host: its URL, and the key it asks for."""

    url: str
    key: str | None


def find_target(
    url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path(),
) -> Target:
    """Finds what is not given in the environment, then in the settings of the app in a folder.

    A key of settings is for the host of settings: one that is named otherwise does not get it.

    Raises:
        ValueError: local.settings.json cannot be read.
    """
    key, named = key or environ.get(KEY_VARIABLE), url or environ.get(URL_VARIABLE)
    if named:
        return Target(named, key)
    try:
        settings = _folded(read_json_object(folder / _SETTINGS))
    except HostError as error:
        raise ValueError(str(error)) from None
    values, port = _folded(settings.get("values")), _folded(settings.get("host")).get("localhttpport")
    own = LOCAL_URL if port is None else f"http://localhost:{port}"
    return Target(values.get(URL_VARIABLE.lower()) or own, key or values.get(KEY_VARIABLE.lower()))


def _folded(members: object) -> dict[str, Any]:
    """The members of an object by their names in lower case: the Functions host reads its files so."""
    return {name.lower(): value for name, value in members.items()} if isinstance(members, dict) else {}


def connection_payload(
    url: str | None = None,
    key: str | None = None,
    task_hub_name: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> DurableClientPayload:
    """What a binding would say of a host.

    Args:
        url: The host, such as `https://my-app.azurewebsites.net`, with or without the path of the management API; by
            default what WORKER_EXT_URL says, else the local host.
        key: The system key `durabletask_extension` or the master key; by default what WORKER_EXT_KEY says.
        task_hub_name: The task hub; by default the host's.
        environ: The environment.

    Raises:
        ValueError: The URL is not one of a host, or local.settings.json cannot be read.
    """
    url, key = find_target(url, key, environ)
    base = _base(url)
    parameters = [f"taskHub={quote(task_hub_name)}"] if task_hub_name else []
    parameters += [f"code={quote(key, safe='')}"] if key else []
    required = "&".join(parameters)
    start = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]"
    return DurableClientPayload(
        task_hub_name=task_hub_name or "",
        creation_urls=CreationUrls(
            create_new_instance_post_uri=_with(start, required),
            create_and_wait_on_new_instance_post_uri=_with(
                f"{start}?timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}", required
            ),
        ),
        management_urls=_management_urls(f"{base}/instances/{_PLACEHOLDER}", required),
        base_url=base,
        required_query_string_parameters=required,
    )


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"expected the URL of a host, such as {LOCAL_URL} or https://my-app.azurewebsites.net, found {url!r}"
        )
    bare = url.rstrip("/")
    return bare if bare.lower().endswith(_WEBHOOK) else bare + _WEBHOOK


def _with(url: str, parameters: str) -> str:
    if not parameters:
        return url
    return f"{url}{'&' if '?' in url else '?'}{parameters}"


def _management_urls(instance: str, parameters: str) -> ManagementUrls:
    reason = "?reason={text}"
    return ManagementUrls(
        id=_PLACEHOLDER,
        status_query_get_uri=_with(instance, parameters),
        send_event_post_uri=_with(f"{instance}/raiseEvent/{{eventName}}", parameters),
        terminate_post_uri=_with(f"{instance}/terminate{reason}", parameters),
        rewind_post_uri=_with(f"{instance}/rewind{reason}", parameters),
        purge_history_delete_uri=_with(instance, parameters),
        restart_post_uri=_with(f"{instance}/restart", parameters),
        suspend_post_uri=_with(f"{instance}/suspend{reason}", parameters),
        resume_post_uri=_with(f"{instance}/resume{reason}", parameters),
    )
