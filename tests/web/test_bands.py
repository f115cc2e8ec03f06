"""Bands on their pages: what stands where, a form for a whole group, a file that is looked at before it is proposed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import put_forward, set_up, take
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from tests.web.test_pages import works_alone
from treasury.controls import bands, bands_csv, changes, wanted
from treasury.controls.wanted import Wanted
from treasury.models import Account, AuditEntry, Balance, Band, Change, Connection, User

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
Apply = Callable[..., Change]
HERE, EDIT, IMPORT, EXPORT = "/bands/", "/bands/edit/", "/bands/import/", "/bands/export/"
HEAD = "connection,account,asset,unit,minimum,target,maximum,floor,smallest,largest,direction"
ROW = "Bybit main,FUND,USDT,amount,100,300,500.5,50,5,1000,both"


@pytest.fixture
def applied(maker: User, checker: User) -> Apply:
    def make(*rows: Wanted) -> Change:
        at = timezone.now()
        change = bands.propose(bands=rows, reason="As agreed", by=maker, at=at)
        bands.confirm(change_id=change.pk, by=checker, digest=change.digest, at=at)
        return change

    return make


def usdt(account: Account, minimum: str, target: str, **more: str) -> Wanted:
    return Wanted(account=account, asset="USDT", minimum=minimum, target=target, **more)


def words_of(response: Any, part: str) -> str:
    text = " ".join(by_id(page_of(response), part).text_content().split())
    return text.replace("\u202f", " ")


def group(connection: Connection, asset: str = "USDT") -> str:
    return f"{EDIT}?connection={connection.pk}&asset={asset}"


def filled(account: Account, step: str = "propose", reason: str = "A new policy", **cells: str) -> dict[str, str]:
    """The whole form as a browser posts it, with these cells of one account; the others are as they were."""
    words = {"step": step, "reason": reason}
    for each in Account.objects.filter(connection=account.connection):
        words |= {f"account-{each.pk}-unit": "amount", f"account-{each.pk}-direction": "both"}
        if band := bands.band_of(each, "USDT"):
            words |= {f"account-{each.pk}-minimum": str(band.minimum), f"account-{each.pk}-target": str(band.target)}
    return words | {f"account-{account.pk}-{name}": value for name, value in cells.items()}


# -- What stands where -------------------------------------------------------------------------------------------


def test_every_account_of_a_group_shows_its_band_what_it_holds_and_who_set_it(
    sign_in: SignIn, applied: Apply, unified: Account, fund: Account, auditor: User
) -> None:
    change = applied(
        usdt(unified, "0", "200", maximum="400", floor="50", smallest="5", largest="250", direction="gives"),
        usdt(fund, "20", "40", unit="share", maximum="60"),
        Wanted(account=fund, asset="ETH", minimum="5", target="7"),
    )
    page = sign_in(auditor).get(HERE)
    words = words_of(page, "bands").replace("Aboveby", "Above by").replace("Belowby", "Below by")
    for said in (
        "USDT at Bybit main",
        "Its accounts hold 2 000 USDT together.",
        "Unified Trading",
        "Above by 600",
        "at least 5",
        "at most 250",
        "Only gives",
        "20 % of the group",
        "Inside",
        "ETH at Bybit main",
        "Below by 5",
        "Maker Person and Checker Person",
    ):
        assert said in words, (said, words)
    assert f'href="/bands/changes/{change.pk}/"' in page.content.decode()
    assert "Set bands" not in words, "an auditor proposes none"


def test_what_cannot_be_read_is_not_0_and_not_inside(
    sign_in: SignIn, applied: Apply, fund: Account, maker: User
) -> None:
    applied(usdt(fund, "0", "0"))
    Balance.objects.filter(account=fund).update(total=None, movable=None, problem="asleep")
    words = words_of(sign_in(maker).get(HERE), "bands")
    assert "Not known" in words
    assert "Inside" not in words
    assert "What its accounts hold together is not known now." in words


def test_without_a_role_there_is_nothing(sign_in: SignIn, connection: Connection, maker: User) -> None:
    take(maker)
    client = sign_in(maker)
    for address in (HERE, EDIT, IMPORT, EXPORT, group(connection)):
        assert client.get(address).status_code == 403, address


def test_checkers_and_auditors_read_and_do_not_propose(
    sign_in: SignIn, connection: Connection, fund: Account, checker: User, auditor: User, refused: Any
) -> None:
    for person in (checker, auditor):
        client = sign_in(person)
        assert client.get(HERE).status_code == 200
        assert client.post(group(connection), filled(fund, minimum="1", target="1")).status_code == 403
        assert client.post(IMPORT, {"text": f"{HEAD}\n{ROW}"}).status_code == 403
    assert not put_forward().exists()
    assert {(who, action) for who, action, _ in refused()} == {("checker", "bands.set"), ("auditor", "bands.set")}


def test_the_list_costs_the_same_however_many_bands_there_are(
    sign_in: SignIn, applied: Apply, unified: Account, fund: Account, maker: User
) -> None:
    client = sign_in(maker)

    def asked() -> int:
        client.get(HERE)
        with CaptureQueriesContext(database) as captured:
            assert client.get(HERE).status_code == 200
        return len(captured)

    applied(usdt(fund, "1", "1"))
    one = asked()
    applied(usdt(unified, "1", "1"))
    for asset in ("BTC", "ETH", "USDC"):
        applied(*[Wanted(account=account, asset=asset, minimum="0", target="0") for account in (unified, fund)])
    assert asked() == one


# -- The form ----------------------------------------------------------------------------------------------------


def test_a_maker_proposes_a_band_and_a_checker_confirms_it_on_the_page_of_changes(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User, checker: User
) -> None:
    client = sign_in(maker)
    response = client.post(group(connection), filled(fund, minimum="100", target="300", maximum="500", floor="50"))
    change = put_forward().get()
    assert (response.status_code, response.url) == (303, f"{HERE}#change-{change.pk}")
    shown = sign_in(checker).get("/changes/")
    words = words_of(shown, f"change-{change.pk}")
    assert "Set bands: Bybit main" in words
    assert (
        "Bybit main · Funding (FUND), USDT: a new band, minimum 100, target 300, maximum 500, floor 50, gives" in words
    )
    assert f'href="/bands/changes/{change.pk}/"' in shown.content.decode()
    assert f'href="/changes/#change-{change.pk}"' in client.get(HERE).content.decode()
    said = {"digest": change.digest}
    assert sign_in(checker).post(f"/changes/{change.pk}/confirm/", said).status_code == 303
    assert Band.objects.get().maximum == 500


def test_a_change_says_what_was_and_what_it_becomes(
    sign_in: SignIn, applied: Apply, connection: Connection, fund: Account, maker: User, checker: User
) -> None:
    applied(usdt(fund, "100", "300", maximum="500"))
    sign_in(maker).post(group(connection), filled(fund, minimum="200", target="300", largest="9", direction="takes"))
    change = put_forward().get(ruling=None)
    assert (
        "Bybit main · Funding (FUND), USDT: minimum 100 becomes 200; maximum 500 becomes no limit; largest transfer "
        "none becomes 9; direction gives and takes becomes only takes."
    ) in words_of(sign_in(checker).get(f"/bands/changes/{change.pk}/"), "bands-change")


def test_a_change_from_amounts_to_shares_names_every_number_again(
    sign_in: SignIn, applied: Apply, connection: Connection, fund: Account, maker: User
) -> None:
    applied(usdt(fund, "10", "30", maximum="50"))
    page = sign_in(maker).post(
        group(connection), filled(fund, "check", minimum="10", target="30", maximum="50", unit="share")
    )
    said = words_of(page, "bands-checked")
    assert "measured in Amounts becomes % of the group; minimum 10 becomes 10 %; target 30 becomes 30 %" in said


def test_check_says_whether_it_can_be_met_and_proposes_nothing(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User
) -> None:
    client = sign_in(maker)
    fine = client.post(group(connection), filled(fund, "check", reason="", minimum="1", target="1"))
    assert fine.status_code == 200
    assert "These bands can all be met at once." in words_of(fine, "bands-checked")
    far = htmx(client, "post", group(connection), filled(fund, "check", minimum="1200", target="1300"), page=EDIT)
    text = far.content.decode().replace("\u202f", " ")
    assert "The minimums of USDT at Bybit main add up to 1 200, and its accounts hold 1 000" in text
    assert 'value="1200"' in text, "what was typed stays"
    assert not put_forward().exists()


def test_whoever_confirms_reads_that_it_cannot_be_met(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User, checker: User
) -> None:
    sign_in(maker).post(group(connection), filled(fund, minimum="1200", target="1300"))
    change = put_forward().get()
    for address, part in (("/changes/", f"change-{change.pk}"), (f"/bands/changes/{change.pk}/", "bands-change")):
        words = words_of(sign_in(checker).get(address), part)
        assert words.count("Lower a minimum by 200, or bring 200 in.") == 1, address


def test_each_mistake_stands_beside_its_cell_and_keeps_what_was_typed(
    sign_in: SignIn, connection: Connection, unified: Account, fund: Account, maker: User
) -> None:
    cells = filled(fund, minimum="1,5", target="", maximum="7")
    cells |= {f"account-{unified.pk}-minimum": "5", f"account-{unified.pk}-target": "4"}
    response = sign_in(maker).post(group(connection), cells)
    assert response.status_code == 422
    page = page_of(response)
    for account, name, sentence in (
        (fund, "minimum", "without commas"),
        (fund, "target", "Enter a target"),
        (unified, "target", "must not be less than the minimum"),
    ):
        assert sentence in by_id(page, f"id_account-{account.pk}-{name}-error").text_content()
        assert by_id(page, f"id_account-{account.pk}-{name}").get("aria-invalid") == "true"
    assert by_id(page, f"id_account-{fund.pk}-minimum").get("value") == "1,5"
    assert "Funding, minimum: Write it without commas" in words_of(response, "bands-edit")
    assert not put_forward().exists()


def test_a_reason_is_asked_for_and_a_second_proposal_waits_for_the_first(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User, maker2: User
) -> None:
    client = sign_in(maker)
    said = filled(fund, minimum="1", target="1")
    bare = client.post(group(connection), said | {"reason": " "})
    assert (bare.status_code, "Say why" in words_of(bare, "bands-edit")) == (422, True)
    assert client.post(group(connection), said).status_code == 303
    assert client.post(group(connection), said).status_code == 303, "a double click"
    assert put_forward().count() == 1
    second = sign_in(maker2).post(group(connection), filled(fund, minimum="2", target="2"))
    assert second.status_code == 422
    assert "Another proposal for Funding and USDT of Bybit main waits" in words_of(second, "bands-edit")


def test_a_band_is_removed_by_its_box(
    sign_in: SignIn, applied: Apply, connection: Connection, fund: Account, maker: User, checker: User
) -> None:
    applied(usdt(fund, "1", "2"))
    sign_in(maker).post(group(connection), filled(fund, removed="on"))
    change = put_forward().get(ruling=None)
    said = "Bybit main · Funding (FUND), USDT: the band is removed; it was minimum 1, target 2, maximum no limit"
    assert said in words_of(sign_in(checker).get("/changes/"), f"change-{change.pk}")
    sign_in(checker).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest})
    assert "No band is set yet" in words_of(sign_in(maker).get(HERE), "bands")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("", ""),
        ("?connection=0&asset=USDT", "Choose a connection."),
        ("?connection={}&asset=usdt", "Bybit writes it USDT."),
        ("?connection={}&asset=NOPE", "reports an asset called NOPE"),
        ("?connection={}&asset=", "Enter the asset"),
    ],
)
def test_a_group_that_cannot_be_is_asked_for_again(
    sign_in: SignIn, connection: Connection, maker: User, asked: str, sentence: str
) -> None:
    response = sign_in(maker).get(EDIT + asked.format(connection.pk))
    assert response.status_code == (422 if sentence else 200)
    assert sentence in words_of(response, "bands-choose")


def test_the_form_starts_with_what_is_in_force(
    sign_in: SignIn, applied: Apply, connection: Connection, fund: Account, maker: User
) -> None:
    applied(usdt(fund, "100.500", "300", floor="7", direction="takes"))
    page = page_of(sign_in(maker).get(group(connection)))
    names = {"minimum": "100.5", "target": "300", "maximum": None, "floor": "7"}
    for name, value in names.items():
        assert by_id(page, f"id_account-{fund.pk}-{name}").get("value") == value
    chosen = by_id(page, f"id_account-{fund.pk}-direction").xpath("./option[@selected]/@value")
    assert chosen == ["takes"]


def test_what_htmx_swaps_in_is_what_a_plain_form_shows(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User, still: datetime
) -> None:
    client = sign_in(maker)
    for said in (filled(fund, "check", minimum="1", target="1"), filled(fund, minimum="x", target="1")):
        plain = client.post(group(connection), said)
        part = htmx(client, "post", group(connection), said, page=group(connection))
        assert part.status_code == plain.status_code
        assert text_of(swapped(page_of(client.get(group(connection))), part, "bands-edit")) == text_of(page_of(plain))
    for text in (f"{HEAD}\n{ROW}", "nonsense"):
        plain = client.post(IMPORT, {"text": text})
        part = htmx(client, "post", IMPORT, {"text": text}, page=IMPORT)
        assert part.status_code == plain.status_code
        assert text_of(swapped(page_of(client.get(IMPORT)), part, "bands-import")) == text_of(page_of(plain))


def test_every_form_works_without_javascript(
    sign_in: SignIn, applied: Apply, connection: Connection, fund: Account, maker: User
) -> None:
    applied(usdt(fund, "1", "2"))
    client = sign_in(maker)
    pages = {address: client.get(address) for address in (HERE, EDIT, IMPORT, group(connection))}
    pages["preview"] = client.post(IMPORT, {"text": f"{HEAD}\n{ROW}"})
    for address, response in pages.items():
        page = page_of(response)
        for form in page.iter("form"):
            works_alone(form, address)
        assert not [one for one in page.iter() if "style" in one.attrib or one.tag == "style"]
        ids = [element.get("id") for element in page.xpath("//*[@id]")]
        assert len(ids) == len(set(ids)), address
        assert by_id(page, "house").xpath(".//nav//a[@aria-current='page']/@href") == ["/rebalancing/"]


# -- Files -------------------------------------------------------------------------------------------------------


def preview(client: Client, text: str, **more: Any) -> Any:
    return client.post(IMPORT, {"text": text, **more})


def hidden(response: Any) -> dict[str, str]:
    """What the form below a preview would post."""
    (form,) = page_of(response).xpath("//form[.//input[@name='digest']]")
    return {one.get("name"): one.get("value") for one in form.xpath(".//input[@type='hidden']")}


def test_what_was_imported_is_exported_as_the_same_text(
    sign_in: SignIn, connection: Connection, maker: User, checker: User
) -> None:
    rows = [
        "Bybit main,FUND,ETH,share,0,33.333333333333333333,100,0,,,takes",
        "Bybit main,UNIFIED,ETH,amount,0,0.000000000000000001,,0,,,both",
        ROW,
        "Bybit main,UNIFIED,USDT,amount,0,7,999999999999999999999999.999999999999999999,0,,0.1,gives",
    ]
    text = "\r\n".join([HEAD, *rows, ""])
    client = sign_in(maker)
    looked = preview(client, text)
    assert "4 new, 0 changed, 0 removed, 0 as they are" in words_of(looked, "bands-import")
    assert client.post(IMPORT, {**hidden(looked), "reason": "New desk"}).status_code == 303
    change = put_forward().get()
    bands.confirm(change_id=change.pk, by=checker, digest=change.digest, at=timezone.now())
    answer = client.get(EXPORT)
    assert answer.content.decode() == text
    assert answer["Content-Disposition"] == 'attachment; filename="bands.csv"'
    assert "0 new, 0 changed, 0 removed, 4 as they are" in words_of(preview(client, text), "bands-import")
    entry = AuditEntry.objects.get(action="bands.export")
    assert (entry.actor, entry.subject, entry.facts["bands"]) == ("maker", "bands:all", 4)
    assert client.get(f"{EXPORT}?connection={connection.pk}").content.decode() == text
    assert AuditEntry.objects.filter(action="bands.export", subject="bands:Bybit main").count() == 1
    assert client.get(f"{EXPORT}?connection=0").status_code == 404


def test_a_preview_tells_new_changed_removed_and_as_they_are_apart(
    sign_in: SignIn, applied: Apply, unified: Account, fund: Account, maker: User
) -> None:
    bitcoin = Wanted(account=fund, asset="BTC", minimum="0", target="0")
    applied(usdt(fund, "100", "300"), usdt(unified, "1", "2"), bitcoin)
    lines = [
        "asset;account;connection;minimum;target;removed",
        "USDT;FUND;Bybit main;150;300;",
        "USDT;UNIFIED;Bybit main;1.0;2.00;no",
        "BTC;FUND;Bybit main;;;yes",
        "",
        "ETH;FUND;Bybit main;5;5;",
    ]
    words = words_of(preview(sign_in(maker), "\ufeff" + "\n".join(lines)), "bands-import")
    assert "1 new, 1 changed, 1 removed, 1 as they are" in words
    assert "Bybit main · Funding (FUND), USDT: minimum 100 becomes 150." in words
    assert "Bybit main · Funding (FUND), BTC: the band is removed" in words
    assert not put_forward().filter(ruling=None).exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "It is empty."),
        ("\n\n", "It is empty."),
        (HEAD, "it names no band"),
        ("connection,account,asset,minimum\n", "Row 1, column target: It is missing."),
        (f"{HEAD},colour\n{ROW},red", "Row 1, column colour: There is no such column."),
        (f"{HEAD},unit\n{ROW},share", "Row 1, column unit: It is there twice."),
        (f"{HEAD}\n{ROW}\n\n{ROW},7", "Row 4: It has 12 cells, and the first row has 11."),
        (f"{HEAD}\n{ROW}\n{ROW}", "Row 3, column account: Funding is there twice for USDT."),
        (f"{HEAD}\n\n{ROW.replace('100', '1e2')}", "Row 3, column minimum: Write it out in digits"),
        (f"{HEAD}\n{ROW.replace('500.5', '299')}", "Row 2, column maximum: The maximum must not be less than"),
        (f"{HEAD}\n{ROW.replace('Bybit main', 'Nowhere')}", "Row 2, column connection: There is no connection called"),
        (f"{HEAD}\n{ROW.replace('FUND', 'fund')}", "Row 2, column account: Bybit main has no account"),
        (f"{HEAD}\n{ROW.replace('USDT', 'usdt')}", "Row 2, column asset: Bybit writes it USDT."),
        (f"{HEAD}\n{ROW.replace('both', 'up')}", "Row 2, column direction: Write both, gives or takes."),
        (f"{HEAD},removed\n{ROW},perhaps", "Row 2, column removed: Write yes or no."),
        (f"{HEAD}\n{ROW.replace('100', '1' * 201)}", "Row 2, column minimum: It is longer than 200 characters."),
        (f'{HEAD}\n"{ROW}', "It is no CSV"),
        (f"{HEAD}\n" + "x" * bands_csv.SIZE_MOST, "It is larger than 256 KB"),
        (f"{HEAD}\n" + "x\n" * (bands_csv.ROWS_MOST + 1), "It has more than 2000 rows"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_of_its_cell(
    sign_in: SignIn, connection: Connection, maker: User, text: str, sentence: str
) -> None:
    for said in ({"text": text}, {"file": SimpleUploadedFile("bands.csv", text.encode())}):
        if "file" in said and not text:
            continue  # a browser sends an empty file like none
        response = sign_in(maker).post(IMPORT, said)
        assert response.status_code == 422
        assert sentence in words_of(response, "bands-import")
    assert not put_forward().exists()


def test_all_that_is_wrong_in_a_file_is_said_at_once(sign_in: SignIn, connection: Connection, maker: User) -> None:
    wrong = [
        ROW.replace("Bybit main", "Nowhere").replace(",100,", ",1e2,"),
        ROW.replace("FUND", "fund"),
        ROW.replace("500.5", "299"),
        ROW.replace("USDT", "usdt"),
    ]
    response = sign_in(maker).post(IMPORT, {"text": "\n".join([HEAD, *wrong])})
    assert response.status_code == 422
    said = words_of(response, "bands-import")
    assert "5 things must be mended first" in said
    places = [
        "Row 2, column connection: There is no connection called Nowhere.",
        "Row 2, column minimum: Write it out in digits",
        "Row 3, column account: Bybit main has no account",
        "Row 4, column maximum: The maximum must not be less than",
        "Row 5, column asset: Bybit writes it USDT.",
    ]
    assert [said.find(one) for one in places] == sorted(said.find(one) for one in places)
    assert all(one in said for one in places)


def test_a_file_that_is_no_text_is_refused(sign_in: SignIn, connection: Connection, maker: User) -> None:
    for content in ("é".encode("latin-1"), "x".encode("utf-16"), b"\x89PNG\r\n"):
        response = sign_in(maker).post(IMPORT, {"file": SimpleUploadedFile("bands.csv", content)})
        assert (response.status_code, "no text in UTF-8" in words_of(response, "bands-import")) == (422, True)


def test_only_what_was_looked_at_is_proposed(
    sign_in: SignIn, connection: Connection, applied: Apply, fund: Account, maker: User, refused: Any
) -> None:
    client = sign_in(maker)
    looked = hidden(preview(client, f"{HEAD}\n{ROW}")) | {"reason": "x"}
    for changed in ({"digest": ""}, {"digest": "0" * 64}, {"text": looked["text"].replace("300", "301")}):
        response = client.post(IMPORT, looked | changed)
        assert response.status_code == 409
        assert "is not what your page showed" in words_of(response, "bands-import")
    applied(usdt(fund, "1", "2"))  # meanwhile somebody else's band came into force: the difference is another
    response = client.post(IMPORT, looked)
    assert response.status_code == 409
    assert "minimum 1 becomes 100" in words_of(response, "bands-import")
    assert not put_forward().filter(ruling=None).exists()
    assert [action for _, action, _ in refused()] == ["bands.set"] * 4
    assert client.post(IMPORT, hidden(response) | {"reason": " "}).status_code == 422
    assert client.post(IMPORT, hidden(response) | {"reason": "x"}).status_code == 303
    assert put_forward().filter(ruling=None).count() == 1


def test_a_browsers_line_ends_are_the_same_text(sign_in: SignIn, connection: Connection, maker: User) -> None:
    client = sign_in(maker)
    looked = hidden(preview(client, f"{HEAD}\n{ROW}\n"))
    looked["text"] = looked["text"].replace("\n", "\r\n")
    assert client.post(IMPORT, looked | {"reason": "x"}).status_code == 303


@pytest.mark.parametrize("address", ["=1+1", "+41", "-x", "@SUM(A1)", "'quoted", "'=x"])
def test_a_spreadsheet_runs_nothing_that_is_exported(
    sign_in: SignIn, applied: Apply, fund: Account, unified: Account, maker: User, address: str
) -> None:
    fund = set_up(connection=fund.connection, address=address, kind="FUND", title="Another")
    applied(usdt(fund, "1", "2"))
    text = sign_in(maker).get(EXPORT).content.decode()
    assert f",'{address}," in text
    assert not re.search(r"(^|,)[=+\-@]", text, re.MULTILINE)
    (line,) = bands_csv.read(bands_csv.text_of(text.encode()))
    assert line.wanted.account == fund


def test_a_group_of_132_accounts_fits_into_one_form(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User
) -> None:
    for number in range(130):
        set_up(connection=connection, address=f"P{number}", title=f"P{number}", kind="x")
    words = filled(fund, minimum="1", target="2")
    empty = {f"account-{each.pk}-{name}": "" for each in connection.accounts.all() for name in wanted.NUMBERS}
    assert len(empty | words) > 1000
    assert sign_in(maker).post(group(connection), empty | words).status_code == 303
    assert put_forward().filter(ruling=None).count() == 1


def test_two_thousand_rows_are_one_proposal(
    sign_in: SignIn, connection: Connection, fund: Account, at: datetime, maker: User, checker: User
) -> None:
    """As many as a file may have: written, shown and applied as a whole."""
    codes = [f"C{number:04}" for number in range(bands_csv.ROWS_MOST)]
    Balance.objects.bulk_create(Balance(account=fund, asset=one, total=1, movable=1, observed_at=at) for one in codes)
    client = sign_in(maker)
    text = "\n".join(["connection,account,asset,minimum,target", *(f"Bybit main,FUND,{one},0,1" for one in codes)])
    looked = preview(client, text)
    assert client.post(IMPORT, hidden(looked) | {"reason": "All"}).status_code == 303
    change = put_forward().get()
    shown = words_of(sign_in(checker).get("/changes/"), f"change-{change.pk}")
    assert "And 1990 more: its own page shows every one." in shown
    assert words_of(client.get(f"/bands/changes/{change.pk}/"), "bands-change").count("a new band") == 2000
    assert len(bands.confirm(change_id=change.pk, by=checker, digest=change.digest, at=at)) == 2000


def test_a_proposal_of_bands_is_declined_and_withdrawn_like_any_other(
    sign_in: SignIn, connection: Connection, fund: Account, maker: User, checker: User
) -> None:
    for person, step in ((checker, "decline"), (maker, "withdraw")):
        sign_in(maker).post(group(connection), filled(fund, minimum="1", target="1"))
        change = changes.waiting().get()
        said = {"reason": "Too little"}
        assert sign_in(person).post(f"/changes/{change.pk}/{step}/", said).status_code == 303
    assert not Band.objects.exists()


def test_proposals_of_bands_cost_the_same_however_many_wait(
    sign_in: SignIn, connection: Connection, unified: Account, fund: Account, maker: User, checker: User
) -> None:
    client = sign_in(checker)

    def propose(account: Account, asset: str) -> None:
        said = [Wanted(account=account, asset=asset, minimum="1", target="2")]
        bands.propose(bands=said, reason="One more", by=maker, at=timezone.now())

    def asked() -> list[int]:
        counts = []
        for page in ("/changes/", HERE):
            client.get(page)
            with CaptureQueriesContext(database) as captured:
                assert client.get(page).status_code == 200
            counts.append(len(captured))
        return counts

    propose(fund, "USDT")
    propose(fund, "BTC")
    two = asked()
    for asset in ("USDT", "BTC", "ETH", "USDC"):
        propose(unified, asset)
    assert asked() == two
