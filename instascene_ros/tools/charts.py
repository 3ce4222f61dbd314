"""Small charts as inline SVG that follow the colours of the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 560
ROW, LABEL, NUMBER = 24, 130, 92  # px: height of a row, width of its label and of its figure


@dataclass(frozen=True)
class Bar:
    """One labelled length; `whisker` marks a second value on the same scale."""

    label: str
    value: float
    text: str
    whisker: float = 0.0


@dataclass(frozen=True)
class Lane:
    """The frames at which an id was alive, as [first, last] spans; `merged_into` names its heir."""

    label: str
    color: str
    spans: Sequence[tuple[int, int]]
    merged_into: str = ""


def bars(rows: Sequence[Bar]) -> Markup:
    """Horizontal bars on one scale; nothing for no bars."""
    if not rows:
        return Markup("")
    top = max(max(row.value, row.whisker) for row in rows) or 1.0
    room = WIDTH - LABEL - NUMBER
    parts = []
    for k, row in enumerate(rows):
        y, length = k * ROW, max(1.0, room * row.value / top)
        parts.append(f'<text x="{LABEL - 10}" y="{y + 16}" class="end">{escape(row.label)}</text>')
        parts.append(f'<rect x="{LABEL}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" rx="3" class="fill"/>')
        if row.whisker > row.value:
            x = LABEL + room * row.whisker / top
            parts.append(f'<path d="M{LABEL + length:.1f} {y + 12}H{x:.1f}M{x:.1f} {y + 7}v10" class="line soft"/>')
        x = LABEL + max(length, room * row.whisker / top) + 8
        parts.append(f'<text x="{x:.1f}" y="{y + 16}" class="soft">{escape(row.text)}</text>')
    return _svg(len(rows) * ROW, parts, "bar chart: " + "; ".join(f"{row.label} {row.text}" for row in rows))


def curve(values: Sequence[float], frames: Sequence[int], title: str) -> Markup:
    """One value over the frames, from 0."""
    height, left, right = 120, 64, 12
    if not values:
        return Markup("")
    top, span = max(*values, 1.0), max(frames[-1] - frames[0], 1)
    points = " ".join(
        f"{left + (WIDTH - left - right) * (f - frames[0]) / span:.1f},{height - 22 - (height - 34) * v / top:.1f}"
        for f, v in zip(frames, values, strict=True)
    )
    base = height - 22
    parts = [
        f'<path d="M{left} {base}H{WIDTH - right}" class="line soft"/>',
        f'<path d="M{left} 12H{WIDTH - right}" class="line grid"/>',
        f'<polyline points="{points}" class="line"/>',
        f'<text x="{left - 8}" y="16" class="end soft">{top:,.0f}</text>',
        f'<text x="{left - 8}" y="{base + 4}" class="end soft">0</text>',
        f'<text x="{left}" y="{height - 5}" class="soft">frame {frames[0]}</text>',
        f'<text x="{WIDTH - right}" y="{height - 5}" class="end soft">{frames[-1]}</text>',
    ]
    return _svg(height, parts, f"{title}: {values[-1]:,.0f} at frame {frames[-1]}")


def lanes(rows: Sequence[Lane], first: int, last: int) -> Markup:
    """One row an id, drawn where it was alive."""
    height, left = 18, 52
    right = 90 if any(row.merged_into for row in rows) else 12
    scale = (WIDTH - left - right) / max(last - first + 1, 1)
    parts = []
    for k, row in enumerate(rows):
        y, end = k * height, left
        parts.append(f'<text x="{left - 10}" y="{y + 13}" class="end">{escape(row.label)}</text>')
        for start, stop in row.spans:
            x, end = left + scale * (start - first), left + scale * (stop + 1 - first)
            box = f'x="{x:.1f}" y="{y + 3}" width="{end - x:.1f}" height="{height - 6}"'
            parts.append(f'<rect {box} rx="3" fill="{row.color}"/>')
        if row.merged_into:
            parts.append(f'<text x="{end + 6:.1f}" y="{y + 13}" class="soft">→ {escape(row.merged_into)}</text>')
    y = len(rows) * height
    parts.append(f'<text x="{left}" y="{y + 14}" class="soft">frame {first}</text>')
    parts.append(f'<text x="{WIDTH - right}" y="{y + 14}" class="end soft">{last}</text>')
    return _svg(y + 20, parts, f"{len(rows)} ids over frames {first} to {last}")


def _svg(height: float, parts: Sequence[str], description: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )
