"""Search: claims about *all* pairs of inputs, and not only about those that were drawn.

:func:`search` finds the designs whose pairs tell hypotheses apart, :func:`sampled_search` does the
same where there are too many pairs to look at all, :func:`prove` decides whether two hypotheses
ever differ, with a certificate, and :func:`recheck` checks one.
"""

from cfgen.search.atoms import TooManyCases
from cfgen.search.certificates import Certificate, Witness, prove, read_certificate
from cfgen.search.checking import recheck
from cfgen.search.comparison import Comparison, comparison_of
from cfgen.search.exact import SearchResult, search
from cfgen.search.goals import (
    Assessment,
    DesignRequest,
    DesignShares,
    Goal,
    Two,
    assess,
    design_shares,
    example_of,
)
from cfgen.search.predictions import CaseTable, case_table
from cfgen.search.sampled import Estimate, SampledResult, sampled_search

__all__ = [
    "Assessment",
    "CaseTable",
    "Certificate",
    "Comparison",
    "DesignRequest",
    "DesignShares",
    "Estimate",
    "Goal",
    "SampledResult",
    "SearchResult",
    "TooManyCases",
    "Two",
    "Witness",
    "assess",
    "case_table",
    "comparison_of",
    "design_shares",
    "example_of",
    "prove",
    "read_certificate",
    "recheck",
    "sampled_search",
    "search",
]
