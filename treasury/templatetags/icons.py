"""Our own icons: strokes on a 16 × 16 grid, drawn in the text's colour. Inline, as the CSP allows no data: images."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

RING = "M8 2.2a5.8 5.8 0 1 1 0 11.6A5.8 5.8 0 0 1 8 2.2z"

STROKES: dict[str, str] = {
    "draft": "M2.8 13.2l.8-3L10.7 3a1.2 1.2 0 0 1 1.7 0l.6.6a1.2 1.2 0 0 1 0 1.7L5.8 12.4zM9.4 4.4l2.2 2.2",
    "submitted": f"{RING}M8 5v3.2l2.1 1.4",
    "approved": f"{RING}M5.4 8.2l1.9 1.9 3.4-3.8",
    "held": f"{RING}M6.5 5.9v4.2M9.5 5.9v4.2",
    "sending": "M2 8h9.5M8 4.2L11.8 8 8 11.8M14 4v8",
    "contradicted": "M8 1.8L14.8 13.6H1.2zM8 6v3.6M8 11.4v.3",
    "unknown": "M8 1.5L14.5 8 8 14.5 1.5 8zM6.6 6.7a1.4 1.4 0 1 1 2.1 1.2c-.5.3-.7.6-.7 1M8 10.9v.2",
    "confirming": "M8 7.2a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM2.8 13.8c.5-2.8 2.5-4.3 5.2-4.3s4.7 1.5 5.2 4.3",
    "sent": "M14 2L6.8 9.2M14 2L9.6 14l-2.8-4.8L2 6.4z",
    "settled": "M1.2 8.6l2.9 2.9 5.3-6.2M7.4 10.8l.8.7 5.6-6.2",
    "failed": f"{RING}M5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2",
    "rejected": f"{RING}M4 4l8 8",
    "cancelled": f"{RING}M5.2 8h5.6",
    "expired": "M4 2.2h8M4 13.8h8M5 2.2v2.4L8 8l-3 3.4v2.4M11 2.2v2.4L8 8l3 3.4v2.4",
    "healthy": "M1.5 8.4h3L6.2 4l3 8.4 1.9-4h3.4",
    "limited": f"{RING}M8 5v3.2l2.1 1.4",
    "unread": f"{RING}M5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2",
    "partly": f"{RING}M8 2.2v11.6M8 5h5M8 8h5.8M8 11h5",
    "waiting": f"{RING}M5 8h.1M8 8h.1M11 8h.1",
    "stopped": "M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4zM5.2 8h5.6",
    "stop": "M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4zM5.2 8h5.6",
    "practice": "M6 2h4M6.8 2v4.2L3.3 12.3A1.1 1.1 0 0 0 4.3 14h7.4a1.1 1.1 0 0 0 1-1.7L9.2 6.2V2M4.9 10h6.2",
    "arrow": "M2 8h11.5M9.5 4l4 4-4 4",
    "refresh": "M13.2 8.5A5.2 5.2 0 1 1 11.6 4.3M13.2 2v3.2H10",
    "alert": "M8 2L14.8 13.6H1.2zM8 6.4v3.4M8 11.6v.200",
}


def icon(name: str) -> SafeString:
    """An ornament: the text beside it says the same, so screen readers skip it."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">'
        '<path d="{}"/></svg>',
        STROKES[name],
    )
