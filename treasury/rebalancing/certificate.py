"""The certificate of a plan: what is proven of it and how, in a form that is stored, told and checked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import Enum
from typing import Any

from connectors.core.protocol import plain
from treasury.rebalancing import recheck
from treasury.rebalancing.problem import Move, Problem


class Kind(Enum):
    """NOTHING: all are inside. COUNTING and SEARCH: proven fewest, by counting or by the solver. BEST: not proven.
    NO_HELP: the plan helps no account that is outside; ``left_proven`` says whether any can be helped."""

    NOTHING = "nothing"
    COUNTING = "counting"
    SEARCH = "search"
    BEST = "best"
    NO_HELP = "no help"


@dataclass(frozen=True)
class Certificate:
    """``bound``: no plan that leaves as few accounts outside has fewer transfers; ``greedy_count``: those of the plan
    made without a search. ``argument``, ``above``, ``below``, ``shared``: how the counting goes, see
    ``treasury.rebalancing.bound``; (key, transfers that it needs at least) of each account that may be mended.
    ``mended`` of them end inside; ``left_out`` stay outside, and ``left_proven`` says that no plan leaves fewer.
    ``moved_proven``: no plan of as few transfers moves less. ``distance``: the sum over all accounts to their targets.
    ``unit``: amounts were searched in its multiples, or finer; ``own_step``: that is the venue's own step;
    ``lossless``: no plan in steps is better than the best one in it (``treasury.rebalancing.parts`` says why), without
    which a search proves nothing. ``best_in_unit``: the search was finished, so that no plan in multiples of the unit
    helps more accounts, and none that helps as many has fewer transfers.
    ``limit`` and ``spent``: the solver's deterministic seconds; ``capped``: it ran out of real time before.
    """

    kind: Kind
    count: int
    bound: int
    greedy_count: int
    argument: str
    above: tuple[tuple[str, int], ...]
    below: tuple[tuple[str, int], ...]
    shared: int
    mended: int
    left_out: tuple[str, ...]
    left_proven: bool
    moved: Decimal
    moved_proven: bool
    distance: Decimal
    unit: Decimal
    own_step: bool
    lossless: bool
    best_in_unit: bool
    algorithm: int
    solver: str
    seed: int
    limit: str
    spent: str
    capped: bool

    def as_json(self) -> dict[str, Any]:
        """Texts, whole numbers and lists alone; amounts are plain decimal strings."""
        return {field.name: _written(getattr(self, field.name)) for field in fields(self)}


def from_json(document: Mapping[str, Any]) -> Certificate:
    """The certificate that was stored so. Raises KeyError or ValueError for anything else."""
    words = {field.name: document[field.name] for field in fields(Certificate)}
    words["kind"] = Kind(words["kind"])
    for name in ("above", "below"):
        words[name] = tuple((key, times) for key, times in words[name])
    words["left_out"] = tuple(words["left_out"])
    for name in ("moved", "distance", "unit"):
        words[name] = Decimal(words[name])
    return Certificate(**words)


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    return [_written(one) for one in value] if isinstance(value, tuple) else value


# -- for people ----------------------------------------------------------------------------------------------


def words(certificate: Certificate, name_of: Callable[[str], str]) -> str:
    """What is proven, in sentences; ``name_of`` gives the name of an account's key."""
    said = [_first(certificate)]
    if certificate.left_out:
        said.append(_left(certificate, [name_of(key) for key in certificate.left_out]))
    if certificate.solver and not certificate.own_step:
        said.append(_unit(certificate))
    if certificate.capped:
        said.append("The search ran out of real time, so another run may find a better plan.")
    return " ".join(said)


def _first(certificate: Certificate) -> str:
    if certificate.kind is Kind.NOTHING:
        return "Nothing to do: every account is inside its band."
    if certificate.kind is Kind.NO_HELP:
        if certificate.left_proven:
            return "No transfer can bring any account inside its band."
        return "No plan was found that helps; one is not ruled out."
    if certificate.kind is Kind.COUNTING:
        return f"Proven fewest: {_counted(certificate)}"
    if certificate.kind is Kind.SEARCH:
        return (
            f"Proven fewest: an exhaustive search found no plan with {_transfers(certificate.count - 1)}, "
            "with at most one from one account to another and no money sent in a circle."
        )
    needed = f"at least {certificate.bound} {'is' if certificate.bound == 1 else 'are'} needed"
    return f"Best found: {_transfers(certificate.count)}; {needed}."


def _counted(certificate: Certificate) -> str:
    """The counting bound as a sentence."""
    above, below = (sum(times for _, times in side) for side in (certificate.above, certificate.below))
    mendable = len(certificate.above) + len(certificate.below)
    if certificate.mended < mendable:
        return (
            f"the plan brings {_accounts(certificate.mended)} inside, and no transfer can bring more than two inside, "
            "one that sends and one that receives."
        )
    if max(above, below) < certificate.bound:
        at_once = f"only {certificate.shared} transfers can" if certificate.shared else "no transfer can"
        at_once = "only one transfer can" if certificate.shared == 1 else at_once
        return (
            f"{_accounts(len(certificate.above))} above and {_accounts(len(certificate.below))} below their band need "
            f"{above + below} transfers between them, and {at_once} serve one of each at once."
        )
    side, where, verb = certificate.above, "above", "send"
    if above < below:
        side, where, verb = certificate.below, "below", "receive"
    return _one_side(len(side), max(above, below), where, verb)


