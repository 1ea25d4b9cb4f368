"""Runs in the client's own environment: the handshake, by a generated client.

`python generated.py FOLDER URL`: FOLDER has the package `client`. What each call
answered is printed as one JSON document.
"""

import importlib
import json
import sys
from typing import Any

FOLDER, URL = sys.argv[1:]
sys.path.insert(0, FOLDER)

# It cannot be imported in the environment of the tests themselves.
client: Any = importlib.import_module("client")
models: Any = importlib.import_module("client.models")


def call(name: str, *words: Any, **options: Any) -> Any:
    """Make a call; return what it answered, parsed."""
    return importlib.import_module(f"client.api.{name}").sync(*words, **options)


def user(token: str) -> Any:
    """Return the client of a token's user."""
    return client.AuthenticatedClient(
        base_url=URL,
        token=token,
        prefix="",
        auth_header_name="X-Auth-Token",
        headers={"Accept": "application/json"},
        raise_on_unexpected_status=True,
    )


def listed(who: Any, **query: Any) -> list[str]:
    """Return the names of the images in a user's list."""
    page = call("images.list_images", client=who, **query)
    return [image.name for image in page.images]


producer, consumer = user("alice:producer:member"), user("bob:consumer:member")
report: dict[str, Any] = {}

body = models.NewImage(name="fedora", tags=["a b"])
image = call("images.create_image", client=producer, body=body)
report["created"] = [image.name, image.tags, image.visibility.value]
replace = models.SetOperationOp.REPLACE
rename = models.SetOperation(op=replace, path="/name", value="fedora-43")
call("images.update_image", image.id, client=producer, body=[rename])
hidden = call("images.show_image", image.id, client=consumer)
report["hidden"] = [type(hidden).__name__, hidden.code]
body = models.NewMember(member="consumer")
member = call("members.create_member", image.id, client=producer, body=body)
report["shared"] = [member.member_id, member.status.value]
report["offered"] = listed(
    consumer,
    visibility=models.ListImagesVisibility.SHARED,
    member_status=models.ListImagesMemberStatus.PENDING,
)
body = models.MemberUpdate(status=models.MemberStatus.ACCEPTED)
member = call("members.update_member", image.id, "consumer", client=consumer, body=body)
report["accepted"] = member.status.value
report["listed"] = listed(consumer, limit=5, tag=["a b"])
report["removed"] = call("members.delete_member", image.id, "consumer", client=producer)
report["left"] = listed(consumer)
json.dump(report, sys.stdout)
