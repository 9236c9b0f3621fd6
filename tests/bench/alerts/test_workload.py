from bench.alerts.alert_workload import KINDS, METRICS, SERIES, Workload


def test_rules_over_vectors_make_the_same_comparisons_as_rules_over_one_series_each() -> None:
    single, vector = Workload(len(SERIES) * len(KINDS)).forms

    def comparisons(workload: Workload) -> set[tuple[str, str, str, object]]:
        return {
            (repr(workload.kind(n).fields), one.metric, one.component, rule.get("over"))
            for n in range(workload.rules)
            for rule in [workload.rule(n)]
            for one in SERIES
            if one.metric == rule["metric"]
            and rule.get("component", one.component) == one.component
        }

    assert (single.rules, vector.rules) == (10_000, len(METRICS) * len(KINDS))
    assert len(comparisons(single)) == 10_000
    assert comparisons(vector) == comparisons(single)


def test_fewer_rules_than_ten_a_series_have_no_form_over_vectors() -> None:
    assert [one.vector for one in Workload(1_000).forms] == [False]
