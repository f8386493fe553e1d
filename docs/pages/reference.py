"""reference.md, from a simulation."""

from pages.place import MADE
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.simulate.bundled import means, reference
from tidewatt_coordinator.simulate.page import page
from tidewatt_coordinator.simulate.reference import told


def reference_page() -> str:
    """The reference service's two months, simulated."""
    told_of = reference()
    story = told(told_of, means(load_book(), told_of.date), seed=13)
    return f"{MADE}\n{page(story)}"
