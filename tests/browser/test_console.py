"""The console in a real browser: both sides see and act, and nothing else does."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.local.environments import install
from tests.actors import over_http
from tests.local.service import running

HERE = Path(__file__).parent
UNKNOWN = "newcomer not known to you: check the id"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
APT = ("apt-get", "install", "--yes", "--no-install-recommends", "chromium")

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def chromium() -> str:
    """Return the path of Chromium; install it where that can be."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None and os.geteuid() == 0 and shutil.which(APT[0]):
        subprocess.run(APT, capture_output=True, check=False)
        found = shutil.which(PROGRAMS[0])
    if found is None:
        pytest.skip("The console's test needs Chromium, which is not installed.")
    return found


def seen_by(walk: str, *arguments: str) -> Any:
    """Walk with Chromium in the environment of Playwright; return what was seen."""
    browser = chromium()
    python = install(HERE / "playwright.txt") / "python"
    done = subprocess.run(
        [str(python), "-m", f"tests.browser.{walk}", browser, *arguments],
        cwd=HERE.parents[1],
        capture_output=True,
        check=False,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def walked(folder: str = "") -> Any:
    """Walk through the console of a new service; return what was seen."""
    with running() as run:
        producer = run.actor("producer")
        producer.make_image(name="fedora-43")
        producer.make_image(name='<img src=x onerror="document.title=1">\u202eevil')
        if not folder:
            deceiving = {"display_name": "ACME (verified)", "published": True}
            producer.put("/ext/v1/profile", deceiving)
        museum = run.actor("museum")
        images = [museum.make_image(name=f"old-{n}") for n in range(30)]
        share = {"action": "share", "images": images, "projects": ["archive"]}
        museum.post("/ext/v1/outgoing", share)
        return seen_by("walk", folder, run.url)


def signed_in(folder: str = "") -> Any:
    """Sign in at the issuer of a new service; return what was seen."""
    with running(AUTH="oidc") as run:
        (token_url,) = re.findall(r"PRODUCER=\$\(curl -s '(.+?)'\)", run.greeting)
        token = requests.get(token_url, timeout=10).text
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        over_http(run.url)("POST", "/v2/images", headers, b'{"name": "fedora-43"}')
        issuer = token_url.partition("/token")[0]
        return seen_by("signing_in", folder, run.url, issuer)


def main() -> None:
    """Take the pictures of docs/console.md again."""
    folder = Path(__file__).parents[2] / "docs" / "console"
    folder.mkdir(exist_ok=True)
    walked(str(folder))
    signed_in(str(folder))


def test_both_sides_see_and_act_in_a_browser() -> None:
    """From the offer to the end of the share, by mouse and by keyboard."""
    seen = walked()

    assert seen["errors"] == []
    assert seen["elsewhere"] == []
    assert {name: found for name, found in seen["axe"].items() if found} == {}
    assert seen["review"] == [
        "fedora-43 consumer will be shared",
        f"fedora-43 {UNKNOWN} will be shared",
        f"fedora-43 {UNKNOWN} is shared: the note will change",
    ]
    assert seen["said"] == ["2 offers made.", "1 note changed."]
    assert seen["list"] == "#/incoming/pending"
    assert seen["banner"] == "2 offers wait for your answer."
    assert seen["offer"] is True
    assert seen["accepted"] == "fedora-43: accepted."
    assert seen["copied"] == "consumer"
    assert seen["answered"] == 1
    assert seen["revoked"].startswith("No image found with ID")
    assert seen["hostile"] == {
        "title": "Shared with me - Cloud Images",
        "text": True,
        "elements": 0,
        "fits": True,
        "badge": "not verified",
    }
    assert seen["focus"] == ["ubuntu-24.04", "Share images", "All 30 are shown."]
    assert seen["refused"] == [
        '"a/b" must be a project\'s id.',
        "Image Project Result",
        "fedora-43 producer cannot be shared: the image is your project's own",
        f"fedora-43 {UNKNOWN} is shared already",
        "Nothing has changed yet: 2 will stay as they are",
        "Back",
    ]
    assert seen["draft"] == [True, "Typed once."]
    assert seen["unavailable"] == "The identity service is unavailable; retry."
    assert seen["narrow"] == [5, True, True]
    assert seen["long"] == 30
    assert seen["empty"].startswith("Your project shares no image.")
    assert seen["expired"] == "The token is missing, wrong or expired. Sign in again."


def test_one_signs_in_at_an_issuer() -> None:
    """And learns what to do where that fails; no token is stored but in the tab."""
    seen = signed_in()

    assert seen["errors"] == []
    assert seen["elsewhere"] == []
    assert {name: found for name, found in seen["axe"].items() if found} == {}
    assert seen["asked"] == {
        "audience": "cloud-images",
        "client_id": "cloud-images-console",
        "code_challenge_method": "S256",
        "redirect_uri": "URL/console",
        "response_type": "code",
        "scope": "openid",
    }
    assert seen["kept"] == "/console#/outgoing"
    assert seen["stored"] == [[], ["token"]]
    assert seen["accepted"] == "fedora-43: accepted."
    assert seen["expired"] == (
        "The sign-in has expired, or the token is wrong. Sign in again."
    )
    assert seen["signed_out"] == ["login"]
    assert seen["said"] == {
        "cancelled": "ISSUER did not let you in: the sign-in was cancelled, or your"
        " account may not use this service.",
        "forged": "This sign-in was not started in this tab, or was used already. Sign"
        " in again.",
        "used": "The sign-in took too long, or was used already. Sign in again.",
        "foreign": "ISSUER let you in, but this service does not accept its token. Your"
        " account may have no project here, or the token's audience, claims or times"
        " do not fit: tell the operator of this service.",
        "unreachable": "ISSUER does not respond to this page. Check the connection and"
        " retry. If it goes on, ISSUER has to allow the origin URL: tell the operator"
        " of this service.",
    }


if __name__ == "__main__":
    main()
