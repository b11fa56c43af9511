"""The page of an image: what the model says of it, and which images of its drop look most like it to the model."""

import datetime
import shutil

import embedded_images
import ledger_rows as seeding
import pytest
from fastapi import HTTPException
from ledger_rows import HOUR, File, digest, refused
from shown_pages import HOSTILE, is_harmless, render

from strandline import settings
from strandline.pages import embeddings, images

# How each is turned from `one`, whatever its length: by what the model makes of it.
EMBEDDINGS = {"one": [1, 0], "near": [5, 1], "across": [0, 2], "opposite": [-3, 0], "nothing": [0, 0]}
LATER = HOUR + datetime.timedelta(hours=1)


def load(run_id, version, files, failing=()):
    embedded_images.load(run_id, version, files, EMBEDDINGS, failing)


@pytest.fixture
def version(database) -> str:
    """The images in two shards of one drop."""
    version = seeding.register()
    shards = {"one": "1", "near": "2", "across": "1", "opposite": "2", "nothing": "2"}
    load("run", version, [File(f"{name}.jpg", content=name, shard=shard) for name, shard in shards.items()])
    return version


def nearest(found):
    names = {digest(content): content for content in EMBEDDINGS}
    return {names[one["image_id"]]: round(one["distance"], 3) for one in found["alike"]}


def test_the_images_that_look_most_like_one_come_first(version):
    found = images.show_image(digest("one"))
    assert nearest(found) == {"near": 0.019, "across": 1, "nothing": 1, "opposite": 2}
    distances = [one["distance"] for one in found["alike"]]
    assert distances == sorted(distances)
    assert (found["compared"], found["landed"]) == (5, 5)
    html = render("image.html", found)
    addresses = [f'href="/strandline/images/{one["image_id"]}?version={version}"' for one in found["alike"]]
    places = [html.index(address) for address in addresses]
    assert places == sorted(places)
    assert f'href="/strandline/files/{found["image"]["entry_id"]}"' in html


def test_images_of_other_drops_and_what_other_versions_saw_are_not_compared(database):
    first, second = seeding.register("first"), seeding.register("second")
    load("run", first, [File("one.jpg", content="one"), File("across.jpg", content="across")])
    load("later", first, [File("near.jpg", content="near", drop_at=LATER, shard="later")])
    load("again", second, [File("one.jpg", content="one"), File("opposite.jpg", content="opposite", shard="other")])
    assert nearest(images.show_image(digest("one"), first)) == {"across": 1}
    assert nearest(images.show_image(digest("one"))) == {"opposite": 2}
    alone = images.show_image(digest("near"))
    assert (alone["compared"], alone["alike"]) == (1, [])
    assert "the only image of its drop" in render("image.html", alone)


def test_of_a_large_drop_a_random_sample_is_compared_and_the_page_says_so(version, monkeypatch):
    monkeypatch.setattr(embeddings, "COMPARED", 2)
    for content in EMBEDDINGS:
        found = images.show_image(digest(content))
        smallest = {*sorted(map(digest, EMBEDDINGS))[:2]} - {digest(content)}
        assert {one["image_id"] for one in found["alike"]} == smallest
        assert "of the 5 images of the same drop" in render("image.html", found)


def test_so_many_bytes_are_read_and_those_of_the_image_first(version, monkeypatch):
    sizes = [path.stat().st_size for path in settings.get().store.glob("runs/*/classify/*/*/predictions.parquet")]
    assert len(sizes) == 2
    monkeypatch.setattr(embeddings, "BYTES", max(sizes))
    assert nearest(images.show_image(digest("one"))) == {"across": 1}
    assert nearest(images.show_image(digest("near"))).keys() == {"opposite", "nothing"}


def test_what_the_store_has_no_more_is_left_out(version):
    (shard_id,) = [path for path in settings.get().store.glob("runs/*/classify/*") if path.name == digest("2")]
    shutil.rmtree(shard_id)
    assert nearest(images.show_image(digest("one"))) == {"across": 1}
    gone = images.show_image(digest("near"))
    assert gone["alike"] == []
    assert "the embedding of this image no more" in render("image.html", gone)


def test_altered_predictions_are_not_used(version):
    for path in settings.get().store.glob(f"runs/*/classify/{digest('2')}/*/predictions.parquet"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes() + b"more")
    assert nearest(images.show_image(digest("one"))) == {"across": 1}


def test_an_image_that_no_version_has_classified_says_so(database):
    load("run", seeding.register(), [File("one.jpg", content="one")], failing={"one"})
    found = images.show_image(digest("one"))
    assert (found["seen"], found["alike"]) == (None, [])
    assert "No version has classified it yet" in render("image.html", found)


def test_an_image_or_a_version_that_is_not_there_is_named(version):
    with pytest.raises(HTTPException, match="there is no image") as raised:
        images.show_image(digest("never"))
    assert raised.value.status_code == 404
    with pytest.raises(HTTPException, match="has not classified the image"):
        images.show_image(digest("one"), "0" * 64)


def test_nothing_of_an_image_becomes_markup(database):
    files = [File(f"{HOSTILE}{name}.jpg", content=name) for name in ("one", "near")]
    load("run", seeding.register(), [*files, refused(f"{HOSTILE}.jpg")])
    html = render("image.html", images.show_image(digest("one")))
    assert html.count("&lt;img src=x") >= 2
    assert is_harmless(html)
