"""Families of attacks: what an operator does about an attack decides its family."""

from __future__ import annotations

import re
from functools import lru_cache

BENIGN = "benign"
UNKNOWN = "unknown"  # an attack of a category that fits no family
# Each family and the words of a category that put it there; the first family that fits counts.
_PATTERNS = {
    "web": r"web|xss|sql",  # mend the application
    "amplification": r"amplif|reflect",  # close the reflector, filter at the provider
    "guessing": r"brute|guess|password|credential",  # lock the account, block the source
    "tunnel": r"tunnel|exfil|covert",  # cut the channel, find out what has left
    "malware": r"malware|\bc2\b|botnet|trojan|beacon|mining|shell",  # clean the infected device
    # Isolate the device that was taken over, or that takes others over.
    "lateral": r"lateral|exploit|\bics\b|mitm|spoof|poison",
    "flood": r"flood|dos",  # limit the rate, filter
    "scan": r"scan|sweep|probe|recon",  # watch the source
}
FAMILIES = tuple(_PATTERNS)
_BENIGN = (BENIGN, "normal")


@lru_cache(maxsize=1 << 10)
def family_of(category: str) -> str:
    """Return the family of a category: benign, one of FAMILIES, or UNKNOWN.

    Example:
        >>> family_of("ddos-amplification-tcp"), family_of("exploit"), family_of("oddity")
        ('amplification', 'lateral', 'unknown')
    """
    if category in _BENIGN:
        return BENIGN
    fitting = (family for family, words in _PATTERNS.items() if re.search(words, category))
    return next(fitting, UNKNOWN)
