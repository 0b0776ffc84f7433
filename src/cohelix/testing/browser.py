"""A person's browser as far as cookies, forms and redirects go, for journeys that need no picture."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx


class Browser(httpx.Client):
    """Visits pages of one hub, and sends their forms as buttons would; follows redirects within the hub only."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, follow_redirects=False, trust_env=False, timeout=30)
        self.page: httpx.Response | None = None

    def visit(self, address: str) -> httpx.Response:
        """Open a page, and go where it leads."""
        return self._arrive(self.get(address))

    def submit(self, action: str, origin: str | None = None, **fields: str) -> httpx.Response:
        """Send a form of the page that is open, as its buttons would."""
        assert self.page is not None
        found = re.search(r'name="form_key" value="([^"]*)"', self.page.text)
        given = {"form_key": found[1] if found else "", **fields}
        return self._arrive(self.post(action, data=given, headers={"origin": origin or str(self.base_url).rstrip("/")}))

    def sign_in(self, name: str, password: str, *, terms: str = "accept") -> httpx.Response:
        """Answer the pages of a sign-in that is open."""
        answer = self.submit("/broker/sign-in", step="password", name=name, password=password)
        if "Terms of registered access" in answer.text:
            answer = self.submit("/broker/sign-in", step="terms", answer=terms)
        return answer

    def log_in(self, name: str, password: str) -> httpx.Response:
        """From the portal's link to being back."""
        self.visit("/login?next=/account")
        return self.sign_in(name, password)

    def allow_program(self, code: str, name: str, password: str, *, answer: str = "allow") -> httpx.Response:
        """Type the code that a program shows, sign in, and press a button."""
        self.visit("/broker/device")
        self.submit("/broker/device", user_code=code)
        self.sign_in(name, password)
        return self.submit("/broker/sign-in", step="device", answer=answer)

    def _arrive(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect:
            place = answer.headers["location"]
            if place.startswith("http") and urlsplit(place).netloc != self.base_url.netloc.decode():
                return answer
            answer = self.get(place)
        self.page = answer
        return answer
