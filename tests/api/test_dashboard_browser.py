"""The dashboard in a real browser, on the real API process. Skipped where there is no Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lb.config import parse_server_url
from lb.model import Admin, Check, Health, Server, Source
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.integration.balancer import Balancer
from tests.integration.load import Load
from tests.integration.servers import servers
from tests.support import eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no chromium on the PATH (Debian's package is `chromium`)", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
expect = playwright.expect
expect.set_options(timeout=20_000)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
TOKEN, READ_TOKEN = "correct-horse-battery", "look-but-do-not-touch"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def api(store_url: str, keys: Keys, directory: Path, **environ: str) -> Iterator[str]:
    """Run `lb api` and yield its address."""
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", "lb", "api"],
            env={
                **os.environ,
                "LB_REDIS": store_url,
                "LB_KEY_PREFIX": keys.prefix,
                "LB_ADMIN_LISTEN": "127.0.0.1:0",
                **environ,
            },
            cwd=directory,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        assert process.stderr
        line = process.stderr.readline()
        found = re.search(r"admin API on (http://[^\s,]+)", line)
        assert found, line + process.stderr.read()
        yield found[1]


@pytest.fixture
def url(store_url: str, keys: Keys, tmp_path: Path) -> Iterator[str]:
    with api(store_url, keys, tmp_path) as address:
        yield address


@pytest.fixture
def visit(browser) -> Iterator[Callable]:
    """Open a page in a fresh profile; a script's error or a breach of the policy fails the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def act(address: str, viewport: dict[str, int] = DESKTOP, **options: object):
            context = browser.new_context(viewport=viewport, **options)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
            page.goto(address)
            return page

        yield act
    assert complaints == []


def row(page, server: str):
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=server))


def events_of(page):
    return page.get_by_role("log").get_by_role("listitem")


def agree(page, name: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def test_many_servers_can_be_filtered_by_name_and_state(visit, url, pool: BackendPool):
    page = visit(url)
    expect(page.get_by_text("The pool is empty.")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Last check")).to_be_hidden()  # of a table without rows
    for port in range(5001, 5012):
        pool.add(parse_server_url(f"http://localhost:{port}"), Source.ADMIN, "test")
    pool.set_admin("localhost:5003", Admin.DRAIN, "test")
    servers = page.get_by_role("rowheader", name="localhost:")
    expect(servers).to_have_count(11)
    seek = page.get_by_role("searchbox")

    seek.fill("drain")
    expect(servers).to_have_text([re.compile("localhost:5003")])
    expect(page.get_by_text("1 of 11")).to_be_visible()
    seek.fill("up 500")
    expect(servers).to_have_count(8)
    pool.set_admin("localhost:5004", Admin.DRAIN, "test")
    expect(servers).to_have_count(7)
    seek.fill("elsewhere")
    expect(page.get_by_text("No server is like that.")).to_be_visible()


def test_adds_a_server_drains_it_and_sees_the_numbers_move(visit, url, pool: BackendPool):
    page = visit(url)
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.get_by_text("The pool is empty.")).to_be_visible()
    page.get_by_label("URL of the new server").fill("http://localhost:5001")
    page.get_by_role("spinbutton", name="Weight").fill("3")
    page.get_by_role("button", name="Add server").click()
    server = row(page, "localhost:5001")

    expect(server.get_by_role("cell").nth(1)).to_have_text("3")
    expect(server.locator(".badge")).to_have_text("up")
    expect(page.locator("#eligible")).to_have_text("1")
    pool.record_check(pool.list()[0].server.id, Check(True, True, "200 OK", 0.0125))
    expect(server).to_contain_text("12.5 ms")
    assert int(page.locator("#version").inner_text()) == pool.version()

    server.get_by_role("button", name="Drain").click()
    expect(page.get_by_role("dialog")).to_contain_text("those in flight finish")
    agree(page, "Drain")
    expect(server.locator(".badge")).to_have_text("drain, up")
    expect(page.locator("#eligible")).to_have_text("0")
    assert pool.list()[0].server.admin is Admin.DRAIN
    expect(events_of(page).first).to_contain_text("drain")
    expect(events_of(page).first).to_contain_text("by api (127.0.0.1)")


def figure(place, name: str):
    """What stands in a column of a server's row, or in one of the totals."""
    return place.locator(f".{name} .value")


def moving(page, place, name: str, what: Callable[[float], bool]) -> None:
    """Wait until a figure is such a number."""
    eventually(lambda: what(number(figure(place, name).inner_text())), seconds=30, what=f"{name} so")


def number(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text) or "nan")


