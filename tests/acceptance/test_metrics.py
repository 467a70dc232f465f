"""The metrics of a live service that no test of a part can move: each is moved here by what it is about."""

from tests.support.service import eventually, running


def test_requests_stages_tasks_loop_and_pool_are_measured(environment: dict[str, str]) -> None:
    watch = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "watch_time_sec": 60}
    with running(environment) as service:
        requests = service.metric("reco_api_requests_total", status_family="2xx")
        timed = service.metric("reco_api_latency_ms_count", route="/log/watch")
        unknown = service.metric("reco_api_requests_total", status_family="4xx")
        assert service.client.post("/log/watch", json=watch).status_code == 202
        assert service.client.post("/log/watch", json={}).status_code == 422
        assert service.metric("reco_api_requests_total", status_family="2xx") == requests + 1
        assert service.metric("reco_api_requests_total", status_family="4xx") == unknown + 1
        assert service.metric("reco_api_latency_ms_count", route="/log/watch") == timed + 2
        for stage in ("relay_publish", "consumer_transaction"):
            eventually(
                lambda stage=stage: service.metric("reco_stage_latency_ms_count", stage=stage) > 0,
                describe=service.describe,
            )
        for task in service.readiness()["tasks"]:
            assert service.metric("reco_task_running", task=task) == 1
        for dependency in ("postgres", "kafka", "redis"):
            eventually(
                lambda check=dependency: service.metric("reco_api_check_status", scope="dependency", check=check) == 1,
                describe=service.describe,
            )
        for name in ("reco_event_loop_lag_ms_count", "reco_database_latency_ms_count"):
            eventually(lambda name=name: service.metric(name) > 0, describe=service.describe)
        eventually(lambda: service.metric("reco_database_pool_connections", state="idle") > 0)
