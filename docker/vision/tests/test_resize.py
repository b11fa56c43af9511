"""How a picture of any size becomes what a model sees, and how a shard says so."""

import inputs
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Drop
from PIL import Image, ImageOps

import strandline_contract as contract
from vision import shards
from vision.decoding import pixels

SIZES = [(640, 427), (427, 640), (33, 31), (32, 32), (7, 300), (1024, 1024), (50, 100)]  # width, height
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "hamming": Image.Resampling.HAMMING}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wanted", [(32, 32), (100, 50), (7, 200)])
def test_fit_takes_the_largest_centred_part_of_the_aspect(size, wanted):
    picture = Image.fromarray(inputs.photo(*size))
    expected = ImageOps.fit(picture, wanted, Image.Resampling.BICUBIC).tobytes()
    assert pixels.canonical(picture, contract.ResizeRule(wanted[1], wanted[0])) == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filter", FILTERS)
def test_crop_takes_the_centre_of_the_picture_once_it_is_resized(size, filter):
    picture = Image.fromarray(inputs.photo(*size))
    width, height = (side * 86 // min(size) for side in size)
    left, top = (width - 75) // 2, (height - 75) // 2
    resized = picture.resize((width, height), FILTERS[filter])
    expected = np.asarray(resized.crop((left, top, left + 75, top + 75)), int)
    found = pixels.canonical(picture, contract.ResizeRule(75, 75, "crop", 0.875, filter))
    assert np.abs(np.frombuffer(found, np.uint8).reshape(75, 75, 3) - expected).max() <= 1


def test_squash_takes_all_of_the_picture():
    picture = Image.fromarray(inputs.photo(90, 30))
    expected = picture.resize((20, 40), Image.Resampling.BILINEAR).tobytes()
    assert pixels.canonical(picture, contract.ResizeRule(40, 20, "squash", interpolation="bilinear")) == expected


def test_a_shard_says_how_its_images_were_made_and_is_read_by_that_rule_only(drop: Drop):
    rule = contract.ResizeRule(32, 32, "crop", 0.875, "hamming")
    drop.add(b"x.png", inputs.png())
    shard = drop.pack(rule=rule).shard
    ((ids, images),) = shards.read_images(shard, rule)
    assert (len(ids), images.shape) == (1, (1, 32, 32, 3))
    with pytest.raises(contract.BadInput) as refused:
        next(shards.read_images(shard, contract.ResizeRule(32, 32)))
    assert "made 32 x 32 pixels (crop of 0.875, hamming)" in str(refused.value)
    assert "wants 32 x 32 pixels (fit, bicubic): pack the files again" in str(refused.value)


def test_a_shard_of_before_there_was_a_choice_was_fit_by_bicubic_interpolation(drop: Drop):
    drop.add(b"x.png", inputs.png())
    shard = drop.pack().shard
    older = drop.folder / "older.parquet"
    pq.write_table(pq.read_table(shard).replace_schema_metadata(), older)
    assert len(list(shards.read_images(older, contract.ResizeRule(32, 32)))) == 1
    for other in (contract.ResizeRule(32, 32, "squash"), contract.ResizeRule(32, 32, interpolation="bilinear")):
        with pytest.raises(contract.BadInput, match="made 32 x 32"):
            next(shards.read_images(older, other))
    with pytest.raises(contract.BadInput, match="does not have 12288 bytes"):
        next(shards.read_images(older, contract.ResizeRule(64, 64)))


@pytest.mark.parametrize("said", [b"{", b"[]", b'{"height": 32}', b'{"height": 32, "width": 32, "pad": 4}'])
def test_a_shard_that_says_nothing_that_can_be_read_is_bad_input(drop: Drop, said: bytes):
    drop.add(b"x.png", inputs.png())
    other = drop.folder / "other.parquet"
    table = pq.read_table(drop.pack().shard)
    pq.write_table(table.replace_schema_metadata({contract.RESIZE_RULE: said}), other)
    with pytest.raises(contract.BadInput, match="does not say how its images were made"):
        next(shards.read_images(other, contract.ResizeRule(32, 32)))