def test_the_rates_move_under_load(visit):
    """Real workers: a server that is added takes its share, one that is drained has none any more."""
    with servers(3) as three, Balancer({"servers": [one.url for one in three[:2]]}) as balancer:
        page = visit(balancer.admin_url)
        expect(page.get_by_role("status")).to_have_text("live")
        with Load(balancer.url, connections=4):
            totals = page.locator("#total-rate")
            expect(totals).to_be_visible()
            eventually(lambda: number(totals.locator(".value").inner_text()) > 0, seconds=30, what="requests")
            first, second = (row(page, one.id) for one in three[:2])
            for name in ("rate", "p50", "p99"):
                moving(page, first, name, lambda found: found > 0)
            expect(figure(first, "errors")).to_have_text("0\u00a0%")

            page.get_by_label("URL of the new server").fill(three[2].url)
            page.get_by_role("button", name="Add server").click()
            moving(page, row(page, three[2].id), "rate", lambda found: found > 0)
            second.get_by_role("button", name="Drain").click()
            agree(page, "Drain")
            expect(second.locator(".badge")).to_have_text("drain, up")
            moving(page, second, "rate", lambda found: found == 0)
            expect(figure(second, "p99")).to_have_text("\N{EN DASH}")
            moving(page, first, "rate", lambda found: found > 0)

            line = first.get_by_role("img", name="Requests per second, last two minutes")
            assert re.search(r": [\d.,]+ to [\d.,]+$", line.get_attribute("aria-label"))
            assert line.locator(".course").get_attribute("d").count("L") > 3
        worker = page.get_by_role("row").filter(has_text="at work")
        expect(worker.first).to_contain_text(re.compile(r"process \d+"))


def test_without_rates_nothing_stands_for_them(visit, url, add):
    """An API that has only begun to look, or knows none: no zero, for nobody has counted."""
    add()
    page = visit(url)
    seen = {name: page.request.get(f"{url}/{name}").json() for name in ("status", "servers", "removed")}
    for rates in (None, {"windowSeconds": 0.0, "total": {"requestsPerSecond": 0.0}, "servers": {}}):
        told = {**seen, "at": time.time(), "strategies": [], "rates": rates}
        body = f"event: pool\ndata: {json.dumps(told)}\n\n"
        page.route("**/live", lambda route, *, body=body: route.fulfill(body=body))
        page.reload()
        expect(row(page, "localhost:5001")).to_be_visible()
        expect(page.get_by_text("Requests in flight")).to_be_visible()
        for name in ("Requests/s", "p50", "p99", "Errors"):
            expect(page.get_by_role("columnheader", name=name, exact=True)).to_have_count(0)


def test_every_other_act(visit, url, pool: BackendPool, add: Callable[..., Server]):
    add()
    page = visit(url)
    server = row(page, "localhost:5001")
    for act, shown in (("Maint", "maint, up"), ("Undrain", "up")):
        server.get_by_role("button", name=act).click()
        agree(page, act)
        expect(server.locator(".badge")).to_have_text(shown)
    server.get_by_role("button", name="Weight").click()
    page.get_by_role("dialog").get_by_role("spinbutton").fill("7")
    agree(page, "Set weight")
    expect(server.get_by_role("cell").nth(1)).to_have_text("7")
    page.get_by_label("Strategy").select_option("random")
    agree(page, "Change")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert pool.snapshot().strategy == "random"

    server.get_by_role("button", name="Remove").click()
    agree(page, "Remove")
    expect(page.get_by_text("The pool is empty.")).to_be_visible()
    page.get_by_role("button", name="Restore localhost:5001").click()
    agree(page, "Restore")
    expect(server.locator(".badge")).to_have_text("up")
    expect(page.get_by_role("heading", name="Removed")).to_be_hidden()


def test_says_while_the_pool_fails_open(visit, url, pool: BackendPool, add: Callable[..., Server]):
    server = add().id
    page = visit(url)
    expect(row(page, server)).to_be_visible()
    banner = page.get_by_text("the pool fails open")
    expect(banner).to_be_hidden()
    pool.set_health(server, Health.DOWN, "check: status 500", "test")
    expect(banner).to_be_visible()
    pool.set_health(server, Health.UP, "", "test")
    expect(banner).to_be_hidden()


def test_the_strategy_of_somebody_else_is_shown_where_the_focus_stands(visit, url, pool: BackendPool, add):
    add()
    page = visit(url)
    strategy = page.get_by_label("Strategy")
    expect(strategy).to_have_value("round-robin")
    strategy.focus()
    pool.set_strategy("random", "test")

    expect(strategy).to_have_value("random")


