"""A real browser for the tests of the page, or the reason why there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ROOT = Path(__file__).parents[1]
_SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@contextmanager
def open_browser() -> Iterator[Any]:
    """Start Chromium, or skip the tests that need it."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Open a page in a profile of its own; what it complains of fails the test.

    ``page.complaints`` may be cleared by a test that expects one.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(180_000)
    context.add_init_script(_SHIFTS)
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "console",
        lambda told: (
            page.complaints.append(told.text)
            if told.type in ("error", "warning")
            else None
        ),
    )
    page.goto(url)
    try:
        yield page
    finally:
        context.close()
    assert not page.complaints, "\n".join(page.complaints)


def shifts(page: Any) -> float:
    """Tell how far things moved that nobody touched, since the page was opened."""
    return page.evaluate("window.shifts")


def check_access(page: Any) -> None:
    """Fail on what axe-core finds wrong, or skip where it is missing."""
    folder = Path(os.environ.get("DYNFOCUS_AXE", _ROOT / "node_modules/axe-core"))
    path = folder / "axe.min.js"
    if not path.is_file():
        pytest.skip("needs axe-core: npm install --no-save axe-core")
    page.evaluate(path.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    wrong = [
        f"{one['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert not wrong, "\n".join(wrong)
