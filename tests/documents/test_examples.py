"""Properties meet the same examples in every run of the suite, and others only when that is asked for."""

from hypothesis import settings
from tests import examples


def test_a_search_is_one_in_ci_too() -> None:
    """Hypothesis has other defaults where CI is set, which a profile takes over."""
    suite, search = settings.get_profile(examples.SUITE), settings.get_profile(examples.SEARCH)
    assert (suite.derandomize, suite.database) == (True, None)
    assert not search.derandomize
    assert search.database is not None
