"""The Grafana dashboards of packaging/grafana: every page, panel and query, once."""

from grafana import DEVICE, INSTANCE, SITE, Dashboard, Panel, Query, lines, rates, stat

FAILED = f'{INSTANCE},code=~"5.."'
SERVING, MERGING = "tidewatt_http_request_seconds", "tidewatt_ingest_merge_seconds"

FLEETS = ("fleet", "label_values(tidewatt_board_watts, fleet)", True)
SITES = ("site", 'label_values(tidewatt_board_watts{fleet=~"$fleet"}, site)', True)

FLEET = Dashboard(
    "tidewatt-fleet",
    "Tidewatt: fleet power",
    (FLEETS, SITES),
    (
        stat("power now", "watt", f"sum(tidewatt_board_watts{{{SITE}}})"),
        stat("requests", "reqps", rates("tidewatt_requests_total", SITE)),
        stat(
            "energy of a request",
            "joule",
            f"{rates('tidewatt_energy_joules_total', SITE)} / ({rates('tidewatt_requests_total', SITE)} > 0)",
        ),
        stat("devices online", "none", 'max(tidewatt_fleet_devices{status="online"})'),
        stat("devices missing", "none", "sum(min by (device) (tidewatt_device_missing))"),
        stat(
            "out of the promise",
            "percentunit",
            f"avg(rate(tidewatt_slo_violating_seconds_total{{{SITE}}}[$__rate_interval]))",
        ),
        lines(
            "power by site",
            "watt",
            (f"sum by (site) (tidewatt_board_watts{{{SITE}}})", "{{site}}"),
            width=12,
        ),
        lines(
            "requests by site",
            "reqps",
            (rates("tidewatt_requests_total", SITE, "site"), "{{site}}"),
            width=12,
        ),
        lines(
            "time by mode",
            "percentunit",
            (
                f"{rates('tidewatt_mode_seconds_total', SITE, 'mode')} / on () group_left () "
                + rates("tidewatt_mode_seconds_total", SITE),
                "{{mode}}",
            ),
        ),
        lines("devices by status", "none", ("max by (status) (tidewatt_fleet_devices)", "{{status}}")),
        lines(
            "energy by the points' model",
            "watt",
            (
                rates("tidewatt_estimated_energy_joules_total", SITE, "case"),
                "{{case}}",
            ),
            about="As the boards stood, and as the governor would have had them: what observing shows.",
        ),
        lines(
            "hottest junctions",
            "celsius",
            (f"topk(5, tidewatt_junction_temperature_celsius{{{SITE}}})", "{{device}}"),
        ),
        lines(
            "decisions by rule",
            "cps",
            (
                rates("tidewatt_decisions_total", SITE, "rule"),
                "{{rule}}",
            ),
        ),
        lines("asleep by the plan", "none", ("max by (group) (tidewatt_plan_asleep)", "{{group}}")),
        lines(
            "capacity against need",
            "reqps",
            ("max by (group) (tidewatt_plan_capacity_rps)", "{{group}} capacity"),
            ("max by (group) (tidewatt_plan_need_rps)", "{{group}} need"),
            width=12,
        ),
        lines(
            "switches",
            "cps",
            (rates("tidewatt_switches_total", SITE, "site"), "{{site}}"),
            width=12,
        ),
    ),
)

