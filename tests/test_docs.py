"""What the documents promise is there: sentences of the log, tests, files and links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def rows(title: str) -> list[list[str]]:
    """Cells of the table under a heading, without its two head lines."""
    section = TROUBLES.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def source_text() -> str:
    """All string literals' text as the code spells it: pieces of one sentence joined, placeholders as `…`."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "instascene_ros").rglob("*.py")))
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    return re.sub(r"\{[^{}]*\}", "…", text).replace("'…'", "…")


def test_every_sentence_of_the_log_is_one_that_the_code_says() -> None:
    source, sentences = (
        source_text(),
        [s for row in rows("What the log says") for s in re.findall(r"`([^`]+)`", row[0])],
    )
    assert len(sentences) >= 15
    needs = ("needs tf2_ros", "needs moveit_msgs")  # put together from the package's name
    missing = [s for s in sentences if s not in source and not s.endswith(needs)]
    assert missing == []


def test_each_of_the_fifteen_complaints_names_tests_that_exist() -> None:
    table = rows("Fifteen complaints, answered")
    assert [row[0] for row in table] == [str(number) for number in range(1, 16)]
    for row in table:
        named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row[3])
        assert named, row
        for file, test in named:
            text = (ROOT / "tests" / file).read_text()
            assert not test or f"def {test}(" in text, f"{file} has no {test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
