"""What is given up when there is no room: detail, never an epoch's end."""

from hypothesis import given
from hypothesis import strategies as st

from tidewatt_agent.thinning import surplus


def test_every_second_of_the_oldest_half_goes() -> None:
    assert surplus(["e"] * 10) == [1, 3]
    assert surplus(["e"] * 3) == [1]
    assert surplus([]) == []


def test_first_and_last_of_every_epoch_stay_and_then_the_last() -> None:
    assert surplus(["a", "a", "b", "b", "c"]) == [0], "a and b lose where they began, not where they ended"
    assert surplus(["a", "b", "c"]) == []


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_no_end_is_lost_however_often_it_is_thinned(epochs: list[str]) -> None:
    left = list(enumerate(epochs))
    ends = {epoch: place for place, epoch in left}
    while gone := surplus([epoch for _, epoch in left]):
        assert gone == sorted(set(gone))
        left = [one for index, one in enumerate(left) if index not in gone]
        assert ends == {epoch: place for place, epoch in left}
    assert len(left) == len(ends), "only ends are left"
