"""Refusals in our own words, with the command that mends them."""

import grpc
import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from netra_loop.cloud.google_hints import hint_for
from netra_loop.cloud.google_refusals import Caller, asked_pause_s, refused

WHO = Caller("shop", "deployer@shop.iam.gserviceaccount.com")


def of(kind, message, **info):
    details = error_details_pb2.ErrorInfo(**info) if info else None
    return refused("deploying service 'web'", kind(message, error_info=details), WHO)


@pytest.mark.parametrize(
    ("message", "permission", "role"),
    [
        (
            "Permission 'run.services.get' denied on resource 'x' (or resource may not exist).",
            "run.services.get",
            "roles/run.developer",
        ),
        (
            "Permission 'iam.serviceaccounts.actAs' denied on service account y",
            "iam.serviceaccounts.actAs",
            "roles/iam.serviceAccountUser",
        ),
        ("Permission 'logging.logEntries.list' denied", "logging.logEntries.list", "roles/logging.viewer"),
        (
            'Permission "artifactregistry.repositories.downloadArtifacts" denied on resource',
            "artifactregistry.repositories.downloadArtifacts",
            "roles/artifactregistry.reader",
        ),
    ],
)
def test_a_denial_names_permission_principal_project_and_the_command(message, permission, role):
    error = of(exceptions.PermissionDenied, message)
    assert f"deployer@shop.iam.gserviceaccount.com lacks {permission} in project 'shop'" in str(error)
    assert error.hint == (
        "gcloud projects add-iam-policy-binding shop --member=serviceAccount:deployer@shop.iam.gserviceaccount.com "
        f"--role={role}, then resume"
    )
    assert not error.retryable


def test_a_permission_in_the_details_is_taken_from_there():
    error = of(
        exceptions.PermissionDenied,
        "The caller does not have permission",
        reason="IAM_PERMISSION_DENIED",
        metadata={"permission": "run.services.update"},
    )
    assert "lacks run.services.update" in str(error)


def test_an_api_that_is_off_is_turned_on():
    error = of(
        exceptions.PermissionDenied,
        "Cloud Run Admin API has not been used in project shop before or it is disabled.",
        reason="SERVICE_DISABLED",
        metadata={"service": "run.googleapis.com"},
    )
    assert error.hint.startswith("gcloud services enable run.googleapis.com --project shop")
    error = of(exceptions.PermissionDenied, "SERVICE_DISABLED: logging.googleapis.com")
    assert "enable logging.googleapis.com" in error.hint


def test_a_quota_that_lasts_is_told_from_one_that_passes():
    lasting = "Quota violated: CpuAllocPerProjectRegion requested: 4000 allowed: 2000"
    for kind in (exceptions.ResourceExhausted, exceptions.InvalidArgument):
        error = of(kind, lasting)
        assert not error.retryable
        assert "scaling.max" in error.hint
        assert "shop" in error.hint
    assert of(exceptions.ResourceExhausted, "Quota exceeded for quota metric 'Write requests'").retryable


def test_credentials_that_cannot_be_renewed_are_not_an_api_out_of_reach():
    plugin = "Getting metadata from plugin failed with error: ('invalid_grant: Token has been expired or revoked.', {})"
    assert of(exceptions.ServiceUnavailable, plugin).code == "UNAUTHENTICATED"
    assert refused("x", RefreshError("Reauthentication is needed.")).hint == "gcloud auth application-default login"
    unreachable = "Getting metadata from plugin failed with error: HTTPSConnectionPool: Max retries exceeded"
    assert of(exceptions.ServiceUnavailable, unreachable).code == "UNAVAILABLE"
    assert refused("x", TransportError("no route to host")).code == "UNAVAILABLE"


def test_the_status_of_a_failed_operation_is_found_where_the_library_hides_it():
    class Status:
        code = 9

    error = exceptions.GoogleAPICallError("not ready", errors=(Status(),))
    assert refused("x", error).code == grpc.StatusCode.FAILED_PRECONDITION.name


def test_a_pause_that_the_api_asks_for_is_read():
    info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=7))
    assert asked_pause_s(exceptions.ResourceExhausted("later", details=[info])) == 7
    assert asked_pause_s(exceptions.ResourceExhausted("later")) == 0
    assert asked_pause_s(None) == 0


@pytest.mark.parametrize(
    ("reason", "message", "what"),
    [
        ("HEALTH_CHECK_CONTAINER_ERROR", "The container failed to start and listen on the port", "0.0.0.0:$PORT"),
        ("HEALTH_CHECK_CONTAINER_ERROR", "The container failed the configured startup probe checks.", "startup_probe"),
        ("HEALTH_CHECK_CONTAINER_ERROR", "The container ran out of memory", "memory: 1Gi"),
        ("CONTAINER_MISSING", "Image 'x/y:z' not found.", "pushed"),
        ("CONTAINER_PERMISSION_DENIED", "Agent must have permission to read the image", "artifactregistry.reader"),
        ("SECRETS_ACCESS_CHECK_FAILED", "Permission denied on secret: projects/1/secrets/k", "secretAccessor"),
        ("SECRETS_ACCESS_CHECK_FAILED", "Secret projects/1/secrets/k/versions/latest was not found.", "secrets create"),
        ("UNKNOWN", "failed to load: exec format error", "linux/amd64"),
        ("VPC_NETWORK_NOT_FOUND", "", "`vpc`"),
        ("INTERNAL", "Quota violated: MemAllocPerProjectRegion requested: 9", "project shop"),
        ("UNKNOWN", "Revision 'x' does not exist or is deleted.", "gone"),
        ("AnotherRevisionServes", "Revision 'x' is ready, but 'y' serves.", "gcloud run services describe"),
        ("PROGRESS_DEADLINE_EXCEEDED", "Revision 'x' was not ready in 300 s.", "startup_probe.timeout"),
    ],
)
def test_a_failed_revision_comes_with_what_to_do(reason, message, what):
    assert what in hint_for(reason, message, (), "shop")


def test_the_containers_own_lines_may_know_better():
    message = "The container failed to start and listen on the port"
    lines = ("booting", "ERROR: Memory limit of 512 MiB exceeded with 530 MiB used.")
    assert "memory" in hint_for("HEALTH_CHECK_CONTAINER_ERROR", message, lines, "shop")
    assert hint_for("UNKNOWN", "something new", ("Image 'x' not found",), "shop") == ""
