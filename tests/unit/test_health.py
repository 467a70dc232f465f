from app.health import DependencyState, DependencyStatus, ProcessInfo, Requirement, TaskState, TaskStatus, summarize

PROCESS = ProcessInfo(pid=1, version="1.0", revision="unknown")


def task(state: TaskState, need: Requirement = "required") -> TaskStatus:
    return TaskStatus(state=state, since="", last_progress=None, restarts=0, need=need)


def dependency(state: DependencyState, need: Requirement) -> DependencyStatus:
    return DependencyStatus(state=state, since="", last_progress=None, need=need)


def test_all_well_is_ready() -> None:
    report = summarize(
        ["relay", "api"], PROCESS, {"t": task("running")}, {"d": dependency("up", "required")}, draining=False
    )
    assert (report.status, report.ready, report.role) == ("ready", True, ["api", "relay"])


def test_a_required_dependency_makes_it_unavailable_and_another_degrades_it() -> None:
    tasks = {"t": task("running")}
    down = summarize(["api"], PROCESS, tasks, {"d": dependency("down", "required")}, draining=False)
    degraded = summarize(["api"], PROCESS, tasks, {"d": dependency("down", "degrades")}, draining=False)
    assert (down.status, down.ready) == ("unavailable", False)
    assert (degraded.status, degraded.ready) == ("degraded", True)


def test_a_dependency_that_was_not_seen_yet_counts_as_not_there() -> None:
    report = summarize(["api"], PROCESS, {}, {"d": dependency("starting", "required")}, draining=False)
    assert not report.ready


def test_a_task_that_does_not_run_makes_it_unavailable() -> None:
    for state in ("starting", "failing", "restarting", "wedged", "stopped"):
        assert not summarize(["api"], PROCESS, {"t": task(state)}, {}, draining=False).ready


def test_task_that_degrades_leaves_the_process_ready_without_it() -> None:
    tasks = {"t": task("running"), "helper": task("restarting", "degrades")}
    report = summarize(["api"], PROCESS, tasks, {"d": dependency("up", "required")}, draining=False)
    assert (report.status, report.ready) == ("degraded", True)


def test_draining_comes_before_everything() -> None:
    report = summarize(["api"], PROCESS, {"t": task("running")}, {"d": dependency("up", "required")}, draining=True)
    assert (report.status, report.ready) == ("draining", False)
