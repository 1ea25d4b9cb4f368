"""Pages of other origins, in browsers: none may read a response unless it is set so."""

from collections.abc import Iterator

import pytest

import app as service
from chalicelib.api import cors
from chalicelib.settings import SettingError
from infra.local.server import serve
from tests.actors import Actor, Response, Send, in_process, over_http
from tests.configuring import configure

PAGE = "https://app.example.org"
ASKED = {"Access-Control-Request-Method": "GET"}


def allow(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    """Set the origins whose pages may read answers."""
    configure(monkeypatch, cors_origins=origins)


def cors_headers(response: Response) -> dict[str, str]:
    """Return what a response says about origins."""
    return {
        name: value
        for name, value in response.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


@pytest.fixture(params=["in process", "over HTTP"])
def send(request: pytest.FixtureRequest) -> Iterator[Send]:
    """Call the Lambda handler with events, or a server of it with requests."""
    if request.param == "in process":
        yield in_process(service.app)
        return
    with serve(service.app) as url:
        yield over_http(url)


def test_no_page_may_read_an_answer_unless_set(send: Send) -> None:
    """Nor is its browser answered."""
    response = send("GET", "/versions", {"Origin": PAGE}, b"")
    preflight = send("OPTIONS", "/versions", {"Origin": PAGE} | ASKED, b"")

    assert (response.status, cors_headers(response)) == (200, {})
    assert (preflight.status, preflight.headers["allow"]) == (405, "GET")
    assert cors_headers(preflight) == {}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/versions", 200),
        ("GET", "/v2/images", 401),
        ("GET", "/nothing", 404),
        ("GET", "/v2/images/", 401),
        ("HEAD", "/v2/images", 401),
        ("PUT", "/versions", 405),
        ("OPTIONS", "/versions", 405),
    ],
)
def test_a_page_of_an_allowed_origin_may_read_every_answer(
    method: str, path: str, status: int, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals, too, and the headers that tell why and when to come back."""
    allow(monkeypatch, f"http://localhost:3000,{PAGE}")

    response = send(method, path, {"Origin": PAGE}, b"")

    assert (response.status, cors_headers(response)) == (
        status,
        {
            "access-control-allow-origin": PAGE,
            "access-control-expose-headers": ", ".join(cors.EXPOSED_HEADERS),
            "vary": "Origin",
        },
    )


@pytest.mark.parametrize("origin", [None, "null", f"{PAGE}.evil.example", f"{PAGE}:1"])
def test_a_page_of_another_origin_may_not(
    origin: str | None, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vary says that the response to another origin differs."""
    allow(monkeypatch, PAGE)
    headers = {"Origin": origin} if origin else {}

    response = send("GET", "/versions", headers, b"")
    preflight = send("OPTIONS", "/versions", headers | ASKED, b"")

    assert (response.status, cors_headers(response)) == (200, {"vary": "Origin"})
    assert (preflight.status, cors_headers(preflight)) == (405, {"vary": "Origin"})


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v2/images", "GET, POST"),
        ("/v2/images/6b1f/members/consumer", "GET, PUT, DELETE"),
        ("/ext/v1/images/6b1f/uploads", "GET, POST"),
        # So that the page may read that there is nothing.
        ("/nothing/at/all", "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    ],
)
def test_a_browser_is_told_what_a_page_may_ask(
    path: str, methods: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no token when it asks, and nothing is read for it."""
    allow(monkeypatch, PAGE)

    response = send("OPTIONS", path, {"Origin": PAGE} | ASKED, b"")

    assert (response.status, response.body, cors_headers(response)) == (
        204,
        b"",
        {
            "access-control-allow-headers": ", ".join(cors.ALLOWED_HEADERS),
            "access-control-allow-methods": methods,
            "access-control-allow-origin": PAGE,
            "access-control-expose-headers": ", ".join(cors.EXPOSED_HEADERS),
            "access-control-max-age": "3600",
            "vary": "Origin",
        },
    )


def test_all_origins_may_be_allowed(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response is the same for each of them, then."""
    allow(monkeypatch, "*")

    response = Actor(send, "producer").post("/v2/images", {"name": "ubuntu"})

    assert response.status == 201
    assert cors_headers(response)["access-control-allow-origin"] == "*"
    assert "vary" not in response.headers


@pytest.mark.parametrize(
    "text",
    [
        "app.example.org",
        "https://",
        "https://app.example.org/",
        "https://App.example.org",
        "https://app.example.org:443",
        "http://app.example.org:80",
        "https://*.example.org",
        "https://app.example.org,*",
        "https://app.example.org, https://other.example.org",
        "https://app.example.org,",
        "https://user@app.example.org",
        "ftp://app.example.org",
        "null",
        " ",
    ],
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    """It would never be met, and nobody knew why."""
    with pytest.raises(SettingError) as wrong:
        cors.parse_origins(text)

    assert str(wrong.value) == (
        "The setting CORS_ORIGINS must be origins as browsers send them, like"
        " https://app.example.org or http://localhost:3000, separated by commas,"
        f" or * alone, not {text!r}."
    )


def test_an_origin_may_be_an_address_and_a_port() -> None:
    """With a port that is not the scheme's own."""
    origins = {"http://[::1]:8080", "http://127.0.0.1:443", "https://a.example:80"}

    assert cors.parse_origins(",".join(origins)) == origins
