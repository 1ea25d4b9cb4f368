"""Walks through the console in Chromium, one browser context a side.

Run in the environment of Playwright, from the repository's root:
`python -m tests.browser.walk CHROMIUM SCREENSHOTS URL`. The folder for screenshots may
be empty. It prints what it saw as JSON: a name and a value for each step.
"""

import json
import sys
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

WIDE = "W" * 500
HOSTILE_NAME = '<img src=x onerror="document.title=1">\u202eevil'
HOSTILE_NOTE = f'<script>document.title=1</script> "{WIDE[:400]}'
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
AXE = Axe()
STRICT = {"rules": {"color-contrast-enhanced": {"enabled": True}}}


class Walk:
    """A walk of both sides; it notes what each page reports."""

    issuer = ""
    """Where one signs in, if not by a token."""

    def __init__(self, browser: Browser, url: str, folder: Path | None) -> None:
        self.browser, self.url, self.folder = browser, url, folder
        self.seen: dict[str, Any] = {"errors": [], "elsewhere": [], "axe": {}}

    def new_page(self, width: int = 1280) -> Page:
        """Open a page in a context of its own; what it reports is noted."""
        context = self.browser.new_context(
            permissions=["clipboard-read", "clipboard-write"],
            viewport={"width": width, "height": 720},
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.seen["errors"].append(str(error)))
        page.on("console", self._note_console)
        page.on("request", self._note_request)
        return page

    def side(self, token: str) -> Page:
        """Open the console in a context of its own, and sign in."""
        page = self.new_page()
        page.goto(f"{self.url}/console")
        page.get_by_role("button", name=token).wait_for()
        if "sign-in" not in self.seen["axe"]:
            self.look(page, "sign-in")
        page.get_by_role("button", name=token).click()
        page.get_by_role("heading", level=1, name="Shared with me").wait_for()
        return page

    def _note_console(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.seen["errors"].append(message.text)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, self.issuer or self.url, "data:")):
            self.seen["elsewhere"].append(request.url)

    def look(self, page: Page, name: str, *, picture: bool = True) -> None:
        """Hold a page against axe's rules, light and dark; take pictures if asked."""
        for scheme, shown in (("dark", f"{name}-dark"), ("light", name)):
            page.emulate_media(color_scheme=scheme)
            found = AXE.run(page, options=STRICT).response["violations"]
            self.seen["axe"][shown] = [
                f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found
            ]
            if self.folder and picture:
                page.screenshot(path=self.folder / f"{shown}.png", full_page=True)


