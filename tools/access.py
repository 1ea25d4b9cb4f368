"""
Where the Images service is, and the token it takes: what the `openstack` command uses.

Neither a token nor a URL is ever part of a message: a URL may be signed.
"""

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from importlib import import_module
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 60
"""Time limit of a wait for a server, in seconds."""

TRIES: Final = 6
"""Maximum number of times that a request is sent."""

RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""

Pause = Callable[[float], object]
"""Waits for some seconds, or less where there is no more use in it."""


class ToolError(Exception):
    """The upload cannot go on; the message is for who runs it."""


class SilenceError(Exception):
    """No response came to a request."""


class RefusedError(ToolError):
    """The service refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"The service answered {status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    body: bytes


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    # They would take the token along, wherever they lead.
    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - urllib's own
        return None


class Http:
    """
    Requests by the standard library, which minds proxies as the environment has them.
    """

    def __init__(self, verify: bool | str = True) -> None:  # noqa: FBT001, FBT002 - as keystoneauth1 has it
        context = ssl.create_default_context()
        if isinstance(verify, str):
            kind = "capath" if Path(verify).is_dir() else "cafile"
            context.load_verify_locations(**{kind: verify})
        elif not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), _NoRedirects
        )

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Send a request, once; return what came, whatever its status.

        Raises:
            SilenceError: Nothing came; the message has neither URL nor headers.
        """
        try:
            request = urllib.request.Request(  # noqa: S310 - the user's own service
                url, data=body, headers=dict(headers), method=method
            )
            with self._opener.open(request, timeout=SECONDS) as response:
                return Response(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                try:
                    text = error.read()
                except (OSError, HTTPException):
                    text = b""
                return Response(error.code, text)
        except urllib.error.URLError as error:
            raise SilenceError(_reason(error.reason)) from None
        except (OSError, HTTPException, ValueError) as error:
            raise SilenceError(_reason(error)) from None


class Service:
    """The Images service, called as the user."""

    def __init__(
        self, endpoint: str, token: Callable[[bool], str], http: Http | None = None
    ) -> None:
        self._root = endpoint.rstrip("/").removesuffix("/v2")
        self._token = token
        self.http = http or Http()

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,  # noqa: ANN401 - any JSON
        *,
        tries: int = TRIES,
        pause: Pause = time.sleep,
    ) -> Any:  # noqa: ANN401 - any JSON
        """Make a call; return the document that came. What may heal is tried again.

        Raises:
            RefusedError: The service refused it.
            ToolError: No response came.
        """
        for number in range(1, tries + 1):
            response, failure = self._once(method, path, document, renew=False)
            if response and response.status == HTTPStatus.UNAUTHORIZED:
                # A token may not last as long as the upload.
                response, failure = self._once(method, path, document, renew=True)
            if number == tries or (response and response.status not in RETRIED):
                break
            pause(delay(number))
        if response is None:
            raise ToolError(f"The Images service does not answer: {failure}.")
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise RefusedError(response.status, _message(response.body))
        try:
            return json.loads(response.body) if response.body else None
        except ValueError:
            raise ToolError("What answers there is no Images service.") from None

    def _once(
        self,
        method: str,
        path: str,
        document: Any,  # noqa: ANN401 - any JSON
        *,
        renew: bool,
    ) -> tuple[Response | None, str]:
        headers = {"X-Auth-Token": self._token(renew), "Accept": "application/json"}
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        try:
            return self.http.ask(method, self._root + path, headers, body), ""
        except SilenceError as failure:
            return None, str(failure)


def connect(environ: Mapping[str, str] = os.environ) -> Service:
    """Reach the Images service as the environment says.

    A token as it is needs nothing but Python; Keystone and clouds.yaml need
    openstacksdk, by which the `openstack` command reads the same environment.

    Raises:
        ToolError: The environment does not say it, or Keystone refuses it.
    """
    if environ.get("OS_AUTH_TYPE") == "admin_token" and not environ.get("OS_CLOUD"):
        endpoint, token = _endpoint(environ), environ.get("OS_TOKEN")
        if not endpoint or not token:
            raise ToolError("OS_AUTH_TYPE=admin_token needs OS_ENDPOINT and OS_TOKEN.")
        return Service(endpoint, lambda _: token, Http(_verify(environ)))
    if not environ.get("OS_CLOUD") and not environ.get("OS_AUTH_URL"):
        raise ToolError(
            "Say who you are as for the openstack command: by OS_CLOUD, OS_AUTH_URL"
            " and the like, or OS_AUTH_TYPE=admin_token, OS_ENDPOINT and OS_TOKEN."
        )
    return _connect_by_keystone(_endpoint(environ))


def delay(number: int) -> float:
    """Return the seconds to wait after a number of tries."""
    return min(0.5 * 2.0 ** (number - 1), 10)


def _endpoint(environ: Mapping[str, str]) -> str | None:
    return environ.get("OS_IMAGE_ENDPOINT_OVERRIDE") or environ.get("OS_ENDPOINT")


def _connect_by_keystone(endpoint: str | None) -> Service:
    try:
        openstack = import_module("openstack")
    except ImportError:
        raise ToolError(
            "Keystone and clouds.yaml need openstacksdk: pip install openstacksdk"
        ) from None
    try:
        connection = openstack.connect()
        session = connection.session
        session.get_token()
        endpoint = endpoint or connection.endpoint_for("image")
        endpoint = endpoint or session.get_endpoint(service_type="image")
    except Exception as error:  # noqa: BLE001 - each of its plugins has its own
        # Its messages name users and projects, never what they are proved by.
        text = str(error).splitlines() or [""]
        raise ToolError(f"{type(error).__name__}: {text[0]}") from None
    if not endpoint:
        raise ToolError("The service catalog has no Images service (image).")

    def token(renew: bool) -> str:  # noqa: FBT001 - whether the last one was refused
        try:
            if renew:
                session.invalidate()
            return str(session.get_token())
        except Exception as error:  # noqa: BLE001 - as above
            raise ToolError(f"Keystone: {type(error).__name__}") from None

    return Service(endpoint, token, Http(session.verify))


def _verify(environ: Mapping[str, str]) -> bool | str:
    if environ.get("OS_INSECURE", "").lower() in ("1", "true", "yes"):
        return False
    return environ.get("OS_CACERT") or True


def _reason(error: object) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Others may quote what they could not read.
    return type(error).__name__


def _message(body: bytes) -> str:
    """
    Return what an error says: the Images API calls it message, our own calls detail.
    """
    text = body.decode("utf-8", "replace").strip()
    try:
        error = json.loads(text)
        return str(error.get("message") or error["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return text.splitlines()[-1][:300] if text else "no reason given"
