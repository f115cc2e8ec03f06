"""The control statements that the product is held to: what each says, in our own words, and where it comes from.

ASVS is OWASP ASVS 5.0; AC and AU are controls of NIST SP 800-53; PSD2 RTS is Regulation (EU) 2018/389.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    says: str
    source: str


@dataclass(frozen=True)
class Part:
    title: str
    statements: dict[str, Statement]


DUTIES = {
    "S1": Statement(
        "Nothing reaches the dispatcher without the approvals that its version of the policy demands, none of them by "
        "its maker.",
        "ASVS 2.3.5; AC-3(2)",
    ),
    "S2": Statement(
        "Whoever holds two duties that should not meet (maker, checker, policy editor, user administrator, auditor) "
        "is named in a report of conflicts.",
        "AC-5; SOX ITGC, access",
    ),
    "S3": Statement(
        "The superuser flag gives no right to approve, to approve one's own, or to pass over a step; trying is logged.",
        "AC-5",
    ),
    "S4": Statement("One natural person with two sign-ins is recognised, and counts once.", "AC-5"),
    "S5": Statement("No step can be left out, taken twice or taken late; nothing changes by trying.", "ASVS 2.3.1"),
    "S6": Statement(
        "A decision and what follows from it are one database transaction: a crash leaves what was before.",
        "ASVS 2.3.3",
    ),
    "S7": Statement(
        "Two people deciding at once, or many workers claiming one transfer, make one dispatch.",
        "ASVS 2.3.4, 15.4.2",
    ),
    "S8": Statement(
        "Limits for each transfer, day, venue and maker are written down, and kept for everybody together.",
        "ASVS 2.1.3, 2.3.2",
    ),
    "S9": Statement("An error while the policy is evaluated is a denial.", "ASVS 16.5.3"),
    "S10": Statement(
        "Policy, limits, bands, connections, roles and groups change by a proposal with a reason and its difference, "
        "and a second person.",
        "SOC 2 CC8; SOX ITGC, change",
    ),
    "S11": Statement(
        "Other words than the approved ones (amount, asset, accounts, venue) make every approval void.",
        "PSD2 RTS art. 5(1)(d)",
    ),
    "S12": Statement(
        "What the approver was shown is what was approved, and what was approved is what is sent.",
        "PSD2 RTS art. 5(2)",
    ),
    "S13": Statement("A report shows who approves for whom, and how often.", "AC-3(2)"),
    "S14": Statement(
        "The one emergency act is a stop: logged, reviewed by a second person within set hours, and listed for "
        "auditors. Nothing breaks the glass for money.",
        "AC-3(2)",
    ),
    "S15": Statement(
        "Reconciliation is done by the machine or by somebody who neither made nor approved, and its sign-off is "
        "recorded.",
        "SOX ITGC, segregation of duties",
    ),
}

EVIDENCE = {
    "S27": Statement("Audit data is deleted or moved away by two people, or not at all.", "AU-9(5)"),
    "S28": Statement(
        "A decision is tied to who was signed in, by which factor, and to the digest of what they saw.", "AU-10"
    ),
    "S29": Statement("Who runs the system does not manage the log.", "AU-9(4); AC-5"),
    "S30": Statement("What cannot be logged is not done.", "ASVS 16.5.3"),
}

SIGNING_IN = {
    "S31": Statement(
        "Everybody has a second factor; checkers and control roles have one that cannot be phished.", "ASVS 6.3.3"
    ),
    "S32": Statement(
        "The admin is behind the same sign-in, and there is no way in that is not written down.", "ASVS 6.1.3, 6.3.4"
    ),
    "S33": Statement(
        "Passwords: long enough, long ones allowed, no rules of composition, no forced change, known breached ones "
        "refused, paste allowed.",
        "ASVS 6.2.1, 6.2.5, 6.2.7, 6.2.9, 6.2.10, 6.2.12",
    ),
    "S34": Statement(
        "Sign-in, codes and decisions are limited in rate, and nobody can lock others out by it.",
        "ASVS 2.4.1, 6.1.1, 6.3.1, 6.6.3",
    ),
    "S35": Statement(
        "A code works once and for half a minute; a lost factor is replaced by proving again who one is.",
        "ASVS 6.4.3, 6.4.4, 6.5.1, 6.5.5",
    ),
    "S36": Statement(
        "Administrators start a reset and never choose a password; people are told when what they sign in with does.",
        "ASVS 6.3.5, 6.3.7, 6.4.6",
    ),
    "S37": Statement(
        "A sign-in begins a new session; idle and absolute limits are the server's.", "ASVS 7.1.1, 7.2.4, 7.3.1, 7.3.2"
    ),
    "S38": Statement(
        "Ending a sign-in ends its sessions at once; sessions are listed and can be ended.", "ASVS 7.4.2, 7.4.5, 7.5.2"
    ),
    "S39": Statement("Each decision and each change of a control asks for a fresh factor.", "ASVS 7.5.3"),
    "S40": Statement("A role that is taken away is gone with the next request, open pages included.", "ASVS 8.3.2"),
    "S41": Statement(
        "Rights to functions, objects and fields are checked on the server, and a guess at somebody else's is logged.",
        "ASVS 8.2.1, 8.2.2, 8.2.3, 8.3.1, 16.3.2",
    ),
    "S42": Statement("Fields that a form does not have cannot be set by posting them.", "ASVS 15.3.3"),
}

WEB = {
    "S43": Statement(
        "The content security policy has no unsafe source, and the pages no inline handler; violations are reported.",
        "ASVS 3.4.3, 3.4.6, 3.4.7",
    ),
    "S44": Statement(
        "Cookies and headers: Secure, HttpOnly, SameSite, __Host-, HSTS, nosniff, referrer policy, COOP.",
        "ASVS 3.3.1, 3.3.2, 3.3.3, 3.3.4, 3.4.1, 3.4.4, 3.4.5, 3.4.8",
    ),
    "S45": Statement("No GET changes anything, and every write carries its token.", "ASVS 3.5.1, 3.5.3"),
    "S46": Statement("Pages with money are kept by no cache and by no browser storage.", "ASVS 14.3.2, 14.3.3"),
    "S47": Statement("Every script is our own.", "ASVS 3.6.1"),
    "S48": Statement(
        "Venue keys are in no source, dump in clear, log, error page or audit entry; their age is shown.",
        "ASVS 13.3.1, 13.3.2, 13.3.4, 16.2.5, 16.5.1",
    ),
    "S49": Statement(
        "Calls go to listed hosts only, follow no redirect, and have declared times and numbers.",
        "ASVS 13.1.3, 13.2.4, 13.2.5, 13.2.6, 15.3.2",
    ),
    "S50": Statement("A venue that is down takes nothing else down, and the page says so.", "ASVS 16.5.2"),
    "S51": Statement("Each call to a venue is signed, and kept without its secrets.", "ASVS 4.1.5"),
    "S52": Statement("Integrity rests on SHA-256 or better.", "ASVS 11.4.1, 11.4.3"),
    "S53": Statement("Exports are safe to open in a spreadsheet, and negative numbers stay numbers.", "ASVS 1.2.10"),
    "S54": Statement(
        "Forwarded headers count only from configured proxies, for the log and for limits.", "ASVS 4.1.3, 15.3.4"
    ),
    "S55": Statement(
        "An upload's type, size, rows and encoding are checked before it is read.", "ASVS 5.1.1, 5.2.1, 5.2.2"
    ),
    "S56": Statement(
        "What the product is made of is listed; debugging is off, and nothing of the inside is open.",
        "ASVS 13.4.2, 13.4.5, 15.1.2",
    ),
    "S57": Statement("A decision that comes faster than anybody reads is refused or asked again.", "ASVS 2.4.2"),
}

PARTS = (
    Part("Segregation of duties and dual control", DUTIES),
    Part("Evidence", EVIDENCE),
    Part("Signing in, sessions and rights", SIGNING_IN),
    Part("The web, secrets, calls out and what it is made of", WEB),
)
STATEMENTS = {number: statement for part in PARTS for number, statement in part.statements.items()}
