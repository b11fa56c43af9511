"""What many tests cost: how often one of them errs is shared among them."""

from collections.abc import Mapping


def alpha_per_window(expected_false_alarms_a_week: float, windows_a_week: int, tests: int) -> float:
    """The level of each test at which unchanged windows give so many alarms a week on average.

    Bonferroni's division (Dunn, "Multiple Comparisons Among Means", JASA 56, 1961): expectations add up, however much
    the tests depend on each other.

    Raises:
        ValueError: one of them is not above 0.
    """
    if not (expected_false_alarms_a_week > 0 and windows_a_week > 0 and tests > 0):
        raise ValueError("the expected false alarms, the windows of a week and the tests must each be above 0")
    return min(expected_false_alarms_a_week / (windows_a_week * tests), 1.0)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of columns, adjusted for their number: those at most alpha include a false one with a probability of at
    most alpha (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6,
    1979).
    """
    adjusted, largest = dict(p_values), 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = adjusted[name] = max(largest, min((len(p_values) - rank) * p_values[name], 1.0))
    return adjusted
