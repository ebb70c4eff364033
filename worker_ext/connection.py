"""Where the management API is for a client that no binding tells: a URL and a key, given or from the environment.

Source of the addresses: durable-functions JSON protocol, section on the durableClient payload.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from worker_ext.protocol.client import CreationUrls, DurableClientPayload, ManagementUrls

LOCAL_URL = "http://localhost:7071"
URL_VARIABLE = "WORKER_EXT_URL"
KEY_VARIABLE = "WORKER_EXT_KEY"
_WEBHOOK = "/runtime/webhooks/durabletask"
_PLACEHOLDER = "INSTANCEID"


def connection_payload(
    url: str | None = None,
    key: str | None = None,
    task_hub_name: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> DurableClientPayload:
    """What a binding would say of a host.

    Args:
        url: The host, such as `https://my-app.azurewebsites.net`, with or without the path of the management API; by
            default what WORKER_EXT_URL says, else the local host on its usual port.
        key: The system key `durabletask_extension` or the master key; by default what WORKER_EXT_KEY says.
        task_hub_name: The task hub; by default the host's.
        environ: The environment.

    Raises:
        ValueError: The URL is not one of a host.
    """
    base = _base(url or environ.get(URL_VARIABLE) or LOCAL_URL)
    key = key or environ.get(KEY_VARIABLE)
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
