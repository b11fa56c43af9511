"""The columns of the Parquet files, by name and type."""

STATES = ("ingested", "duplicate", "quarantined", "rejected", "vanished")
# Columns of the Parquet files, in order, as (name, Arrow type in its own words).
MANIFEST_COLUMNS = (("entry", "int32"), ("name", "binary"), ("version", "string"))
IMAGE_STATISTICS = ("brightness", "contrast", "saturation", "sharpness")
SHARD_COLUMNS = (
    ("image_id", "string"),
    ("pixels", "binary"),  # height x width x 3, uint8, RGB, row by row
    ("width", "int32"),  # of the original, upright
    ("height", "int32"),
    ("format", "string"),
    ("bytes", "int64"),
    *((name, "float") for name in IMAGE_STATISTICS),
)
OUTCOME_COLUMNS = (
    ("entry", "int32"),
    ("status", "string"),  # decoded, or one of STATES but the first two
    ("reason", "string"),  # a code of the table in docs/reasons.md; null if decoded
    ("detail", "string"),  # for a person; free of control characters
    ("notes", "string"),  # codes joined by a space
    ("image_id", "string"),  # null if the bytes were not read whole
    ("width", "int32"),
    ("height", "int32"),
    ("format", "string"),
    ("mode", "string"),
    ("bytes", "int64"),
    *((name, "float") for name in IMAGE_STATISTICS),
    ("dhash", "int64"),  # 64 bits of what it looks like: vision.decoding.pixels.dhash
)
# What there is to see of files that were refused; not of all.
PREVIEW_COLUMNS = (("entry", "int32"), ("width", "int32"), ("height", "int32"), ("pixels", "binary"))
PREDICTION_COLUMNS = (
    ("image_id", "string"),
    ("label", "string"),  # null if the image failed
    ("confidence", "float"),
    ("probabilities", "list<item: float>"),  # in the order of the bundle's classes
    ("embedding", "list<item: float>"),  # the input of the output layer
    ("failure", "string"),  # null if the image was classified
)
LABEL_COLUMNS = (("image_id", "string"), ("label", "string"))
TRUE_LABEL = ("true_label", "string")  # in a reference profile, beside what was predicted
RESIZE_RULE = b"strandline.resize_rule"  # in a shard's metadata: what its pixels were made by, as JSON
