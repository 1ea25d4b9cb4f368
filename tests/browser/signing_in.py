"""Signs in to the console at an issuer, in Chromium; notes what is said when it fails.

Run in the environment of Playwright, from the repository's root:
`python -m tests.browser.signing_in CHROMIUM SCREENSHOTS URL ISSUER`. The folder for
screenshots may be empty. It prints what it saw as JSON.
"""

import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, sync_playwright

from tests.browser.walk import Walk, go, share

ALICE, BOB = "alice:producer:member", "bob:consumer:member"
STORED = "[Object.keys(localStorage), Object.keys(sessionStorage)]"


class SigningIn(Walk):
    """A walk that signs in at an issuer."""

    def page(self, target: str = "") -> Page:
        """Open the console in a context of its own."""
        page = self.new_page()
        page.goto(f"{self.url}/console{target}")
        return page

    def leave(self, page: Page) -> str:
        """Leave for the issuer; return the address that its page has."""
        host = self.issuer.partition("//")[2]
        page.get_by_role("button", name=f"Sign in with {host}").click()
        page.get_by_role("heading", name="Sign in to Cloud Images").wait_for()
        return str(page.url)


def walk(tour: SigningIn) -> None:
    """Offer and accept by two who signed in; then all that can go wrong."""
    seen = tour.seen
    producer = tour.page("#/outgoing")
    tour.look(producer, "sign-in-issuer")
    query = parse_qs(urlsplit(tour.leave(producer)).query)
    random = ("state", "code_challenge")
    seen["asked"] = {
        name: values[0].replace(tour.url, "URL")
        for name, values in query.items()
        if name not in random
    }
    tour.look(producer, "issuer", picture=False)
    producer.get_by_role("button", name=ALICE).click()
    producer.get_by_role("heading", level=1, name="Shared by me").wait_for()
    seen["kept"] = producer.url.removeprefix(tour.url)
    seen["stored"] = producer.evaluate(STORED)
    share(producer, "fedora-43", "consumer", "Minimal install.")

    consumer = tour.page()
    tour.leave(consumer)
    consumer.get_by_role("button", name=BOB).focus()
    consumer.keyboard.press("Enter")
    row = consumer.get_by_role("row").filter(has_text="Minimal install.")
    row.get_by_role("button", name="Accept", exact=True).click()
    consumer.get_by_role("status").get_by_text("accepted").wait_for()
    seen["accepted"] = consumer.get_by_role("status").inner_text()

    expired(tour, consumer)
    signed_out(tour, consumer)
    refused(tour)


def expired(tour: SigningIn, page: Page) -> None:
    """A token that expired leads to the sign-in, and back to the page one was on."""
    go(page, "Rules and profile")
    page.evaluate("sessionStorage.setItem('token', 'e.x.pired')")
    page.reload()
    tour.seen["expired"] = alert(page)
    tour.look(page, "sign-in-expired", picture=False)
    tour.leave(page)
    page.get_by_role("button", name=BOB).click()
    page.get_by_role("heading", level=1, name="Rules and profile").wait_for()


def signed_out(tour: SigningIn, page: Page) -> None:
    """Nothing stays in the tab, and the issuer has to ask again."""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("status").get_by_text("signed out").wait_for()
    tour.look(page, "signed-out", picture=False)
    query = parse_qs(urlsplit(tour.leave(page)).query)
    tour.seen["signed_out"] = query["prompt"]


def refused(tour: SigningIn) -> None:
    """What the issuer, the page or the service refuses is said in plain words."""
    page = tour.page()
    tour.leave(page)
    page.get_by_role("button", name="Cancel").click()
    said = {"cancelled": alert(page)}
    tour.look(page, "sign-in-cancelled", picture=False)

    page.goto(f"{tour.url}/console?code=stolen&state=forged")
    said["forged"] = alert(page)

    def twice(route: Route) -> None:
        route.fetch()
        route.continue_()

    page.route("**/token", twice)
    said["used"] = returned(tour, page)
    page.unroute("**/token")

    document = {"access_token": "f.o.reign", "token_type": "Bearer"}
    headers = {"Access-Control-Allow-Origin": tour.url}
    page.route("**/token", lambda it: it.fulfill(json=document, headers=headers))
    said["foreign"] = returned(tour, page)
    page.unroute("**/token")
    page.route("**/.well-known/*", lambda it: it.abort())
    page.get_by_role("button", name="Sign in with").click()
    said["unreachable"] = alert(page, "does not respond")
    host = tour.issuer.partition("//")[2]
    tour.seen["said"] = {
        name: words.replace(host, "ISSUER").replace(tour.url, "URL")
        for name, words in said.items()
    }


def returned(tour: SigningIn, page: Page) -> str:
    """Sign in, which fails; return what is said."""
    tour.leave(page)
    page.get_by_role("button", name=ALICE).click()
    return alert(page)


def alert(page: Page, words: str = "") -> str:
    """Return the alert of a page, once it has some words."""
    said = page.get_by_role("alert").locator("p").filter(has_text=words)
    said.wait_for()
    return str(said.inner_text())


def main(chromium: str, folder: str, url: str, issuer: str) -> None:
    """Walk, and print what was seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        tour = SigningIn(browser, url, Path(folder) if folder else None)
        tour.issuer = issuer
        walk(tour)
        browser.close()
    sys.stdout.write(json.dumps(tour.seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
