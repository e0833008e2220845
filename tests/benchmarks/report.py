"""What a report of a large folder costs, to make and to open.

    python tests/benchmarks/report.py [FILES [SECONDS]]

Makes so many files (500) of so many seconds (10) of noise in bands, as a sweep of two settings. Prints, with the sound
in the page and linked: how long `distill report` takes, its most memory, and the size of the page; then, opened in
headless Chromium, when the first row is there and when all of the page is, and how long frames take while the list is
scrolled by so many pixels a frame (120, as a wheel does, and 600).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))

import numpy as np
import soundfile
from playwright.sync_api import sync_playwright
from variations import sidecar

RATE = 48000
TEMPERATURES, TOP_KS = (0.6, 0.8, 1.0, 1.2), (0, 20, 50)
WATCH = """
    performance.told = {};
    new MutationObserver((_, observer) => {
        if (!document.querySelector('.row .play')) return;
        performance.told.row = performance.now();
        observer.disconnect();
    }).observe(document, { childList: true, subtree: true });
    addEventListener('DOMContentLoaded', () => performance.told.all = performance.now());
"""
SCROLL = """async step => {
    const times = [];
    scrollTo(0, 0);
    await new Promise(resolve => setTimeout(resolve, 500));
    let last = performance.now();
    for (let y = 0; y < document.documentElement.scrollHeight; y += step) {
        scrollTo(0, y);
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    times.sort((a, b) => a - b);
    return [times[times.length >> 1], times[Math.floor(times.length * 0.95)], times.at(-1)];
}"""


def fill(folder: Path, count: int, seconds: float) -> None:
    """Make `count` files of `seconds` in `folder`, with their sidecars."""
    generator = np.random.default_rng(0)
    pairs = [(temperature, top_k) for temperature in TEMPERATURES for top_k in TOP_KS]
    for index in range(count):
        temperature, top_k = pairs[index % len(pairs)]
        wave = np.convolve(generator.normal(size=round(seconds * RATE)), np.hanning(3 + index % 40), "same")
        wave *= np.exp(-np.linspace(0, index % 7, len(wave)))
        name = f"noise-{index:04}"
        soundfile.write(folder / f"{name}.wav", 0.8 * wave / np.abs(wave).max(), RATE, "PCM_24")
        said = sidecar(f"{name}.wav", {"temperature": temperature, "top_k": top_k})
        said |= {"seed": index // len(pairs), "stats": {"mean_entropy": float(generator.uniform(1, 9))}}
        (folder / f"{name}.json").write_text(json.dumps(said))


def made(folder: Path, *options: str) -> tuple[float, float, float]:
    """Seconds that the page of `folder` took, its most memory in MiB, its size in MB."""
    command = [sys.executable, "-m", "distill", "report", str(folder), "--quiet", *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - start, usage.ru_maxrss / 1024, (folder / "index.html").stat().st_size / 1e6


def opened(browser: Any, page: Path) -> str:
    """What opening and scrolling the page takes, in words."""
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.add_init_script(WATCH)
    tab.goto(page.as_uri())
    told = tab.evaluate("performance.told")
    frames = "; ".join(
        f"frames of {step} px: {middle:.0f} ms, 95 % under {most:.0f}, longest {longest:.0f}"
        for step in (120, 600)
        for middle, most, longest in [tab.evaluate(SCROLL, step)]
    )
    tab.close()
    return f"first row {told['row']:.0f} ms, all {told['all']:.0f} ms; {frames}"


def main(count: int = 500, seconds: float = 10.0) -> None:
    """Print what is measured."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        fill(folder, count, seconds)
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for options in ([], ["--link"]):
            took, memory, size = made(folder, *options)
            print(
                f"{count} files {' '.join(options)}: {took:.1f} s, {memory:.0f} MiB, page of {size:.1f} MB", flush=True
            )
            for _ in range(3):
                print(f"  {opened(browser, folder / 'index.html')}", flush=True)
        browser.close()


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, float), sys.argv[1:], strict=False)))
