"""What started the program: a container, a CI service, a cluster's queue. From variables and files that these set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gxt.masking import mask_text
from gxt.model import clean_text

_ROOT = Path("/")

# What each service calls itself by, and where it says what: a variable, or several to be joined.
_CI: dict[str, tuple[str, dict[str, str]]] = {
    # https://docs.github.com/actions/reference/workflows-and-actions/variables
    "github-actions": (
        "GITHUB_ACTIONS",
        {
            "url": "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
            "attempt": "{GITHUB_RUN_ATTEMPT}",
            "workflow": "{GITHUB_WORKFLOW}",
            "job": "{GITHUB_JOB}",
            "event": "{GITHUB_EVENT_NAME}",
            "ref": "{GITHUB_REF}",
            "sha": "{GITHUB_SHA}",
            "actor": "{GITHUB_ACTOR}",
        },
    ),
    # https://docs.gitlab.com/ci/variables/predefined_variables/
    "gitlab-ci": (
        "GITLAB_CI",
        {
            "url": "{CI_JOB_URL}",
            "pipeline": "{CI_PIPELINE_URL}",
            "job": "{CI_JOB_NAME}",
            "event": "{CI_PIPELINE_SOURCE}",
            "ref": "{CI_COMMIT_REF_NAME}",
            "sha": "{CI_COMMIT_SHA}",
            "actor": "{GITLAB_USER_LOGIN}",
            "image": "{CI_JOB_IMAGE}",
        },
    ),
    "jenkins": (
        "JENKINS_URL",
        {"url": "{BUILD_URL}", "job": "{JOB_NAME}", "ref": "{GIT_BRANCH}", "sha": "{GIT_COMMIT}"},
    ),
    "circleci": (
        "CIRCLECI",
        {
            "url": "{CIRCLE_BUILD_URL}",
            "job": "{CIRCLE_JOB}",
            "ref": "{CIRCLE_BRANCH}",
            "sha": "{CIRCLE_SHA1}",
            "actor": "{CIRCLE_USERNAME}",
        },
    ),
    "azure-pipelines": (
        "TF_BUILD",
        {
            "url": "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
            "job": "{SYSTEM_JOBDISPLAYNAME}",
            "ref": "{BUILD_SOURCEBRANCH}",
            "sha": "{BUILD_SOURCEVERSION}",
            "actor": "{BUILD_REQUESTEDFOR}",
        },
    ),
    "buildkite": (
        "BUILDKITE",
        {
            "url": "{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}",
            "job": "{BUILDKITE_LABEL}",
            "ref": "{BUILDKITE_BRANCH}",
            "sha": "{BUILDKITE_COMMIT}",
            "actor": "{BUILDKITE_BUILD_CREATOR}",
        },
    ),
}
_QUEUES: dict[str, tuple[str, dict[str, str]]] = {
    # https://slurm.schedmd.com/sbatch.html#SECTION_OUTPUT-ENVIRONMENT-VARIABLES
    "slurm": (
        "SLURM_JOB_ID",
        {
            "id": "{SLURM_JOB_ID}",
            "array": "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}",
            "step": "{SLURM_STEP_ID}",
            "name": "{SLURM_JOB_NAME}",
            "cluster": "{SLURM_CLUSTER_NAME}",
            "partition": "{SLURM_JOB_PARTITION}",
            "nodes": "{SLURM_JOB_NODELIST}",
        },
    ),
    "pbs": ("PBS_JOBID", {"id": "{PBS_JOBID}", "name": "{PBS_JOBNAME}", "partition": "{PBS_QUEUE}"}),
    "lsf": ("LSB_JOBID", {"id": "{LSB_JOBID}", "name": "{LSB_JOBNAME}", "partition": "{LSB_QUEUE}"}),
}


def describe(environ: Mapping[str, str], root: Path = _ROOT) -> dict[str, Any]:
    """`container`, `ci` and `job`, each a mapping that begins with its kind; nothing where the program runs in none."""
    found = {
        "container": container(environ, root),
        "ci": _first_of(_CI, environ),
        "job": _first_of(_QUEUES, environ),
    }
    return {key: value for key, value in found.items() if value}


def _first_of(known: Mapping[str, tuple[str, dict[str, str]]], environ: Mapping[str, str]) -> dict[str, str]:
    for kind, (sign, templates) in known.items():
        if environ.get(sign, "").lower() not in ("", "false"):
            said = {key: _filled(template, environ) for key, template in templates.items()}
            return {"kind": kind, **{key: value for key, value in said.items() if value}}
    return {}


def _filled(template: str, environ: Mapping[str, str]) -> str:
    """A template with its variables' values; empty where one of them is not set."""
    names = re.findall(r"{(\w+)}", template)
    if not all(environ.get(name) for name in names):
        return ""
    return mask_text(clean_text(re.sub(r"{(\w+)}", lambda match: environ[match[1]], template)))


def container(environ: Mapping[str, str], root: Path = _ROOT) -> dict[str, str]:
    """The container that the program runs in: its kind, id, image and name, as far as they can be seen from inside.

    Docker tells no image to what runs in it.
    """
    found: dict[str, str | None]
    podman = root / "run" / ".containerenv"  # https://docs.podman.io/en/latest/markdown/podman-run.1.html
    image = environ.get("APPTAINER_CONTAINER") or environ.get("SINGULARITY_CONTAINER")
    if image:
        kind = "apptainer" if "APPTAINER_CONTAINER" in environ else "singularity"
        return {"kind": kind, "image": clean_text(image)}
    if environ.get("KUBERNETES_SERVICE_HOST"):
        account = root / "var/run/secrets/kubernetes.io/serviceaccount/namespace"
        found = {"kind": "kubernetes", "name": environ.get("HOSTNAME"), "namespace": _text(account).strip()}
    elif podman.exists():
        said = dict(re.findall(r'^(\w+)="(.*)"$', _text(podman), re.MULTILINE))
        found = {"kind": "podman", "id": said.get("id"), "image": said.get("image"), "name": said.get("name")}
    elif (root / ".dockerenv").exists():
        found = {"kind": "docker"}
    else:
        return {}
    # The files that Docker and podman mount into a container come from a folder that is named by its id.
    mounted = re.search(
        r"/(?:containers|overlay-containers|sandboxes)/([0-9a-f]{64})/", _text(root / "proc/self/mountinfo")
    )
    if mounted and not found.get("id"):
        found["id"] = mounted[1]
    return {key: clean_text(value) for key, value in found.items() if value}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
