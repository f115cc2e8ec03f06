"""Charts are reckoned exactly: everything shown lies on its scale, widths are true, words say what the marks do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from treasury.web.charts import bands, flows
from treasury.web.charts.bands import Chart, Place
from treasury.web.charts.flows import EACH, Flow

amounts = st.decimals(min_value=0, max_value=10**24, places=8, allow_nan=False, allow_infinity=False)


def place(name: str = "a", *numbers: str | None, title: str = "Funding") -> Place:
    told = [None if one is None else Decimal(one) for one in numbers]
    return Place(name, title, *[*told, None, None, None, None, None][:5])


def drawn(*places: Place) -> Chart:
    return bands.chart(places, asset="USDT", then="after the plan")


def share(text: str | None) -> Decimal:
    assert text is not None
    return Decimal(text.removesuffix("%"))


def test_an_account_inside_its_band_stands_in_the_middle_of_it() -> None:
    (bar,) = drawn(place("a", "200", "300", "400", "300")).bars
    assert bar.band == ("50.00%", "50.00%")
    assert bar.target == bar.now == "75.00%"
    assert not bar.outside
    assert bar.after is None


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("79.5", "120.5 below its minimum"),
        ("620.5", "120.5 above its maximum"),
        ("200", "inside its band"),
        ("500", "inside its band"),
    ],
)
def test_the_words_say_how_far_off_it_is(held: str, words: str) -> None:
    (bar,) = drawn(place("a", "200", "300", "500", held)).bars
    assert bar.words == f"It holds {held} USDT, {words}. Band 200 to 500, target 300."
    assert bar.outside == (words != "inside its band")


def test_what_comes_after_is_said_and_drawn_apart() -> None:
    (bar,) = drawn(place("a", "200", "300", "500", "620.5", "500")).bars
    assert bar.after != bar.now
    assert bar.words.endswith("After the plan: 500, inside its band.")


def test_what_is_not_known_is_not_drawn_and_is_never_nothing() -> None:
    (bar,) = drawn(place("a", "200", "300", "500", None)).bars
    assert bar.now is None
    assert not bar.outside
    assert bar.words.startswith("What it holds is not known.")
    (bar,) = drawn(place("a", None, None, None, "5")).bars
    assert (bar.band, bar.target, bar.outside) == (None, None, False)
    assert "Its band is not known in amounts." in bar.words


def test_a_band_without_a_maximum_reaches_to_the_end_and_says_so() -> None:
    (bar,) = drawn(place("a", "100", "300", None, "900")).bars
    assert bar.endless
    assert bar.band is not None
    assert share(bar.band[0]) + share(bar.band[1]) == 100
    assert not bar.outside
    assert "Band 100 with no maximum" in bar.words


def test_all_bars_of_a_chart_share_one_scale() -> None:
    small, large = drawn(place("a", "0", "5", "10", "5"), place("b", "0", "500", "1000", "500")).bars
    assert share(large.now) == 100 * share(small.now)


def test_a_narrow_band_far_from_nothing_is_not_a_line() -> None:
    chart = drawn(place("a", "99900", "100000", "100100", "100350"))
    assert chart.low > 0
    (bar,) = chart.bars
    assert bar.band is not None
    assert share(bar.band[1]) > 20
    assert share(bar.now) > share(bar.band[0]) + share(bar.band[1])


def test_money_that_is_owed_lies_left_of_nothing() -> None:
    chart = drawn(place("a", "0", "5", "10", "-3"))
    assert chart.low < -3 or chart.low == -3
    (bar,) = chart.bars
    assert bar.band is not None
    assert share(bar.now) < share(bar.band[0])


@given(st.lists(st.tuples(amounts, amounts, amounts, amounts, amounts), min_size=1, max_size=6))
def test_every_mark_lies_on_the_scale_and_in_order(rows: Sequence[tuple[Decimal, ...]]) -> None:
    places = [Place(str(number), "x", *sorted(row[:3]), now=row[3], after=row[4]) for number, row in enumerate(rows)]
    chart = drawn(*places)
    assert chart.low < chart.high
    for bar in chart.bars:
        told = bar.place
        assert told.minimum is not None
        assert told.maximum is not None
        assert bar.band is not None
        for mark in (bar.target, bar.now, bar.after, bar.band[0]):
            assert 0 <= share(mark) <= 100
        assert share(bar.band[0]) + share(bar.band[1]) <= Decimal("100.01")
        assert bar.outside == (not told.minimum <= (told.now or 0) <= told.maximum)


def bands_of(*lines: tuple[int, str, str, str]) -> flows.Drawing:
    made = flows.drawing([Flow(n, a, b, Decimal(amount)) for n, a, b, amount in lines], asset="USDT")
    assert made is not None
    return made


def ends(path: str) -> tuple[Decimal, Decimal]:
    """How thick a band is at its left end, and at its right."""
    top, right_top = re.findall(r"M0 ([\d.]+)C50 \1 50 ([\d.]+)", path)[0]
    right_bottom, bottom = re.findall(r"V([\d.]+)C50 \1 50 ([\d.]+) 0 \2Z", path)[0]
    return Decimal(bottom) - Decimal(top), Decimal(right_bottom) - Decimal(right_top)


def test_a_band_is_as_thick_as_its_amount() -> None:
    drawing = bands_of((1, "A", "B", "30"), (2, "A", "C", "10"))
    first, second = (ends(one.path) for one in drawing.bands)
    assert first[0] == first[1]
    assert abs(first[0] - 3 * second[0]) <= Decimal("0.3")
    assert first[0] + second[0] == 2 * EACH


def test_a_tiny_flow_is_still_seen_and_its_number_has_room() -> None:
    drawing = bands_of((1, "A", "B", "1000000"), (2, "A", "C", "0.00000001"), (3, "A", "D", "0.00000001"))
    assert all(ends(one.path)[0] >= 2 for one in drawing.bands)
    marks = sorted(one.dot_y for one in drawing.bands)
    assert all(lower - upper >= 17 for upper, lower in itertools.pairwise(marks))


def test_a_hub_stands_on_both_sides_and_no_block_lies_on_another() -> None:
    drawing = bands_of((1, "A", "Hub", "30"), (2, "Hub", "B", "20"), (3, "Hub", "C", "5"))
    assert [one.title for one in drawing.givers] == ["A", "Hub"]
    assert [one.total for one in drawing.takers] == [30, 20, 5]
    for side in (drawing.givers, drawing.takers):
        for upper, lower in itertools.pairwise(side):
            assert upper.y + upper.height < lower.label_y
        assert side[-1].y + side[-1].height <= drawing.height


def test_the_flows_are_told_in_words() -> None:
    assert bands_of((1, "A", "B", "12.5")).words == "One transfer: 12.5 USDT from A to B."
    several = bands_of((1, "A", "B", "30"), (2, "A", "C", "10")).words
    assert several == "2 transfers of 40 USDT together, from 1 account to 2 accounts; the largest is 30 USDT."
    assert flows.drawing([], asset="USDT") is None


def test_a_long_name_is_cut_in_the_drawing_alone() -> None:
    drawing = bands_of((1, "An account with a name that is long", "B", "1"))
    assert drawing.givers[0].short.endswith("…")
    assert drawing.givers[0].title == "An account with a name that is long"


def rendered(template: str, **context: object) -> html.HtmlElement:
    return html.fragment_fromstring(render_to_string(template, context), create_parent="div")


def test_every_drawing_has_a_title_and_words_and_no_style_of_its_own() -> None:
    chart = drawn(place("a", "200", "300", None, "620.5", "500"), place("b", "200", "300", "400", None))
    drawings = [rendered("charts/_band_bar.html", bar=bar, chart=chart) for bar in chart.bars]
    drawings.append(rendered("charts/_flows.html", name="f", drawing=bands_of((1, "A", "B", "1"))))
    for one in drawings:
        (image,) = one.xpath("./svg")
        assert image.get("role") == "img"
        for attribute, tag in (("aria-labelledby", "title"), ("aria-describedby", "desc")):
            (words,) = one.xpath(f"//{tag}[@id=$name]", name=image.get(attribute))
            assert words.text
        assert not one.xpath("//*[@style or @fill or @stroke]")


def test_now_and_after_differ_by_more_than_colour() -> None:
    (bar,) = drawn(place("a", "200", "300", "400", "620.5", "400")).bars
    image = rendered("charts/_band_bar.html", bar=bar, chart=drawn(place("a", "1")))
    now, after = (image.find_class(name)[0] for name in ("now", "after"))
    assert now.get("r") != after.get("r")
    assert re.search(r"\.band-bar \.after[^}]*fill: none", style())


def style() -> str:
    return (Path(settings.BASE_DIR) / "static/charts.css").read_text()


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{3,6})", text))


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


MARKS = [
    ("--chart-band-edge", "--surface"),
    ("--chart-now", "--surface"),
    ("--chart-now", "--chart-band"),
    ("--chart-outside", "--surface"),
    ("--chart-after", "--surface"),
    ("--chart-after", "--chart-band"),
    ("--chart-target", "--chart-band"),
    ("--chart-flow-edge", "--surface"),
    ("--chart-giver", "--surface"),
    ("--chart-taker", "--surface"),
]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("mark", "under"), MARKS)
def test_every_mark_stands_out_in_both_schemes(mark: str, under: str, dark: bool) -> None:
    house = (Path(settings.BASE_DIR) / "static/treasury.css").read_text()
    colours: dict[str, str] = {}
    for text in (house, style()):
        light, _, after = text.partition("@media (prefers-color-scheme: dark)")
        colours |= variables(light)
        if dark:
            colours |= variables(after.partition("\n}\n")[0])
    assert contrast(colours[mark], colours[under]) >= 3, (mark, colours[mark], under, colours[under])
