"""Discovery: versions, schemas, stores, health; and the response to unknown paths."""

import re
from http import HTTPStatus
from typing import Final

from chalice.app import Blueprint, Response

from chalicelib import settings
from chalicelib.api.app import METHODS, NO_RESOURCE, OTHER_VERSION
from chalicelib.api.requests import ANY_TYPE, base_url, caller_of, path_of
from chalicelib.api.responses import TEXT_TYPE, json_response
from chalicelib.api.schemas import SCHEMAS, Json
from chalicelib.domain.images import STORE
from chalicelib.domain.quotas import IMAGE_QUOTAS, Usage, is_limited
from chalicelib.domain.uploads import IMPORT_METHODS
from chalicelib.errors import Forbidden, NotFound
from chalicelib.store import usage as usage_store

VERSIONS: Final = (
    "2.13", "2.12", "2.9", "2.8", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1",
    "2.0",
)  # fmt: skip
"""The minor versions whose calls are there: not, for example, 2.17's locations."""

READ: Final = ["GET", "HEAD"]
"""The methods of what monitors ask for; as in the reference, others have no HEAD."""

_TENANTS: Final = re.compile(r"/v2/tenants(/|$)")

discovery = Blueprint(__name__)


@discovery.route("/", methods=READ, content_types=ANY_TYPE)
def show_choices() -> Response:
    """Choose a version of the API."""
    return json_response(_versions(), HTTPStatus.MULTIPLE_CHOICES)


@discovery.route("/versions", methods=READ, content_types=ANY_TYPE)
def list_versions() -> Response:
    """List the versions of the API."""
    return json_response(_versions())


@discovery.route("/v2", methods=READ, content_types=ANY_TYPE)
def show_version() -> Response:
    """Find the API at the address that a service catalog names."""
    return json_response(_versions())


@discovery.route("/healthcheck", methods=READ, content_types=ANY_TYPE)
def check_health() -> Response:
    """Check that the service responds."""
    return Response("OK", headers={"Content-Type": TEXT_TYPE})


@discovery.route("/v2/schemas/{name}", methods=READ, content_types=ANY_TYPE)
def show_schema(name: str) -> Response:
    """Read the JSON schema of a document: image, images, member or members."""
    if name not in SCHEMAS:
        raise NotFound(NO_RESOURCE)
    return json_response(SCHEMAS[name])


@discovery.route("/v2/info/import", methods=["GET"], content_types=ANY_TYPE)
def show_import_info() -> Response:
    """List the methods of import."""
    return json_response(
        {
            "import-methods": {
                "description": "Import methods available.",
                "type": "array",
                "value": list(IMPORT_METHODS),
            }
        }
    )


@discovery.route("/v2/info/stores", methods=["GET"], content_types=ANY_TYPE)
def show_stores_info() -> Response:
    """List the stores of images' data: one."""
    return json_response({"stores": [{"id": STORE, "default": "true"}]})


@discovery.route("/v2/info/usage", methods=["GET"], content_types=ANY_TYPE)
def show_usage_info() -> Response:
    """Show how much your project uses of each quota that is set."""
    caller = caller_of(discovery)
    names = [name for name in IMAGE_QUOTAS if is_limited((name,))]
    usage = usage_store.load_usage(caller.project_id) if names else Usage()
    return json_response(
        {
            "usage": {
                name: {"limit": usage.limit(name), "usage": usage.reported(name)}
                for name in names
            }
        }
    )


@discovery.route("/{proxy+}", methods=METHODS, content_types=ANY_TYPE)
def refuse_path() -> Response:
    """Refuse a path that has no route."""
    path = path_of(discovery.current_request)
    if _TENANTS.match(path) and settings.current.auth == "development":
        # No Keystone to ask: `openstack` then takes a project's id as given.
        raise Forbidden(
            "Without Keystone, projects cannot be looked up; use the project's ID."
        )
    if OTHER_VERSION.match(path):
        return json_response(_versions(), HTTPStatus.MULTIPLE_CHOICES)
    raise NotFound(NO_RESOURCE)


def _versions() -> Json:
    href = f"{base_url(discovery.current_request)}/v2/"
    return {
        "versions": [
            {
                "id": f"v{version}",
                "status": "CURRENT" if version == VERSIONS[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": href}],
            }
            for version in VERSIONS
        ]
    }
