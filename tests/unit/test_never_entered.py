"""The list of functions that no running service enters names what exists, each with a reason."""

from tests.support import entered


def test_the_list_names_functions_and_modules_that_exist() -> None:
    known = {name for path in entered.modules() for name, _ in entered.functions(path)}
    named, at_times = entered.exceptions(), entered.exceptions("at_times")
    assert not named.keys() & at_times.keys()
    named |= at_times
    assert named.keys() <= known | entered.module_names()
    assert all(len(reason.split()) > 3 for reason in named.values())
    assert not {name for name in named if name in known and entered.module_of(name) in named}
