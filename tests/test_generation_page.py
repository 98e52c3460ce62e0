"""The report of generators: what stands on it, that it says what the files say, and the logos of columns."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet as pq
import pytest

from seqloom.alphabet import DNA, PROTEIN
from seqloom.ancestry import FamilySettings
from seqloom.generate.monitor import LINES
from seqloom.generation.api import evaluate, fit
from seqloom.generation.page import board_html
from seqloom.report.logo import PER_LINE, Stack, letter_bits, logo
from seqloom.report.page import Block, Fold, Listing, Page, Part, page_html
from seqloom.report.words import Parts

FAMILY = FamilySettings(rows=150, length=40, clades=50).table()
QUICK = {"sample.n": 40, "judge.draws": 100, "judge.rules": {"serine": "S"}}


class Reader(HTMLParser):
    """The tables of a page by their caption, headings, ids and tags."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.tables, self.headings, self.ids, self.tags, self.text = [], {}, [], [], set(), ""
        self.rows, self.caption = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        if tag not in ("meta", "br", "rect", "path", "use", "line"):
            self.stack.append(tag)
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass
        if tag == "table":
            self.tables[self.caption] = self.rows

    def handle_data(self, data):
        if "style" in self.stack:
            return
        self.text += data
        if "caption" in self.stack:
            self.caption += data
        elif "small" in self.stack:
            pass
        elif {"td", "th"} & set(self.stack):
            self.rows[-1][-1] += data
        elif "h2" in self.stack:
            self.headings.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("pyhmmer")
    pytest.importorskip("pyfamsa")
    folder = tmp_path_factory.mktemp("page") / "run"
    fit(FAMILY, out=folder, model="profile", settings=QUICK)
    return folder


@pytest.fixture(scope="module")
def board(folder):
    return json.loads((folder / "leaderboard.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def page(folder):
    return Reader(board_html(folder))


def shown(value):
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "\N{MINUS SIGN}")


def test_the_page_stands_for_itself_and_its_parts_are_in_order(folder):
    html = board_html(folder)
    page = Reader(html)
    assert not {"script", "img", "link", "iframe"} & page.tags
    assert not re.search(r'(?:src|href)="(?!#)', html)
    assert len(page.ids) == len(set(page.ids))
    assert page.headings == [
        "Beside controls", "Copying", "In the family", "Columns of the family", "Entropy of columns", "Pairs of columns", "Map",
        "Samples", "Properties", "Rules", "What to know",
    ]  # fmt: skip
    assert len(html) < 1_000_000
    used = set(re.findall(r'href="#([^"]+)"', html))
    assert used <= set(page.ids)


def test_samples_stand_above_controls_in_one_table_with_verdicts_on_both(page, board):
    (rows,) = [rows for caption, rows in page.tables.items() if "95 % intervals" in caption]
    lines = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}
    assert list(lines) == ["profile", *board["controls"]]
    assert lines["collapse"]["verdict"] == "collapsed"
    assert lines["collapse"]["in family"] == shown(board["controls"]["collapse"]["in_family"])
    assert lines["noisy train"]["verdict"] == "copying"
    own = board["leaderboard"][0]
    assert lines["profile"]["verdict"] == own["verdict"]["word"]
    assert lines["profile"]["pair r"] == shown(own["metrics"]["pair_r"]["value"])
    assert lines["held-out"]["near copies"] == shown(board["controls"]["held-out"]["near_copies"])


def test_covariances_are_drawn_with_the_numbers_of_the_leaderboard(page, board):
    metrics = board["leaderboard"][0]["metrics"]
    found = re.findall(r"r = (\S+), slope (\S+) \(", page.text)
    assert found[0] == (shown(metrics["pair_r"]["value"]), shown(metrics["pair_slope"]["value"]))
    control = board["controls"]["held-out"]
    assert found[1] == (shown(control["pair_r"]), shown(control["pair_slope"]))


def test_the_nearest_samples_come_first_and_lie_over_their_neighbours(page, folder):
    samples = pq.read_table(folder / "seed-0" / "samples.parquet")
    (rows,) = [rows for caption, rows in page.tables.items() if "come nearest" in caption]
    identities = sorted(samples["identity"].to_pylist(), reverse=True)[:10]
    assert [row[2] for row in rows[1:]] == [f"{each:.2f}" for each in identities]
    first = samples.take([samples["identity"].to_pylist().index(identities[0])]).to_pylist()[0]
    for line in first["alignment"].split("\n"):
        assert line in page.text


def test_the_best_samples_are_no_near_copies_and_rules_are_the_users_too(page, folder):
    samples = {row["id"]: row for row in pq.read_table(folder / "seed-0" / "samples.parquet").to_pylist()}
    (rows,) = [rows for caption, rows in page.tables.items() if "of most bits" in caption]
    best = [samples[row[0]] for row in rows[1:]]
    assert all(each["valid"] and each["identity"] < 0.9 for each in best)
    assert [each["bits"] for each in best] == sorted((each["bits"] for each in best), reverse=True)
    (rules,) = [rows for caption, rows in page.tables.items() if "keeps a rule" in caption]
    assert ["serine", "S"] in [row[:2] for row in rules[1:]]


