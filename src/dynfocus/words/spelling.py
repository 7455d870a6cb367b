"""Terms that look alike: errors of people who type and of programs that read pictures.

Two terms are candidates for each other where leaving one letter out of either or both
makes them equal; that finds every single error, a swap of neighbours included.
"""

from __future__ import annotations

from zlib import crc32

SHORTEST = 4
"""Terms with fewer characters are taken as they are."""
LONGEST = 24
_LONG = 8


def spelling_codes(term: str) -> set[int]:
    """Give numbers for a term and for it without each of its letters.

    Args:
        term: The term; of one that has no variants the result is empty.
    """
    if not has_variants(term):
        return set()
    shorter = {term[:place] + term[place + 1 :] for place in range(len(term))}
    return {crc32(one.encode()) for one in {term, *shorter}}


def has_variants(term: str) -> bool:
    """Tell whether a term may be misspelt: long enough, and no number."""
    return SHORTEST <= len(term) <= LONGEST and not term.isdigit()


def rate_spelling(term: str, other: str) -> float:
    """Rate a spelling of a term: 1 for the same, 0 for another word.

    One error is allowed, from eight letters on two; an error in the first letter is
    rarer and counts double.
    """
    if term == other:
        return 1.0
    allowed = 1 + (min(len(term), len(other)) >= _LONG)
    errors = edit_distance(term, other, allowed)
    if errors > allowed:
        return 0.0
    if term[0] != other[0] and term[:2] != other[1::-1]:
        errors += 1
    return max(0.0, 1 - 1.2 * errors / min(len(term), len(other)))


def edit_distance(first: str, second: str, most: int) -> int:
    """Count the letters to change, add, leave out or swap; beyond ``most`` one more.

    This is the optimal string alignment distance.
    """
    if abs(len(first) - len(second)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        before, last, row = row, before, [i]
        for j, two in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one != two))
            is_swap = i > 1 and j > 1 and one == second[j - 2] and first[i - 2] == two
            row.append(min(cost, last[j - 2] + 1) if is_swap else cost)
        if min(row) > most:
            return most + 1
    return row[-1]
