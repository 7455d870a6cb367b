"""The page in a real browser: what a person does, with the mouse, the keyboard, a phone."""

from __future__ import annotations

import pytest

from dynfocus.serving import ServerSettings, create_application
from real_browser import check_access, open_browser, open_page, shifts
from running_server import RunningServer

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True}
PHONE["has_touch"] = True
DARK = {"color_scheme": "dark"}


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="module")
def server(nano, folder):
    settings = ServerSettings(folder=folder, index_workers=0)
    with RunningServer(create_application(settings, nano)) as server:
        yield server


@pytest.fixture(scope="module")
def example(browser, server):
    """Open the example with one click; gives its address."""
    with open_page(browser, server.url) as page:
        page.get_by_role("button", name="Show me an example").click()
        page.wait_for_selector(".cone-picture")
        assert "#/videos/" in page.url
        assert page.locator(".turn-answer").inner_text()
        assert page.locator(".truth").count() == 1
        assert shifts(page) < 0.02
        return page.url


@pytest.fixture
def page(browser, example):
    with open_page(browser, example) as page:
        page.wait_for_selector(".cone-picture")
        yield page


def ask(page, question):
    count = page.locator(".turn").count()
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_label("Question", exact=True).press("Enter")
    turn = page.locator(".turn").nth(count)
    turn.locator(".jump, .tag, .error").first.wait_for()
    return turn


def now(page):
    return float(page.get_by_role("slider").get_attribute("aria-valuenow"))


def test_a_click_on_a_cone_moves_the_player_there(page):
    picture = page.locator(".cone-picture").nth(1)
    minutes, seconds = picture.locator("b").inner_text().split(":")
    picture.click()
    wanted = 60 * int(minutes) + int(seconds)
    assert page.evaluate("document.querySelector('video').currentTime") == wanted
    assert now(page) == wanted


def test_a_click_on_the_timeline_moves_the_player_there(page):
    box = page.locator(".lane-box").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    assert now(page) == pytest.approx(30, abs=0.5)


def test_nothing_moves_while_an_answer_arrives(page):
    before = shifts(page)
    ask(page, "Describe the video.")
    page.wait_for_timeout(500)
    assert shifts(page) - before < 0.01


def test_two_budgets_stand_on_one_timeline(page):
    page.locator(".composer").get_by_role("button", name="Compare").click()
    page.get_by_label("Question", exact=True).fill("Does a purple diamond appear?")
    page.locator("#budget-a").fill("130")
    page.get_by_role("button", name="Ask both").click()
    page.locator(".lane svg.chart").nth(1).wait_for()
    assert page.locator(".lane svg.chart").count() == 2
    tokens = page.locator(".lane .meter b").all_inner_texts()
    assert int(tokens[0]) <= 130 < int(tokens[1])
    boxes = [lane.bounding_box() for lane in page.locator(".lane-box").all()]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[0]["width"] == boxes[1]["width"]


def test_two_old_answers_can_be_compared(page):
    ask(page, "Which room is shown most of the time?")
    page.locator(".turn").first.get_by_role("button", name="Compare").click()
    assert page.locator(".lane").count() == 2
    assert page.locator(".turn.is-shown").count() == 2


