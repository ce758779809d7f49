"""The page of a report: whole, safe, and the same numbers; in a browser where there is one."""

from __future__ import annotations

import base64
import dataclasses
import importlib.metadata
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import fails, run
from d3rlpy_distill.data import TransitionArrays
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.methods.distilled import Distilled
from d3rlpy_distill.report import Report, find_distilled, write_report
from d3rlpy_distill.report.training import TrainingCurve
from d3rlpy_distill.sweeping.cell import SweepCell
from entries import ABOUT, constant, of_student

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEANS = {"random-policy": 1.0, "expert": 30.0, "bc-100": 10.0, "random-20": 8.0, "distilled-20": 9.51}
HOSTILE = '<script>document.title="taken"</script>&"\'<img src=x onerror=alert(1)>$\\frac'
VOID = {"meta", "img", "br", "hr", "input", "link"}
FETCHING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "href", "xlink:href"}


class Page(HTMLParser):
    """What a browser sees: balanced elements, cells of tables, texts, what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, int] = {}
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        for name, value in attrs:
            if name in FETCHING and not (value or "").startswith(("#", "data:image/")):
                self.fetched.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(str(value))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data


def hostile() -> Results:
    """Results whose every name is hostile."""
    plain = constant({**MEANS, HOSTILE: 5.0}, about={**ABOUT, HOSTILE: of_student(ABOUT["distilled-20"], HOSTILE)})
    arms = [
        dataclasses.replace(arm, about=of_student(arm.about, HOSTILE) if arm.about.student else arm.about)
        for arm in plain.arms
    ]
    provenance = {
        "command": HOSTILE,
        "machine": {HOSTILE: HOSTILE},
        "packages": HOSTILE,
        "real": {"file": HOSTILE, "command": HOSTILE},
        "distilled": {HOSTILE: {"file": HOSTILE, "command": "rld-distill distill 'unclosed"}, "x": HOSTILE},
    }
    protocol = {"real_sha256": HOSTILE, "distilled_sha256": {HOSTILE: HOSTILE}, "seed": [HOSTILE]}
    return Results(f"x/{HOSTILE}", protocol, provenance, {"id": HOSTILE, "ood": "unseen"}, arms)


def images(n: int = 4) -> TransitionArrays:
    frames = np.random.default_rng(0).integers(0, 256, (n, 3, 16, 16)).astype(np.uint8)
    return TransitionArrays.one_step(frames, np.arange(n), np.zeros(n, np.float32), 15)


def film(path: Path) -> Path:
    Image.new("P", (4, 4)).save(path, "GIF")
    return path


def full(tmp_path: Path) -> Report:
    """A page with everything that there is, of hostile names."""
    one = images()
    return Report(
        [hostile(), constant(MEANS, "procgen/starpilot", modes=("sampled", "greedy"))],
        [SweepCell(HOSTILE, 20, 0, 3.0, constant(MEANS)), SweepCell(HOSTILE, 50, 0, 3.0, constant(MEANS))],
        paper=True,
        distilled={HOSTILE: Distilled(one, initial=one), "soft": Distilled(one)},
        films=[film(tmp_path / "<b>&.gif")],
        training=[TrainingCurve(HOSTILE, {"training levels": [(1.0, 2.0), (2.0, 3.0)]})],
    )


def test_a_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    text = write_report(full(tmp_path), "html")
    page = Page(text)
    assert page.fetched == [] and page.handlers == []
    assert page.seen["script"] == page.seen["main"] == 1 and "style" in page.seen
    assert len(page.ids) == len(set(page.ids))
    assert (
        "http://" not in re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[\w/]+"', "", text)
        and "https://" not in text
    )
    assert "@import" not in text and "default-src 'none'" in text
    headings = ("Sweep", "Training of the expert", "Gallery", "Films", "How to reproduce", "Provenance")
    assert all(heading in page.texts for heading in headings)
    # panels: two splits of two evaluations, one of the curve's, training, two galleries
    assert page.seen["svg"] == 4 + 1 + 1 + 2


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    text = write_report(full(tmp_path), "html")
    page = Page(text)
    assert "<script>document" not in text and "<img src=x" not in text and "<b>" not in text
    assert page.seen["img"] == 1  # the film
    assert any(HOSTILE in one for one in page.texts)
    assert any(row[0] == HOSTILE for table in page.tables for row in table)


def test_numbers_are_those_of_the_results() -> None:
    results = constant(MEANS, "procgen/starpilot", modes=("sampled", "greedy"))
    report = Report([results])
    page = Page(write_report(report, "html"))
    assert [[tuple(row) for row in table] for table in page.tables] == [
        [table.columns, *table.rows] for table in report.tables
    ]
    for arm in results.arms:
        assert any(row[0] == arm.name and f"{arm.mean:.2f} ± {arm.std:.2f}" in row for row in page.tables[0])


def test_the_commands_stand_in_their_order() -> None:
    plain = constant(MEANS)
    provenance = {
        "command": "third < 'x'",
        "real": {"command": "first"},
        "distilled": {"a": {"command": "second"}, "b": {"command": "second"}},
        "packages": {"torch": "2.13.0", "d3rlpy-distill": "0.0.9"},
        "machine": {"cores": 2},
    }
    results = Results(plain.task, {"real_sha256": "abc"}, provenance, plain.splits, plain.arms)
    page = Page(write_report(Report([results]), "html"))
    assert "first\nsecond\nthird < 'x'" in page.texts
    assert all(text in page.texts for text in ("torch 2.13.0, d3rlpy-distill 0.0.9", "cores 2", "abc"))
    assert any("commands are those of d3rlpy-distill 0.0.9" in text for text in page.texts)
    provenance["packages"] = {"d3rlpy-distill": importlib.metadata.version("d3rlpy-distill")}
    assert "commands are those of" not in write_report(Report([results]), "html")
    without = Page(write_report(Report([plain]), "html"))
    assert any("do not record the commands" in text for text in without.texts)


def test_the_same_results_make_the_same_page() -> None:
    report = Report([constant(MEANS)])
    assert write_report(report, "html") == write_report(report, "html")


def test_a_film_is_embedded_and_must_be_one(tmp_path: Path) -> None:
    path = film(tmp_path / "play.gif")
    text = write_report(Report([constant(MEANS)], films=[path]), "html")
    assert base64.b64encode(path.read_bytes()).decode() in text
    constant(MEANS).save(tmp_path / "a.json")
    for wrong, said in ((tmp_path / "a.json", "is no GIF"), (tmp_path / "none.gif", "No such file")):
        with pytest.raises(SettingsError, match=said):
            write_report(Report([constant(MEANS)], films=[wrong]), "html")
    fails(2, "is no GIF", "report", tmp_path / "a.json", "--format", "html", "--film", tmp_path / "a.json")


def test_a_distilled_set_is_shown_if_it_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Distilled(images(4), initial=images(4)).save(tmp_path / "few.h5")
    Distilled(images(5)).save(tmp_path / "other.h5")
    few = Distilled.load(tmp_path / "few.h5")
    plain = constant(MEANS)

    def results(path: str) -> Results:
        about = {"distilled-20": {"command": f"rld-distill distill data.h5 --out {path} --seed 1"}}
        protocol = {"distilled_sha256": {"distilled-20": few.sha256}}
        return Results(plain.task, protocol, {"distilled": about}, plain.splits, plain.arms)

    assert list(find_distilled([results("few.h5")])) == ["distilled-20"]
    assert find_distilled([results("other.h5")]) == find_distilled([results("none.h5")]) == {}
    assert list(find_distilled([results("none.h5")], [tmp_path / "few.h5"])) == ["distilled-20"]
    with pytest.raises(SettingsError, match=r"other\.h5 is none of the sets"):
        find_distilled([results("few.h5")], [tmp_path / "other.h5"])
    other = Distilled.load(tmp_path / "other.h5")
    elsewhere = dataclasses.replace(
        results("other.h5"), task="other", protocol={"distilled_sha256": {"distilled-20": other.sha256}}
    )
    both = find_distilled([results("few.h5"), elsewhere])  # two sets of one name
    assert list(both) == [f"{plain.task}: distilled-20", "other: distilled-20"]
    assert list(find_distilled([elsewhere, results("x.h5")], [tmp_path / "few.h5"])) == list(both)
    here = dataclasses.replace(elsewhere, task=plain.task)  # of another dataset of one task
    assert list(find_distilled([results("few.h5"), here])) == [
        f"{plain.task}: distilled-20 ({one.sha256[:8]})" for one in (few, other)
    ]
    results("few.h5").save(tmp_path / "a.json")
    page = Page(run("report", tmp_path / "a.json", "--format", "html").stdout)
    assert "distilled-20: 4 samples, actions as labels" in page.texts


def test_a_curve_beside_the_results_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    constant(MEANS).save(tmp_path / "results" / "results.json")
    (tmp_path / "results" / "curve.csv").write_text("steps,train_return\n1,2\n2,3\n")
    page = Page(run("report", tmp_path / "results", "--format", "html").stdout)
    assert "Training of the expert" in page.texts


def seen(path: Path, *options: str, profile: Path) -> str:
    """The page as a browser has it after its scripts."""
    assert CHROMIUM is not None
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *options]
    command = [CHROMIUM, *arguments, "--virtual-time-budget=2000", "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_sorts_tables_and_runs_no_other_script(tmp_path: Path) -> None:
    (tmp_path / "plain.html").write_text(write_report(full(tmp_path), "html"))
    profile = tmp_path / "profile"
    plain = seen(tmp_path / "plain.html", profile=profile)
    assert "<title>Results: " in plain and "<title>taken" not in plain
    assert '<th scope="col"><button' in plain  # our own script ran

    text = write_report(Report([constant({**MEANS, "bc-100": 100.0})]), "html")
    clicks = """<script>
      const heads = document.querySelector("table").tHead.rows[0].cells;
      const names = () => [...document.querySelector("table").tBodies[0].rows].map((r) => r.cells[0].textContent);
      const said = [];
      const press = (i) => { heads[i].querySelector("button").click();
                             said.push(heads[i].getAttribute("aria-sort") + " " + names().join(" ")); };
      press(1); press(1); press(0); press(5); press(5);
      const wide = document.documentElement.scrollWidth <= document.documentElement.clientWidth;
      document.body.innerHTML = "<pre>" + said.join("\\n") + "\\nfits " + wide + "</pre>";
    </script></body>"""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", clicks)
    (tmp_path / "clicked.html").write_text(text)
    said = seen(tmp_path / "clicked.html", "--window-size=500,800", profile=profile)
    assert said[said.index("<pre>") + 5 : said.index("</pre>")].splitlines() == [
        "descending bc-100 expert distilled-20 random-20 random-policy",
        "ascending random-policy random-20 distilled-20 expert bc-100",
        "ascending bc-100 distilled-20 expert random-20 random-policy",
        # what has no gain stays last
        "descending bc-100 distilled-20 expert random-20 random-policy",
        "ascending distilled-20 bc-100 expert random-20 random-policy",
        "fits true",
    ]
