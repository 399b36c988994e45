"""The page's look, for Gradio: our colours, the system's own fonts, nothing that is fetched."""

from __future__ import annotations

from gradio.themes import Base

SANS = (
    "system-ui",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Noto Sans",
    "Liberation Sans",
    "Arial",
)
MONO = ("ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "Liberation Mono", "monospace")
_COLOURS = {
    "body_background_fill": "var(--paper)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--muted)",
    "background_fill_primary": "var(--paper)",
    "background_fill_secondary": "var(--raised)",
    "block_background_fill": "transparent",
    "block_label_background_fill": "transparent",
    "block_label_text_color": "var(--muted)",
    "block_title_text_color": "var(--muted)",
    "block_border_color": "var(--line)",
    "border_color_primary": "var(--line)",
    "border_color_accent": "var(--accent)",
    "color_accent_soft": "var(--raised)",
    "input_background_fill": "var(--raised)",
    "input_border_color": "var(--line)",
    "input_border_color_focus": "var(--accent)",
    "input_placeholder_color": "var(--muted)",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "var(--accent)",
    "button_primary_text_color": "var(--on-strong)",
    "button_primary_border_color": "var(--accent)",
    "button_secondary_background_fill": "var(--raised)",
    "button_secondary_text_color": "var(--ink)",
    "button_secondary_border_color": "var(--line)",
    "link_text_color": "var(--accent)",
    "table_even_background_fill": "var(--paper)",
    "table_odd_background_fill": "var(--raised)",
    "table_row_focus": "var(--raised)",
}
THEME = Base(font=SANS, font_mono=MONO).set(
    color_accent="var(--accent)",
    block_shadow="none",
    input_shadow="none",
    input_shadow_focus="none",
    block_radius="6px",
    input_radius="6px",
    **_COLOURS,
    **{f"{name}_dark": colour for name, colour in _COLOURS.items()},
)