def _one_side(accounts: int, times: int, where: str, verb: str) -> str:
    if accounts == 1:
        often = "at least once" if times == 1 else f"at least {times} times, for no fewer transfers are large enough"
        return f"1 account is {where} its band and must {verb} {often}."
    if times == accounts:
        return f"{accounts} accounts are {where} their band and each must {verb} at least once."
    return (
        f"{accounts} accounts are {where} their band and must {verb} at least {times} times in all, "
        "for no fewer transfers are large enough."
    )


def _unit(certificate: Certificate) -> str:
    searched = f"Amounts were searched in multiples of {plain(certificate.unit)}"
    if certificate.lossless:
        return f"{searched}, and here no plan in finer amounts is better."
    if certificate.kind is Kind.COUNTING and certificate.left_proven:
        return f"{searched}."
    if not certificate.best_in_unit:
        return f"{searched} alone."
    if certificate.kind is Kind.NO_HELP:
        return f"{searched} alone, of which no plan helps."
    if certificate.left_proven:
        return f"{searched} alone, of which no plan that helps as many accounts has fewer transfers."
    return f"{searched} alone, of which no plan helps more accounts, and none that helps as many has fewer transfers."


def _left(certificate: Certificate, names: Sequence[str]) -> str:
    stay = f"{_accounts(len(names)).capitalize()} {'stays' if len(names) == 1 else 'stay'} outside: {', '.join(names)}."
    if certificate.left_proven:
        return f"{stay} No plan helps more accounts."
    return stay if certificate.kind is Kind.NO_HELP else f"{stay} A plan that helps more is not ruled out."


def _transfers(count: int) -> str:
    return f"{count} transfer{'' if count == 1 else 's'}"


def _accounts(count: int) -> str:
    return f"{count} account{'' if count == 1 else 's'}"


# -- for whoever doubts it -----------------------------------------------------------------------------------


def check(problem: Problem, moves: Sequence[Move], certificate: Certificate) -> list[str]:
    """What is wrong with the plan or with its certificate, reckoned anew; empty when all that can be checked is true.

    Shares no code with what made the plan. What a search proves rests on its word alone and is not judged here: that,
    where counting does not say so, no plan helps more, has fewer transfers or moves less, in a unit that loses nothing.
    """
    wrong = recheck.plan(problem, moves)
    return wrong or [*_numbers(problem, moves, certificate), *_claims(problem, moves, certificate)]


def _numbers(problem: Problem, moves: Sequence[Move], certificate: Certificate) -> list[str]:
    stated = {
        "count": (certificate.count, len(moves)),
        "moved": (certificate.moved, recheck.moved(moves)),
        "distance": (certificate.distance, recheck.distance(problem, moves)),
        "left out": (set(certificate.left_out), recheck.left_out(problem, moves)),
        "mended": (certificate.mended, len(recheck.left_out(problem, ())) - len(recheck.left_out(problem, moves))),
        "own step": (certificate.own_step, certificate.unit == problem.step),
        "lossless": (certificate.lossless, certificate.lossless or certificate.own_step),
    }
    return [f"The {name} is stated as {said} and is {true}." for name, (said, true) in stated.items() if said != true]


def _claims(problem: Problem, moves: Sequence[Move], certificate: Certificate) -> list[str]:
    wrong = recheck.counted(
        problem, certificate.argument, dict(certificate.above), dict(certificate.below), certificate.shared
    )
    fewest = recheck.fewest(dict(certificate.above), dict(certificate.below), certificate.shared, certificate.mended)
    outside, kind = len(recheck.left_out(problem, ())), certificate.kind
    searched = bool(certificate.solver) and certificate.lossless
    rules = {
        "nothing was to be done": kind is not Kind.NOTHING or outside == 0 == len(moves),
        "no account is helped": kind is not Kind.NO_HELP or (outside > 0 == certificate.mended and not moves),
        "counting proves the count": kind is not Kind.COUNTING or certificate.count == certificate.bound == fewest,
        "a search proves the count": kind is not Kind.SEARCH
        or (searched and fewest < certificate.count == certificate.bound),
        "the count is not proven": kind is not Kind.BEST or certificate.bound < certificate.count,
        "the bound is no lower than counting gives": certificate.bound >= fewest,
        "the bound is what counting gives": searched or certificate.bound == fewest,
        "accounts were mended": kind in (Kind.NOTHING, Kind.NO_HELP) or certificate.mended > 0,
        "no plan helps more": not certificate.left_proven
        or searched
        or certificate.mended == len(certificate.above) + len(certificate.below),
    }
    return wrong + [f"It does not hold that {rule}." for rule, holds in rules.items() if not holds]
