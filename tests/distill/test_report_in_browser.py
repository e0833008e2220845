"""The page in a real browser: it plays, sorts, filters, is used by keyboard, and reaches nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from variations import sweep, variation

from distill.record import read_folder
from distill.report import page as pages

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


def report(folder: Path, link: bool = False) -> Path:
    """The page of the files in a folder."""
    path = folder / "index.html"
    pages.write(path, folder, read_folder(folder), link, 2, lambda: None)
    return path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep: three temperatures by two top-k, two seeds each."""
    return report(sweep(tmp_path_factory.mktemp("pages") / "takes"))


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Opens a page; at the end nothing may have been asked of a network, and nothing complained of."""
    contexts, complaints = [], []

    def call(path: Path, hash: str = "", files: bool = False, **options: Any) -> Any:  # noqa: A002 - the web's word
        context = browser.new_context(**({"viewport": {"width": 1300, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        own = path.as_uri()

        def asked(request: Any) -> None:
            beside = files and request.url.startswith(path.parent.as_uri())
            if not (request.url.split("#")[0] == own or request.url.startswith("blob:") or beside):
                complaints.append(request.url)

        page.on("request", asked)
        page.goto(own + hash)
        return page

    yield call
    for context in contexts:
        context.close()
    assert complaints == []


def until(page: Any, condition: str) -> None:
    """Wait until a condition holds; the page's policy lets nobody evaluate text in it but the driver itself."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def names(page: Any) -> list[str]:
    """The names that are shown, in order, without what they begin and end with."""
    shown = page.locator("#list .name").all_text_contents()
    return [re.sub(r"^rain-|\.wav$", "", name) for name in shown]


def current(page: Any) -> str:
    """The name that is selected."""
    return str(page.locator("#list [aria-current] .name").text_content())


ALL = [
    f"t{temperature}-k{top_k}-{seed}" for temperature in ("0.6", "0.9", "1.2") for top_k in (0, 20) for seed in (1, 2)
]
PLAYING = "!document.querySelector('audio').paused && document.querySelector('audio').currentTime > 0.1"


def test_a_file_is_played_and_paused_and_only_one_at_a_time(show: Open, swept: Path) -> None:
    page = show(swept)
    assert page.evaluate("document.querySelector('audio').src") == ""
    page.get_by_role("button", name="Play rain-t0.6-k0-2.wav", exact=True).click()
    until(page, PLAYING)
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(1.5, abs=0.03)
    assert page.locator("#now").text_content() == "rain-t0.6-k0-2.wav"
    page.get_by_role("button", name="Play rain-t0.9-k0-1.wav", exact=True).click()
    until(page, f"{PLAYING} && document.querySelector('#now').textContent === 'rain-t0.9-k0-1.wav'")
    assert page.locator(".row.playing .name").all_text_contents() == ["rain-t0.9-k0-1.wav"]
    assert page.locator("audio").count() == 1
    page.get_by_role("button", name="Pause rain-t0.9-k0-1.wav", exact=True).click()
    until(page, "document.querySelector('audio').paused")


def test_a_click_in_a_picture_plays_from_there(show: Open, swept: Path) -> None:
    page = show(swept)
    picture = page.locator(".row .picture").nth(3)
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 0.8, "y": 20})
    until(page, "document.querySelector('audio').currentTime > 1.19")
    assert page.locator("#now").text_content() == "rain-t0.6-k20-2.wav"
    part = page.evaluate("document.querySelectorAll('.row')[3].style.getPropertyValue('--part')")
    assert 0.79 <= float(part) <= 1


def test_playing_on_goes_through_what_is_shown(show: Open, swept: Path) -> None:
    page = show(swept, "#on&is.temperature=0.9")
    page.locator("#list .play").first.click()
    page.evaluate("document.querySelector('audio').currentTime = 1.4")
    until(page, "document.querySelector('#now').textContent === 'rain-t0.9-k0-2.wav'")
    until(page, PLAYING)


