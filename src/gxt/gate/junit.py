"""What a gate says, as JUnit XML: the form in which CI systems show test results."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from gxt.gate import Result, Verdict
from gxt.gate.limits import FAILED, SKIPPED

# What XML 1.0 cannot hold in any form.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: Result) -> bytes:
    """A test suite with a test case for each metric of each run, or group, in the class of its experiment."""
    counts = {
        "tests": len(result.verdicts),
        "failures": sum(verdict.status == FAILED for verdict in result.verdicts),
        "errors": 0,
        "skipped": sum(verdict.status == SKIPPED for verdict in result.verdicts),
    }
    about = {name: str(count) for name, count in counts.items()} | {"time": "0"}
    root = ElementTree.Element("testsuites", {"name": "gxt check", **about})
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"gxt check --against {_text(result.against)}", **about})
    for verdict in result.verdicts:
        _case(suite, verdict)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(suite: ElementTree.Element, verdict: Verdict) -> None:
    name = _text(f"{verdict.subject}: {verdict.metric}")
    case = ElementTree.SubElement(
        suite, "testcase", {"classname": _text(verdict.experiment), "name": name, "time": "0"}
    )
    if verdict.status == FAILED:
        failure = ElementTree.SubElement(case, "failure", {"type": "worse", "message": _text(verdict.why)})
        failure.text = _text(_details(verdict))
    elif verdict.status == SKIPPED:
        ElementTree.SubElement(case, "skipped", {"message": _text(verdict.why)})


def _details(verdict: Verdict) -> str:
    lines = [f"{verdict.metric} of {verdict.subject}: {verdict.value!r} (goal: {verdict.goal})", verdict.why]
    if verdict.reference is not None:
        lines.append(f"against {verdict.reference}: {verdict.reference_value!r}, tolerance {verdict.tolerance}")
    return "\n".join([*lines, f"runs: {', '.join(verdict.runs)}"])


def _text(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
