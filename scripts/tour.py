"""Takes the pictures of `docs/tour/` from the demo's hub: `python scripts/tour.py HUB_URL --sign-in NAME PASSWORD …`.

The demo prints names and passwords; the tour signs in as its researcher and its dac-member. Needs the Debian package chromium
and the `test` extra. Each picture is written as a PNG of at most 300 KB.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from cohelix.sdk import connect

TOUR = Path(__file__).parents[1] / "docs" / "tour"
BYTES_MAX = 300_000
WIDTH = 1280
DRAFT = (
    "project=demo&dataset=FI:geuvadis&dataset=GB:geuvadis&dataset=IT:geuvadis&dataset=CEU:geuvadis"
    "&traits=ENSG00000184164.10&covariates=sex&region=22:50000000-51304566&maf_min=0.05"
)
# File, page, who looks at it (nobody, or an account of the demo), height of the window.
PICTURES = (
    ("home.png", "/", "", 900),
    ("variant.png", "/variant/22-50313359-G-A?assembly=GRCh37", "", 1300),
    ("cohorts.png", "/cohorts?cohort=sex=female+and+population=FIN", "", 1100),
    ("new-analysis.png", f"/analyses/new?{DRAFT}&do=check", "", 2500),
    ("analysis.png", "/analyses/{analysis}", "", 1000),
    ("catalogue.png", "/catalogue?does:genetic=yes", "researcher", 1100),
    ("application.png", "/applications/{application}", "researcher", 1300),
    ("decision.png", "/applications/{application}/datasets/FI:guarded", "dac-member", 1300),
    ("access.png", "/account", "researcher", 900),
    ("audit.png", "/audit", "researcher", 1000),
)


def main() -> None:
    """Take the tour's pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hub", help="address of the demo's hub, for example http://127.0.0.1:8000")
    parser.add_argument("--sign-in", nargs=2, action="append", default=[], metavar=("NAME", "PASSWORD"), help="an account")
    parser.add_argument("--out", type=Path, default=TOUR, help="where the pictures go")
    given = parser.parse_args()
    passwords = dict(given.sign_in)
    missing = {who for _, _, who, _ in PICTURES} - {"", *passwords}
    if missing:
        sys.exit(f"this needs --sign-in for {', '.join(sorted(missing))}: the demo prints the passwords")
    given.out.mkdir(parents=True, exist_ok=True)
    with connect(given.hub) as client:
        analysis = next((one.id for one in client.analyses.list().runs if one.state == "released" and one.open_data), None)
    if analysis is None:
        sys.exit("this needs a hub with a released analysis of open data, as the demo leaves one")
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("this needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        pages: dict[str, Page] = {}
        for name, path, who, height in PICTURES:
            if who not in pages:
                pages[who] = browser.new_page(base_url=given.hub, color_scheme="light")
                if who:
                    sign_in(pages[who], who, passwords[who])
            page = pages[who]
            page.set_viewport_size({"width": WIDTH, "height": height})
            address = path.format(analysis=analysis, application=application_of(pages.get("researcher", page)))
            answer = page.goto(address, wait_until="networkidle")
            if answer is None or answer.status != 200:
                sys.exit(f"{address} answered {answer.status if answer else 'nothing'}")
            page.screenshot(path=given.out / name)
            size = (given.out / name).stat().st_size
            if size > BYTES_MAX:
                sys.exit(f"{name} has {size} bytes, more than {BYTES_MAX}")
            print(f"{given.out / name}  {size // 1000} KB")
        browser.close()


def sign_in(page: Page, name: str, password: str) -> None:
    """Log in at the embedded issuer; an account that is new keeps its password and accepts the terms."""
    page.goto("/login?next=/account")
    if page.get_by_label("Password").count() == 0:
        page.get_by_role("button").last.click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    if page.get_by_label("New password").count():
        page.get_by_label("New password").fill(f"{password}-kept")
        page.get_by_label("The same again").fill(f"{password}-kept")
        page.get_by_role("button", name="Keep this password").click()
    for words in ("I accept the terms", "Go on without"):
        if page.get_by_role("button", name=words).count():
            page.get_by_role("button", name=words).click()
    page.wait_for_url("**/account")


def application_of(page: Page) -> str:
    """The application of the page's person that asks for Finland's guarded dataset: that of four banks in the demo."""
    if not page.context.cookies():
        return ""
    listed = page.request.get("/api/v1/applications").json()["applications"]
    addresses = (f"/api/v1/applications/{one['id']}" for one in listed)
    return next((one.rpartition("/")[2] for one in addresses if "FI:guarded" in page.request.get(one).text()), "")


if __name__ == "__main__":
    main()