def test_a_training_is_shown_as_curves_alarms_and_rules_that_were_acquired(folder):
    shares = [0.1, 0.96, 0.9, 0.99]
    path = folder / "seed-0" / LINES
    lines = [
        {
            "turn": turn, "seen": 100 * (turn + 1), "in_family": share, "in_family_natural": 0.9, "unique": 1.0, "copy_gap": 0.0,
            "rule:starts-with-m": share, "rule:length": 1.0, "critic_real": 1.0, "critic_fake": -1.0, "odd_number": 2.0,
            "valid_loss": math.nan, "alarms": ["copying: 7% of samples"] if turn > 1 else [],
        }
        for turn, share in enumerate(shares)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    try:
        page = Reader(board_html(folder))
    finally:
        path.unlink()
    assert "How they learnt" in page.headings
    assert "profile, seed 0, 2 times, after 300 to 400 sequences: copying, first 7% of samples." in page.text
    found = [row for rows in page.tables.values() for row in rows if "starts-with-m" in row and row[0] == "profile"]
    assert [row[3:] for row in found] == [["200", "0.990", "0.500"]]
    for title in ("M first", "Critic's values", "Odd number"):
        assert title in page.text
    assert "Valid loss" not in page.text  # no finite number


def test_names_are_text_wherever_they_stand(folder):
    path, text = folder / "leaderboard.json", (folder / "leaderboard.json").read_text("utf-8")
    try:
        path.write_text(text.replace('"profile"', '"<u>&amp;"'), "utf-8")
        html = board_html(folder)
    finally:
        path.write_text(text, "utf-8")
    assert "<u>" not in html
    assert "&lt;u&gt;&amp;amp;, 40 samples" in html  # in the logo


def test_samples_of_any_tool_have_the_same_page(folder, tmp_path):
    rows = FAMILY["sequence"].to_pylist()[:20]
    path = tmp_path / "mine.fasta"
    path.write_text("".join(f">s{number}\n{each}\n" for number, each in enumerate(rows)), "utf-8")
    facts = evaluate(path, folder, out=tmp_path / "out", settings={"judge.draws": 100})
    page = Reader((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert facts["verdict"]["text"] in page.text
    assert "mine.fasta judged against run" in page.text
    assert {"Copying", "Columns of the family", "Samples"} <= set(page.headings)


def test_molecules_have_no_family_and_say_why_they_cannot_be_read(tmp_path):
    pytest.importorskip("rdkit")
    smiles = [f"{'C' * n}{end}" for n in range(1, 9) for end in ("O", "N", "c1ccccc1", "C(=O)O", "F")]
    path = tmp_path / "molecules.csv"
    path.write_text("smiles\n" + "\n".join(smiles) + "\n", "utf-8")
    fit(path, out=tmp_path / "run", model="ngram", sequence="smiles", settings={"sample.n": 40, "judge.draws": 100})
    page = Reader(board_html(tmp_path / "run"))
    assert "Molecules" in page.headings
    assert not {"In the family", "Columns of the family", "Pairs of columns"} & set(page.headings)
    (rows,) = [rows for caption, rows in page.tables.items() if "RDKit" in caption]
    assert rows[0][1:4] == ["can be read", "new, of these", "distinct, of these"]


def test_a_column_is_as_high_as_it_is_certain():
    frequency = np.array(
        [[1.0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0.5, 0, 0, 0, 0.5], [0.25] * 4 + [0.0], [0, 0, 0, 0, 1.0]]
    )
    bits = letter_bits(frequency, 10**15)
    np.testing.assert_allclose(bits.sum(axis=1), [2.0, 1.0, 1.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(bits[1], [0.5, 0.5, 0, 0])
    few = letter_bits(frequency, 10)  # (4 - 1) / (2 ln 2 n) less, of a half-filled column as of half as many sequences
    np.testing.assert_allclose(few[0, 0], 2 - 3 / (2 * math.log(2) * 10))
    np.testing.assert_allclose(few[2, 0], (2 - 3 / (2 * math.log(2) * 5)) / 2)


def test_letters_are_drawn_once_and_stacked_the_largest_on_top():
    bits = np.zeros((PER_LINE + 1, 4))
    bits[0, :2] = 0.5, 1.5  # A below C
    svg = logo("dna", "a logo", [Stack("one & two", bits), Stack("other", bits)], DNA)
    assert "one &amp; two" in svg
    assert re.findall(r'<path id="dna-(.)"', svg) == list("ACGT")
    uses = re.findall(r'<use href="#dna-(.)" transform="matrix\(\.16 0 0 (\S+) (\S+) (\S+)\)"', svg)
    assert [letter for letter, *_ in uses] == ["A", "C", "A", "C"]
    (_, low, x, below), (_, high, other_x, above) = uses[:2]
    assert float(high) == pytest.approx(3 * float(low), rel=0.01)
    assert x == other_x
    assert float(below) - float(above) == pytest.approx(100 * float(low), abs=0.2)
    assert f">{PER_LINE + 1}<" in svg  # the number of the first column of the second line
    assert len(logo("p", "p", [Stack("x", np.full((300, 20), 0.2))], PROTEIN)) < 500_000


def test_the_kit_folds_keeps_columns_and_escapes():
    listing = Listing("one", ("a", "b"), ((Parts("<x>", "small"), "M&K"),), code=frozenset({"b"}), broad=True)
    part = Part(
        "p", tables=(listing,), blocks=(Block("over", "A-<\n| |"),), folds=(Fold("more", ("text",), (listing,)),)
    )
    html = page_html(Page("e", "t", "v", (), (part,), "f"))
    assert '<pre class="block" tabindex="0">A-&lt;\n| |</pre>' in html
    assert "&lt;x&gt;<small>small</small>" in html
    assert html.count("<code>M&amp;K</code>") == 2
    assert "<details><summary>more</summary>" in html
