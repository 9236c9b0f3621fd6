import pytest

from bench.bodies import Shape
from bench.ingest.report import NATIVE, Rates, Taken, summary

LARGE, SMALL = Shape(100, 100), Shape(10, 1)
CPU_US = {
    ("unnest", LARGE): 4.0,
    ("JSON", LARGE): 3.1,
    ("OTLP", LARGE): 6.1,
    ("remote write", LARGE): 3.4,
    ("Prometheus", LARGE): 1.0,
    ("unnest", SMALL): 20.0,
    ("JSON", SMALL): 180.0,
    ("remote write", SMALL): 180.0,
    ("Prometheus", SMALL): 10.0,
}


def rates(changed: dict[tuple[str, Shape], float]) -> Rates:
    costs = CPU_US | changed
    # More samples a second than anyone: they are not what is judged.
    return Rates(NATIVE, {who: [Taken(1e9, cost)] * 3 for who, cost in costs.items()}, [0.0])


def test_the_costs_that_the_limits_were_set_by_are_within_their_limits() -> None:
    found = summary([rates({})], [])

    assert found["is_met"] is True


@pytest.mark.parametrize("who", [who for who in CPU_US if who[0] not in {"unnest", "Prometheus"}])
def test_half_as_much_cpu_again_breaks_a_limit_however_many_samples_a_second(
    who: tuple[str, Shape],
) -> None:
    found = summary([rates({who: 1.5 * CPU_US[who]})], [])

    assert found["is_met"] is False


def test_cheaper_json_makes_otlp_no_worse() -> None:
    found = summary([rates({("JSON", LARGE): 1.0})], [])

    assert found["is_met"] is True
