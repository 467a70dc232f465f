"""The list of functions that no running service enters names what exists, each with a reason."""

from tests.support import entered, marks


def test_the_list_names_functions_and_modules_that_exist() -> None:
    modules = {str(path.relative_to(marks.ROOT)) for path in marks.modules()}
    functions = set(marks.functions())
    named, at_times = entered.exceptions("never"), entered.exceptions("at_times")
    assert not named.keys() & at_times.keys()
    named |= at_times
    assert named.keys() <= functions | modules
    assert all(len(reason.split()) > 3 for reason in named.values())
    assert not {name for name in named if name in functions and name.partition(":")[0] in named}
