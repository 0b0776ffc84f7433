"""Takes the pictures of `docs/tour/` from a running hub, best the demo's: `python scripts/tour.py HUB_URL`.

Needs the Debian package chromium and the `test` extra. Each picture is written as a PNG of at most 300 KB.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from cohelix.sdk import connect

TOUR = Path(__file__).parents[1] / "docs" / "tour"
BYTES_MAX = 300_000
WIDE = (1280, 800)
# File, page, colour scheme, width and height of the window, whole page or window only.
PICTURES = (
    ("home.png", "/", "light", WIDE, True),
    ("variant.png", "/variant/22-50313359-G-A?assembly=GRCh37", "light", WIDE, True),
    ("analysis.png", "/analyses/{analysis}", "light", WIDE, False),
)
ASIDE = (
    ("home-dark.png", "/", "dark", WIDE, True),
    ("home-phone.png", "/", "light", (390, 800), True),
    ("variant-dark.png", "/variant/22-50313359-G-A?assembly=GRCh37", "dark", WIDE, True),
    ("variant-phone.png", "/variant/22-50313359-G-A?assembly=GRCh37", "light", (390, 800), True),
    ("region.png", "/region/22:50310000-50320000?assembly=GRCh37", "light", WIDE, False),
    ("gene.png", "/gene/CRELD2?assembly=GRCh37", "light", WIDE, False),
    ("datasets.png", "/datasets", "light", WIDE, True),
    ("dataset.png", "/datasets/FI:geuvadis", "light", WIDE, True),
    ("analysis-dark.png", "/analyses/{analysis}", "dark", WIDE, True),
    ("analysis-phone.png", "/analyses/{analysis}", "light", (390, 800), True),
    ("analyses.png", "/analyses", "light", WIDE, True),
    ("search.png", "/search?q=CREDL2&assembly=GRCh37", "light", WIDE, True),
)


def main() -> None:
    """Take the tour's pictures, or all of them into a folder of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hub", help="address of a hub that serves, for example http://127.0.0.1:8000")
    parser.add_argument("--all", type=Path, metavar="DIR", help="write every page in light, dark and narrow into DIR instead")
    given = parser.parse_args()
    folder = given.all or TOUR
    folder.mkdir(parents=True, exist_ok=True)
    with connect(given.hub) as client:
        analysis = next((one.id for one in client.analyses.list().runs if one.state == "released"), None)
    if analysis is None:
        sys.exit("this needs a hub with a released analysis, as the demo leaves one")
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("this needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for name, path, scheme, (width, height), whole in (*PICTURES, *ASIDE) if given.all else PICTURES:
            context = browser.new_context(
                base_url=given.hub,
                color_scheme="dark" if scheme == "dark" else "light",
                viewport={"width": width, "height": height},
            )
            page = context.new_page()
            answer = page.goto(path.format(analysis=analysis), wait_until="networkidle")
            if answer is None or (answer.status != 200 and "search" not in path):
                sys.exit(f"{path} answered {answer.status if answer else 'nothing'}")
            page.screenshot(path=folder / name, full_page=whole)
            size = (folder / name).stat().st_size
            if size > BYTES_MAX:
                sys.exit(f"{name} has {size} bytes, more than {BYTES_MAX}")
            print(f"{folder / name}  {size // 1000} KB")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