def test_pictures_are_drawn_where_they_are_seen(show: Open, swept: Path) -> None:
    page = show(swept, viewport={"width": 1300, "height": 500})
    colours = """index => {
        const canvas = document.querySelectorAll('.row canvas')[index], { width, height } = canvas;
        const { data } = canvas.getContext('2d').getImageData(0, 0, width || 1, height || 1);
        return new Set(new Uint32Array(data.buffer)).size;
    }"""
    until(page, "document.querySelector('.row canvas').width > 0")
    assert page.evaluate(colours, 0) > 30
    assert page.evaluate(colours, 11) == 1
    page.keyboard.press("End")
    until(page, "document.querySelectorAll('.row canvas')[11].width > 0")
    until(page, "document.querySelectorAll('.row canvas')[0].width === 0")


def test_files_are_sorted_by_settings_and_figures_both_ways(show: Open, swept: Path) -> None:
    page = show(swept)
    assert names(page) == ALL
    page.select_option("#sort", label="seed")
    assert names(page) == [name for seed in "12" for name in ALL if name.endswith(seed)]
    page.select_option("#sort", label="mean entropy")
    assert names(page)[:2] == ["t1.2-k0-2", "t1.2-k20-2"]
    page.click("#down")
    assert names(page)[:3] == ["t0.6-k0-1", "t0.6-k20-1", "t0.6-k0-2"]
    page.select_option("#sort", label="name")
    assert names(page) == ALL[::-1]


def test_files_are_filtered_by_values_ranges_and_words(show: Open, swept: Path) -> None:
    page = show(swept)
    assert page.locator("#count").text_content() == "12 files"
    temperature = page.locator("[data-column=temperature]")
    temperature.get_by_text("0.6", exact=True).click()
    temperature.get_by_text("1.2", exact=True).click()
    page.locator("[data-column=top-k]").get_by_text("20", exact=True).click()
    assert names(page) == ["t0.6-k20-1", "t0.6-k20-2", "t1.2-k20-1", "t1.2-k20-2"]
    assert page.locator("#count").text_content() == "4 of 12 files"
    page.fill("#search", "T1.2 rain")
    assert names(page) == ["t1.2-k20-1", "t1.2-k20-2"]
    page.fill("#search", "fog")
    assert names(page) == []
    page.click("#nothing-reset")
    assert names(page) == ALL
    assert page.locator("#fields [aria-pressed=true]").count() == 0


def test_many_numbers_are_filtered_by_a_range(show: Open, tmp_path: Path) -> None:
    for seed in range(12):
        variation(tmp_path, f"{seed:02}.wav", seconds=0.1, seed=seed)
    page = show(report(tmp_path))
    page.get_by_label("seed, at least").fill("4")
    page.get_by_label("seed, at most").fill("6")
    assert page.locator("#list .name").all_text_contents() == ["04.wav", "05.wav", "06.wav"]
    until(page, "location.hash.includes('to.seed=6')")
    page.reload()
    assert page.locator("#list .name").all_text_contents() == ["04.wav", "05.wav", "06.wav"]
    assert page.get_by_label("seed, at most").input_value() == "6"


def test_the_address_keeps_what_is_shown(show: Open, swept: Path) -> None:
    page = show(swept)
    page.select_option("#sort", label="mean entropy")
    page.click("#down")
    page.locator("[data-column=top-k]").get_by_text("20", exact=True).click()
    page.fill("#search", "t0")
    page.get_by_role("button", name="Mark rain-t0.6-k20-2.wav").click()
    shown = names(page)
    until(page, "location.hash.includes('mark=')")
    again = show(swept, page.evaluate("location.hash"))
    assert names(again) == shown
    assert again.locator("#search").input_value() == "t0"
    assert again.locator(".row.marked .name").all_text_contents() == ["rain-t0.6-k20-2.wav"]
    assert again.locator("[data-column=top-k] [aria-pressed=true]").all_text_contents() == ["20"]


@pytest.mark.parametrize(
    "hash", ["#sort=.nothing&view=x&is.=3&from.seed=x&at=none&mark=none", "#%", "#view=sheet&rows=a"]
)
def test_an_address_that_says_nothing_shows_all(show: Open, swept: Path, hash: str) -> None:  # noqa: A002
    assert show(swept, hash).locator("#count").text_content() == "12 files"


