from __future__ import annotations

import re

import httpx
import pytest

from dynfocus.serving.front import FOLDER

FILES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()
)


@pytest.fixture(scope="module")
def browser(served):
    with httpx.Client(base_url=served.url, verify=False) as client:
        yield client


def test_the_page_comes_under_a_policy_without_inline_code(browser):
    page = browser.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page.text)


def test_all_that_the_page_names_is_there(browser):
    page = browser.get("/").text
    named = re.findall(r'(?:src|href)="(/page/[^"]+)"', page)
    assert len(named) >= 8
    for address in named:
        assert browser.get(address).status_code == 200


def test_modules_import_only_modules_that_are_there_and_write_no_markup():
    for path in FOLDER.rglob("*.js"):
        text = path.read_text()
        for target in re.findall(r'from "(\./[^"]+)"', text):
            assert (path.parent / target).is_file(), target
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(", text)


def test_files_have_the_kind_that_a_browser_demands(browser):
    kinds = {
        "css": "text/css",
        "html": "text/html",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
    for name in FILES:
        told = browser.get(f"/page/{name}")
        kind = kinds[name.rsplit(".", 1)[1]]
        assert told.headers["Content-Type"].startswith(kind), name
        assert told.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_beside_the_page_is_served(browser):
    for address in ("/page/../front.py", "/page/%2e%2e/front.py", "/page/nothing.js"):
        told = browser.get(address)
        assert told.status_code == 404
        assert "error" in told.json()
