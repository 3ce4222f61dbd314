"""The doctor says what is there, what is not, and the line that helps."""

import io

import pytest
from rich.console import Console

from instascene_ros.tools.doctor import PROBES, Probe, doctor, examine


def probe(code: str, module: str = "json", required: bool = True) -> Probe:
    return Probe("part", module, code, "testing", "pip install part", required)


def diagnosis(*probes: Probe) -> tuple[int, str]:
    """Exit status and what was printed."""
    out = io.StringIO()
    return doctor(Console(file=out, width=200), probes), out.getvalue()


def test_working_part_reports_the_last_line_it_prints() -> None:
    finding = examine(probe("print('noise'); print('1.2.3, a GPU')"))
    assert (finding.state, finding.detail, finding.remedy) == ("works", "1.2.3, a GPU", "")


def test_absent_module_is_missing_with_its_install_line() -> None:
    finding = examine(probe("import no_such_module.sub", "no_such_module.sub"))
    assert (finding.state, finding.remedy) == ("missing", "pip install part")


def test_module_that_lacks_one_of_its_own_is_broken() -> None:
    finding = examine(probe("import no_such_module", "json"))
    assert finding.state == "broken"
    assert "no_such_module" in finding.detail


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libusb-1.0.so.0", "libusb-1.0-0"),
        ("libGL.so.1", "libgl1"),
        ("libEGL.so.1", "libegl1"),
        ("libgomp.so.1", "libgomp1"),
    ],
)
def test_missing_system_library_gets_the_apt_line(library: str, package: str) -> None:
    finding = examine(probe(f"raise OSError('{library}: cannot open shared object file: No such file or directory')"))
    assert (finding.state, finding.remedy) == ("broken", f"sudo apt-get install {package}")


def test_crash_of_a_part_is_a_finding() -> None:
    finding = examine(probe("import os; os.abort()"))
    assert finding.state == "broken"
    assert "status -6" in finding.detail


def test_status_is_0_when_only_optional_parts_are_missing() -> None:
    status, said = diagnosis(probe("print('ok')"), probe("import no_such_module", "no_such_module", required=False))
    assert status == 0
    assert "The CPU route works" in said
    assert "part: pip install part" in said


def test_status_is_1_and_names_a_required_part_that_fails() -> None:
    status, said = diagnosis(probe("raise RuntimeError('boom')"))
    assert status == 1
    assert "boom" in said
    assert "The CPU route does not work: part" in said


def test_cpu_route_works_here() -> None:
    status, said = diagnosis(*(each for each in PROBES if each.required))
    assert status == 0, said
    assert "draws a surfel where it is" in said
