"""How properties are tried: with the same examples in every run, or, when asked, with new ones.

make test ARGS="--hypothesis-profile=search"
"""

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers

#: The same in every run. Examples may take as long as a busy machine makes them.
SUITE = "suite"
#: New ones each time; what fails is printed, and remembered for the next run.
SEARCH = "search"


settings.register_profile(SUITE, derandomize=True, database=None, deadline=None)
# Hypothesis would try the same ones again where CI is set.
settings.register_profile(
    SEARCH, derandomize=False, database=DirectoryBasedExampleDatabase(".hypothesis/examples"), deadline=None
)


def choose(asked: str | None) -> None:
    """Take a profile, before any test is decorated; None: the suite's."""
    settings.load_profile(asked or SUITE)
    if settings.get_current_profile_name() == SUITE:
        # Hypothesis mixes in the constants of all modules that are loaded by then, and so which examples a
        # test meets would depend on the tests before it. There is no setting for that.
        providers._get_local_constants = lambda: providers._local_constants
