"""The ends of an attack, in bounded memory: how many there are, and which is the busiest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

End = TypeVar("End", bound=Hashable)

KEPT = 64  # ends counted by name
SKETCH = 256  # smallest hashes that are kept: the number of ends is exact below, then within 6 %
_HASHES = 1 << 61  # hash() of an int is its remainder modulo 2^61 - 1
_MIX = 0x9E3779B97F4A7C15


class AttackEnds(Generic[End]):
    """A count of distinct ends and of the busiest of them.

    The number is that of a k-minimum-values sketch (Bar-Yossef et al., RANDOM 2002). The busiest
    are counted as Misra and Gries do (1982), so one end that has a share of more than 1/64 of all
    flows is always among them, whatever number of forged ones surrounds it.

    Example:
        >>> ends = AttackEnds[int]()
        >>> for address in (1, 2, 2, 3):
        ...     ends.add(address)
        >>> ends.busiest, ends.number
        (2, 3)
    """

    def __init__(self) -> None:
        self._flows: Counter[End] = Counter()
        self._smallest: set[int] = set()
        self._largest = -1  # of the smallest, once there are SKETCH of them

    def add(self, end: End) -> None:
        """Count one flow of an end."""
        if end not in self._flows and len(self._flows) == KEPT:
            self._take_one_from_each()
        if end in self._flows or len(self._flows) < KEPT:
            self._flows[end] += 1
        self._note(hash((end, _MIX)) % _HASHES)

    def __contains__(self, end: object) -> bool:
        return end in self._flows

    @property
    def number(self) -> int:
        """Number of distinct ends."""
        if len(self._smallest) < SKETCH:
            return len(self._smallest)
        return round((SKETCH - 1) * _HASHES / self._largest)

    @property
    def busiest(self) -> End:
        """The end with most flows, the first of several."""
        return max(self._flows, key=self._flows.__getitem__)

    def ranked(self, most: int) -> list[End]:
        """Return at most ``most`` ends, the busiest first."""
        return [end for end, _ in self._flows.most_common(most)]

    def to_state(self) -> dict[str, object]:
        """Return what ``from_state`` reads, as plain types."""
        return {"flows": list(self._flows.items()), "sketch": sorted(self._smallest)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AttackEnds[End]:
        """Make the same again.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        ends = cls()
        for end, flows in state["flows"][:KEPT]:
            named: Any = tuple(end) if isinstance(end, list) else end  # JSON has no tuples
            ends._flows[named] = int(flows)
        for mixed in state["sketch"][:SKETCH]:
            ends._note(int(mixed))
        return ends

    def _take_one_from_each(self) -> None:
        self._flows = Counter({end: flows - 1 for end, flows in self._flows.items() if flows > 1})

    def _note(self, mixed: int) -> None:
        if len(self._smallest) < SKETCH:
            self._smallest.add(mixed)
            self._largest = max(self._smallest) if len(self._smallest) == SKETCH else -1
        elif mixed < self._largest and mixed not in self._smallest:
            self._smallest.remove(self._largest)
            self._smallest.add(mixed)
            self._largest = max(self._smallest)