ONE_DEVICE = Dashboard(
    "tidewatt-device",
    "Tidewatt: device",
    (("device", "label_values(tidewatt_board_info, device)", False),),
    (
        stat("power", "watt", f"tidewatt_board_watts{{{DEVICE}}}"),
        stat("requests", "reqps", f"tidewatt_requests_per_second{{{DEVICE}}}"),
        stat("p95", "s", f"tidewatt_latency_p95_seconds{{{DEVICE}}}"),
        stat("junction", "celsius", f"tidewatt_junction_temperature_celsius{{{DEVICE}}}"),
        stat("broker", "bool_on_off", f"tidewatt_link_connected{{{DEVICE}}}"),
        Panel("mode", "none", [Query(f"tidewatt_power_mode_info{{{DEVICE}}} == 1", "{{mode}}")], "stat", 4),
        lines(
            "power",
            "watt",
            (f"tidewatt_board_watts{{{DEVICE}}}", "board"),
            (f"tidewatt_rail_watts{{{DEVICE}}}", "{{rail}}"),
            width=12,
            about="Rails overlap: never sum them.",
        ),
        lines(
            "requests and what is foreseen",
            "reqps",
            (f"tidewatt_requests_per_second{{{DEVICE}}}", "now"),
            (
                f'tidewatt_forecast_peak_requests_per_second{{{DEVICE},minutes="15"}}',
                "15 min, {{quantile}}",
            ),
            width=12,
        ),
        lines(
            "use",
            "percentunit",
            (f"avg(tidewatt_cpu_use_ratio{{{DEVICE}}})", "CPU"),
            (f"tidewatt_unit_use_ratio{{{DEVICE}}}", "{{unit}}"),
        ),
        lines("temperatures", "celsius", (f"tidewatt_temperature_celsius{{{DEVICE}}}", "{{sensor}}")),
        lines(
            "clocks and caps",
            "hertz",
            (f"max(tidewatt_cpu_hertz{{{DEVICE}}})", "CPU"),
            (f"tidewatt_unit_hertz{{{DEVICE}}}", "{{unit}} {{domain}}"),
            (f"tidewatt_cap_hertz{{{DEVICE}}}", "cap of {{clock}}"),
        ),
        lines(
            "time by mode",
            "percentunit",
            (f"rate(tidewatt_mode_seconds_total{{{DEVICE}}}[$__rate_interval])", "{{mode}}"),
        ),
        lines(
            "decisions",
            "cps",
            (
                rates("tidewatt_decisions_total", DEVICE, "rule, outcome"),
                "{{rule}} {{outcome}}",
            ),
        ),
        lines(
            "throttling by current",
            "cps",
            (f"tidewatt_over_current_events_per_second{{{DEVICE}}}", "{{channel}}"),
        ),
        lines("reports that wait", "none", (f"tidewatt_reports_waiting{{{DEVICE}}}", "{{where}}")),
        lines("clock against ours", "s", (f"max(tidewatt_device_clock_skew_seconds{{{DEVICE}}})", "skew")),
        lines(
            "the agent itself",
            "bytes",
            (f"tidewatt_agent_resident_memory_bytes{{{DEVICE}}}", "{{process}}"),
        ),
    ),
)

COST = Dashboard(
    "tidewatt-cost",
    "Tidewatt: cost",
    (("currency", "label_values(tidewatt_cost_latest_day, currency)", False),),
    (
        stat(
            "last whole day",
            "none",
            'sum(max by (service) (tidewatt_cost_latest_day{currency="$currency"}))',
        ),
        stat(
            "against the day before",
            "percentunit",
            'sum(max by (service) (tidewatt_cost_latest_day{currency="$currency"}))'
            ' / sum(max by (service) (tidewatt_cost_previous_day{currency="$currency"})) - 1',
        ),
        stat("which day", "dateTimeAsIso", "max(tidewatt_cost_latest_day_timestamp_seconds) * 1000"),
        stat(
            "open proposals, a month",
            "none",
            'sum(max by (driver) (tidewatt_proposals_saving_per_month{currency="$currency"}))',
        ),
        stat("everything frozen", "bool_yes_no", "max(tidewatt_levers_frozen)"),
        stat(
            "energy of a day",
            "kwatth",
            "sum(max by (device) (increase(tidewatt_ledger_energy_joules_total[1d]))) / 3.6e6",
        ),
        lines(
            "the last whole day by service",
            "none",
            ('max by (service) (tidewatt_cost_latest_day{currency="$currency"})', "{{service}}"),
            width=12,
        ),
        lines(
            "budgets",
            "none",
            ('max by (budget) (tidewatt_budget_amount{currency="$currency"})', "{{budget}}"),
            ('max by (budget) (tidewatt_budget_spent{currency="$currency"})', "{{budget}} spent"),
            ('max by (budget) (tidewatt_budget_foreseen{currency="$currency"})', "{{budget}} foreseen"),
            width=12,
        ),
        lines(
            "what traffic costs an hour, as planned",
            "none",
            ("max by (currency) (tidewatt_dispatch_cost_per_hour)", "{{currency}}"),
        ),
        lines("above the cheapest, at the most", "percentunit", ("max(tidewatt_dispatch_gap_ratio)", "gap")),
        lines("nodes to hold", "none", ("max by (pool) (tidewatt_plan_nodes)", "{{pool}}")),
        lines(
            "proposals",
            "none",
            ("max by (driver, stage) (tidewatt_proposals)", "{{driver}} {{stage}}"),
            width=12,
        ),
        lines(
            "spot",
            "none",
            ("sum by (what) (increase(tidewatt_spot_events_total[1h]))", "{{what}}"),
            width=12,
        ),
        lines("alerts", "none", ("max by (kind, state) (tidewatt_alerts)", "{{kind}} {{state}}")),
        lines("imports that failed in a row", "none", ("max(tidewatt_costs_import_failures)", "failures")),
        lines("charges of the last import", "none", ("max(tidewatt_costs_import_charges)", "charges")),
    ),
)

