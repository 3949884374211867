from __future__ import annotations

import pytest

from label_studio_otel.cli import doctor
from label_studio_otel.cli._output import print_error, print_line
from label_studio_otel.cli.doctor.finding import error
from label_studio_otel.cli.doctor.observed import Observed

CONTROL = "\x1b[2J\nproject"


def test_a_name_that_came_from_outside_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(f"made: {CONTROL}")
    print_error(f"wrong: {CONTROL}")

    assert capsys.readouterr() == ("made: \\x1b[2J\\nproject\n", "wrong: \\x1b[2J\\nproject\n")


def test_a_finding_or_scope_of_doctor_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Observed(0)
    seen.spans[CONTROL] = 1
    doctor._print([error("project", CONTROL, fix=CONTROL)], seen)

    assert capsys.readouterr().out.splitlines() == [
        "✗ project: \\x1b[2J\\nproject",
        "  → \\x1b[2J\\nproject",
        "scope             spans  LLM calls",
        "\\x1b[2J\\nproject      1          0",
        "1 error, 0 warnings",
    ]
