"""Pages that open from disk: one HTML file, its style inside, no script, nothing from another host; all that comes from data is escaped."""

from __future__ import annotations

from typing import Any

__all__ = ["render"]


def render(template: str, **values: Any) -> str:
    """Fill in a page.

    Args:
        template: A file of `score_rag/pages/templates`.
        values: What it names. A chart (`score_rag.pages.chart.to_svg`) is wrapped in `markupsafe.Markup`; all else is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("score_rag.pages"),
        autoescape=not template.endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)