COORDINATOR = Dashboard(
    "tidewatt-coordinator",
    "Tidewatt: coordinator",
    (("instance", "label_values(tidewatt_ingest_connected, instance)", True),),
    (
        stat("lease held by", "none", "sum(tidewatt_policy_lease_held)"),
        stat("broker", "bool_on_off", 'min(tidewatt_ingest_connected{instance=~"$instance"})'),
        stat("ingest lag", "s", 'max(tidewatt_ingest_lag_seconds{instance=~"$instance"})'),
        stat("reports that wait", "none", 'sum(tidewatt_ingest_waiting{instance=~"$instance"})'),
        stat("requests in work", "none", 'sum(tidewatt_http_requests_in_flight{instance=~"$instance"})'),
        stat("audit intact", "bool_yes_no", "min(tidewatt_audit_intact)"),
        lines(
            "requests",
            "reqps",
            (
                rates("tidewatt_http_requests_total", INSTANCE, "route, code"),
                "{{code}} {{route}}",
            ),
        ),
        lines(
            "failures",
            "percentunit",
            (
                f"({rates('tidewatt_http_requests_total', FAILED)} or vector(0)) / "
                + rates("tidewatt_http_requests_total", INSTANCE),
                "5xx",
            ),
        ),
        lines(
            "time of requests, p95",
            "s",
            (
                f"histogram_quantile(0.95, {rates(f'{SERVING}_bucket', INSTANCE, 'le, route')})",
                "{{route}}",
            ),
        ),
        lines(
            "messages",
            "cps",
            (
                rates("tidewatt_ingest_messages_total", INSTANCE, "kind"),
                "{{kind}}",
            ),
            (
                rates("tidewatt_ingest_refused_total", INSTANCE, "reason"),
                "refused: {{reason}}",
            ),
        ),
        lines(
            "time to merge a batch",
            "s",
            (
                f"{rates(f'{MERGING}_sum', INSTANCE)} / ({rates(f'{MERGING}_count', INSTANCE)} > 0)",
                "mean",
            ),
        ),
        lines(
            "database, seconds a second",
            "none",
            (
                rates("tidewatt_database_statement_seconds_sum", INSTANCE, "kind"),
                "{{kind}}",
            ),
        ),
        lines(
            "database, connections",
            "none",
            ("max(tidewatt_database_connections)", "taken"),
            ("max(tidewatt_database_connections_limit)", "limit"),
        ),
        lines(
            "database, failures",
            "cps",
            (rates("tidewatt_database_errors_total", INSTANCE), "errors"),
        ),
        lines(
            "kept aside",
            "cps",
            (rates("tidewatt_ledger_quarantined_total", "", "code"), "{{code}}"),
        ),
        lines(
            "rollout",
            "none",
            ("max(tidewatt_rollout_waves_reached)", "waves reached"),
            ("max(tidewatt_rollout_waves)", "waves"),
        ),
        lines("answers to the policy", "none", ("max by (status) (tidewatt_policy_answers)", "{{status}}")),
        lines(
            "calls of drivers",
            "cps",
            (
                rates("tidewatt_driver_calls_total", "", "driver, result"),
                "{{driver}} {{result}}",
            ),
        ),
        lines(
            "table, seconds until it is void",
            "s",
            ("max(tidewatt_dispatch_expires_timestamp_seconds) - time()", "table"),
            ("min by (instance) (tidewatt_router_table_expires_seconds)", "router {{instance}}"),
        ),
        lines(
            "routers in step",
            "none",
            ("min by (instance, proxy) (tidewatt_router_in_step)", "{{proxy}} {{instance}}"),
        ),
        lines(
            "memory",
            "bytes",
            ('process_resident_memory_bytes{instance=~"$instance"}', "{{instance}}"),
        ),
    ),
)

DASHBOARDS = (FLEET, ONE_DEVICE, COST, COORDINATOR)
