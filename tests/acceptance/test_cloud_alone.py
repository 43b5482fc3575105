"""`netra-loop cloud` in a process of its own: the demo through its `endpoint`, curl's view of it, gcloud's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from datetime import datetime, timedelta

import httpx
import pytest

from netra_loop import processes
from netra_loop.cloud.embedded.instance import MARK

PATIENCE_S = 60.0


class Alone:
    """A `netra-loop cloud` that runs beside a project."""

    def __init__(self, project, *arguments):
        self.folder = project.folder / "alone"
        given = ("cloud", "--port", "0", "--rest-port", "0", "--folder", str(self.folder), "--json", *arguments)
        self.process = subprocess.Popen(
            project.command(*given), cwd=project.folder, env=project.environ(), stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            pytest.fail(f"it did not start: exit code {self.process.wait(PATIENCE_S)}")
        self.told = json.loads(line)

    def end(self, number=signal.SIGTERM):
        """Its exit code; nothing that it started is left."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        assert processes.carrying(MARK, str(self.folder)) == []
        return code

    def ask(self, verb, path, **body):
        headers = {"Authorization": f"Bearer {self.told['token']}"}
        return httpx.request(verb, f"{self.told['rest']}/v2/{path}", headers=headers, timeout=PATIENCE_S, **body)


@pytest.fixture
def alone(project):
    """Starts one; it is ended with the test where it was not before."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            made = Alone(project, *arguments)
            stack.callback(lambda: made.process.poll() is None and made.end())
            return made

        yield start


@pytest.fixture
def through_endpoint(demo, alone):
    """The demo with an environment more, and the cloud that it names."""
    cloud = alone()
    loop = demo.folder / "loops" / "golden-path.yaml"
    text = loop.read_text()
    first = "environments:\n"
    emulator = f'  emulator: {{cloud: google, project: demo, region: local, endpoint: "{cloud.told["endpoint"]}"}}\n'
    head, local, rest = text.partition(first)
    default, newline, rest = rest.partition("\n")
    loop.write_text(head + local + default + newline + emulator + rest)
    plain = demo.environ
    demo.environ = lambda: plain() | {"NETRA_LOOP_CLOUD_TOKEN": cloud.told["token"]}
    return demo, cloud


def judged(project, *arguments):
    """What a session came to: exit code, each test's outcome and authenticity, and its findings."""
    done = project.call("run", "golden-path", "--plain", *arguments)
    results = {row["id"]: (row["outcome"], row["authenticity"]) for row in project.json("results", "latest")}
    findings = sorted((row["symptom"], row["cause"], len(row["tests"])) for row in project.json("findings", "latest"))
    return done.returncode, results, findings


def test_the_demo_comes_to_the_same_through_an_endpoint(through_endpoint):
    project, cloud = through_endpoint
    variables = ("--var", "defect=orchestrator")
    code, results, findings = judged(project, *variables)
    assert (code, len(findings) > 0) == (1, True)
    assert judged(project, "--env", "emulator", *variables) == (code, results, findings)
    assert project.status()["logs"]["complete"]
    assert project.status()["environment"] == "emulator"
    shown = cloud.ask("GET", "projects/demo/locations/local/services/backend/revisions").json()["revisions"]
    assert shown[0]["name"].rpartition("/")[2] == project.status()["revisions"]["backend"]
    assert cloud.end() == 0


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_reads_what_netra_loop_logs(through_endpoint, tmp_path):
    project, cloud = through_endpoint
    assert project.call("run", "golden-path", "--plain", "--env", "emulator").returncode == 0
    entries = project.json("logs", "latest")
    revision = project.status()["revisions"]["backend"]
    token = tmp_path / "token"
    token.write_text(cloud.told["token"])
    environ = {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "demo",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": f"{cloud.told['rest']}/",
    }

    def read(asked):
        """Ids, as gcloud finds them, of the window that the session's logs are of."""
        after = datetime.fromisoformat(entries[-1]["timestamp"]) + timedelta(microseconds=1)
        window = f'timestamp>="{entries[0]["timestamp"]}" AND timestamp<"{after.isoformat()}"'
        whole = f"resource.labels.revision_name={revision} AND {window} AND {asked}"
        command = ["gcloud", "logging", "read", whole, "--format=json", "--order=asc", "--limit=10000"]
        done = subprocess.run(
            command, env=os.environ | environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return [entry["insertId"] for entry in json.loads(done.stdout)]

    traced = next(entry["trace_id"] for entry in entries if entry["log"] == "requests" and entry["tests"])
    for asked, belongs in (
        ("httpRequest.requestMethod=GET AND httpRequest.status<400", is_good_get),
        ("severity>=WARNING", lambda entry: entry["severity"] in {"WARNING", "ERROR", "CRITICAL"}),
        (f"trace=projects/demo/traces/{traced}", lambda entry: entry["trace_id"] == traced),
    ):
        expected = [entry["insert_id"] for entry in entries if belongs(entry)]
        assert read(asked) == expected, asked
        assert expected, asked


def is_good_get(entry):
    return entry["log"] == "requests" and re.match(r"GET \S+ [123]\d\d", entry["message"]) is not None


# ------------------------------------------------------------------------------------------- the command itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked_with_all_it_started(alone, number):
    assert alone().end(number) == 0


def test_one_runs_on_a_folder_at_a_time(alone, project):
    first = alone()
    second = project.call("cloud", "--port", "0", "--folder", str(first.folder))
    assert second.returncode == 5
    assert f"as process {first.process.pid}" in second.stderr
    assert "--folder DIR" in second.stderr


def test_a_port_is_one_program_s(alone, project):
    port = alone().told["endpoint"].rpartition(":")[2]
    done = project.call("cloud", "--port", port, "--folder", "other")
    assert done.returncode == 3
    assert f"port {port} cannot be listened on" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--knob", "nope=1"], "unknown knob 'nope'"),
        (["--knob", "empty_pages=many"], "knob empty_pages is 'many'"),
        (["--secret", "x"], "expected NAME=VALUE"),
        (["--port", "1", "--socket", "x"], "expected one of them"),
    ],
)
def test_a_wrong_command_line_starts_nothing(project, arguments, complaint):
    done = project.call("cloud", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_without_the_token_nothing_is_answered(alone):
    cloud = alone()
    asked = httpx.get(f"{cloud.told['rest']}/v2/projects/demo/logs")
    assert (asked.status_code, asked.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert cloud.ask("GET", "projects/demo/logs").status_code == 200
