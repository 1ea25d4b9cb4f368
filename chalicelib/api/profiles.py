"""The profile and the offer rules of the caller's project."""

from typing import Final

from chalice.app import Blueprint, Response

from chalicelib import clock
from chalicelib.api.bodies.json_body import check_no_body
from chalicelib.api.bodies.sharing import check_text, parse_exactly
from chalicelib.api.extension import (
    acting,
    check_project_id,
    parse_query,
    present_profile,
)
from chalicelib.api.requests import ANY_TYPE, body, caller_of
from chalicelib.api.responses import json_response, no_content, present_time
from chalicelib.api.schemas import Json
from chalicelib.domain import policy
from chalicelib.domain.offer_rules import ANYONE, Effect
from chalicelib.domain.profiles import Profile, is_contact
from chalicelib.domain.sharing import Result
from chalicelib.errors import BadRequest, Conflict, NotFound
from chalicelib.store import offer_rules as rule_store
from chalicelib.store import profiles as profile_store

PROFILE: Final = "/ext/v1/profile"
VERIFIED: Final = "/ext/v1/profiles/{project_id}/verified"
RULES: Final = "/ext/v1/rules"
RULE: Final = RULES + "/{producer_id}"

profiles = Blueprint(__name__)


@profiles.route(PROFILE, methods=["GET"], content_types=ANY_TYPE)
def show_profile() -> Response:
    """Show your project's profile."""
    query = parse_query(profiles, "project_id")
    caller = acting(profiles, "show_profile", query)
    profile = profile_store.load_profile(caller.project_id)
    if profile is None:
        raise NotFound("Your project has no profile.")
    return json_response(_present(caller.project_id, profile))


@profiles.route(PROFILE, methods=["PUT"], content_types=ANY_TYPE)
def set_profile() -> Response:
    """Say who your project is, and whether others may read it.

    Another name or contact is one that no administrator has verified.
    """
    parse_query(profiles)
    caller = acting(profiles, "update_profile")
    wanted = parse_exactly("profile", body(profiles))
    name, contact = wanted["display_name"], wanted.get("contact")
    check_text("/display_name", name)
    check_text("/contact", contact)
    if name != name.strip() or name.splitlines() != [name]:
        raise BadRequest("/display_name must be one line without blanks at its ends.")
    if contact is not None and not is_contact(contact):
        raise BadRequest("/contact must be an https URL or an e-mail address.")
    before = profile_store.load_profile(caller.project_id)
    same = before and (before.display_name, before.contact) == (name, contact)
    after = Profile(
        display_name=name,
        contact=contact,
        published=wanted.get("published", False),
        verified=bool(before and same and before.verified),
        updated_at=clock.now(),
    )
    result = Result.CHANGED
    if before and before._replace(updated_at=after.updated_at) == after:
        result, after = Result.UNCHANGED, before
    else:
        profile_store.set_profile(caller.project_id, before, after, caller)
    return json_response({"result": result, **_present(caller.project_id, after)})


@profiles.route(PROFILE, methods=["DELETE"], content_types=ANY_TYPE)
def delete_profile() -> Response:
    """Remove your project's profile, and with it an administrator's word."""
    parse_query(profiles)
    check_no_body(body(profiles))
    caller = acting(profiles, "update_profile")
    profile_store.delete_profile(caller.project_id)
    return no_content()


@profiles.route(VERIFIED, methods=["PUT"], content_types=ANY_TYPE)
def verify_profile(project_id: str) -> Response:
    """Say, as an administrator, that a profile is true, or not.

    What the body names of the profile must be so, as the project may have changed it
    since it was read.
    """
    parse_query(profiles)
    caller = caller_of(profiles)
    policy.require_administrator("verify_profile", caller)
    wanted = parse_exactly("verified", body(profiles))
    verified = wanted.pop("verified")
    before = profile_store.load_profile(check_project_id(project_id))
    if before is None:
        raise NotFound(f"The project {project_id} has no profile.")
    for name, text in wanted.items():
        if getattr(before, name) != text:
            raise Conflict(f"The profile has another {name}; read it again.")
    result = Result.UNCHANGED
    if before.verified is not verified:
        after = before._replace(verified=verified)
        profile_store.set_profile(project_id, before, after, caller)
        before, result = after, Result.CHANGED
    return json_response({"result": result, **_present(project_id, before)})


@profiles.route(RULES, methods=["GET"], content_types=ANY_TYPE)
def list_rules() -> Response:
    """List what your project does with the offers of producers."""
    query = parse_query(profiles, "project_id")
    caller = acting(profiles, "list_rules", query)
    rules = rule_store.query_rules(caller.project_id, strongly=True)
    return json_response(
        {
            "rules": [_present_rule(*rule) for rule in sorted(rules.items())],
            "next": None,
        }
    )


@profiles.route(RULE, methods=["GET"], content_types=ANY_TYPE)
def show_rule(producer_id: str) -> Response:
    """Show the rule that your project has for the offers of one producer."""
    query = parse_query(profiles, "project_id")
    caller = acting(profiles, "list_rules", query)
    rules = rule_store.query_rules(caller.project_id, strongly=True)
    if _producer(producer_id) not in rules:
        raise NotFound(f"Your project has no rule for {producer_id}.")
    return json_response(_present_rule(producer_id, rules[producer_id]))


@profiles.route(RULE, methods=["PUT"], content_types=ANY_TYPE)
def set_rule(producer_id: str) -> Response:
    """Say what to do with the offers of a producer; `*` is every one without a rule."""
    parse_query(profiles)
    caller = acting(profiles, "update_rules")
    effect = Effect(parse_exactly("offer-rule", body(profiles))["effect"])
    producer_id = _producer(producer_id)
    changed = rule_store.set_rule(caller.project_id, producer_id, effect, caller)
    result = Result.CHANGED if changed else Result.UNCHANGED
    return json_response({"result": result, **_present_rule(producer_id, effect)})


@profiles.route(RULE, methods=["DELETE"], content_types=ANY_TYPE)
def delete_rule(producer_id: str) -> Response:
    """Remove a rule."""
    parse_query(profiles)
    check_no_body(body(profiles))
    caller = acting(profiles, "update_rules")
    rule_store.delete_rule(caller.project_id, _producer(producer_id), caller)
    return no_content()


def _producer(producer_id: str) -> str:
    return producer_id if producer_id == ANYONE else check_project_id(producer_id)


def _present(project_id: str, profile: Profile) -> Json:
    return {
        "project_id": project_id,
        **present_profile(profile),
        "published": profile.published,
        "updated_at": present_time(profile.updated_at),
    }


def _present_rule(producer_id: str, effect: Effect) -> Json:
    return {"producer_id": producer_id, "effect": effect}