def test_the_keyboard_does_all_of_it(show: Open, swept: Path) -> None:
    page = show(swept)
    press = page.keyboard.press
    press("j")
    press("ArrowDown")
    press("j")
    press("k")
    assert current(page) == "rain-t0.6-k0-2.wav"
    press("Space")
    until(page, PLAYING)
    press("Space")
    until(page, "document.querySelector('audio').paused")
    press("Enter")
    until(page, PLAYING)
    press("ArrowRight")
    until(page, "document.querySelector('audio').currentTime > 1")
    press("Escape")
    until(page, "document.querySelector('audio').paused && document.querySelector('audio').currentTime === 0")
    press("End")
    assert current(page) == "rain-t1.2-k20-2.wav"
    press("j")
    assert current(page) == "rain-t1.2-k20-2.wav"
    press("Home")
    assert current(page) == "rain-t0.6-k0-1.wav"
    press("/")
    page.keyboard.type("k20 m?")
    assert page.locator("#search").input_value() == "k20 m?"
    page.fill("#search", "k20")
    press("Escape")
    assert current(page) == "rain-t0.6-k20-1.wav"
    press("?")
    assert page.locator("#help").is_visible()
    press("Escape")
    assert not page.locator("#help").is_visible()


def test_the_keyboard_leaves_buttons_to_themselves(show: Open, swept: Path) -> None:
    page = show(swept)
    page.locator("[data-column=temperature] button").first.focus()
    page.keyboard.press("Space")
    assert len(names(page)) == 4
    assert page.evaluate("document.querySelector('audio').src") == ""


def test_what_is_marked_is_shown_alone_copied_and_saved(show: Open, swept: Path) -> None:
    page = show(swept, permissions=["clipboard-read", "clipboard-write"])
    for key in ("j", "m", "j", "m", "j", "m", "m"):
        page.keyboard.press(key)
    page.click("#only")
    assert names(page) == ALL[:2]
    wanted = "rain-t0.6-k0-1.wav\nrain-t0.6-k0-2.wav\n"
    with page.expect_download() as saved:
        page.click("#export")
    assert Path(saved.value.path()).read_text() == wanted
    page.click("#copy")
    until(page, "document.querySelector('#message').textContent !== ''")
    assert page.locator("#message").text_content() == "2 names are copied."
    assert page.evaluate("navigator.clipboard.readText()") == wanted


def test_a_sweep_is_laid_out_as_a_grid_of_its_two_settings(show: Open, swept: Path) -> None:
    page = show(swept)
    page.click("#view-sheet")
    assert page.locator("#sheet thead th").all_text_contents() == ["0", "20"]
    assert page.locator("#sheet tbody th").all_text_contents() == ["0.6", "0.9", "1.2"]
    cell = page.locator("#sheet tbody tr").nth(1).locator("td").nth(1).locator(".tile")
    labels = [tile.get_attribute("aria-label").split(",")[0] for tile in cell.all()]
    assert labels == ["rain-t0.9-k20-1.wav", "rain-t0.9-k20-2.wav"]
    until(page, "document.querySelector('.tile canvas').width > 0")
    cell.nth(1).click()
    until(page, PLAYING)
    assert page.locator("#now").text_content() == "rain-t0.9-k20-2.wav"
    assert page.locator("#about").text_content() == "seed 2, temperature 0.9, top-k 20"
    page.select_option("#axis-rows", label="seed")
    assert page.locator("#sheet tbody th").all_text_contents() == ["1", "2"]
    page.select_option("#axis-columns", label="seed")
    assert page.locator("#sheet thead th").all_text_contents() == ["1", "2"]
    assert page.locator("#sheet tbody th").all_text_contents() == ["0", "20"]
    until(page, "location.hash.includes('rows=top-k')")
    page.reload()
    assert page.locator("#sheet tbody th").all_text_contents() == ["0", "20"]


def test_arrows_lead_through_the_contact_sheet(show: Open, swept: Path) -> None:
    page = show(swept, "#view=sheet")
    seen = []
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "End", "ArrowDown"):
        page.keyboard.press(f"{key}")
        seen.append(str(page.locator(".tile[aria-current]").get_attribute("aria-label")).split(".wav")[0])
    assert [one.removeprefix("rain-") for one in seen] == [
        "t0.6-k0-1", "t0.6-k0-2", "t0.6-k20-1", "t0.9-k20-1", "t0.9-k0-2", "t0.6-k0-2", "t1.2-k20-2", "t1.2-k20-2",
    ]  # fmt: skip
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    until(page, PLAYING)
    assert page.locator("#now").text_content() == "rain-t0.6-k0-1.wav"


