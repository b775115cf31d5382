"""What is wrong with a page that stands alone, as a reader at a desk and one with a phone would meet it."""

import json
from pathlib import Path

import axe_core_python
from chromium import Browser

AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
SCREENS = {1280: "light", 390: "dark"}
"""Pixels of width, and the colours asked for."""
_GRAVE = ("serious", "critical")
_OPEN = "document.querySelectorAll('details:not(.picture)').forEach(each => each.open = true)"
_RUN = """window.verdict = null; axe.run().then(found => window.verdict = JSON.stringify(found.violations.map(
    each => [each.impact, each.id, each.nodes[0].html.slice(0, 200)])))"""


def faults(browser: Browser, page: Path) -> list[str]:
    """Grave findings of axe, sideways scrolling, requests, and complaints of the browser, with everything unfolded."""
    found = []
    for width, colours in SCREENS.items():
        _open(browser, page, width, colours)
        found += [
            f"asks for {each}" for each in browser.requests if not each.startswith(("data:", page.as_uri()))
        ]
        found += browser.complaints
        browser.run(_OPEN)
        wide = browser.run("document.documentElement.scrollWidth")
        found += [f"{width} px: is {wide} px wide"] if wide > width else []
        browser.run(AXE.read_text(encoding="utf-8") + "; 0")
        browser.run(_RUN)
        browser.wait("!!window.verdict")
        grave = [each for each in json.loads(browser.run("window.verdict")) if each[0] in _GRAVE]
        found += [f"{width} px, {colours}: {' '.join(each)}" for each in grave]
    return found


def _open(browser: Browser, page: Path, width: int, colours: str) -> None:
    browser.send(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
    )
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page.as_uri())
    browser.wait(f"document.readyState == 'complete' && location.href.endsWith('/{page.name}')")