def go(page: Page, link: str) -> None:
    """Follow a link of the page's head."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=link).click()
    page.get_by_role("heading", level=1, name=link).wait_for()


def share(page: Page, image: str, projects: str, note: str) -> list[str]:
    """Share by the dialog; return what its review says."""
    page.get_by_role("button", name="Share images").click()
    page.get_by_label(image, exact=True).check()
    page.get_by_label("Project ids").fill(projects)
    page.get_by_label("Note").fill(note)
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog", name="Review")
    dialog.get_by_role("table").wait_for()
    rows = [row.inner_text() for row in dialog.get_by_role("row").all()[1:]]
    dialog.get_by_role("button", name="Share", exact=True).click()
    dialog.wait_for(state="detached")
    page.get_by_role("status").locator("p").wait_for()
    return rows


def walk(tour: Walk) -> None:
    """Offer, accept, look, revoke; then what is hostile, and what expires."""
    seen = tour.seen
    producer = tour.side("alice:producer:member")
    go(producer, "Shared by me")
    review = share(producer, "fedora-43", "consumer\nnewcomer", "Minimal install.")
    seen["said"] = [producer.get_by_role("status").inner_text()]
    review += share(producer, "fedora-43", "newcomer", "Smaller.")
    seen["review"] = [" ".join(row.split()) for row in review]
    seen["said"].append(producer.get_by_role("status").inner_text())

    consumer = tour.side("bob:consumer:member")
    seen["banner"] = consumer.locator(".banner").inner_text()
    tour.look(consumer, "incoming")
    row = consumer.get_by_role("row").filter(has_text="fedora-43")
    seen["offer"] = "Minimal install." in row.inner_text()
    row.get_by_role("link").click()
    offers = consumer.get_by_role("link", name="in the list of offers")
    seen["list"] = offers.get_attribute("href")
    offers.click()
    row.get_by_role("button", name="Accept", exact=True).click()
    consumer.get_by_role("status").get_by_text("accepted").wait_for()
    seen["accepted"] = consumer.get_by_role("status").inner_text()
    row.wait_for(state="detached")
    seen["focus"] = [focused(consumer)]
    consumer.get_by_role("button", name="Copy your project's id").click()
    seen["copied"] = consumer.evaluate("navigator.clipboard.readText()")

    producer.reload()
    shared = producer.get_by_role("row").filter(has_text="fedora-43")
    answered = shared.filter(has_text="consumer").filter(has_text="accepted")
    answered.wait_for()
    seen["answered"] = answered.count()
    tour.look(producer, "outgoing")
    answered.get_by_role("link").click()
    producer.get_by_role("heading", level=2, name="Members").wait_for()
    tour.look(producer, "image")

    keyboard(tour, consumer, producer)
    hostile(tour, producer)
    refused(tour, producer)
    interrupted(tour, producer)
    narrow(tour)
    long(tour)
    rules(tour)
    expired(tour, consumer)


def keyboard(tour: Walk, consumer: Page, producer: Page) -> None:
    """Revoke by keyboard alone, while the other side looks at the image."""
    consumer.get_by_role("navigation", name="Status").get_by_role(
        "link", name="accepted"
    ).click()
    leave = consumer.get_by_role("row").filter(has_text="fedora-43")
    leave.get_by_role("button", name="Reject").wait_for()
    revoke = producer.get_by_role("row").filter(has_text="consumer")
    revoke.get_by_role("button", name="Revoke").focus()
    producer.keyboard.press("Enter")
    producer.get_by_role("dialog").wait_for()
    producer.keyboard.press("Enter")
    producer.get_by_role("status").get_by_text("revoked").wait_for()
    leave.get_by_role("button", name="Reject").click()
    consumer.get_by_role("alert").locator("p").wait_for()
    tour.seen["revoked"] = consumer.get_by_role("alert").inner_text()


def hostile(tour: Walk, producer: Page) -> None:
    """Names and notes of others are text, however they are written."""
    go(producer, "Shared by me")
    share(producer, HOSTILE_NAME, "victim", HOSTILE_NOTE)
    victim = tour.browser.new_context().new_page()
    victim.goto(f"{tour.url}/console")
    victim.get_by_label("Token").fill("mallory:victim:member")
    victim.get_by_role("button", name="Sign in").click()
    row = victim.get_by_role("row").filter(has_text="onerror")
    row.wait_for()
    tour.seen["hostile"] = {
        "title": victim.title(),
        "text": HOSTILE_NOTE in row.inner_text(),
        "elements": victim.locator("img, main script").count(),
        "fits": victim.evaluate(FITS),
        "badge": row.locator(".badge").inner_text(),
    }


def refused(tour: Walk, page: Page) -> None:
    """What cannot be shared is said in words that name what was typed."""
    page.get_by_role("button", name="Share images").click()
    page.get_by_label("fedora-43", exact=True).check()
    page.get_by_label("Project ids").fill("newcomer\na/b")
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("alert").locator("p").wait_for()
    said = [dialog.get_by_role("alert").inner_text()]
    tour.look(page, "share-refused", picture=False)
    page.get_by_label("Project ids").fill("producer\nnewcomer")
    page.get_by_role("button", name="Review").click()
    dialog.get_by_role("table").wait_for()
    said += [
        " ".join(row.inner_text().split()) for row in dialog.get_by_role("row").all()
    ]
    said.append(dialog.locator("caption").inner_text())
    tour.look(page, "review", picture=False)
    said += [button.inner_text() for button in dialog.get_by_role("button").all()]
    page.keyboard.press("Escape")
    tour.seen["refused"] = said


def interrupted(tour: Walk, page: Page) -> None:
    """What was typed survives a token that expires; a failure can be tried again."""
    opener = page.get_by_role("button", name="Share images")
    opener.click()
    page.get_by_role("button", name="Cancel").click()
    tour.seen["focus"].append(focused(page))
    opener.click()
    page.get_by_label("fedora-43", exact=True).check()
    page.get_by_label("Project ids").fill("consumer")
    page.get_by_label("Note").fill("Typed once.")
    page.route("**/ext/v1/outgoing", lambda route: answer(route, 401))
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="alice:producer:member").wait_for()
    page.unroute("**/ext/v1/outgoing")
    page.route("**/ext/v1/outgoing", lambda route: answer(route, 503))
    page.get_by_role("button", name="alice:producer:member").click()
    dialog = page.get_by_role("dialog", name="Share images")
    dialog.get_by_role("button", name="Review").click()
    dialog.get_by_role("alert").locator("p").wait_for()
    kept = dialog.get_by_label("fedora-43", exact=True).is_checked()
    tour.seen["draft"] = [kept, dialog.get_by_label("Note").input_value()]
    tour.seen["unavailable"] = dialog.get_by_role("alert").inner_text()
    dialog.get_by_role("button", name="Cancel").click()
    page.unroute("**/ext/v1/outgoing")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("row").filter(has_text="newcomer").first.wait_for()


def answer(route: Route, status: int) -> None:
    """Answer a call as the service does when it refuses all of them."""
    message = "The identity service is unavailable; retry."
    route.fulfill(status=status, json={"message": message})


def narrow(tour: Walk) -> None:
    """In a window of 360 pixels each action is in sight, and nothing is cut off."""
    page = tour.new_page(width=360)
    page.goto(f"{tour.url}/console")
    page.get_by_role("button", name="bob:consumer:member").click()
    row = page.get_by_role("row").filter(has_text="Hardened")
    row.wait_for()
    boxes = [button.bounding_box() for button in row.get_by_role("button").all()]
    right = max(box["x"] + box["width"] for box in boxes if box)
    tour.seen["narrow"] = [len(boxes), right <= 360, page.evaluate(FITS)]
    tour.look(page, "narrow")


def long(tour: Walk) -> None:
    """A long list goes on where the reader is, page by page."""
    page = tour.new_page()
    page.goto(f"{tour.url}/console")
    page.get_by_label("Token").fill("zoe:archive:member")
    page.get_by_role("button", name="Sign in").click()
    more = page.get_by_role("button", name="Show more")
    more.click()
    more.wait_for(state="detached")
    tour.seen["long"] = page.get_by_role("row").count() - 1
    tour.seen["focus"].append(focused(page))


def focused(page: Page) -> str:
    """Return the text of what has the focus."""
    page.wait_for_timeout(100)
    return str(page.evaluate("document.activeElement.innerText"))


def rules(tour: Walk) -> None:
    """The rules and the profile, and a list without a row."""
    page = tour.side("bob:consumer:member")
    go(page, "Rules and profile")
    page.get_by_label("Producer's project id").fill("producer")
    page.get_by_role("button", name="Save rule").click()
    page.get_by_role("row").filter(has_text="accept at once").wait_for()
    page.get_by_label("Display name").fill("Consumer Inc.")
    page.get_by_role("button", name="Save profile").click()
    page.get_by_role("status").get_by_text("Profile saved.").wait_for()
    tour.look(page, "rules")
    go(page, "Shared by me")
    page.get_by_role("main").get_by_text("shares no image").wait_for()
    tour.seen["empty"] = page.get_by_role("main").inner_text().split("\n")[-1]


def expired(tour: Walk, consumer: Page) -> None:
    """A token that is no longer good leads back to the sign-in, which says so."""
    consumer.evaluate("sessionStorage.setItem('token', 'expired')")
    consumer.reload()
    consumer.get_by_role("alert").wait_for()
    tour.seen["expired"] = consumer.get_by_role("alert").inner_text()


def main(chromium: str, folder: str, url: str) -> None:
    """Walk, and print what was seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        tour = Walk(browser, url, Path(folder) if folder else None)
        walk(tour)
        browser.close()
    sys.stdout.write(json.dumps(tour.seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