def test_the_keyboard_alone_is_enough(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert now(page) == pytest.approx(1, abs=0.1)
    page.keyboard.press("PageDown")
    text = page.get_by_role("slider").get_attribute("aria-valuetext")
    assert "Cone, score" in text
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className"))
    assert {"primary send", "chip", "cone-picture", "tile"} <= reached


def test_what_happens_is_said_to_a_screen_reader(page):
    ask(page, "What strange thing happens?")
    assert page.locator("[role=status]").inner_text().startswith("Answer: ")


def test_a_question_that_is_wrong_is_explained(page):
    page.get_by_role("button", name="Ask", exact=True).click()
    assert page.locator(".problem").inner_text() == "Write a question first."
    page.get_by_role("button", name="Options").click()
    page.get_by_label("From").fill("0:50")
    page.get_by_label("To", exact=True).fill("0:10")
    page.get_by_label("Question", exact=True).fill("Who comes in?")
    page.get_by_role("button", name="Ask", exact=True).click()
    assert "must end after it begins" in page.locator(".problem").inner_text()
    page.get_by_label("From").fill("0:10")
    page.get_by_label("To", exact=True).fill("0:20")
    page.locator("#budget-a").fill("3")
    turn = ask(page, "Who comes in?")
    assert "max_video_tokens" in turn.locator(".error").inner_text()
    page.complaints.clear()  # the browser reports the refused request


def test_the_report_is_a_page_of_all_questions(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Export the report").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename == "FocusWorld example report.html"
    assert "<h1>FocusWorld example.mp4</h1>" in text
    assert "data:image/" in text


def test_a_question_can_be_deleted(page):
    ask(page, "Describe the video.")
    count = page.locator(".turn").count()
    page.locator(".turn").last.get_by_role("button", name="Delete").click()
    page.locator(".turn").nth(count - 1).wait_for(state="detached")
    page.reload()
    page.wait_for_selector(".cone-picture")
    assert page.locator(".turn").count() == count - 1


def test_a_file_that_is_no_video_says_why(browser, server, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("no video at all")
    with open_page(browser, server.url) as page:
        page.locator("#file").set_input_files(path)
        error = page.locator(".error")
        error.wait_for()
        assert "notes.mp4" in page.content()
        assert "video" in error.inner_text()
        page.complaints.clear()  # where the server refused it at once


def test_an_address_that_cannot_be_opened_says_why(browser, server):
    with open_page(browser, server.url) as page:
        page.get_by_label("Address of a video").fill("nowhere")
        page.get_by_role("button", name="Add", exact=True).click()
        page.locator(".error").wait_for()
        page.complaints.clear()


def test_videos_are_found_by_name(browser, server, clip, example):
    with open_page(browser, server.url) as page:
        page.locator("#file").set_input_files(clip)
        page.locator(".composer").wait_for()
        page.get_by_role("link", name="All videos").last.click()
        page.locator(".card").nth(1).wait_for()
        page.get_by_label("Search the videos by name").fill("focusw")
        assert page.locator(".card h3").all_inner_texts() == ["FocusWorld example.mp4"]
        page.get_by_label("Search the videos by name").fill("zebra")
        assert "No video has" in page.locator(".grid").inner_text()


@pytest.mark.parametrize("options", [{}, DARK, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_wrong_and_nothing_sticks_out(
    browser, server, example, options
):
    with open_page(browser, example, **options) as page:
        page.wait_for_selector(".cone-picture")
        page.get_by_role("button", name="Options").click()
        widths = "[document.documentElement.scrollWidth, innerWidth]"
        assert page.evaluate(widths)[0] <= page.evaluate(widths)[1]
        check_access(page)
        page.goto(f"{server.url}/#/")
        page.wait_for_selector(".card")
        assert page.evaluate(widths)[0] <= page.evaluate(widths)[1]
        check_access(page)


def test_a_video_that_is_not_there_says_so(browser, server):
    with open_page(browser, f"{server.url}/#/videos/video-0") as page:
        page.locator(".error").wait_for()
        check_access(page)
        page.complaints.clear()


def test_all_is_there_after_a_restart(browser, nano, folder, example):
    settings = ServerSettings(folder=folder, index_workers=0)
    with RunningServer(create_application(settings, nano)) as later:
        address = example.partition("#")[2]
        with open_page(browser, f"{later.url}/#{address}") as page:
            page.wait_for_selector(".cone-picture")
            assert page.locator(".turn").count() >= 1


def test_times_are_written_and_read_as_people_do(page):
    told = page.evaluate(
        """async () => {
          const { clock, readClock, ticks } = await import("/page/scripts/format.js");
          return [
            clock(59.96, true), clock(59.96), clock(3725), readClock("1:02:05"),
            readClock("90.5"), Number.isNaN(readClock("soon")), readClock(" "),
            ticks(0, 3600, 6),
          ];
        }"""
    )
    minutes = list(range(0, 3601, 600))
    assert told == ["1:00.0", "0:59", "1:02:05", 3725, 90.5, True, None, minutes]


def test_ten_hours_are_drawn_at_once(page):
    milliseconds, bars = page.evaluate(
        """async () => {
          const { drawChart } = await import("/page/scripts/chart.js");
          const frames = Array.from({ length: 36000 }, (_, time) => (
            { time, score: (time % 97) / 97, kind: time % 900 ? "rod" : "cone", tokens: 2 }
          ));
          const begun = performance.now();
          const chart = drawChart({ frames }, { start: 0, end: 36000, width: 1200, height: 176 });
          const bars = chart.querySelector(".cones").getAttribute("d").split("Z").length - 1;
          return [performance.now() - begun, bars];
        }"""
    )
    assert milliseconds < 500
    assert bars == 40