def test_files_that_are_linked_are_played_where_they_lie(show: Open, tmp_path: Path) -> None:
    variation(tmp_path, "100% rain #1?.wav")
    variation(tmp_path, "gone.wav")
    path = report(tmp_path, link=True)
    (tmp_path / "gone.wav").rename(tmp_path / "elsewhere.wav")
    page = show(path, files=True)
    page.locator(".row .play").first.click()
    until(page, PLAYING)
    assert page.evaluate("document.querySelector('audio').duration") == 1.5


def test_a_page_that_was_cut_short_says_so_of_the_sounds_that_it_lacks(show: Open, swept: Path, tmp_path: Path) -> None:
    text = swept.read_text()
    cut = tmp_path / "cut.html"
    cut.write_text(text[: text.index('<script type="text/plain" id="sound-3"')])
    page = show(cut)
    page.locator(".row .play").nth(3).click()
    until(page, "document.querySelector('#message').textContent.startsWith('The sound is not in the page')")
    page.locator(".row .play").nth(2).click()
    until(page, PLAYING)
    assert page.locator("#message").text_content() == ""


def test_a_damaged_file_says_so_and_is_not_played(show: Open, tmp_path: Path) -> None:
    variation(tmp_path, "good.wav")
    variation(tmp_path, "bad.wav").write_bytes(b"no sound")
    page = show(report(tmp_path))
    bad = page.locator(".row").filter(has_text="bad.wav").first
    assert "cannot be read" in bad.locator(".problem").text_content()
    assert bad.locator(".play").is_disabled()
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    assert "cannot be read" in page.locator("#message").text_content()


def test_hostile_text_is_shown_and_does_nothing(show: Open, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m"
    for number in (1, 2):
        variation(
            tmp_path, f"a{number}.wav", seconds=0.2, seed=f"{evil}{number}", model={"name": f"{evil}{number}"},
            options={evil: f"{evil}{number}", "__proto__": number, "constructor": evil},
            stats={evil: number, "toString": number}, format=f"{evil}{number}", asked_tags={evil: f"{evil}{number}"},
        )  # fmt: skip
    path = report(tmp_path)
    for hash_ in ("", "#view=sheet", "#sort=.__proto__&search=script"):
        page = show(path, hash_)
        assert page.locator("img, #list script").count() == 0
        assert page.evaluate("document.scripts.length") == 4
        assert "\x1b" not in page.content()
    assert page.locator("#list dd").first.text_content().startswith("</script><script>alert(1)</script><img src=x")
    page.click("#view-sheet")
    assert page.locator(".tile").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone(show: Open, swept: Path, scheme: str) -> None:
    page = show(swept, viewport={"width": 360, "height": 640}, color_scheme=scheme)
    for view in ("list", "sheet"):
        page.click(f"#view-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) > 600) is (scheme == "light")


def test_every_control_has_a_name(show: Open, swept: Path) -> None:
    page = show(swept)
    unnamed = """[...document.querySelectorAll('button, input, select, a')].filter(e =>
        !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.title)).map(e => e.outerHTML)"""
    assert page.evaluate(unnamed) == []


def test_five_hundred_files_are_there_at_once(show: Open, tmp_path: Path) -> None:
    path = report_of_many(tmp_path, 500)
    page = show(path)
    assert page.locator("#count").text_content() == "500 files"
    assert page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive") < 5000  # ms
    page.keyboard.press("End")
    assert current(page) == "499.wav"
    page.fill("#search", "49")
    assert len(names(page)) == 15  # 049 to 449, and 490 to 499


def report_of_many(folder: Path, count: int) -> Path:
    """A page of as many files, all of which are one sound."""
    variation(folder, "000.wav", seconds=0.2)
    said = json.loads((folder / "000.json").read_text())
    for number in range(1, count):
        name = f"{number:03}"
        (folder / f"{name}.wav").hardlink_to(folder / "000.wav")
        (folder / f"{name}.json").write_text(json.dumps(said | {"file": f"{name}.wav", "seed": number}))
    return report(folder, link=True)
