"""Routes of enrolment: a phrase becomes a tag with a new vault."""

from typing import Final

from litestar import post
from litestar.params import JSONBody

from hushtag.enrollment import accept_enrollment, answer_enrollment
from hushtag.messages import EnrolTag, FieldProblem, RegistrationStarted, StartRegistration, TagEnrolled
from hushtag.suites import suite_by_id
from hushtag_server.auth import ACCOUNT_SECURITY, account_caller, require_account_token
from hushtag_server.errors import (
    MalformedRequestError,
)
from hushtag_server.outcomes import check_outcome
from hushtag_server.security_log.events import ENROLMENT_CHECKED, ENROLMENT_STARTED, TAG_ENROLLED
from hushtag_server.security_log.recording import Subject
from hushtag_server.services import ServicesDep
from hushtag_server.vault import ceremony_queries as queries
from hushtag_server.vault.callers import check_tag_id
from hushtag_server.vault.ceremonies import (
    REGISTRATION_STARTED,
    begin,
    checked_registration,
    live_setups,
    new_session_id,
)
from hushtag_server.wire import WireRequest

__all__ = ["enrol_tag", "start_registration"]

_FIRST_KEY_VERSION: Final = 1


@post(
    "/registrations",
    status_code=201,
    summary="Start enrolling a phrase; costs one guess",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["unknown_suite", "too_many_guesses"]},
)
async def start_registration(
    data: JSONBody[StartRegistration], request: WireRequest, services: ServicesDep
) -> RegistrationStarted:
    """Evaluate the blinded phrase. It is charged like a guess, because it is one: the answer is what a locate gives."""
    suite_by_id(data.suite)
    session_id = new_session_id()
    caller = account_caller(request.auth, services)
    # Nothing to seal: the server needs no secret of this step again, only that it was taken once and in time, and which
    # key sets it was evaluated under: keys may be rotated before it ends. One element is one guess under all of them.
    setups = live_setups(services.keys)
    kept = b"".join(live.id.bytes for live in setups)
    subject = Subject(request.auth.user_id, request.auth.secret_hash, session_id)
    pool = services.events_of(request.scope).through(services.pool, ENROLMENT_STARTED, subject)
    credential_id = await begin(
        services, pool, caller, guesses=1, session_id=session_id, state=REGISTRATION_STARTED, kept=kept
    )
    response, *earlier = [answer_enrollment(live.setup, credential_id, data) for live in setups]
    return RegistrationStarted(session_id=session_id, registration_response=response, earlier=earlier)


@post(
    "/tags",
    status_code=201,
    summary="Enrol the phrase: store its tag, a new vault and the wrapped key",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["ceremony_failed", "already_exists", "unknown_suite"]},
)
async def enrol_tag(data: JSONBody[EnrolTag], request: WireRequest, services: ServicesDep) -> TagEnrolled:
    """Store everything or nothing. A phrase that is enrolled already, or an id in use, is told apart from neither."""
    if data.wrapped_key.key_version != _FIRST_KEY_VERSION:
        raise MalformedRequestError([FieldProblem(field="$.wrapped_key.key_version", rule="must be 1 in a new vault")])
    check_tag_id(data.tag_id, request.auth.user_id, "$.tag_id")
    tag = accept_enrollment(data)
    caller = account_caller(request.auth, services)
    events = services.events_of(request.scope)
    made = {"vault": events.hashed(b"vault", data.vault.vault_id.bytes)}
    subject = Subject(request.auth.user_id, request.auth.secret_hash, data.session_id, made)
    checked = events.through(services.pool, ENROLMENT_CHECKED, subject)
    key_id = await checked_registration(services, checked, caller, data.session_id, data.earlier_hashes)
    pool = events.through(services.pool, TAG_ENROLLED, subject)
    check_outcome(await queries.enrol_tag(pool, caller, tag, key_id=key_id), "enrolled")
    return TagEnrolled(tag_id=data.tag_id, vault_id=data.vault.vault_id)
