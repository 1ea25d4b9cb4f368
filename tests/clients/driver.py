"""Runs in a client's own environment, and makes the calls that are asked for on stdin.

Each line asks for one call of the library; one line of JSON on stdout answers it.
"""

import importlib
import json
import sys
from functools import cache
from operator import attrgetter
from types import GeneratorType
from typing import Any

NAME, URL = sys.argv[1:]

# Neither of the two can be imported in the environment of the tests themselves.
library: Any = importlib.import_module(NAME)
Error: Any = (
    library.exceptions.SDKException
    if NAME == "openstack"
    else library.exc.ClientException
)


seen: dict[str, Any] = {}
"""The latest object that the library gave under each id."""


@cache
def connect(token: str) -> Any:
    """Connect to a service as the token's user.

    Without a URL it is found by Keystone's catalog; the token is then a document: the
    user's name, password and so on.
    """
    if not URL:
        return connect_by_catalog(json.loads(token))
    if NAME != "openstack":
        return library.Client("2", URL, token=token)
    return library.connect(
        auth_type="admin_token",
        auth={"endpoint": URL, "token": token},
        image_endpoint_override=URL,
        load_envvars=False,
        load_yaml_config=False,
    )


def connect_by_catalog(auth: dict[str, str]) -> Any:
    """Sign in at Keystone, and connect to the service that its catalog tells of."""
    if NAME == "openstack":
        return library.connect(auth=auth, load_envvars=False, load_yaml_config=False)
    identity = importlib.import_module("keystoneauth1.identity.v3")
    session = importlib.import_module("keystoneauth1.session")
    return library.Client("2", session=session.Session(identity.Password(**auth)))


def call(token: str, name: str, words: list[Any], options: dict[str, Any]) -> Any:
    """Make a call; return its result, or the name and the text of an error.

    A word that was an object when the library gave it is that object again.
    """
    given = [seen[word["id"]] if isinstance(word, dict) else word for word in words]
    try:
        result = attrgetter(name)(connect(token))(*given, **options)
        return {"result": plain(result)}
    except Error as error:
        return {"error": type(error).__name__, "message": str(error)}


def plain(value: Any) -> Any:
    """Return a result of a library as JSON has it."""
    if isinstance(value, GeneratorType | list):
        return [plain(one) for one in value]
    if hasattr(value, "to_dict"):  # openstacksdk's own
        seen[value.id] = value
        return value.to_dict(computed=False, ignore_none=True)
    if hasattr(value, "wrapped"):  # python-glanceclient's own
        return value.wrapped
    return value


for line in sys.stdin:
    sys.stdout.write(json.dumps(call(**json.loads(line)), default=repr) + "\n")
    sys.stdout.flush()