def test_what_is_not_confirmed_is_not_done(visit, url, pool: BackendPool, add: Callable[..., Server]):
    add()
    pool.set_strategy("random", "test")
    page = visit(url)
    row(page, "localhost:5001").get_by_role("button", name="Remove").click()
    agree(page, "Cancel")
    expect(page.get_by_label("Strategy")).to_have_value("random")
    page.get_by_label("Strategy").select_option("round-robin")
    page.keyboard.press("Escape")

    expect(page.get_by_label("Strategy")).to_have_value("random")
    assert (len(pool.list()), pool.snapshot().strategy) == (1, "random")


def test_a_wrong_url_shows_what_the_api_says(visit, url, pool: BackendPool):
    page = visit(url)
    page.get_by_label("URL of the new server").fill("ftp://localhost")
    page.get_by_role("button", name="Add server").click()

    expect(page.locator("#add-answer")).to_contain_text("ftp")
    expect(page.get_by_label("URL of the new server")).to_be_focused()
    assert pool.list() == []


def test_names_from_elsewhere_are_text_and_never_markup(visit, url, pool: BackendPool, add):
    server = add()
    pool.record_check(server.id, Check(False, True, "<img src=x onerror=alert(1)>", 0.1))
    page = visit(url)

    expect(row(page, "localhost:5001")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("table img").count() == 0


def test_works_by_keyboard_alone(visit, url, pool: BackendPool, add):
    add()
    page = visit(url)
    expect(row(page, "localhost:5001")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the servers")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(4):  # URL, weight, add, and the first act of the first server
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Drain localhost:5001")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row(page, "localhost:5001").locator(".badge")).to_have_text("drain, up")

    expect(page.get_by_role("button", name="Undrain localhost:5001")).to_be_focused()
    assert pool.list()[0].server.admin is Admin.DRAIN


def test_the_focus_is_not_lost_when_the_server_leaves_before_the_answer(visit, url, pool: BackendPool, add):
    server = add()
    page = visit(url)

    def remove(route) -> None:
        pool.remove(server.id, "test")
        expect(page.locator("#server-rows tr")).to_have_count(0)
        route.fulfill(status=204)

    page.route("**/servers/*", remove)
    row(page, "localhost:5001").get_by_role("button", name="Remove").click()
    agree(page, "Remove")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#servers")).to_be_focused()


def test_asks_for_the_token_once(visit, store_url, keys, tmp_path, add):
    add()
    with api(store_url, keys, tmp_path, LB_ADMIN_TOKEN=TOKEN) as address:
        page = visit(address)
        for _ in range(3):  # after the first, Chromium closes the dialog without asking the page
            expect(page.get_by_label("Token")).to_be_focused()
            page.keyboard.press("Escape")
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#ask-answer")).to_contain_text("neither of its tokens")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(row(page, "localhost:5001")).to_be_visible()
        page.reload()
        expect(row(page, "localhost:5001")).to_be_visible()
        expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_read_only_token_offers_no_acts(visit, store_url, keys, tmp_path, add):
    add()
    tokens = {"LB_ADMIN_TOKEN": TOKEN, "LB_ADMIN_READ_TOKEN": READ_TOKEN}
    with api(store_url, keys, tmp_path, **tokens) as address:
        page = visit(address)
        page.get_by_label("Token").fill(READ_TOKEN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("live, read-only")
        expect(row(page, "localhost:5001")).to_be_visible()
        expect(page.get_by_role("button").filter(visible=True)).to_have_count(0)
        expect(page.get_by_label("Strategy")).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(visit, url, add, scheme):
    add("http://a-server-with-a-rather-long-name.internal.example.com:5001")
    page = visit(url, PHONE, color_scheme=scheme, has_touch=True)
    expect(page.locator("#server-rows tr")).to_have_count(1)

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for button in page.get_by_role("button").filter(visible=True).all():
        box = button.bounding_box()
        assert box["height"] >= 32
        assert box["x"] + box["width"] <= PHONE["width"]


def test_says_when_it_is_not_live_and_comes_back(visit, store_url, keys, tmp_path, add):
    add()
    with api(store_url, keys, tmp_path) as address:
        page = visit(address)
        expect(page.get_by_role("status")).to_have_text("live")
        expect(events_of(page)).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text("not live")
    expect(page.get_by_role("alert").first).to_contain_text(
        re.compile(r"The API does not answer\. What you see is of [\d:]{8}\. Trying again\.")
    )
    expect(row(page, "localhost:5001")).to_be_visible()
    with api(store_url, keys, tmp_path, LB_ADMIN_LISTEN=address.removeprefix("http://")):
        expect(page.get_by_role("status")).to_have_text("live")
        add("http://localhost:5002")
        expect(events_of(page).first).to_contain_text("localhost:5002")
        expect(events_of(page)).to_have_count(2)  # what was told before is not told again


def test_an_api_that_hangs_is_noticed(visit, url):
    page = visit(url)
    page.route("**/live", lambda route: None)
    page.clock.install()
    page.reload()
    expect(page.get_by_role("status")).to_have_text("connecting")
    page.clock.fast_forward(10_000)
    expect(page.get_by_role("alert").first).to_contain_text("The API does not answer.")


def test_an_api_that_the_page_does_not_understand_is_no_api_that_does_not_answer(visit, url):
    """As after an upgrade, with the page of the version before."""
    page = visit(url)
    page.route("**/live", lambda route: route.fulfill(body="event: pool\ndata: {}\n\n"))
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text("reload it")


def test_the_origin_of_a_server_follows_it(visit, url, pool: BackendPool):
    spec = parse_server_url("http://localhost:5001")
    pool.reconcile([spec], "round-robin", "test")
    page = visit(url)
    expect(row(page, "localhost:5001")).to_contain_text("from the config")
    pool.remove(spec.id, "test")
    pool.add(spec, Source.ADMIN, "test")  # mostly within a second, so that the page misses the gap
    expect(row(page, "localhost:5001")).to_contain_text("by an operator")


FIGURES = """async () => {
  const { day, duration, perSecond, share, span } = await import("/static/words.js");
  return [
    [0, 3.14159, 99.6, 12345.6, 123456].map(perSecond),
    [0.00123, 0.0123, 0.1234, 1.234, 12.34].map(duration),
    [0, 0.0004, 0.0123, 1].map(share),
    [3.4, 59, 200, 7200, 400000].map(span),
    [1795354625].map(day),
  ].map((words) => words.join(", ").replaceAll("\u00a0", " "));
}"""

LINE = """async () => {
  const { draw, forget, highest, newLine, note } = await import("/static/lines.js");
  const svg = newLine();
  const points = [[0, 9], [100, 1], [101, 2], [102, null], [103, 4], [110, 3]];
  points.forEach(([at, value]) => note("x", "a", at, value));
  note("x", "b", 110, 8);
  const top = highest("x", 1, (name) => name === "a");
  forget("x", new Set(["a"]));
  draw(svg, { figure: "x", name: "a", now: 110, top, text: String, title: "Figure" });
  note("x", "a", 125, 5);
  const later = highest("x", 1, () => true);
  return [top, later, svg.getAttribute("aria-label"), svg.children[1].getAttribute("d")];
}"""


def test_figures_have_as_many_digits_as_matter(visit, url):
    assert visit(url, timezone_id="UTC").evaluate(FIGURES) == [
        "0, 3.1, 100, 12,346, 123k",
        "1.23 ms, 12.3 ms, 123 ms, 1.23 s, 12.3 s",
        "0 %, <0.1 %, 1.2 %, 100 %",
        "3 s, 59 s, 3 min, 2 h, 5 days",
        "22 Nov",
    ]


def test_lines_break_where_nothing_was_seen_and_share_a_scale(visit, url):
    """What is older than two minutes is forgotten, and so is who left."""
    top, later, told, drawn = visit(url).evaluate(LINE)

    assert (top, later) == (9, 5)
    assert told == "Figure, last two minutes: 1 to 9"
    assert drawn == "M10.0,1.0M110.0,17.0L111.0,15.0M113.0,11.0M120.0,13.0"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_stands_in_the_way_of_a_screen_reader(visit, url, pool: BackendPool, add, viewport):
    """As far as the rules of axe tell."""
    add()
    pool.remove(add("http://localhost:5002").id, "test")
    page = visit(url, viewport)
    expect(events_of(page).first).to_be_visible()

    assert [found["id"] for found in Axe().run(page).response["violations"]] == []


CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? ground(element.parentElement) : colour;
  };
  return [...document.querySelectorAll("main *, header *")]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => {
      const pair = [luminance(getComputedStyle(e).color), luminance(ground(e))].sort((a, b) => b - a);
      return [(pair[0] + 0.05) / (pair[1] + 0.05), e.className || e.tagName, e.textContent.slice(0, 30)];
    })
    .filter(([contrast]) => contrast < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(visit, url, pool: BackendPool, add, scheme):
    """Contrast AA, 4.5:1, in every state that a server can be in."""
    servers = [add(f"http://localhost:500{number}") for number in range(1, 5)]
    pool.set_admin(servers[1].id, Admin.DRAIN, "test")
    pool.set_admin(servers[2].id, Admin.MAINT, "test")
    pool.mark_failed(servers[3].id, 5, "test")
    pool.record_check(servers[3].id, Check(False, False, "connection refused", 0.1))
    page = visit(url, color_scheme=scheme)
    expect(page.locator('.badge[data-state="down"]')).to_be_visible()

    assert page.evaluate(CONTRASTS) == []
