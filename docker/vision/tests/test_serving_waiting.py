"""What waits for threads is taken once, by whoever comes, and not once nobody comes any more."""

from concurrent.futures import ThreadPoolExecutor

from vision.serving.waiting import Waiting


def test_all_is_taken_once_and_in_parts():
    waiting: Waiting[int] = Waiting()
    with ThreadPoolExecutor(3) as threads:
        takers = [threads.submit(lambda: list(iter(lambda: waiting.take(8, among=3), []))) for _ in range(3)]
        for number in range(0, 1000, 10):
            assert waiting.put(range(number, number + 10))
        waiting.close()
    taken = [part for taker in takers for part in taker.result()]
    assert sorted(number for part in taken for number in part) == list(range(1000))
    assert max(map(len, taken)) <= 8


def test_one_takes_its_share():
    waiting: Waiting[int] = Waiting()
    waiting.put(range(10))
    assert waiting.take(8, among=4) == [0, 1, 2]
    assert waiting.take(2) == [3, 4]


def test_what_comes_after_the_end_is_not_lost_in_silence():
    waiting: Waiting[int] = Waiting()
    waiting.put([1])
    waiting.close()
    assert not waiting.put([2])
    assert (waiting.take(8), waiting.take(8)) == ([1], [])
