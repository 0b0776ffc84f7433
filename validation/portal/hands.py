"""Hands for a page: what a person does there by its accessible names, with a mouse or with keys alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from playwright.sync_api import Error, Locator, Page

TABS_MOST: Final = 400
_SETTLES_MS: Final = 60
_FOCUSED: Final = """(one, group) => {
  const at = document.activeElement;
  return one === at || (group && at.name === group && at.type === 'radio' && at.form === one.form);
}"""
_SHOWN: Final = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  return one.matches(':focus-visible') && (outlined || style.boxShadow !== 'none') && box.bottom > 0 && box.top < innerHeight;
}"""


class Fault(Exception):
    """What kept somebody from their task."""


class Hands:
    """Works with a mouse; text is typed."""

    name = "mouse"

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, address: str, *, status: int = 200) -> None:
        """Type an address into the browser."""
        answer = self.page.goto(address, wait_until="load")
        if answer is None or answer.status != status:
            raise Fault(f"{address} answers {answer.status if answer else 'nothing'}")

    def press(self, name: str, *, role: str = "button", within: str = "main", nth: int = 0, exact: bool = False) -> None:
        """Press a button, or follow a link (`role="link"`)."""
        found = self.page.locator(within).get_by_role(role, name=name, exact=exact)  # type: ignore[arg-type]
        self._press(self._there(found.nth(nth), name))

    def follow(self, name: str, *, within: str = "main", nth: int = 0, exact: bool = False) -> None:
        """Follow a link."""
        self.press(name, role="link", within=within, nth=nth, exact=exact)

    def unfold(self, words: str) -> None:
        """Open what is folded under these words."""
        self._press(
            self._there(self.page.locator("summary", has_text=re.compile(rf"^\s*\d*\s*{re.escape(words)}")).first, words)
        )

    def fill(self, label: str, text: str, *, within: str = "main", nth: int = 0) -> None:
        """Write into a field, in place of what is there."""
        self._fill(self._field(label, within, nth), text)

    def tick(self, label: str, *, within: str = "main", nth: int = 0) -> None:
        """Tick a box, or choose one of several."""
        self._tick(self._field(label, within, nth))

    def choose(self, label: str, option: str, *, within: str = "main", nth: int = 0) -> None:
        """Choose from a list by the words of the option."""
        self._choose(self._field(label, within, nth), option)

    def attach(self, label: str, file: Path) -> None:
        """Choose a file."""
        self.page.get_by_label(label).set_input_files(file)

    def reads(self, words: str, *, within: str = "main", seconds: float = 15) -> None:
        """Wait until some words stand there."""
        found = self.page.locator(within).get_by_text(words).first
        try:
            found.wait_for(timeout=seconds * 1000)
        except Error as error:
            raise Fault(f"{self.page.url} does not say {words!r}") from error

    def _field(self, label: str, within: str, nth: int) -> Locator:
        part = self.page.locator(within)
        found = part.get_by_label(label).and_(self.page.locator("input, select, textarea"))
        return self._there(found.nth(nth), label)

    def _there(self, target: Locator, name: str) -> Locator:
        try:
            target.wait_for(state="attached")
        except Error as error:
            raise Fault(f"{self.page.url} has no {name!r}") from error
        return target

    def _press(self, target: Locator) -> None:
        target.click()
        self._settle()

    def _fill(self, target: Locator, text: str) -> None:
        target.fill(text)

    def _tick(self, target: Locator) -> None:
        target.check()

    def _choose(self, target: Locator, option: str) -> None:
        target.select_option(label=option)

    def _settle(self) -> None:
        self.page.wait_for_timeout(_SETTLES_MS)  # whether a new page begins is seen a moment after a click
        self.page.wait_for_load_state("load")


class Keys(Hands):
    """Works with keys alone: whatever cannot be reached by Tab, or does not show that it has the focus, is a fault."""

    name = "keys"

    def attach(self, label: str, file: Path) -> None:
        """Choose a file: the browser's own dialogue opens at a key."""
        target = self.page.get_by_label(label)
        self._reach(target)
        with self.page.expect_file_chooser() as opened:
            self.page.keyboard.press("Enter")
        opened.value.set_files(file)

    def _press(self, target: Locator) -> None:
        self._reach(target)
        self.page.keyboard.press("Enter")
        self._settle()

    def _fill(self, target: Locator, text: str) -> None:
        self._reach(target)
        self.page.keyboard.press("Control+A")
        if text:
            self.page.keyboard.type(text)
        else:
            self.page.keyboard.press("Delete")

    def _tick(self, target: Locator) -> None:
        target.wait_for(state="attached")
        if target.is_checked():
            return
        if target.get_attribute("type") == "radio":
            self._radio(target)
        else:
            self._reach(target)
            self.page.keyboard.press("Space")
        if not target.is_checked():
            raise Fault(f"{self.page.url}: keys do not tick {_named(target)}")

    def _radio(self, target: Locator) -> None:
        """Tab reaches a group; arrows go from one of it to the next."""
        name = target.get_attribute("name") or ""
        self._reach(target, group=name)
        self.page.keyboard.press("Space")
        for _ in range(self.page.locator(f'input[type="radio"][name="{name}"]').count()):
            if target.is_checked():
                return
            self.page.keyboard.press("ArrowDown")

    def _choose(self, target: Locator, option: str) -> None:
        self._reach(target)
        wanted = target.evaluate("(one, label) => [...one.options].findIndex(o => o.label.trim() === label)", option)
        if wanted < 0:
            raise Fault(f"{self.page.url}: {_named(target)} does not offer {option!r}")
        for _ in range(200):
            at = target.evaluate("one => one.selectedIndex")
            if at == wanted:
                return
            self.page.keyboard.press("ArrowDown" if at < wanted else "ArrowUp")
        raise Fault(f"{self.page.url}: keys do not choose {option!r} in {_named(target)}")

    def _reach(self, target: Locator, *, group: str = "") -> None:
        """Press Tab until the focus is there, or on another of a group; the page may draw itself anew meanwhile."""
        for _ in range(TABS_MOST):
            if target.evaluate(_FOCUSED, group):
                break
            self.page.keyboard.press("Tab")
        else:
            raise Fault(f"{self.page.url}: Tab does not reach {_named(target)!r}")
        if not self.page.evaluate(_SHOWN):
            raise Fault(f"{self.page.url}: {_named(target)!r} does not show that it has the focus")


def _named(target: Locator) -> str:
    return str(
        target.evaluate(
            "one => (one.labels?.[0]?.textContent || one.textContent || one.name || one.tagName).trim().slice(0, 60)"
        )
    )
